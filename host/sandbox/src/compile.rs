//! Compiling, apart from running: the engine here has no pool, so that it fits into a small address space, and starts no
//! thread, so that it fits into a jail.
//!
//! What a compiler reads is hostile and what it makes is run as it is, so this is done in a process that holds nothing else.

use crate::check::{CheckLimits, ComponentInfo, inspect};
use crate::engine;
use crate::failure::MAX_MESSAGE;
use lockgate_core::error::code;
use lockgate_core::text::tame;
use lockgate_core::{Error, Result};
use std::io;
use wasmtime::OptLevel;

/// Makes artefacts of components.
pub struct Compiler(wasmtime::Engine);

impl Compiler {
    /// A compiler; one that does not optimise takes less time and memory for code that is slower and no less safe. Both
    /// make what every [`crate::Engine`] loads.
    ///
    /// # Errors
    /// `LG0510` if Cranelift does not compile for this machine.
    pub fn new(optimise: bool) -> Result<Self> {
        let mut config = engine::code_config();
        if !optimise {
            // Neither Winch nor the single-pass register allocator, which wasmtime's security promises leave out: what
            // is hard to compile is chosen by whoever wrote it.
            config.cranelift_opt_level(OptLevel::None);
        }
        let made = wasmtime::Engine::new(&config);
        made.map(Self)
            .map_err(|error| Error::new(code::SANDBOX_UNAVAILABLE, format!("the compiler cannot be set up: {error:#}")))
    }

    /// Checks and compiles a component.
    ///
    /// # Errors
    /// As [`inspect`], `LG0501` for what only validation finds, `LG0515` if it needs more memory than there is.
    pub fn compile(&self, component: &[u8], limits: &CheckLimits) -> Result<(ComponentInfo, Vec<u8>)> {
        let info = inspect(component, limits)?;
        let compiled = self.0.precompile_component(component).map_err(|error| {
            if is_out_of_memory(&error) {
                return Error::new(code::COMPILE_MEMORY, "compiling the component takes more memory than there is");
            }
            let text = tame(&format!("{error:#}"), MAX_MESSAGE);
            Error::new(code::INVALID_COMPONENT, format!("the component cannot be compiled: {text}"))
        })?;
        Ok((info, compiled))
    }
}

/// [`crate::Engine::compatibility`] without an engine that could run anything.
///
/// # Errors
/// As [`Compiler::new`].
pub fn compatibility() -> Result<[u8; 32]> {
    Compiler::new(true).map(|compiler| engine::compatibility(&compiler.0))
}

/// Whether the system gave no memory. An allocation of Rust's that fails ends the process instead.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::error::OutOfMemory>()
        || error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
        })
}
