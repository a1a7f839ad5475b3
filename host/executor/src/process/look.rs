//! Looking at something for an author: a short run in a slot, served here because it has no sources and sinks.

use super::Executor;
use crate::assignment::Task;
use crate::code::CodeRange;
use crate::protocol::{ASSIGNMENT, Ask, End, Outcome, REGION_BYTES, VERSION, Verb, payload};
use crate::{Input, SlotHandle};
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::plan::Format;
use lockgate_core::types::{Field, FunctionDescription};
use lockgate_core::{Error, Result};
use std::time::Duration;

/// The input that holds the split.
const SPLIT: u32 = 1;
/// How long a reader may take for what it has.
const READER: Duration = Duration::from_secs(30);
/// How long a look may take as a whole: one that asks for ever would get on for ever.
const LOOK: Duration = Duration::from_secs(120);

impl Executor {
    /// What a component says of its functions. Runs its start functions and `describe`, never `transform`.
    ///
    /// # Errors
    /// `LG05nn` if the artefact does not fit, `LG06nn` if the guest fails, `LG09nn` if the executor does.
    pub fn describe(&self, code: CodeRange, limits: &Limits) -> Result<Vec<FunctionDescription>> {
        let deadline = Duration::from_millis(limits.deadline);
        match self.look(&Task::Describe { code, limits: *limits }, deadline, None)? {
            Outcome::Described(functions) => Ok(functions),
            Outcome::Inferred(_) => Err(other()),
        }
    }

    /// Infers the schema of a source of this format from the bytes of one of its splits.
    ///
    /// # Errors
    /// `LG07nn` if the bytes are not of that format, `LG09nn` if the executor fails.
    pub fn infer(&self, format: &Format, split: &str, input: &mut dyn Input) -> Result<Vec<Field>> {
        let task = Task::Infer { format: format.clone(), split: split.into(), input: SPLIT, size: input.size() };
        match self.look(&task, READER, Some(input))? {
            Outcome::Inferred(fields) => Ok(fields),
            Outcome::Described(_) => Err(other()),
        }
    }

    fn look(&self, task: &Task, deadline: Duration, mut input: Option<&mut dyn Input>) -> Result<Outcome> {
        let task = task.encode()?;
        let (mut handle, _) = self.slot_within(deadline, Some(LOOK))?;
        while let Some(ask) = handle.receive()? {
            match ask.verb {
                Verb::Hello { .. } => handle.answer(&ask, u64::from(VERSION), &[])?,
                Verb::Read { input: ASSIGNMENT, offset } => {
                    let rest = usize::try_from(offset).ok().and_then(|from| task.get(from..)).unwrap_or_default();
                    let part = rest.get(..rest.len().min(ask.length as usize)).unwrap_or_default();
                    handle.answer(&ask, part.len() as u64, part)?;
                }
                Verb::Read { input: SPLIT, offset } => match &mut input {
                    Some(input) => read(&mut handle, &ask, *input, offset)?,
                    None => return Err(Error::new(code::PROTOCOL_RANGE, "input 1 is not granted")),
                },
                Verb::Log => handle.answer(&ask, 0, &[])?,
                Verb::End => {
                    let end: End = payload::read(&handle.bytes(&ask)?)?;
                    handle.answer(&ask, 0, &[])?;
                    handle.finish();
                    return match (end.failed, end.outcome) {
                        (Some(failed), _) => Err(failed.error()),
                        (None, Some(outcome)) => Ok(outcome),
                        (None, None) => Err(other()),
                    };
                }
                verb => return Err(Error::new(code::PROTOCOL_RANGE, format!("{verb:?} in a look"))),
            }
        }
        Err(handle.death())
    }
}

fn read(handle: &mut SlotHandle, ask: &Ask, input: &mut dyn Input, offset: u64) -> Result<()> {
    match input.read(offset, (ask.length as usize).min(REGION_BYTES)) {
        Ok(bytes) => handle.answer(ask, bytes.len() as u64, &bytes),
        // The slot says in its last words what was refused.
        Err(error) => handle.refuse(ask, &error),
    }
}

fn other() -> Error {
    Error::new(code::PROTOCOL_PAYLOAD, "the executor answered another question")
}
