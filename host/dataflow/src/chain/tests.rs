//! Graphs run with functions that are closures over raw columns: what a sandbox would call, without one.

mod division;
mod graphs;
mod plans;

use super::*;
use crate::schema::arrow_schema;
use crate::{CallContext, Called, Failure, Rows};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use lockgate_core::Name;
use lockgate_core::columns::{BatchRef, Column, Failures, Output, PortOutput};
use lockgate_core::limits::Limits;
use lockgate_core::plan::{
    self, Edge, Function, Node, NodeKind, SelectColumn, Sink, SinkConnector, Source, SourceConnector,
};
use lockgate_core::types::{Field, LogicalType};

/// A function of the tests: from the values of its one int64 column.
type Body = Box<dyn FnMut(&[i64]) -> Result<Called, Failure>>;

/// One call as a component would see it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Call {
    node: usize,
    split: String,
    first_row: u64,
    part: u32,
    rows: u32,
}

#[derive(Default)]
struct Fake {
    bodies: BTreeMap<usize, Body>,
    calls: Vec<Call>,
    fuel: u64,
}

impl Fake {
    fn with(node: usize, body: impl FnMut(&[i64]) -> Result<Called, Failure> + 'static) -> Self {
        Self::default().and(node, body)
    }

    fn and(mut self, node: usize, body: impl FnMut(&[i64]) -> Result<Called, Failure> + 'static) -> Self {
        self.bodies.insert(node, Box::new(body));
        self
    }
}

impl Udf for Fake {
    fn call(&mut self, node: usize, batch: &BatchRef<'_>, context: &CallContext<'_>) -> Result<Called, Failure> {
        let CallContext { split, first_row, part } = *context;
        self.calls.push(Call { node, split: split.to_owned(), first_row, part, rows: batch.rows });
        let bytes = batch.columns[0].buffers[0].as_chunks::<8>().0;
        let values: Vec<i64> = bytes.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        assert_eq!(values.len(), batch.rows as usize);
        let called = self.bodies.get_mut(&node).unwrap()(&values);
        self.fuel += called.as_ref().map_or_else(|failure| failure.fuel, |called| called.fuel);
        called
    }
}

#[derive(Default)]
struct Sinks(BTreeMap<usize, Vec<RecordBatch>>);

impl Sinks {
    fn ints(&self, node: usize, column: &str) -> Vec<i64> {
        let batches = self.0.get(&node).into_iter().flatten();
        batches.flat_map(|b| b.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn texts(&self, node: usize, column: &str) -> Vec<String> {
        let batches = self.0.get(&node).into_iter().flatten();
        let column = batches.flat_map(|b| b.column_by_name(column).unwrap().as_string::<i32>().iter());
        column.map(|text| text.unwrap_or("(null)").to_owned()).collect()
    }

    fn records(&self, node: usize) -> Vec<u64> {
        let batches = self.0.get(&node).into_iter().flatten();
        batches.flat_map(|b| b.column_by_name("row").unwrap().as_primitive::<UInt64Type>().values().to_vec()).collect()
    }
}

impl Deliver for Sinks {
    fn batch(&mut self, node: usize, batch: &RecordBatch) -> Result<()> {
        self.0.entry(node).or_default().push(batch.clone());
        Ok(())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn int(name: &str) -> Field {
    Field::new(name, LogicalType::Int64, false)
}

fn label() -> Field {
    Field::new("label", LogicalType::Utf8, true)
}

/// `n` and a label made of it.
fn input() -> Vec<Field> {
    vec![int("n"), label()]
}

fn out(name: &str, fields: Vec<Field>) -> plan::Output {
    plan::Output { name: name.into(), fields }
}

fn from(node: u32) -> Edge {
    Edge { node, output: 0 }
}

fn source(text: &str, on_error: OnError) -> Node {
    let source = Source { connector: SourceConnector::Stdin, format: None, on_error, projection: None };
    Node { name: name(text), inputs: vec![], kind: NodeKind::Source(source), outputs: vec![out("out", input())] }
}

/// A function of `n` (the column 0) with one new column, `m`, on each of `ports` ports, which keep the input's columns.
fn function(text: &str, inputs: Vec<Edge>, ports: usize, on_error: OnError, on_overrun: OnError) -> Node {
    let function = Function {
        component: name("parts"),
        digest: None,
        index: 0,
        name: format!("do_{text}"),
        arguments: vec![0],
        nullable: vec![false],
        keep: vec![vec![0, 1]; ports],
        config: BTreeMap::new(),
        on_error,
        on_overrun,
    };
    let outputs = (0..ports).map(|port| out(&format!("port{port}"), vec![int("n"), label(), int("m")])).collect();
    Node { name: name(text), inputs, kind: NodeKind::Function(function), outputs }
}

/// A `select` of `m` as `n` and the label, so that functions can follow each other.
fn renew(text: &str, input: Edge) -> Node {
    let columns = [2, 1].map(|column| SelectColumn { column, cast: None });
    let outputs = vec![out("out", vec![int("n"), label()])];
    Node { name: name(text), inputs: vec![input], kind: NodeKind::Select(columns.into()), outputs }
}

fn sink(text: &str, inputs: Vec<Edge>, fields: Vec<Field>) -> Node {
    let dead_letters = inputs.is_empty();
    let sink = Sink { connector: SinkConnector::Discard, format: None, fields, dead_letters };
    Node { name: name(text), inputs, kind: NodeKind::Sink(sink), outputs: vec![] }
}

fn dead(text: &str) -> Node {
    sink(text, vec![], plan::dead_letter_fields())
}

fn limits() -> Limits {
    Limits { fuel_per_batch: 100, fuel_per_record: 10, ..Limits::default() }
}

fn chain(nodes: Vec<Node>, batch_rows: u32) -> Chain {
    Chain::new(Arc::new(Plan { nodes, limits: limits(), batch_rows, checkpoint_interval: 1000, samples: 0 })).unwrap()
}

/// Records from `first` on with these values of `n`.
fn decoded(first: u64, values: &[i64]) -> Decoded {
    let labels: StringArray = values.iter().map(|value| Some(format!("#{value}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(values.to_vec())), Arc::new(labels)];
    let batch = RecordBatch::try_new(arrow_schema(&input()), columns).unwrap();
    Decoded { tracked: Tracked { batch, rows: Rows::From(first) }, bad: vec![], position: vec![] }
}

fn port(values: &[i64], origin: Option<&[u32]>) -> PortOutput {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    PortOutput {
        rows: values.len() as u32,
        columns: vec![Column { validity: None, buffers: vec![data] }],
        origin: origin.map(|origin| origin.iter().flat_map(|row| row.to_le_bytes()).collect()),
    }
}

fn failures(failed: &[(u32, &str)]) -> Option<Failures> {
    let mut offsets = vec![0_i32];
    let mut data = Vec::new();
    for (_, message) in failed {
        data.extend_from_slice(message.as_bytes());
        offsets.push(data.len() as i32);
    }
    (!failed.is_empty()).then(|| Failures {
        rows: failed.iter().flat_map(|(row, _)| row.to_le_bytes()).collect(),
        messages: vec![offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect(), data],
    })
}

/// A call that succeeds on one port; every row costs one unit of fuel.
fn gives(rows: &[i64], values: &[i64], origin: Option<&[u32]>) -> Result<Called, Failure> {
    let output = Output { ports: vec![port(values, origin)], failed: None };
    Ok(Called { output, fuel: rows.len() as u64 })
}

fn trap(fuel: u64) -> Failure {
    let error = Error::new(code::INTERNAL, "unreachable executed");
    Failure { error, backtrace: Some("0: parse".into()), fuel, divisible: true }
}

/// Ten times `n`; it traps if any `n` is negative.
fn tenfold(values: &[i64]) -> Result<Called, Failure> {
    if values.iter().any(|value| *value < 0) {
        return Err(trap(values.len() as u64));
    }
    gives(values, &values.iter().map(|value| value * 10).collect::<Vec<_>>(), None)
}

/// `n` copies of `n`.
fn repeated(values: &[i64]) -> Result<Called, Failure> {
    let pairs: Vec<(u32, i64)> =
        (0..).zip(values).flat_map(|(row, value)| std::iter::repeat_n((row, *value), *value as usize)).collect();
    let (origin, copies): (Vec<u32>, Vec<i64>) = pairs.into_iter().unzip();
    gives(values, &copies, Some(&origin))
}

/// Those `n` that are even.
fn evens(values: &[i64]) -> Result<Called, Failure> {
    let (origin, evens): (Vec<u32>, Vec<i64>) = (0..).zip(values).filter(|(_, value)| *value % 2 == 0).unzip();
    gives(values, &evens, Some(&origin))
}
