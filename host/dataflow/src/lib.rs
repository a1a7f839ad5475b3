//! Pure compute on Arrow: decode, operators, encode.
//!
//! Everything that a tenant supplies as data is parsed here, in that tenant's executor. No file, socket, clock or
//! thread is touched: bytes are asked for through [`Input`], functions are called through [`Udf`], and what comes out
//! is handed to a [`Deliver`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod chain;
pub mod columns;
pub mod dead_letter;
mod function;
pub mod nexmark;
mod rows;
pub mod schema;
pub mod select;

pub use chain::{Chain, Counters};
pub use nexmark::Nexmark;
mod civil;
pub mod decode;
pub mod encode;
pub mod infer;

pub use decode::decoder;
pub use encode::encoder;
pub use infer::infer;

use arrow_array::RecordBatch;
use bytes::Bytes;
use lockgate_core::columns::{BatchRef, Output};
use lockgate_core::{Error, Result};
use std::sync::Arc;

/// The bytes of one split, by range. Whoever implements it asks the TaskManager; here it is the only way to data.
pub trait Input {
    /// All bytes of the split, if that is known beforehand (a file's is, a stream's is not).
    fn size(&self) -> Option<u64>;

    /// Up to `length` bytes from `offset`. Fewer only at the end; none at or behind it. A stream can be read forwards only.
    ///
    /// # Errors
    /// As the TaskManager says; the split has failed.
    fn read(&mut self, offset: u64, length: usize) -> Result<Bytes>;

    /// Whether a read gave nothing because reading was stopped, not because this is the end: the last record may be a part
    /// of one, and is left out then. Streams only.
    fn cut(&self) -> bool {
        false
    }

    /// Says that this range will be read next, so that fetching it can overlap with work. Only a hint.
    fn prefetch(&mut self, offset: u64, length: usize) {
        let _ = (offset, length);
    }
}

/// Which records of a split the rows of a batch are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rows {
    /// Consecutive records from this one on.
    From(u64),
    /// These records, one for each row, non-decreasing.
    Each(Arc<[u64]>),
}

/// A batch that knows which records of which split its rows came from.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// The rows.
    pub batch: RecordBatch,
    /// Their records.
    pub rows: Rows,
}

/// A batch from a decoder.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows; none if all that was read could not be decoded.
    pub tracked: Tracked,
    /// Records that could not be decoded, in order.
    pub bad: Vec<BadRecord>,
    /// Where reading goes on behind this batch: opaque to everyone but the same decoder.
    pub position: Vec<u8>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug)]
pub struct BadRecord {
    /// Its number in the split.
    pub row: u64,
    /// Why.
    pub error: Error,
    /// Its beginning, at most 4 KiB, made valid UTF-8.
    pub input: String,
}

/// Makes batches of a split's bytes.
pub trait Decoder: Send {
    /// The next batch; none at the end of the split.
    ///
    /// # Errors
    /// When the split as a whole cannot be read further.
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Decoded>>;
}

/// Makes bytes of batches. What has been written since it was made, up to and with `finish`, is one whole file.
pub trait Encoder: Send {
    /// Appends the encoded rows (or nothing yet, where the format collects them first) to `out`.
    ///
    /// # Errors
    /// When the batch cannot be encoded, or `out` refuses.
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn std::io::Write) -> Result<()>;

    /// Appends what is left, a footer for example.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    fn finish(self: Box<Self>, out: &mut dyn std::io::Write) -> Result<()>;
}

/// Calls functions of components. The executor implements it with the sandbox.
pub trait Udf {
    /// Calls the function of node `node` (an index into the plan).
    ///
    /// # Errors
    /// A [`Failure`]; nothing of the call has had an effect.
    fn call(&mut self, node: usize, batch: &BatchRef<'_>, context: &CallContext<'_>) -> Result<Called, Failure>;
}

/// What the results of a call may depend on beside its input: the same whichever worker runs it, however often.
#[derive(Clone, Copy, Debug)]
pub struct CallContext<'a> {
    /// The split that the rows came from.
    pub split: &'a str,
    /// The record of the batch's first row.
    pub first_row: u64,
    /// Which of several batches of this function that begin with the same record, 0 for the first.
    pub part: u32,
}

/// A call that succeeded.
#[derive(Clone, Debug)]
pub struct Called {
    /// What the guest gave back: not checked yet.
    pub output: Output,
    /// Fuel used.
    pub fuel: u64,
}

/// A call that failed as a whole.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The guest's stack, if it has one.
    pub backtrace: Option<String>,
    /// Fuel used.
    pub fuel: u64,
    /// Whether a smaller batch might succeed (a trap, a limit); otherwise the job fails (cancelled, the host at fault).
    pub divisible: bool,
}

/// Takes batches for sinks.
pub trait Deliver {
    /// Takes a batch for the sink at `node` (an index into the plan); dead letters come the same way.
    ///
    /// # Errors
    /// When the sink refuses; the job fails.
    fn batch(&mut self, node: usize, batch: &RecordBatch) -> Result<()>;
}
