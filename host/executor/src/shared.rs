//! What the slots of an executor share: for each run of a job an engine of its own size, and its programs.
//!
//! An engine goes some time after the last slot of its run, and with it everything that was mapped for it: the next run
//! is often one of the same job, or of one like it, and finds its engine and its programs made.

use crate::assignment::Assignment;
use crate::code::{Code, CodeRange};
use crate::link::Controls;
use lockgate_core::limits::Limits;
use lockgate_core::plan::NodeKind;
use lockgate_core::{Digest, Result};
use lockgate_sandbox::{Cancel, Engine, EngineOptions, Program};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What all slots of an executor share.
pub(crate) struct Shared {
    code: Arc<OwnedFd>,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    by_number: BTreeMap<u64, Weak<Run>>,
    /// The latest, of which those that nobody uses may be used again.
    kept: VecDeque<Arc<Run>>,
}

/// Engines that are kept for a run to come.
const KEPT: usize = 2;
/// Programs of an engine that is used again.
const PROGRAMS: usize = 16;

/// What the slots of a run share.
pub(crate) struct Run {
    options: EngineOptions,
    engine: Engine,
    code: Arc<Code>,
    programs: Mutex<BTreeMap<Digest, Program>>,
}

/// How a slot is told to stop, and says that it gets on.
#[derive(Clone)]
pub(crate) struct Control {
    controls: Controls,
    pub(crate) cancel: Cancel,
}

impl Shared {
    /// For artefacts in `code`.
    pub(crate) fn new(code: OwnedFd) -> Self {
        Self { code: Arc::new(code), runs: Mutex::default() }
    }

    /// The run of `assignment`.
    ///
    /// # Errors
    /// If this machine cannot run WebAssembly within its limits.
    pub(crate) fn run(&self, assignment: &Assignment) -> Result<Arc<Run>> {
        // Held while the engine is made: the other slots of the run wait for it rather than make one as well.
        let mut runs = lock(&self.runs);
        runs.by_number.retain(|_, run| run.strong_count() > 0);
        if let Some(run) = runs.by_number.get(&assignment.run).and_then(Weak::upgrade) {
            return Ok(run);
        }
        let functions = assignment.plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Function(_))).count();
        let instances = assignment.slots.saturating_mul(u32::try_from(functions).unwrap_or(u32::MAX));
        let options = options(instances, &assignment.plan.limits);
        let idle = |run: &Arc<Run>| Arc::strong_count(run) == 1;
        let fits = |run: &Arc<Run>| idle(run) && run.options == options && lock(&run.programs).len() < PROGRAMS;
        let found = runs.kept.iter().position(fits).and_then(|at| runs.kept.remove(at));
        let run = match found {
            Some(run) => run,
            None => {
                // Room for it is made first: an engine that nobody uses holds memory that the new one may need.
                runs.kept.retain(|run| !idle(run));
                while runs.kept.len() >= KEPT {
                    runs.kept.pop_front();
                }
                Arc::new(self.engine(instances, &assignment.plan.limits)?)
            }
        };
        runs.by_number.retain(|_, other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(&run)));
        runs.by_number.insert(assignment.run, Arc::downgrade(&run));
        runs.kept.push_back(Arc::clone(&run));
        Ok(run)
    }

    /// A run of its own with room for this many instances.
    ///
    /// # Errors
    /// As [`Shared::run`].
    pub(crate) fn engine(&self, instances: u32, limits: &Limits) -> Result<Run> {
        let code = Arc::new(Code::new(Arc::clone(&self.code)));
        let options = options(instances, limits);
        let engine = Engine::mapped(&options, Arc::clone(&code) as _)?;
        Ok(Run { options, engine, code, programs: Mutex::default() })
    }
}

impl Run {
    /// The program of a component whose artefact is at `code`.
    ///
    /// # Errors
    /// `LG05nn` if the artefact does not fit.
    pub(crate) fn program(&self, component: Digest, code: CodeRange) -> Result<Program> {
        let mut programs = lock(&self.programs);
        if let Some(program) = programs.get(&component) {
            return Ok(program.clone());
        }
        let artefact = self.code.map(code)?;
        // SAFETY: the bytes are those that the TaskManager which started this executor put there. It takes an artefact
        // only from the compiler's process or from its cache, whose MAC, keyed by the engine's compatibility, it has
        // checked; a tenant has no way to put bytes there. They stay mapped, and are not written to, until the engine,
        // which holds `Code`, is gone.
        #[expect(unsafe_code, reason = "compiled artefacts are machine code")]
        let program = unsafe { self.engine.load_mapped(artefact) }?;
        programs.insert(component, program.clone());
        Ok(program)
    }
}

impl Control {
    pub(crate) fn new(controls: Controls) -> Self {
        let watched = controls.clone();
        Self { controls, cancel: Cancel::or(move || watched.cancelled()) }
    }

    pub(crate) fn draining(&self) -> bool {
        self.controls.draining()
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.controls.cancelled()
    }

    /// Tells the watchdog that the slot gets on.
    pub(crate) fn progress(&self) {
        self.controls.progress();
    }
}

fn options(instances: u32, limits: &Limits) -> EngineOptions {
    EngineOptions { slots: instances.max(1), memory_ceiling: limits.memory, stack: limits.stack }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
