//! Names, manifest, bundle, signatures, trust: everything in Lockgate that can be decided without I/O.
//!
//! Pure on purpose. Nothing here opens a file, reads a clock or knows of WebAssembly's runtime, so the rules that
//! keep tenants apart can be read, property-tested and fuzzed by themselves: bytes and a time go in, a decision
//! comes out.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod bundle;
pub mod columns;
pub mod diff;
pub mod digest;
pub mod dsse;
pub mod error;
pub mod grant;
pub mod human;
pub mod job_state;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod marks;
pub mod name;
pub mod placement;
pub mod plan;
pub mod plane;
pub mod planner;
pub mod restart;
pub mod statement;
pub mod strict_json;
pub mod suggest;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
pub mod toml_reader;
pub mod trust;
pub mod types;
pub mod verify;

pub use digest::Digest;
pub use error::{Code, Error, Result};
pub use name::Name;
pub use time::{Timestamp, UnixMillis};
