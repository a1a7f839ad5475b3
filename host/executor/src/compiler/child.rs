//! The compiler's process: reads one component, checks or compiles it, answers and ends.
//!
//! It holds nothing but that component. What it needs from the system it takes before it reads the first byte of it.

use super::wire::{self, Answer, Head, Question, Request, VERSION};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_sandbox::{CheckLimits, Compiler, ComponentInfo, MAX_MESSAGE, inspect, tame};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Where the request comes from.
pub(super) const REQUEST: RawFd = 3;
/// Where the answer goes.
pub(super) const ANSWER: RawFd = 4;

/// Answers one request.
pub(super) fn run() -> ExitCode {
    let Some((request, answer)) = descriptors() else {
        eprintln!("this is started by lockgate itself");
        return ExitCode::from(2);
    };
    match serve(request, answer) {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell: the other end takes no answer for what it is.
        Err(_) => ExitCode::FAILURE,
    }
}

fn descriptors() -> Option<(File, File)> {
    let take = |number: RawFd| {
        // SAFETY: only asks the system whether there is such a descriptor.
        #[allow(unsafe_code)]
        let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        // SAFETY: it is open, and this process, which has only begun, has opened nothing itself: nobody else owns it.
        #[allow(unsafe_code)]
        open.then(|| File::from(unsafe { OwnedFd::from_raw_fd(number) }))
    };
    Some((take(REQUEST)?, take(ANSWER)?))
}

fn serve(mut request: File, answer: File) -> io::Result<()> {
    // The answer takes the place of standard error: a program that cannot get memory says so there and ends, and the
    // other end should hear it. What panics says is part of the answer.
    rustix::stdio::dup2_stderr(&answer)?;
    drop(answer);
    let mut answer = io::stderr();
    std::panic::set_hook(Box::new(|_| {}));
    let asked = read_request(&mut request)?;
    // Set up while the system still allows it, and before anything hostile is here.
    let work = Work::new(asked.question);
    limit(&asked)?;
    let mut component = vec![0; usize::try_from(asked.size).map_err(io::Error::other)?];
    request.read_exact(&mut component)?;
    // What panics gives an answer too: the caller should hear what happened.
    let done = work.and_then(|work| {
        catch_unwind(AssertUnwindSafe(|| work.done(&component))).unwrap_or_else(|panic| Err(broken(&*panic)))
    });
    let (said, artefact) = done.unwrap_or_else(|error| (wire::refusal(&error), Vec::new()));
    let head = Head { version: VERSION, answer: said, artefact: artefact.len() as u64 };
    answer.write_all(&wire::framed(&head, wire::MAX_HEAD).map_err(io::Error::other)?)?;
    answer.write_all(&artefact)
}

fn read_request(from: &mut File) -> io::Result<Request> {
    let mut length = [0; wire::LENGTH];
    from.read_exact(&mut length)?;
    let length = wire::head_length(length, wire::MAX_REQUEST).ok_or(io::ErrorKind::InvalidData)?;
    let mut head = vec![0; length];
    from.read_exact(&mut head)?;
    let request: Request = serde_json::from_slice(&head)?;
    if request.version == VERSION { Ok(request) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// What is to be done, ready to begin.
enum Work {
    Compatibility([u8; 32]),
    Check,
    Compile(Box<Compiler>),
}

impl Work {
    fn new(question: Question) -> Result<Self> {
        Ok(match question {
            Question::Compatibility => Self::Compatibility(lockgate_sandbox::compatibility()?),
            Question::Check => Self::Check,
            Question::Compile { optimise } => Self::Compile(Box::new(Compiler::new(optimise)?)),
        })
    }

    fn done(&self, component: &[u8]) -> Result<(Answer, Vec<u8>)> {
        let limits = CheckLimits::default();
        let answer = |info: ComponentInfo| Answer::Component(info.into());
        match self {
            Self::Compatibility(digest) => Ok((Answer::Compatibility(Digest::from_bytes(*digest)), Vec::new())),
            Self::Check => inspect(component, &limits).map(|info| (answer(info), Vec::new())),
            Self::Compile(compiler) => {
                let (info, artefact) = compiler.compile(component, &limits)?;
                Ok((answer(info), artefact))
            }
        }
    }
}

/// Bounds what the rest of this process may use.
fn limit(asked: &Request) -> io::Result<()> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::As, both(asked.memory))?;
    // At the lower one comes a signal that says what happened, at the higher one an end without appeal.
    let cpu = Rlimit { current: Some(asked.cpu), maximum: Some(asked.cpu.saturating_add(1)) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Core, both(0))?;
    Ok(())
}

fn broken(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = tame(text.unwrap_or("for no reason that it gave"), MAX_MESSAGE);
    Error::new(code::COMPILER_GONE, format!("the compiler broke down: {text}"))
}
