//! Tests without Wasm: the generated batch code, run natively.
//!
//! ```
//! use lockgate_sdk::prelude::*;
//! use lockgate_sdk::testing;
//!
//! #[udf]
//! fn ratio(part: f64, whole: f64) -> Result<f64, Error> {
//!     if whole == 0.0 { Err(Error::new("the whole is zero")) } else { Ok(part / whole) }
//! }
//!
//! let run = testing::call::<ratio>()
//!     .column("part", [Some(1.0), Some(1.0), None])
//!     .column("whole", [4.0, 0.0, 2.0])
//!     .run()
//!     .unwrap();
//! assert_eq!(run.column::<Option<f64>>("ratio"), [Some(0.25), None]);
//! assert_eq!(run.origin(), [0, 2]);
//! assert_eq!(run.failures(), [(1, "the whole is zero".to_owned())]);
//! ```
//!
//! As these are helpers of tests, they panic where a test is wrong: a column that the function does not have, values
//! of another type. What the function itself can be blamed for is an `Err` of [`Call::run`].

#![allow(clippy::panic)]

use crate::argument::{Argument, Describe, Inputs};
use crate::describe::{Field, Function, Port, Udf};
use crate::raw;
use crate::result::{Build, Cell, Emit};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static CONFIG: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// The setting that the running [`Call`] has been given.
pub(crate) fn config(name: &str) -> Option<String> {
    CONFIG.with_borrow(|config| config.get(name).cloned())
}

/// A call of the function `F`, the type that `#[udf]` puts beside the function.
pub fn call<F: Udf>() -> Call {
    Call { function: F::describe(), call: F::call, columns: Vec::new(), rows: None, config: BTreeMap::new() }
}

/// A call that is being prepared.
#[derive(Clone, Debug)]
pub struct Call {
    function: Function,
    call: fn(raw::Batch) -> Result<raw::Output, String>,
    columns: Vec<(Field, raw::Column)>,
    rows: Option<usize>,
    config: BTreeMap<String, String>,
}

impl Call {
    /// Gives the parameter `name` these values, which may be `Option`s. As integer literals are `i32` where nothing
    /// says otherwise, `i32` is taken for integers of any width.
    ///
    /// # Panics
    /// When another column has another number of rows.
    #[track_caller]
    pub fn column<T: Emit + Describe>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut builder = T::Builder::with_capacity(0);
        let mut rows = 0;
        values.into_iter().for_each(|value| {
            value.emit(&mut builder);
            rows += 1;
        });
        if *self.rows.get_or_insert(rows) != rows {
            panic!("column {name:?} has {rows} rows, those before it have {:?}", self.rows);
        }
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        T::fields(name, &mut fields);
        if let Err(error) = builder.finish(&mut columns) {
            panic!("column {name:?}: {error}");
        }
        self.columns.extend(fields.into_iter().zip(columns));
        self
    }

    /// Gives the parameters the values of `#[derive(Row)]` structs: each field is a column.
    ///
    /// # Panics
    /// As [`Call::column`].
    #[track_caller]
    pub fn rows<R: Emit + Describe>(self, rows: impl IntoIterator<Item = R>) -> Self {
        self.column("", rows)
    }

    /// Sets what `config::get` gives while the function runs (on this thread).
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs the function.
    ///
    /// # Errors
    /// The message with which it failed as a whole, or what its output breaks of the contract.
    ///
    /// # Panics
    /// When the columns are not those of the function's parameters.
    #[track_caller]
    pub fn run(mut self) -> Result<Run, String> {
        let inputs = match self.function.inputs.as_slice() {
            [port] => &port.fields,
            _ => panic!("a function has one input"),
        };
        let rows = self.rows.unwrap_or(0);
        let mut columns = Vec::new();
        for field in inputs {
            let Some(index) = self.columns.iter().position(|(given, _)| given.name == field.name) else {
                panic!("parameter {:?} of {:?} has no column", field.name, self.function.name);
            };
            let (given, column) = self.columns.swap_remove(index);
            let column = if given.logical == field.logical { Some(column) } else { widen(&given, column, rows, field) };
            let Some(column) = column else {
                panic!("parameter {:?} is {}, its column {}", field.name, field.logical, given.logical);
            };
            columns.push(column);
        }
        if let Some((field, _)) = self.columns.first() {
            panic!("{:?} has no parameter {:?}", self.function.name, field.name);
        }
        let Ok(length) = u32::try_from(rows) else { panic!("a batch has less than 2^32 rows") };
        let before = CONFIG.replace(self.config);
        let output = (self.call)(raw::Batch { rows: length, columns });
        CONFIG.set(before);
        let output = output?;
        let run = Run { rows, ports: self.function.outputs, output };
        run.check()?;
        Ok(run)
    }
}

/// What came out of a call.
#[derive(Clone, Debug)]
pub struct Run {
    rows: usize,
    ports: Vec<Port>,
    output: raw::Output,
}

impl Run {
    /// The main output.
    #[track_caller]
    fn main(&self) -> PortRun<'_> {
        match (self.ports.first(), self.output.ports.first()) {
            (Some(port), Some(output)) => PortRun { input: self.rows, port, output },
            _ => panic!("the function has no output"),
        }
    }

    /// The output of this name.
    ///
    /// # Panics
    /// When the function has none.
    #[track_caller]
    pub fn port(&self, name: &str) -> PortRun<'_> {
        let found = self.ports.iter().zip(&self.output.ports).find(|(port, _)| port.name == name);
        let Some((port, output)) = found else { panic!("the function has no output {name:?}") };
        PortRun { input: self.rows, port, output }
    }

    /// The values of a column of the main output: see [`PortRun::column`].
    ///
    /// # Panics
    /// As that does.
    #[track_caller]
    pub fn column<'a, T: Argument<'a> + Describe>(&'a self, name: &str) -> Vec<T> {
        self.main().column(name)
    }

    /// The rows of the main output: see [`PortRun::rows`].
    ///
    /// # Panics
    /// As that does.
    #[track_caller]
    pub fn rows<'a, R: Argument<'a> + Describe>(&'a self) -> Vec<R> {
        self.main().rows()
    }

    /// For each row of the main output the input row that it came from.
    #[track_caller]
    pub fn origin(&self) -> Vec<usize> {
        self.main().origin()
    }

    /// The rows that failed, with their messages.
    pub fn failures(&self) -> Vec<(usize, String)> {
        let Some(failed) = &self.output.failed else { return Vec::new() };
        let column = raw::Column { validity: None, buffers: failed.messages.clone() };
        let rows = numbers(&failed.rows);
        let batch = raw::Batch { rows: rows.len() as u32, columns: vec![column] };
        let Ok(messages) = read::<String>(&batch) else { return Vec::new() };
        rows.into_iter().zip(messages).collect()
    }

    /// The input rows that have no row in any output and did not fail.
    pub fn dropped(&self) -> Vec<usize> {
        let mut here = vec![false; self.rows];
        let outputs = self.ports.iter().zip(&self.output.ports);
        let origins = outputs.flat_map(|(port, output)| PortRun { input: self.rows, port, output }.origin());
        for row in origins.chain(self.failures().into_iter().map(|(row, _)| row)) {
            if let Some(here) = here.get_mut(row) {
                *here = true;
            }
        }
        here.iter().enumerate().filter(|(_, here)| !**here).map(|(row, _)| row).collect()
    }

    /// Checks the output as the host does: what passes here is not refused there.
    fn check(&self) -> Result<(), String> {
        let failed = self.failures();
        if let Some(raw) = &self.output.failed
            && (failed.len() * 4 != raw.rows.len() || failed.is_empty())
        {
            return Err("the failures are malformed".to_owned());
        }
        if !failed.is_sorted_by(|a, b| a.0 < b.0) || failed.last().is_some_and(|(row, _)| *row >= self.rows) {
            return Err("the rows that failed are not ascending or not rows of the input".to_owned());
        }
        if self.ports.len() != self.output.ports.len() {
            return Err("the output does not have the ports that are described".to_owned());
        }
        for (port, output) in self.ports.iter().zip(&self.output.ports) {
            let run = PortRun { input: self.rows, port, output };
            let origin = run.origin();
            if origin.len() != output.data.len() || (output.origin.is_none() && output.data.len() != self.rows) {
                return Err(format!("output {:?} does not say where each row came from", port.name));
            }
            if !origin.is_sorted() || origin.last().is_some_and(|last| *last >= self.rows) {
                return Err(format!("the origin of output {:?} is not non-decreasing or not of the input", port.name));
            }
            if origin.iter().any(|row| failed.binary_search_by_key(row, |(row, _)| *row).is_ok()) {
                return Err(format!("output {:?} has a row of an input row that failed", port.name));
            }
            if port.fields.len() != output.data.columns.len() {
                return Err(format!("output {:?} does not have the columns that are described", port.name));
            }
        }
        Ok(())
    }
}

/// What came out of one port of a call.
#[derive(Clone, Copy, Debug)]
pub struct PortRun<'a> {
    input: usize,
    port: &'a Port,
    output: &'a raw::PortOutput,
}

impl<'a> PortRun<'a> {
    /// The values of a column: `column::<f64>("price")`, or `column::<Option<f64>>("price")` where there are nulls.
    ///
    /// # Panics
    /// When there is no such column, it has another type, or nulls where `T` is no `Option`.
    #[track_caller]
    pub fn column<T: Argument<'a> + Describe>(self, name: &str) -> Vec<T> {
        let mut wanted = Vec::new();
        T::fields(name, &mut wanted);
        let found = self.port.fields.iter().zip(&self.output.data.columns).find(|(field, _)| field.name == name);
        let Some((field, column)) = found else { panic!("output {:?} has no column {name:?}", self.port.name) };
        match wanted.as_slice() {
            [wanted] if wanted.logical == field.logical => {}
            _ => panic!("column {name:?} is {}, read as {wanted:?}", field.logical),
        }
        match one(self.output.data.len(), column) {
            Ok(values) => values,
            Err(error) => panic!("column {name:?}: {error}"),
        }
    }

    /// The rows as `#[derive(Row)]` structs with all the port's columns.
    ///
    /// # Panics
    /// When the columns are others, or hold nulls where the struct has no `Option`.
    #[track_caller]
    pub fn rows<R: Argument<'a> + Describe>(self) -> Vec<R> {
        let mut wanted = Vec::new();
        R::fields("", &mut wanted);
        let same = |(a, b): (&Field, &Field)| a.name == b.name && a.logical == b.logical;
        if wanted.len() != self.port.fields.len() || !wanted.iter().zip(&self.port.fields).all(same) {
            panic!("the columns are {:?}, read as {wanted:?}", self.port.fields);
        }
        match read(&self.output.data) {
            Ok(rows) => rows,
            Err(error) => panic!("{error}"),
        }
    }

    /// For each row the input row that it came from.
    pub fn origin(self) -> Vec<usize> {
        match &self.output.origin {
            Some(origin) => numbers(origin),
            None => (0..self.input).collect(),
        }
    }
}

/// A column of `i32` as the integers that `wanted` says; none if they are no integers or do not fit.
fn widen(given: &Field, column: raw::Column, rows: usize, wanted: &Field) -> Option<raw::Column> {
    if given.logical != "int32" {
        return None;
    }
    let values: Vec<Option<i32>> = one(rows, &column).ok()?;
    match wanted.logical.as_str() {
        "int8" => converted::<i8>(values),
        "int16" => converted::<i16>(values),
        "int64" => converted::<i64>(values),
        "uint8" => converted::<u8>(values),
        "uint16" => converted::<u16>(values),
        "uint32" => converted::<u32>(values),
        "uint64" => converted::<u64>(values),
        _ => None,
    }
}

fn converted<T: Cell + TryFrom<i32>>(values: Vec<Option<i32>>) -> Option<raw::Column> {
    let mut builder = T::Builder::with_capacity(values.len());
    for value in values {
        value.map(T::try_from).transpose().ok()?.emit(&mut builder);
    }
    let mut columns = Vec::new();
    builder.finish(&mut columns).ok()?;
    columns.pop()
}

fn numbers(bytes: &[u8]) -> Vec<usize> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize).collect()
}

fn one<'a, T: Argument<'a>>(rows: usize, column: &'a raw::Column) -> Result<Vec<T>, String> {
    collect(rows, Inputs::of(rows, std::slice::from_ref(column)))
}

fn read<'a, T: Argument<'a>>(batch: &'a raw::Batch) -> Result<Vec<T>, String> {
    collect(batch.len(), Inputs::new(batch))
}

fn collect<'a, T: Argument<'a>>(rows: usize, inputs: Inputs<'a>) -> Result<Vec<T>, String> {
    let (reader, mask) = inputs.open::<T>()?;
    match mask.bits() {
        Some(_) => Err("there are nulls: read it as Option<…>".to_owned()),
        None => Ok((0..rows).map(|row| T::read(&reader, row)).collect()),
    }
}
