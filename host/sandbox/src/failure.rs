//! Why a call failed: every way of failing has a kind, a code and a message that names what broke.

use crate::host::Host;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::text::tame;
use lockgate_core::{Code, Error};
use std::fmt;
use std::fmt::Write as _;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// The longest text of a guest that an error carries, in bytes.
pub const MAX_MESSAGE: usize = 1 << 10;

/// The broad kind of a failure: what a caller decides by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The guest trapped, left, or broke the canonical ABI.
    Trap,
    /// A limit cut it off.
    Limit,
    /// The guest returned an error.
    GuestError,
    /// The call was cancelled.
    Cancelled,
    /// The call took longer than its deadline.
    Deadline,
    /// The host is at fault, or has no room.
    Host,
}

/// A call, or the making of an instance, that failed. Nothing of it had an effect outside the instance.
#[derive(Clone, Debug)]
pub struct CallError {
    /// Code, cause and what to do.
    pub error: Error,
    /// The guest's stack, innermost function first, one a line.
    pub backtrace: Option<String>,
    /// Fuel used until then.
    pub fuel: u64,
    /// The broad kind.
    pub kind: Kind,
}

impl CallError {
    /// Whether a part of the batch might succeed where the whole did not.
    pub fn divisible(&self) -> bool {
        matches!(self.kind, Kind::Trap | Kind::Limit | Kind::GuestError | Kind::Deadline)
    }

    pub(crate) fn new(kind: Kind, error: Error, fuel: u64) -> Self {
        Self { error, backtrace: None, fuel, kind }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for CallError {}

/// Why the host itself ended a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Cancelled,
    Deadline,
    /// The guest called `exit`.
    Exit(u8),
    /// The guest called an import that is linked but refuses; its name.
    Refused(String),
    /// An import got an argument that it does not take.
    Argument(&'static str),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Stop {}

/// What the guest was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Making an instance: initialisers and start functions.
    Start,
    /// A call of an export.
    Call,
}

/// What is needed to explain an error of wasmtime.
pub(crate) struct Context<'a> {
    pub phase: Phase,
    pub limits: &'a Limits,
    /// Fuel that was there.
    pub budget: u64,
    /// Fuel used.
    pub used: u64,
    /// Whether the limiter refused memory during the call.
    pub memory_refused: bool,
}

impl<'a> Context<'a> {
    pub fn new(phase: Phase, limits: &'a Limits, budget: u64, store: &wasmtime::Store<Host>) -> Self {
        let used = budget.saturating_sub(store.get_fuel().unwrap_or(0));
        Self { phase, limits, budget, used, memory_refused: store.data().limiter.refused }
    }

    /// Explains what ended the call.
    pub fn explain(&self, error: &wasmtime::Error) -> CallError {
        let (kind, error, backtrace) = match error.downcast_ref::<Stop>() {
            Some(stop) => {
                let (kind, stopped) = self.stop(stop);
                (kind, stopped, backtrace(error))
            }
            None => {
                let (kind, explained) = self.wasm(error);
                (kind, explained, backtrace(error))
            }
        };
        let error = if self.phase == Phase::Start { error.at("making an instance") } else { error };
        CallError { error, backtrace, fuel: self.used, kind }
    }

    /// Explains a stop from outside or by an import.
    pub fn stop(&self, stop: &Stop) -> (Kind, Error) {
        match stop {
            Stop::Cancelled => (Kind::Cancelled, Error::new(code::CALL_CANCELLED, "the call was cancelled")),
            Stop::Deadline => {
                let text = format!("the call took longer than its deadline of {} ms", self.limits.deadline);
                (Kind::Deadline, Error::new(code::DEADLINE_PASSED, text))
            }
            Stop::Exit(status) => {
                let text = format!("the guest called exit with status {status}");
                (Kind::Trap, Error::new(code::GUEST_EXIT, text))
            }
            Stop::Refused(name) => {
                let text = format!("the guest called {name}, which is not granted");
                (Kind::Trap, Error::new(code::IMPORT_REFUSED, text))
            }
            Stop::Argument(text) => (Kind::Trap, Error::new(code::IMPORT_REFUSED, *text)),
        }
    }

    fn wasm(&self, error: &wasmtime::Error) -> (Kind, Error) {
        let limit = |code: Code, text: String| (Kind::Limit, Error::new(code, text));
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::OutOfFuel) => {
                let error = Error::new(code::OUT_OF_FUEL, format!("all {} units of fuel were used", self.budget));
                let help = "correct the function, or raise `fuel-per-batch` and `fuel-per-record` under [limits]";
                return (Kind::Limit, error.help(help));
            }
            Some(Trap::StackOverflow) => {
                return limit(code::STACK_OVERFLOW, "the WebAssembly stack is exhausted".into());
            }
            _ => {}
        }
        // wasmtime's types for these two are private: their texts are held by tests.
        let text = format!("{error:#}");
        if trap.is_none() && text.contains("fuel allocated for hostcalls has been exhausted") {
            let text = format!("the guest handed over more than {} bytes at once", self.limits.transfer);
            return limit(code::TRANSFER_LIMIT, text);
        }
        if trap.is_none() && text.contains("store handle limit exceeded") {
            let text = format!("the guest held more than {} resource handles", self.limits.handles);
            return limit(code::HANDLE_LIMIT, text);
        }
        if self.memory_refused {
            let text = format!("the guest asked for more than {} bytes of memory", self.limits.memory);
            return limit(code::MEMORY_LIMIT, text);
        }
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return (Kind::Host, Error::new(code::NO_INSTANCE_SLOT, "no room is left for another instance"));
        }
        let code = match (trap, self.phase) {
            (_, Phase::Start) => code::START_FAILED,
            (Some(_), Phase::Call) => code::GUEST_TRAP,
            (None, Phase::Call) => code::ABI_VIOLATION,
        };
        let text = match trap {
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => error.root_cause().to_string(),
        };
        (Kind::Trap, Error::new(code, format!("the guest failed: {}", tame(&text, MAX_MESSAGE))))
    }
}

/// The guest's stack as text: `wasmtime` bounds the frames, this bounds the names.
fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let mut out = String::new();
    for frame in trace.frames() {
        let module = frame.module().name().unwrap_or("?");
        let name = frame.symbols().first().and_then(|symbol| symbol.name()).or_else(|| frame.func_name());
        let function = name.map_or_else(|| format!("function {}", frame.func_index()), |name| tame(name, 200));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{} {function}", tame(module, 60));
    }
    (!out.is_empty()).then_some(out)
}
