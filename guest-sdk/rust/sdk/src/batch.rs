//! The form for who wants the columns themselves: whole columns in, whole columns out.
//!
//! ```
//! use lockgate_sdk::prelude::*;
//!
//! #[udf(batch, input(price: f64), output(share: f64), output cheap(price: f64))]
//! fn shares(batch: &Batch) -> Result<Output, Error> {
//!     let prices = batch.column::<f64>("price")?;
//!     let total: f64 = prices.iter().flatten().sum();
//!     let cheap: Vec<usize> = (0..batch.rows()).filter(|row| prices.get(*row).is_some_and(|p| p < 1.0)).collect();
//!     Ok(Output::new()
//!         .column("share", prices.iter().map(|price| price.map(|price| price / total)))
//!         .port("cheap")
//!         .column("price", cheap.iter().map(|row| prices.get(*row)))
//!         .origin(cheap))
//! }
//! ```

use crate::argument::{Describe, Scalar, bit};
use crate::describe::{Field, Function, Port};
use crate::error::Error;
use crate::raw;
use crate::result::{Build, Emit};
use crate::run::Failed;
use std::collections::BTreeMap;

/// The columns of the input.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    fields: &'a [Field],
    batch: &'a raw::Batch,
}

impl<'a> Batch<'a> {
    /// Rows in every column.
    pub fn rows(&self) -> usize {
        self.batch.len()
    }

    /// The column of this name. Whether rows of it can be null is for the caller to look at: [`View::get`].
    ///
    /// # Errors
    /// When the input has no such column, or one of another type.
    pub fn column<T: Scalar<'a>>(&self, name: &str) -> Result<View<'a, T>, Error> {
        let found = self.fields.iter().zip(&self.batch.columns).find(|(field, _)| field.name == name);
        let (field, column) = found.ok_or_else(|| Error::new(format!("the input has no column {name:?}")))?;
        if field.logical != T::logical() {
            let message = format!("column {name:?} is {}, not {}", field.logical, T::logical());
            return Err(Error::new(message));
        }
        let validity = column.validity.as_deref();
        if validity.is_some_and(|bits| bits.len() != self.rows().div_ceil(8)) {
            return Err(Error::new(format!("the validity of column {name:?} does not have a bit for every row")));
        }
        Ok(View { rows: self.rows(), validity, values: T::values(column, self.rows()).map_err(Error::new)? })
    }
}

/// A column of the input.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T: Scalar<'a>> {
    rows: usize,
    validity: Option<&'a [u8]>,
    values: T::Values,
}

impl<'a, T: Scalar<'a>> View<'a, T> {
    /// The value in `row`; none if it is null or behind the last one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        match self.validity {
            _ if row >= self.rows => None,
            Some(bits) if !bit(bits, row) => None,
            _ => Some(T::value(&self.values, row)),
        }
    }

    /// Every row, null or not.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> {
        (0..self.rows).map(|row| self.get(row))
    }

    /// Every row of a column without nulls; none if the column has a validity bitmap.
    pub fn values(&self) -> Option<impl Iterator<Item = T>> {
        match self.validity {
            None => Some((0..self.rows).map(|row| T::value(&self.values, row))),
            Some(_) => None,
        }
    }
}

/// What a batch function gives back: columns of its output ports, and the rows that failed.
#[derive(Default)]
pub struct Output {
    /// The port that columns go to now.
    port: Option<String>,
    ports: BTreeMap<String, Part>,
    failed: BTreeMap<usize, String>,
    error: Option<String>,
}

#[derive(Default)]
struct Part {
    rows: Option<usize>,
    columns: Vec<(Field, raw::Column)>,
    origin: Option<Vec<usize>>,
}

impl Output {
    /// Nothing yet. Columns go to the main output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column (or, with an empty name, those of a `#[derive(Row)]` struct).
    pub fn column<T: Emit + Describe>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter();
        let mut builder = T::Builder::with_capacity(values.size_hint().0);
        let mut rows = 0;
        values.for_each(|value| {
            value.emit(&mut builder);
            rows += 1;
        });
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        T::fields(name, &mut fields);
        if let Err(error) = builder.finish(&mut columns) {
            self.error.get_or_insert(error);
        }
        if self.part().rows.is_some_and(|before| before != rows) {
            self.error.get_or_insert(format!("column {name:?} does not have as many rows as the one before it"));
        }
        let part = self.part();
        part.rows = Some(rows);
        part.columns.extend(fields.into_iter().zip(columns));
        self
    }

    /// Says for each output row of this port the input row that it came from, non-decreasing. Without it the port has
    /// one row for each input row.
    pub fn origin(mut self, rows: impl IntoIterator<Item = usize>) -> Self {
        let origin: Vec<usize> = rows.into_iter().collect();
        self.part().origin = Some(origin);
        self
    }

    /// What follows goes to the output of this name.
    pub fn port(mut self, name: &str) -> Self {
        self.port = Some(name.to_owned());
        self
    }

    /// Says that an input row failed. It must not be in the origin of any port, and every port needs an origin.
    pub fn fail(mut self, row: usize, message: impl std::fmt::Display) -> Self {
        self.failed.entry(row).or_insert_with(|| message.to_string());
        self
    }

    fn part(&mut self) -> &mut Part {
        self.ports.entry(self.port.clone().unwrap_or_default()).or_default()
    }

    /// The columns in the order that `function` describes, after checking that they are what it describes.
    fn raw(mut self, function: &Function, rows: usize) -> Result<raw::Output, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut failed = Failed::default();
        for (row, message) in &self.failed {
            if *row >= rows {
                return Err(format!("row {row} cannot fail: the input has {rows} rows"));
            }
            failed.add(*row, message);
        }
        let mut ports = Vec::new();
        for (index, port) in function.outputs.iter().enumerate() {
            let main = if index == 0 { self.ports.remove("") } else { None };
            let part = main.or_else(|| self.ports.remove(&port.name)).unwrap_or_default();
            ports.push(part.raw(port, rows, &self.failed)?);
        }
        match self.ports.into_keys().next() {
            Some(name) => Err(format!("there is no output named {name:?}")),
            None => Ok(raw::Output { ports, failed: failed.finish()? }),
        }
    }
}

impl Part {
    fn raw(mut self, port: &Port, input: usize, failed: &BTreeMap<usize, String>) -> Result<raw::PortOutput, String> {
        let rows = self.rows.or(self.origin.as_ref().map(Vec::len)).unwrap_or(0);
        let mut columns = Vec::new();
        for field in &port.fields {
            let index = self.columns.iter().position(|(given, _)| given.name == field.name);
            let missing = || format!("output {:?} lacks column {:?}", port.name, field.name);
            let (given, column) = self.columns.swap_remove(index.ok_or_else(missing)?);
            if given.logical != field.logical {
                return Err(format!("column {:?} is {}, described as {}", field.name, given.logical, field.logical));
            }
            columns.push(column);
        }
        if let Some((field, _)) = self.columns.first() {
            return Err(format!("output {:?} has no column {:?}", port.name, field.name));
        }
        let origin = self.origin.map(|origin| checked_origin(&origin, rows, input, failed)).transpose()?;
        if origin.is_none() && (rows != input || !failed.is_empty()) {
            let name = &port.name;
            return Err(format!(
                "output {name:?} needs an origin: it has {rows} rows, the input {input}, of which {} failed",
                failed.len()
            ));
        }
        let rows = u32::try_from(rows).map_err(|_| "an output has 2^32 rows or more")?;
        Ok(raw::PortOutput { data: raw::Batch { rows, columns }, origin })
    }
}

fn checked_origin(
    origin: &[usize],
    rows: usize,
    input: usize,
    failed: &BTreeMap<usize, String>,
) -> Result<Vec<u8>, String> {
    if origin.len() != rows {
        return Err(format!("an origin has {} entries for {rows} rows", origin.len()));
    }
    if !origin.is_sorted() || origin.last().is_some_and(|last| *last >= input) {
        return Err(format!("an origin is not non-decreasing or not below the input's {input} rows"));
    }
    if origin.iter().any(|row| failed.contains_key(row)) {
        return Err("a row that failed cannot have output rows".to_owned());
    }
    Ok(origin.iter().flat_map(|row| (*row as u32).to_le_bytes()).collect())
}

/// Runs a batch function.
///
/// # Errors
/// The function's own, or what is wrong with its output.
pub fn call_batch<E: std::fmt::Display>(
    batch: &raw::Batch,
    function: &Function,
    f: impl FnOnce(&Batch<'_>) -> Result<Output, E>,
) -> Result<raw::Output, String> {
    let fields = function.inputs.first().map_or(&[][..], |port| port.fields.as_slice());
    if fields.len() != batch.columns.len() {
        return Err(format!("the batch has {} columns, the function {}", batch.columns.len(), fields.len()));
    }
    let output = f(&Batch { fields, batch }).map_err(|error| error.to_string())?;
    output.raw(function, batch.len())
}
