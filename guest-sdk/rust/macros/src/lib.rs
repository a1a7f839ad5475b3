//! Macros of `lockgate-sdk`, where they are documented by the forms that they take.
//!
//! They write as little as possible: names, types and one call of a generic loop of the SDK. What a type may be is
//! for traits to say, so that aliases work and errors point at the author's own types.
#![forbid(unsafe_code)]

mod function;
mod options;
mod row;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a function callable by batches of columns.
///
/// The function stays as it is. Beside it stands a type of the same name that implements `lockgate_sdk::Udf`, which
/// is what `lockgate_sdk::export!` and `lockgate_sdk::testing::call` name.
///
/// | option | what it says |
/// |---|---|
/// | `filter` | the result says whether the row stays |
/// | `flat_map` | the result is an iterator; only needed where its type is neither `impl Iterator` nor `Vec` |
/// | `batch, input(a: f64, …), output(b: &str, …), output late(…)` | the function takes a `&Batch` and gives an `Output`; further outputs are named |
/// | `attribute("key" = "value")` | an open attribute of the function |
#[proc_macro_attribute]
pub fn udf(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as options::Options);
    let item = parse_macro_input!(item as syn::ItemFn);
    let udf = function::expand(&options, &item).unwrap_or_else(syn::Error::into_compile_error);
    // The function itself is kept where the rest is wrong, so that there is one error and not one for every use of it.
    quote::quote!(#item #udf).into()
}

/// Makes a struct with named fields a row: each field is a column of its name.
///
/// `#[row(name = "type")]` gives a column another name, `#[row(attribute("role" = "rowtime"))]` an open attribute.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    row::expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
