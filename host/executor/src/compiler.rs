//! Compiling components, for a TaskManager's cache and for authors who build bundles.
//!
//! Compiling is an attack surface of its own: size, nesting and counts are bounded before it starts. What a TaskManager
//! has compiled is taken from a verified bundle only.

use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::plan::Format;
use lockgate_core::types::{Field, FunctionDescription};
use lockgate_core::verify::{Bundle, ComponentRef, Verified};
use lockgate_core::{Error, Name, Result};
use lockgate_dataflow::Input;
use lockgate_sandbox::{CheckLimits, Engine, EngineOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

pub use lockgate_sandbox::ComponentInfo;

/// The hidden subcommand that makes this program a jailed compiler.
pub(crate) const SUBCOMMAND: &str = "compiler";

/// What the program is when it was started as [`SUBCOMMAND`]: a compiler of one component.
pub(crate) fn child() -> ExitCode {
    ExitCode::FAILURE
}

/// Checks and compiles components.
pub struct Compiler {
    engine: Engine,
}

impl Compiler {
    /// A compiler for `limits`: as much memory and stack as they say is what `describe` may use.
    ///
    /// # Errors
    /// If this machine cannot run WebAssembly.
    pub fn new(limits: &Limits) -> Result<Self> {
        let options = EngineOptions { slots: 1, memory_ceiling: limits.memory, stack: limits.stack };
        Ok(Self { engine: Engine::new(&options)? })
    }

    /// A digest of all that an artefact depends on beside its component.
    pub fn compatibility(&self) -> [u8; 32] {
        self.engine.compatibility()
    }

    /// Checks a component of a verified bundle: that it may be compiled, and imports what was signed. To be done even
    /// where its artefact is at hand: another bundle, which says something else of it, may have brought that.
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run.
    pub fn check(bundle: &Verified<Bundle>, component: &Name) -> Result<()> {
        let found = find(bundle, component)?;
        let info = lockgate_sandbox::inspect(found.bytes, &CheckLimits::default())
            .map_err(|error| error.at(format!("component {component}")))?;
        if info.imports != found.imports {
            return Err(Error::new(
                code::IMPORTS_DIFFER,
                format!("component {component} imports other interfaces than were signed"),
            )
            .help("Build and sign the bundle again; if it came from elsewhere, do not trust it."));
        }
        Ok(())
    }

    /// Compiles a component of a verified bundle that has been [checked](Self::check).
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run.
    pub fn compile(&self, bundle: &Verified<Bundle>, component: &Name) -> Result<Vec<u8>> {
        let found = find(bundle, component)?;
        self.engine.compile(&found, &CheckLimits::default()).map_err(|error| error.at(format!("component {component}")))
    }

    /// What a component imports and exports, without compiling it.
    ///
    /// # Errors
    /// `LG05nn` if it is not a component that could run here.
    pub fn inspect(component: &[u8]) -> Result<ComponentInfo> {
        lockgate_sandbox::inspect(component, &CheckLimits::default())
    }

    /// What a component says of its functions: for authors, whose own component it is. Runs `describe` and nothing else.
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run, `LG06nn` if it fails.
    pub fn describe(&self, component: &[u8], limits: &Limits) -> Result<Vec<FunctionDescription>> {
        self.engine.describe(component, limits)
    }
}

fn find<'a>(bundle: &'a Verified<Bundle>, component: &Name) -> Result<Verified<ComponentRef<'a>>> {
    let missing = || Error::new(code::INTERNAL, format!("no component {component} in the bundle"));
    bundle.component(component).ok_or_else(missing)
}

/// Infers the schema of a source of this format from the bytes of one of its splits: for authors, whose manifest then has
/// it signed.
///
/// # Errors
/// `LG07nn` if the bytes are not of the source's format.
pub fn infer(format: &Format, split: &str, input: &mut dyn Input) -> Result<Vec<Field>> {
    // The Parquet reader panics on some damaged files.
    let inferred = catch_unwind(AssertUnwindSafe(|| lockgate_dataflow::infer(format, split, input)));
    inferred.unwrap_or_else(|_| {
        let cause = format!("{split:?} is damaged: its reader broke down");
        Err(Error::new(code::EXECUTOR_GONE, cause).help("write the schema into the manifest, or give other data"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use lockgate_core::plan::{Compression, FormatKind};

    /// An input that breaks its reader down.
    struct Broken;

    impl Input for Broken {
        fn size(&self) -> Option<u64> {
            Some(1)
        }

        fn read(&mut self, _: u64, _: usize) -> Result<Bytes> {
            panic!("as a reader would")
        }
    }

    #[test]
    fn a_reader_that_breaks_down_is_an_error() {
        let format = Format { kind: FormatKind::Json, compression: Compression::None };
        assert_eq!(infer(&format, "x", &mut Broken).unwrap_err().code(), code::EXECUTOR_GONE);
    }
}
