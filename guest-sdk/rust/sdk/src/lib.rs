//! Write functions over streams of data for Lockgate, in plain Rust.
//!
//! ```
//! use lockgate_sdk::prelude::*;
//!
//! #[udf]
//! fn to_eur(price: f64) -> f64 {
//!     price * 0.908
//! }
//!
//! #[udf(filter)]
//! fn keep(symbol: &str) -> bool {
//!     symbol.starts_with("EUR")
//! }
//!
//! #[udf]
//! fn words(line: &str) -> impl Iterator<Item = &str> {
//!     line.split_whitespace()
//! }
//!
//! lockgate_sdk::export!(to_eur, keep, words);
//! ```
//!
//! A function's parameters are columns of its input, named as they are; its result is a column named after the
//! function. [`udf`] puts the loop over a batch of columns around it, [`export!`] makes a component of the crate when
//! it is built for `wasm32-wasip2`. Natively the functions are ordinary Rust, and [`testing`] runs the batch code
//! without Wasm.
//!
//! # Forms
//!
//! | result | what it means |
//! |---|---|
//! | `T` | one value for each row |
//! | `Option<T>` | the same with nulls |
//! | a struct with `#[derive(Row)]` | one row of several columns, named after its fields |
//! | `Option<Row>` | the same; `None` drops the row |
//! | `Result<…, E>` of any of these | an error fails that row alone, with its text (`Display`) |
//! | `impl Iterator<Item = T>`, `Vec<T>` | any number of rows for each; also within `Result` |
//! | `bool` with `#[udf(filter)]` | which rows stay; also `Option<bool>` and within `Result` |
//! | nothing, and a last parameter `out: &mut TextWriter` | text written straight into the column |
//! | `#[udf(batch, …)]` and [`Batch`](batch::Batch) → [`Output`](batch::Output) | whole columns |
//!
//! # Types
//!
//! `bool`, `i8` to `i64`, `u8` to `u64`, `f32`, `f64`, `&str` and `String` (utf8), `&[u8]` and `Vec<u8>` (binary),
//! [`Date`], [`Timestamp`] and [`TimestampUtc`] (microseconds), [`Decimal<P, S>`](Decimal), `Option` of any, and as a
//! parameter also a struct with `#[derive(Row)]`, whose fields are the columns.
//!
//! # Nulls
//!
//! SQL's rule: where a parameter that is no `Option` is null, the function is not called and the result is null (in
//! all its columns). A filter drops such a row, an iterator has none for it.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// So that what `#[udf]` generates also compiles within this crate.
extern crate self as lockgate_sdk;

mod argument;
pub mod batch;
pub mod config;
mod decimal;
pub mod describe;
mod error;
#[cfg(target_family = "wasm")]
mod guest;
pub mod raw;
mod result;
mod run;
mod scalar;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;
mod writer;

pub use decimal::Decimal;
pub use describe::Udf;
pub use error::Error;
pub use lockgate_sdk_macros::{Row, udf};
pub use time::{Date, ParseError, Timestamp, TimestampUtc};
pub use writer::{BytesWriter, TextWriter};

/// What most functions need.
pub mod prelude {
    pub use crate::batch::{Batch, Output};
    pub use crate::{BytesWriter, Date, Decimal, Error, Row, TextWriter, Timestamp, TimestampUtc, config, udf};
    pub use log;
}

/// Makes a component of this crate with the functions that are named, each with `#[udf]`.
///
/// Once in a crate, of which `Cargo.toml` says `crate-type = ["cdylib"]`. It does nothing but check the names when the
/// crate is built for anything but Wasm.
///
/// The exports of a component are unsafe to *write* (their names and signatures are promises to the linker). They are
/// generated within this macro, so that a crate with `#![forbid(unsafe_code)]` can use it.
#[macro_export]
macro_rules! export {
    ($($function:ty),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            impl $crate::__private::Component for Component {
                const FUNCTIONS: &'static [$crate::__private::Entry] = &[$($crate::__private::Entry::of::<$function>()),+];
            }
            $crate::__private::__export_transform!(Component with_types_in $crate::__private::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: &[fn() -> $crate::describe::Function] = &[$(<$function as $crate::Udf>::describe),+];
    };
}

/// The author's guide, whose examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// What the compiler must refuse.
///
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// #[udf]
/// fn a_type_that_is_no_column(value: usize) -> f64 {
///     value as f64
/// }
/// ```
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// #[udf]
/// fn nothing(value: f64) {}
/// ```
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// #[udf(filter)]
/// fn a_filter_that_says_neither_yes_nor_no(value: f64) -> f64 {
///     value
/// }
/// ```
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// #[udf(batch)]
/// fn columns_without_names(batch: &Batch) -> Result<Output, Error> {
///     Ok(Output::new())
/// }
/// ```
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// #[udf]
/// fn too_many_digits(value: Decimal<39, 0>) -> Decimal<39, 0> {
///     value
/// }
/// # lockgate_sdk::testing::call::<too_many_digits>();
/// ```
/// ```compile_fail
/// # use lockgate_sdk::prelude::*;
/// fn without_the_attribute(value: f64) -> f64 {
///     value
/// }
/// lockgate_sdk::export!(without_the_attribute);
/// ```
#[cfg(doctest)]
pub struct Refused;

/// What generated code names. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::argument::{Argument, Describe, Inputs};
    pub use crate::batch::call_batch;
    pub use crate::describe::{Field, Function, Port};
    #[cfg(target_family = "wasm")]
    pub use crate::guest::bindings::{self, __export_transform};
    #[cfg(target_family = "wasm")]
    pub use crate::guest::{Component, Entry};
    pub use crate::raw;
    pub use crate::result::{Build, Emit, Outcome, Return, Written};
    pub use crate::run::{filter, flat_map, map, replace, try_flat_map, write};
    pub use crate::writer::Writer;

    /// Marks what the function makes null of its own.
    pub fn mark_nullable(fields: &mut [Field], nullable: bool) {
        fields.iter_mut().for_each(|field| field.nullable |= nullable);
    }

    /// Adds an attribute to the field that was added last.
    pub fn attribute(fields: &mut [Field], key: &str, value: &str) {
        if let Some(field) = fields.last_mut() {
            field.attributes.push((key.to_owned(), value.to_owned()));
        }
    }
}
