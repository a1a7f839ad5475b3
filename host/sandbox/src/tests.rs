//! Guests written by hand against every limit and every import.

mod check;
mod guest;
mod limits;
mod program;
mod smith;
mod wasi;
