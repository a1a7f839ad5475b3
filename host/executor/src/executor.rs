//! Starting an executor and its slots, stopping them.

use crate::SlotHandle;
use crate::link::link;
use crate::slot;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_sandbox::{Cancel, Engine, EngineOptions, Program};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};

/// How an executor is set up.
#[derive(Clone, Copy, Debug)]
pub struct ExecutorOptions {
    /// Slots that run at once.
    pub slots: u32,
    /// Function nodes of a plan that has the most of them; each slot has an instance of each.
    pub functions: u32,
    /// The most memory of an instance, in bytes.
    pub memory: u64,
    /// The most WebAssembly stack of a call, in bytes.
    pub stack: u64,
}

/// One tenant's executor.
pub struct Executor {
    shared: Arc<Shared>,
}

/// What the slots of an executor share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    programs: Mutex<BTreeMap<Digest, Program>>,
}

/// How a slot is told to stop.
#[derive(Clone, Default)]
pub(crate) struct Control {
    drain: Arc<AtomicBool>,
    pub(crate) cancel: Cancel,
}

/// A slot that runs, as the TaskManager holds it. It ends with its link, or at its next ask after that.
pub struct Running {
    control: Control,
    thread: Thread,
}

impl Executor {
    /// An executor without slots.
    ///
    /// # Errors
    /// If this machine cannot run WebAssembly within these options.
    pub fn start(options: &ExecutorOptions) -> Result<Self> {
        let instances = options.slots.saturating_mul(options.functions.max(1));
        let engine =
            Engine::new(&EngineOptions { slots: instances, memory_ceiling: options.memory, stack: options.stack })?;
        Ok(Self { shared: Arc::new(Shared { engine, programs: Mutex::default() }) })
    }

    /// Starts a slot. It asks for its assignment first.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn slot(&self, number: u32) -> Result<(SlotHandle, Running)> {
        let (slot_end, end) = link();
        let (shared, control) = (Arc::clone(&self.shared), Control::default());
        let theirs = control.clone();
        let thread = thread::Builder::new()
            .name(format!("slot-{number}"))
            .stack_size(4 << 20)
            .spawn(move || slot::run(slot_end, &shared, &theirs))
            .map_err(|error| Error::new(code::IO, format!("no thread for a task slot: {error}")))?;
        Ok((SlotHandle::new(end), Running { control, thread: thread.thread().clone() }))
    }
}

impl Running {
    /// Lets the slot finish its batch, commit and end.
    pub fn drain(&self) {
        self.control.drain.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }

    /// Cuts the slot off in the middle of a call; nothing is committed any more.
    pub fn cancel(&self) {
        self.control.cancel.cancel();
        self.thread.unpark();
    }
}

impl Control {
    pub(crate) fn draining(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

impl Shared {
    /// The program of a component, made by `load` if no slot has it yet.
    pub(crate) fn program(&self, digest: Digest, load: impl FnOnce() -> Result<Program>) -> Result<Program> {
        if let Some(program) = self.programs.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(program.clone());
        }
        // Two slots may load the same one at once; the second copy goes away again.
        let program = load()?;
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(programs.entry(digest).or_insert(program).clone())
    }
}
