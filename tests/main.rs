//! All integration tests in one binary, because every further one that links wasmtime costs 11 s and 118 MB.
//!
//! One module for each subject; a filter such as `cargo test -p lockgate-tests house::` runs one of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod assignments;
mod calls;
mod chaos;
mod cluster;
mod escapes;
mod harness;
mod hostile;
mod house;
mod inputs;
mod jail;
mod jobs;
mod killed;
mod packaging;
