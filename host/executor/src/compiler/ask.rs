//! One question to one process: it is started, heard out, ended, and what became of it is told in an error's words.

use super::SUBCOMMAND;
use super::conversation::{Unheard, converse};
use super::wire::{self, Answer, MAX_ARTEFACT, MAX_REQUEST, Question, Request};
use crate::jail::{Cause, Child, Exit, Namespaces, spawn};
use lockgate_core::error::code;
use lockgate_core::{Error, Result, human};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// What came of a question.
pub(super) struct Asked {
    /// The answer, and an artefact if that was asked for. A refusal is an error already.
    pub(super) answer: Result<(Answer, Vec<u8>)>,
    /// How the process ended, if there was one.
    #[cfg_attr(not(test), expect(dead_code, reason = "what a process used is for tests to look at"))]
    pub(super) exit: Option<Exit>,
}

/// How long a process whose answer has ended may take to end itself.
const GRACE: Duration = Duration::from_secs(1);
/// What a program says that gets no memory (`std::alloc::handle_alloc_error`).
const NO_MEMORY: &str = "memory allocation of";

/// Asks `request`, whose component has as many bytes as it says.
pub(super) fn ask(program: &Path, request: &Request, component: &[u8]) -> Asked {
    match start(program) {
        Ok(started) => hear_out(started, request, component),
        Err(error) => Asked { answer: Err(error), exit: None },
    }
}

/// A process, and this end of its request and of its answer.
pub(super) struct Started {
    pub(super) process: Child,
    pub(super) request: File,
    pub(super) answer: File,
}

/// Asks a process, and ends it.
pub(super) fn hear_out(started: Started, request: &Request, component: &[u8]) -> Asked {
    let Started { mut process, request: request_end, answer: answer_end } = started;
    let most_artefact = if matches!(request.question, Question::Compile { .. }) { MAX_ARTEFACT } else { 0 };
    // A process that is kept from running by others uses no time of its own; one that does nothing is not waited for.
    let patience = Duration::from_secs(request.cpu.saturating_mul(10).saturating_add(30));
    let heard = wire::framed(request, MAX_REQUEST)
        .map(|head| converse(request_end, answer_end, &[&head, component], most_artefact, patience));
    if let Ok(Err(Unheard::Ended(_))) = &heard {
        // It is ending, and how is worth knowing.
        let grace = Timespec::try_from(GRACE).ok();
        let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], grace.as_ref());
    }
    let exit = match process.kill().and_then(|()| process.reap()) {
        Ok(exit) => exit,
        Err(error) => return Asked { answer: Err(error), exit: None },
    };
    let answer = match heard {
        Ok(Ok((Answer::Refused { code, cause, help }, _))) => {
            Err(match wire::refused(&code, &cause, help.as_deref()) {
                Some(error) if error.code() == code::COMPILE_MEMORY => out_of_memory(request),
                Some(error) => error,
                None => another(),
            })
        }
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(unheard)) => Err(explain(&unheard, exit, request)),
        Err(error) => Err(error),
    };
    Asked { answer, exit: Some(exit) }
}

/// Whether a limit was broken that less work may keep.
pub(super) fn is_breach(error: &Error) -> bool {
    matches!(error.code(), code::COMPILE_TIME | code::COMPILE_MEMORY)
}

/// The error of an answer to another question, or one that cannot be true.
pub(super) fn another() -> Error {
    Error::new(code::COMPILER_ANSWER, "the compiler's answer does not fit what it was asked")
}

pub(super) fn start(program: &Path) -> Result<Started> {
    let pipe = || io::pipe().map_err(|error| Error::new(code::COMPILER_UNAVAILABLE, format!("no pipe: {error}")));
    let ((hears, request), (answer, says)) = (pipe()?, pipe()?);
    let descriptors = vec![hears.into(), says.into()];
    let process = spawn(program, &["lockgate", SUBCOMMAND], descriptors, Namespaces::Try)
        .map_err(|error| Error::new(code::COMPILER_UNAVAILABLE, error.cause()))?;
    Ok(Started { process, request: OwnedFd::from(request).into(), answer: OwnedFd::from(answer).into() })
}

fn explain(unheard: &Unheard, exit: Exit, request: &Request) -> Error {
    let gone = |cause: String| Error::new(code::COMPILER_GONE, cause);
    match unheard {
        Unheard::Ended(words) if words.starts_with(NO_MEMORY) => out_of_memory(request),
        Unheard::Ended(words) => match exit.cause {
            // Nothing tells this from another's SIGKILL but the time that was used, and of that the kernel holds the
            // limit against a count of ticks, which is off by some.
            Cause::Signal(libc::SIGKILL) if exit.cpu >= Duration::from_millis(request.cpu.saturating_mul(750)) => {
                out_of_time(request)
            }
            _ if exit.broke_filter() => {
                gone("the compiler made a system call that its jail forbids, and was killed".into())
            }
            Cause::Signal(signal) => gone(format!("the compiler was ended by signal {signal}{}", said(words))),
            Cause::Code(status) => {
                gone(format!("the compiler ended with status {status} and no answer{}", said(words)))
            }
        },
        Unheard::Malformed(why) => Error::new(code::COMPILER_ANSWER, format!("the compiler's answer: {why}")),
        Unheard::Late => gone("the compiler gave no answer in time, and was killed".into()),
        Unheard::System(why) => gone(format!("the compiler cannot be talked to: {why}")),
    }
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("; its last words: {words:?}") }
}

fn out_of_time(request: &Request) -> Error {
    Error::new(code::COMPILE_TIME, format!("{} takes more than {} s of processor time", doing(request), request.cpu))
}

fn out_of_memory(request: &Request) -> Error {
    let most = human::about_bytes(request.memory);
    Error::new(code::COMPILE_MEMORY, format!("{} takes more than {most} of memory", doing(request)))
}

fn doing(request: &Request) -> &'static str {
    match request.question {
        Question::Compile { .. } => "compiling the component",
        _ => "checking the component",
    }
}
