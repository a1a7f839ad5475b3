//! A component whose every function attacks the host in one way, over the raw contract rather than the SDK, because
//! the SDK would not let it.
//!
//! Every function takes `x: int64` and says that it gives `y`, of the type that the table below says. What each should
//! meet is written in the tests.

mod columns;
mod resources;
mod traps;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "transform-udf", generate_all });
}

use bindings::exports::lockgate::udf::describe::Guest as Describe;
use bindings::exports::lockgate::udf::transform::Guest as Transform;
use bindings::lockgate::udf::types::{Batch, Column, Field, FunctionDescription, Output, Port, PortOutput};

/// What an attack is given: the values of `x`.
type Attack = fn(&[i64]) -> Result<Output, String>;

/// Name, type of `y`, attack.
fn attacks() -> Vec<(&'static str, &'static str, Attack)> {
    [columns::attacks(), resources::attacks(), traps::attacks()].concat()
}

struct Hostile;

impl Describe for Hostile {
    fn describe() -> Vec<FunctionDescription> {
        let port = |name: &str, field: Field| Port { name: name.into(), fields: vec![field] };
        let field = |name: &str, type_: &str| Field {
            name: name.into(),
            type_: type_.into(),
            nullable: false,
            attributes: vec![],
        };
        let describe = |(name, type_, _): (&str, &str, Attack)| FunctionDescription {
            name: name.into(),
            kind: "transform".into(),
            inputs: vec![port("in", field("x", "int64"))],
            outputs: vec![port("out", field("y", type_))],
            attributes: vec![],
        };
        attacks().into_iter().map(describe).collect()
    }
}

impl Transform for Hostile {
    fn call(function: u32, inputs: Vec<Batch>) -> Result<Output, String> {
        let x = &inputs[0].columns[0].buffers[0];
        let x: Vec<i64> = x.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
        (attacks()[function as usize].2)(&x)
    }
}

/// One output port with these columns.
fn output(rows: usize, columns: Vec<Column>) -> Output {
    Output { ports: vec![PortOutput { data: Batch { rows: rows as u32, columns }, origin: None }], failed: None }
}

/// A column without nulls.
fn column(buffers: Vec<Vec<u8>>) -> Column {
    Column { validity: None, buffers }
}

/// What an honest `y = x` gives.
fn honest(x: &[i64]) -> Output {
    output(x.len(), vec![column(vec![longs(x)])])
}

fn longs(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn words(values: impl IntoIterator<Item = u32>) -> Vec<u8> {
    values.into_iter().flat_map(u32::to_le_bytes).collect()
}

bindings::export!(Hostile with_types_in bindings);
