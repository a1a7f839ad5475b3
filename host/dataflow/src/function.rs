//! A call of a component's function on a batch, and what becomes of the rows.
//!
//! The guest gets its arguments only and gives back new columns only; which input row an output row came from it says
//! in `origin`, and the columns that pass through are taken with that here. A call that fails as a whole is divided
//! until the rows at fault are found ([`divide`]).

mod divide;
mod output;

pub(crate) use output::Cursor;

use crate::chain::Desk;
use crate::columns::{Checked, Lowering, check, within};
use crate::dead_letter::{Letter, record_as_json};
use crate::schema::arrow_schema;
use crate::{CallContext, Failure, Tracked, Udf};
use arrow_array::{Array, ArrayRef};
use arrow_schema::SchemaRef;
use lockgate_core::columns::Output;
use lockgate_core::error::{Code, Error, Result, code};
use lockgate_core::limits::Limits;
use lockgate_core::plan::{self, OnError, Plan};
use lockgate_core::types::Field;
use output::assemble;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A function node that is ready to run.
#[derive(Debug)]
pub(crate) struct Function {
    plan: Arc<Plan>,
    node: usize,
    arguments: Vec<usize>,
    ports: Vec<Arc<Port>>,
    lowering: Lowering,
    /// How many calls began with a record, for the batch from the source that is on its way.
    parts: HashMap<u64, u32>,
}

/// An output port.
#[derive(Debug)]
pub(crate) struct Port {
    /// Indexes of the input columns that pass through.
    keep: Vec<usize>,
    /// The new columns.
    fields: Vec<Field>,
    /// Both together.
    schema: SchemaRef,
}

impl Port {
    /// A port that passes columns through and adds `fields`; `schema` is that of its batches.
    pub(crate) fn new(keep: Vec<usize>, fields: Vec<Field>, schema: SchemaRef) -> Self {
        Self { keep, fields, schema }
    }
}

/// The result of one call.
struct Piece {
    /// The input rows.
    range: Range<usize>,
    checked: Checked,
    /// Bytes that the guest gave back.
    bytes: u64,
    fuel: u64,
}

impl Function {
    /// The function node at index `node`, whose inputs have the fields `input`.
    ///
    /// # Errors
    /// `LG0003` if indexes, types or nullability do not agree: the planner has checked them.
    pub(crate) fn new(plan: &Arc<Plan>, node: usize, function: &plan::Function, input: &[Field]) -> Result<Self> {
        let wrong = |what: &str| Err(Error::new(code::INTERNAL, format!("the plan is inconsistent: {what}")));
        if function.arguments.len() != function.nullable.len() {
            return wrong("arguments and their nullability differ in number");
        }
        if function.arguments.iter().any(|argument| input.get(*argument as usize).is_none()) {
            return wrong("an argument is not a column of the input");
        }
        let outputs = plan.nodes.get(node).map(|node| node.outputs.as_slice()).unwrap_or_default();
        if outputs.len() != function.keep.len() || outputs.is_empty() {
            return wrong("output ports and what they keep differ in number");
        }
        let mut ports = Vec::with_capacity(outputs.len());
        for (output, keep) in outputs.iter().zip(&function.keep) {
            let Some((kept, new)) = output.fields.split_at_checked(keep.len()) else {
                return wrong("an output has fewer columns than it keeps");
            };
            for (field, index) in kept.iter().zip(keep) {
                match input.get(*index as usize) {
                    None => return wrong("a kept column is not a column of the input"),
                    Some(source) if source.data_type != field.data_type || (source.nullable && !field.nullable) => {
                        return wrong("a kept column changes its type");
                    }
                    Some(_) => {}
                }
            }
            let keep = keep.iter().map(|index| *index as usize).collect();
            ports.push(Arc::new(Port::new(keep, new.to_vec(), arrow_schema(&output.fields))));
        }
        Ok(Self {
            plan: plan.clone(),
            node,
            arguments: function.arguments.iter().map(|index| *index as usize).collect(),
            ports,
            lowering: Lowering::default(),
            parts: HashMap::new(),
        })
    }

    /// Says that another batch from a source is on its way: its records have not been here before.
    pub(crate) fn begin(&mut self) {
        self.parts.clear();
    }

    /// Calls the function on a batch. Gives the output of each port; rows that failed go to `desk`.
    ///
    /// # Errors
    /// When the job has to fail: for a row that failed where the manifest says so, for a failure that is not the
    /// batch's, or when `desk` refuses.
    pub(crate) fn run(
        &mut self,
        input: &Tracked,
        split: &str,
        udf: &mut dyn Udf,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Cursor>> {
        let rows = input.batch.num_rows();
        let pieces = match self.call(input, 0..rows, split, udf)? {
            Ok(piece) => {
                self.refuse(&piece, input, split, desk)?;
                vec![piece]
            }
            Err(failure) => self.divide(failure, input, split, udf, desk)?,
        };
        let mut cursors = Vec::new();
        let batch_rows = self.plan.batch_rows as usize;
        for (index, (port, sections)) in self.ports.iter().zip(assemble(pieces, rows, batch_rows)?).enumerate() {
            cursors.extend(sections.into_iter().map(|section| Cursor::new(index, port, input, section)));
        }
        Ok(cursors)
    }

    /// Calls the function on a range of rows.
    fn call(
        &mut self,
        input: &Tracked,
        range: Range<usize>,
        split: &str,
        udf: &mut dyn Udf,
    ) -> Result<Result<Piece, Failure>> {
        let internal = || Error::new(code::INTERNAL, "a batch does not have the columns or rows of its plan");
        let all = input.batch.columns();
        let arguments: Option<Vec<&ArrayRef>> = self.arguments.iter().map(|index| all.get(*index)).collect();
        let mut arguments = arguments.ok_or_else(internal)?;
        let rows = u32::try_from(range.len()).map_err(|_| internal())?;
        let sliced: Vec<ArrayRef>;
        if range.len() < input.batch.num_rows() {
            sliced = arguments.iter().map(|column| column.slice(range.start, range.len())).collect();
            arguments = sliced.iter().collect();
        }
        let first_row = input.rows.at(range.start);
        let part = self.parts.entry(first_row).or_insert(0);
        let context = CallContext { split, first_row, part: *part };
        *part = part.saturating_add(1);
        let node = self.node;
        let called = self.lowering.lower(&arguments, rows, |batch| udf.call(node, batch, &context))?;
        Ok(called.and_then(|called| {
            let bytes = size(&called.output);
            let fields: Vec<&[Field]> = self.ports.iter().map(|port| port.fields.as_slice()).collect();
            match check(called.output, &fields, rows) {
                Ok(checked) => Ok(Piece { range, checked, bytes, fuel: called.fuel }),
                Err(error) => Err(Failure { error, backtrace: None, fuel: called.fuel, divisible: true }),
            }
        }))
    }

    /// Sends the rows that the guest refused to the dead letters.
    fn refuse(&self, piece: &Piece, input: &Tracked, split: &str, desk: &mut Desk<'_>) -> Result<()> {
        let Some(failed) = &piece.checked.failed else { return Ok(()) };
        desk.count(self.node, |counters| counters.failed += failed.len() as u64);
        for (row, message) in failed.iter() {
            let row = piece.range.start + row as usize;
            let cause = Cause { code: code::ROW_REFUSED, message, backtrace: None, fuel: Some(piece.fuel) };
            self.dead_letter(self.function()?.on_error, row, &cause, input, split, desk)?;
        }
        Ok(())
    }

    /// Sends one row to where `policy` says.
    fn dead_letter(
        &self,
        policy: OnError,
        row: usize,
        cause: &Cause<'_>,
        input: &Tracked,
        split: &str,
        desk: &mut Desk<'_>,
    ) -> Result<()> {
        let record = input.rows.at(row);
        let OnError::DeadLetter(sink) = policy else {
            return Err(Error::new(cause.code, cause.message)
                .at(format!("operator {}, record {record} of {split}", self.name()))
                .help("correct the record or the function, or name a sink for dead letters in `on-error`"));
        };
        let function = self.function()?;
        desk.count(self.node, |counters| counters.dead_lettered += 1);
        let digest = function.digest.map(|digest| digest.to_string());
        let json = record_as_json(&input.batch, &self.arguments, row);
        desk.send(
            sink as usize,
            &Letter {
                node: self.name(),
                function: Some((digest.as_deref().unwrap_or(&function.component), &function.name)),
                split,
                row: record,
                code: cause.code,
                message: cause.message,
                backtrace: cause.backtrace,
                fuel: cause.fuel,
                input: &json,
            },
        )
    }

    /// `error` with the operator and the records of `range` as its place.
    fn place(&self, error: Error, range: &Range<usize>, input: &Tracked, split: &str) -> Error {
        let (first, last) = (input.rows.at(range.start), input.rows.at(range.end.saturating_sub(1)));
        within(error, &format!("operator {}, records {first} to {last} of {split}", self.name()))
    }

    fn name(&self) -> &str {
        self.plan.nodes.get(self.node).map(|node| node.name.as_str()).unwrap_or_default()
    }

    fn function(&self) -> Result<&plan::Function> {
        match self.plan.nodes.get(self.node).map(|node| &node.kind) {
            Some(plan::NodeKind::Function(function)) => Ok(function),
            _ => Err(Error::new(code::INTERNAL, "a function's node is none")),
        }
    }

    fn limits(&self) -> &Limits {
        &self.plan.limits
    }
}

/// Why a row failed.
struct Cause<'a> {
    code: Code,
    message: &'a str,
    backtrace: Option<&'a str>,
    fuel: Option<u64>,
}

/// Bytes that a guest gave back.
fn size(output: &Output) -> u64 {
    let columns = output.ports.iter().flat_map(|port| &port.columns);
    let buffers = columns.flat_map(|column| column.buffers.iter().chain(&column.validity));
    let origins = output.ports.iter().filter_map(|port| port.origin.as_ref());
    let failed = output.failed.iter().flat_map(|failed| failed.messages.iter().chain([&failed.rows]));
    buffers.chain(origins).chain(failed).map(|bytes| bytes.len() as u64).sum()
}
