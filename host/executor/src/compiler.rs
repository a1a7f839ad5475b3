//! Compiling components, for a TaskManager's cache and for authors who build bundles.
//!
//! Compiling is an attack surface of its own: size, nesting and counts are bounded before it starts, and none of it, not
//! even the parser that bounds them, touches a component in a process that holds anything. Each component gets a process
//! with nothing but its bytes and a limit on time and memory. What that process answers is bounded and copied, and its
//! artefact is as hostile as the component: it is run in the jail of that component's tenant and nowhere else.

mod ask;
mod budget;
mod child;
mod conversation;
mod gate;
mod wire;

pub use budget::Budget;
pub use lockgate_sandbox::ComponentInfo;

use crate::Executor;
use crate::jail::Policy;
use ask::{Asked, another, ask, is_breach};
use gate::Gate;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::types::FunctionDescription;
use lockgate_core::verify::{Bundle, ComponentRef, Verified};
use lockgate_core::{Digest, Error, Name, Result};
use lockgate_sandbox::CheckLimits;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use wire::{Answer, Question, Request, VERSION};

/// The hidden subcommand that makes this program a jailed compiler.
pub(crate) const SUBCOMMAND: &str = "compiler";

/// What the program is when it was started as [`SUBCOMMAND`]: a compiler of one component.
pub(crate) fn child() -> ExitCode {
    child::run()
}

/// Has components checked and compiled, each in a jailed process of its own. One for a TaskManager; clones share its
/// bound on processes.
///
/// All that it does blocks: up to [`Budget`], and longer if others are before it. Whoever calls it compiles for a tenant one
/// component at a time, so that none keeps all others waiting.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: Arc<Path>,
    budget: Budget,
    policy: Policy,
    gate: Arc<Gate>,
    /// Asked once, of a process that got no component, and so from one that has no reason to lie.
    compatibility: Arc<OnceLock<[u8; 32]>>,
}

/// Processes at once, if nobody says: a small machine still has a core for what runs.
const PROCESSES: usize = 2;

impl Compiler {
    /// A compiler with the default budget, which starts this very program, two processes at most at once.
    pub fn new() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe").into(),
            budget: Budget::default(),
            policy: Policy::default(),
            gate: Arc::new(Gate::new(PROCESSES)),
            compatibility: Arc::default(),
        }
    }

    /// Starts `program` instead, which passes its arguments to [`crate::child`]: for tests and embedders, who are not it.
    #[must_use]
    pub fn with_program(self, program: &Path) -> Self {
        Self { program: program.into(), compatibility: Arc::default(), ..self }
    }

    /// At most `most` processes at once; who wants one more waits.
    #[must_use]
    pub fn with_processes(self, most: NonZeroUsize) -> Self {
        Self { gate: Arc::new(Gate::new(most.get())), ..self }
    }

    /// With other limits.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// With what the operator says of walls that are missing.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// A digest of all that an artefact depends on beside its component.
    ///
    /// # Errors
    /// `LG0510` if this machine cannot run WebAssembly, `LG0516` to `LG0518` if the compiler cannot be asked.
    pub fn compatibility(&self) -> Result<[u8; 32]> {
        if let Some(known) = self.compatibility.get() {
            return Ok(*known);
        }
        match self.ask(Question::Compatibility, 0, &[]).answer? {
            (Answer::Compatibility(digest), _) => Ok(*self.compatibility.get_or_init(|| *digest.as_bytes())),
            _ => Err(another()),
        }
    }

    /// Checks a component of a verified bundle: that it may be compiled, and imports what was signed. To be done even
    /// where its artefact is at hand: another bundle, which says something else of it, may have brought that.
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run, or the compiler gave no answer.
    pub fn check(&self, bundle: &Verified<Bundle>, component: &Name) -> Result<()> {
        let found = find(bundle, component)?;
        let info = self.inspect(found.bytes).map_err(|error| error.at(format!("component {component}")))?;
        as_signed(&info, &found)
    }

    /// Checks and compiles a component of a verified bundle.
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run, or the compiler gave no answer; `LG0514` and `LG0515` if it
    /// broke its limits, both optimised and not.
    pub fn compile(&self, bundle: &Verified<Bundle>, component: &Name) -> Result<Vec<u8>> {
        let found = find(bundle, component)?;
        let (info, artefact) =
            self.compiled(found.bytes).map_err(|error| error.at(format!("component {component}")))?;
        as_signed(&info, &found)?;
        Ok(artefact)
    }

    /// What a component imports and exports, without compiling it.
    ///
    /// # Errors
    /// `LG05nn` if it is not a component that could run here, or the compiler gave no answer.
    pub fn inspect(&self, component: &[u8]) -> Result<ComponentInfo> {
        match self.ask(Question::Check, 0, component).answer? {
            (Answer::Component(info), _) => info.accept(component.len() as u64).ok_or_else(another),
            _ => Err(another()),
        }
    }

    /// What a component says of its functions: for authors, whose own component it is. Runs `describe` and nothing else.
    ///
    /// # Errors
    /// `LG05nn` if the component is not one that may run, `LG06nn` if it fails.
    pub fn describe(&self, executor: &Executor, component: &[u8], limits: &Limits) -> Result<Vec<FunctionDescription>> {
        let (_, artefact) = self.compiled(component)?;
        executor.describe(executor.put(Digest::of(component), &artefact)?, limits)
    }

    /// Checks, then compiles, and tries again without optimising if that breaks a limit. The check has a process of its own
    /// because the limits of the others are by what it finds.
    fn compiled(&self, component: &[u8]) -> Result<(ComponentInfo, Vec<u8>)> {
        let code = self.inspect(component)?.code;
        twice(|optimise| self.attempt(component, code, optimise))
    }

    fn attempt(&self, component: &[u8], code: u64, optimise: bool) -> Result<(ComponentInfo, Vec<u8>)> {
        match self.ask(Question::Compile { optimise }, code, component).answer? {
            (Answer::Component(info), artefact) if !artefact.is_empty() => {
                Ok((info.accept(component.len() as u64).ok_or_else(another)?, artefact))
            }
            _ => Err(another()),
        }
    }

    /// Asks a process of its own, which is to compile `code` bytes of `component`.
    fn ask(&self, question: Question, code: u64, component: &[u8]) -> Asked {
        let (size, too_large) = (component.len() as u64, code::COMPONENT_TOO_LARGE);
        let most = CheckLimits::default().size;
        if size > most {
            let cause = format!("the component has {size} bytes, at most {most} are allowed");
            return Asked { answer: Err(Error::new(too_large, cause)), exit: None };
        }
        let cpu = match question {
            Question::Compile { optimise } => self.budget.compile(code, size, optimise),
            Question::Check | Question::Compatibility => self.budget.check(size),
        };
        let request =
            Request { version: VERSION, question, policy: self.policy, cpu, memory: self.budget.memory, size };
        let _permit = self.gate.enter();
        ask(&self.program, &request, component)
    }
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

/// Attempts something with optimising and, where that breaks a limit, without.
fn twice<T>(attempt: impl Fn(bool) -> Result<T>) -> Result<T> {
    let first = match attempt(true) {
        Err(error) if is_breach(&error) => error,
        done => return done,
    };
    attempt(false).map_err(|second| {
        if !is_breach(&second) {
            return second;
        }
        let both = format!("{}; again, without optimising, {}", first.cause(), second.cause());
        Error::new(second.code(), both)
    })
}

fn find<'a>(bundle: &'a Verified<Bundle>, component: &Name) -> Result<Verified<ComponentRef<'a>>> {
    let missing = || Error::new(code::INTERNAL, format!("no component {component} in the bundle"));
    bundle.component(component).ok_or_else(missing)
}

/// Refuses a component whose imports are not those that were signed.
fn as_signed(info: &ComponentInfo, signed: &ComponentRef<'_>) -> Result<()> {
    if info.imports == *signed.imports {
        return Ok(());
    }
    let cause = format!("component {} imports other interfaces than were signed", signed.name);
    Err(Error::new(code::IMPORTS_DIFFER, cause)
        .help("Build and sign the bundle again; if it came from elsewhere, do not trust it."))
}

#[cfg(test)]
mod tests;
