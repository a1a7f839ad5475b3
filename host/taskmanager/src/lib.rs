//! What a TaskManager does around the executor: bytes in, bytes out, commits. It never parses what a tenant supplies.
//!
//! - [`volume`]: named directories, and the rules for paths below them
//! - [`source`]: splits and byte ranges
//! - [`sink`]: output in two phases, by epoch
//! - [`checkpoint`]: the record that makes an epoch's positions and outputs one
//! - `ledger`: where that record is kept, on this machine or by a JobManager
//! - [`marks_file`], [`artefact_cache`]: what else has to survive a restart
//! - [`config`]: what names mean on this machine
//! - [`job`]: running a verified job
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod artefact_cache;
pub mod checkpoint;
pub mod config;
mod durable;
pub mod job;
mod ledger;
pub mod marks_file;
pub mod sink;
pub mod source;
pub mod volume;
