//! A job's graph, run to completion: one batch from a source through all operators to all sinks.
//!
//! No queue stands between operators. A stack holds what is still to do for the batch that is on its way; output that
//! has grown is cut into batches only as they are needed, each of which reaches its sinks before the next is made, so
//! that memory depends on the graph's depth and not on how much a function multiplies.

mod desk;
mod prepare;

pub(crate) use desk::Desk;

use crate::dead_letter::{DeadLetters, Letter, Sample, Samples};
use crate::function::Cursor;
use crate::{BadRecord, Decoded, Deliver, Tracked, Udf};
use arrow_array::{RecordBatch, RecordBatchOptions};
use lockgate_core::error::{Error, Result, code};
use lockgate_core::plan::{OnError, Plan};
use prepare::{Kind, Operator};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use prepare::delivered;

/// What a node has done so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Rows that it took: from its inputs, for a source from its decoder (bad records too), for a sink of dead letters
    /// the letters.
    pub rows_in: u64,
    /// Rows of all its outputs.
    pub rows_out: u64,
    /// Rows that failed in it: could not be decoded, were refused, poisoned a call or could not be decided.
    pub failed: u64,
    /// How many of those went to a sink.
    pub dead_lettered: u64,
    /// Batches that it took.
    pub batches: u64,
}

/// A plan that is ready to run, in one task slot.
#[derive(Debug)]
pub struct Chain {
    plan: Arc<Plan>,
    operators: Vec<Operator>,
    letters: BTreeMap<usize, DeadLetters>,
    samples: Samples,
    counters: Vec<Counters>,
}

/// Something still to do.
enum Work {
    /// A node takes a batch.
    Take(usize, Tracked),
    /// A node gives out what is left of its output.
    Give(usize, Box<Cursor>),
}

impl Chain {
    /// Checks what a planner has promised of `plan`, once, and makes its operators ready.
    ///
    /// # Errors
    /// `LG0003` if it is not consistent.
    pub fn new(plan: Arc<Plan>) -> Result<Self> {
        let operators = prepare::operators(&plan)?;
        let counters = vec![Counters::default(); operators.len()];
        let samples = Samples::new(plan.samples);
        Ok(Self { plan, operators, letters: BTreeMap::new(), samples, counters })
    }

    /// Runs a batch from the source at index `source`, read from the split `split` of it, to all sinks.
    ///
    /// Functions see `source/split` as their split, so that no two sources' rows look alike to them, and so do readers
    /// of dead letters.
    ///
    /// # Errors
    /// When the job fails. What was delivered before that must not be committed, and the chain must not be used again.
    pub fn push(
        &mut self,
        source: usize,
        decoded: Decoded,
        split: &str,
        udf: &mut dyn Udf,
        out: &mut dyn Deliver,
    ) -> Result<()> {
        let Self { plan, operators, letters, samples, counters } = self;
        let mut desk = Desk { letters, samples, counters, out };
        let name = plan.nodes.get(source).map(|node| node.name.as_str()).unwrap_or_default();
        let split = format!("{name}/{split}");
        let Some(Operator { kind: Kind::Source { shape, on_error }, .. }) = operators.get(source) else {
            return Err(Error::new(code::INTERNAL, format!("node {source} is not a source")));
        };
        desk.count(source, |counters| {
            counters.rows_in += (decoded.tracked.batch.num_rows() + decoded.bad.len()) as u64;
            counters.batches += 1;
        });
        refuse(source, name, *on_error, &decoded.bad, &split, &mut desk)?;
        let whole = Cursor::whole(shape, decoded.tracked);
        let mut stack = vec![Work::Give(source, Box::new(whole))];
        for operator in operators.iter_mut() {
            if let Kind::Function(function) = &mut operator.kind {
                function.begin();
            }
        }
        while let Some(work) = stack.pop() {
            match work {
                Work::Give(node, mut cursor) => {
                    let Some(tracked) = cursor.next(plan.batch_rows as usize)? else { continue };
                    desk.count(node, |counters| counters.rows_out += tracked.batch.num_rows() as u64);
                    let port = cursor.port;
                    stack.push(Work::Give(node, cursor));
                    fan_out(operators, node, port, tracked, &mut stack);
                }
                Work::Take(node, tracked) => {
                    let rows = tracked.batch.num_rows() as u64;
                    desk.count(node, |counters| {
                        counters.rows_in += rows;
                        counters.batches += 1;
                    });
                    match operators.get_mut(node).map(|operator| &mut operator.kind) {
                        Some(Kind::Function(function)) => {
                            let cursors = function.run(&tracked, &split, udf, &mut desk)?;
                            let work = cursors.into_iter().rev().map(|cursor| Work::Give(node, Box::new(cursor)));
                            stack.extend(work);
                        }
                        Some(Kind::Select(select)) => {
                            let batch = select.run(&tracked.batch).map_err(|error| {
                                let name = plan.nodes.get(node).map(|node| node.name.as_str()).unwrap_or_default();
                                crate::columns::within(error, &format!("operator {name}, {split}"))
                            })?;
                            desk.count(node, |counters| counters.rows_out += rows);
                            fan_out(operators, node, 0, Tracked { batch, rows: tracked.rows }, &mut stack);
                        }
                        Some(Kind::Sink(schema)) => {
                            let batch = with_schema(tracked.batch, schema)?;
                            desk.out.batch(node, &batch)?;
                        }
                        Some(Kind::Source { .. }) | None => {
                            return Err(Error::new(code::INTERNAL, format!("node {node} takes no batches")));
                        }
                    }
                }
            }
        }
        desk.flush()
    }

    /// The first of the rows that went to dead letters since this was last asked, as many as the plan says.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        self.samples.take()
    }

    /// What each node has done so far, in the order of the plan's nodes.
    pub fn counters(&self) -> &[Counters] {
        &self.counters
    }
}

/// Gives a batch to every consumer of an output; the first of them is served first.
fn fan_out(operators: &[Operator], node: usize, port: usize, tracked: Tracked, stack: &mut Vec<Work>) {
    let consumers = operators.get(node).and_then(|operator| operator.consumers.get(port));
    let consumers = consumers.map(Vec::as_slice).unwrap_or_default();
    stack.extend(consumers.iter().rev().map(|consumer| Work::Take(*consumer, tracked.clone())));
}

/// Sends records that could not be decoded to where the source's policy says.
fn refuse(node: usize, name: &str, policy: OnError, bad: &[BadRecord], split: &str, desk: &mut Desk<'_>) -> Result<()> {
    for record in bad {
        desk.count(node, |counters| counters.failed += 1);
        let OnError::DeadLetter(sink) = policy else {
            let place = format!("source {name}, record {} of {split}", record.row);
            return Err(crate::columns::within(record.error.clone(), &place));
        };
        desk.count(node, |counters| counters.dead_lettered += 1);
        desk.send(
            sink as usize,
            &Letter {
                node: name,
                function: None,
                split,
                row: record.row,
                code: record.error.code(),
                message: record.error.cause(),
                backtrace: None,
                fuel: None,
                input: &record.input,
            },
        )?;
    }
    Ok(())
}

/// The batch under a sink's own schema: the inputs of a union may differ in what does not matter to it.
fn with_schema(batch: RecordBatch, schema: &arrow_schema::SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(batch.schema_ref(), schema) || batch.schema_ref() == schema {
        return Ok(batch);
    }
    let (_, columns, rows) = batch.into_parts();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| Error::new(code::INTERNAL, format!("a batch does not fit its sink: {error}")))
}

#[cfg(test)]
mod tests;
