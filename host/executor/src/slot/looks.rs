//! What a slot does for an author: a component's own account of its functions, and the schema of a file.
//!
//! It is an author's own component or data, and still nothing but a slot ever parses or runs it.

use crate::assignment::Task;
use crate::port::Port;
use crate::protocol::Outcome;
use crate::shared::{Control, Shared};
use crate::slot::input::Reading;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_sandbox::{BatchSeed, Settings};

/// Does what `task` says.
pub(super) fn look(task: &Task, port: &mut Port, shared: &Shared, control: &Control) -> Result<Outcome> {
    match task {
        Task::Describe { code, limits } => {
            let program = shared.engine(1, limits)?.program(Digest::of(b""), *code)?;
            let settings = Settings { limits: *limits, cancel: control.cancel.clone(), ..Settings::default() };
            let described = program.instance(&settings, &BatchSeed::default()).and_then(|mut made| made.describe());
            described.map(Outcome::Described).map_err(|failed| failed.error)
        }
        Task::Infer { format, split, input, size } => {
            let mut reading = Reading::new(*input, *size, control);
            let inferred = lockgate_dataflow::infer(format, split, &mut reading.on(port));
            reading.close(port)?;
            inferred.map(Outcome::Inferred)
        }
        Task::Job(_) => Err(Error::new(code::INTERNAL, "a job is no look")),
    }
}
