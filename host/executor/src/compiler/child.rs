//! The compiler's process: reads one component, checks or compiles it, answers and ends.
//!
//! It holds nothing but that component. What it needs from the system it takes, and all walls stand, before it reads the
//! first byte of it.

use super::wire::{self, Answer, Head, Question, Request, VERSION};
use crate::jail::{self, Policy, Profile, ResourceLimits};
use lockgate_core::error::code;
use lockgate_core::text::tame;
use lockgate_core::{Digest, Error, Result};
use lockgate_sandbox::{CheckLimits, Compiler, ComponentInfo, MAX_MESSAGE, inspect};
use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

/// Where the request comes from.
const REQUEST: RawFd = 3;
/// Where the answer goes.
const ANSWER: RawFd = 4;
/// Where the answer goes in the end: see [`serve`].
const STDERR: RawFd = 2;
/// Less urgent than whatever runs, which has a deadline.
const NICE: i32 = 10;

/// Answers one request.
pub(super) fn run() -> ExitCode {
    let Some((mut request, answer)) = descriptors() else {
        eprintln!("this is started by lockgate itself");
        return ExitCode::from(2);
    };
    let served = serve(&mut request, answer);
    // To close it is one of the many things that are forbidden now.
    std::mem::forget(request);
    // There is nobody to tell of an error: the other end takes no answer for what it is.
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

fn serve(request: &mut File, answer: File) -> io::Result<()> {
    // The answer takes the place of standard error: a program that cannot get memory says so there and ends, and the
    // other end should hear it. What panics says is part of the answer.
    rustix::stdio::dup2_stderr(&answer)?;
    drop(answer);
    let mut answer = io::stderr();
    std::panic::set_hook(Box::new(|_| {}));
    // Heard as last words: a program that was replaced while it ran should be told as such.
    let asked = read_request(request)
        .inspect_err(|error| drop(write!(answer, "the request is of another version of this program: {error}")))?;
    let done = enter(&asked).and_then(|work| {
        let mut component = vec![0; usize::try_from(asked.size).unwrap_or(usize::MAX)];
        request.read_exact(&mut component).map_err(|error| Error::new(code::COMPILER_GONE, error.to_string()))?;
        // What panics gives an answer too: the caller should hear what happened.
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

/// Raises all walls, and makes what cannot be made behind them.
fn enter(asked: &Request) -> Result<Work> {
    let refused =
        |error: Error| Error::new(code::COMPILER_UNAVAILABLE, format!("the compiler's jail: {}", error.cause()));
    jail::root().map_err(refused)?;
    jail::shed(REQUEST, NICE).map_err(refused)?;
    jail::landlock(asked.policy).map_err(refused)?;
    let work = Work::new(asked.question)?;
    let limits = ResourceLimits {
        data: asked.memory,
        address_space: Some(asked.memory),
        cpu: Some(Duration::from_secs(asked.cpu)),
        descriptors: 0,
    };
    jail::limit(&limits).map_err(refused)?;
    let profile = Profile::Compiler { input: REQUEST, output: STDERR, memory: asked.memory };
    match jail::seal(&profile) {
        Err(error) if asked.policy == Policy::Required => Err(refused(error)),
        _ => Ok(work),
    }
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

fn broken(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = tame(text.unwrap_or("for no reason that it gave"), MAX_MESSAGE);
    Error::new(code::COMPILER_GONE, format!("the compiler broke down: {text}"))
}
