//! Signed bundles of real guests, run as jobs in a temporary home: what every test of jobs and hostile guests stands on.
//!
//! Nothing is left out on the way: a bundle is drafted, signed, written, read and verified as every bundle is, prepared
//! and run by the TaskManager's own `prepare` and `run`. Compiled components are kept between runs of the tests in an
//! artefact cache like any machine's, so that a guest is compiled once.
//!
//! [`signed`] is for what passes through a JobManager: a trust domain, its documents and bundles.

mod bundle;
pub mod clock;
pub mod cluster;
pub mod disk;
mod guest;
mod home;
pub mod network;
pub mod random;
mod read;
pub mod service;
pub mod signed;
pub mod suite;

pub use bundle::{admit, allowed, draft, keys, manifest, now, prepare, prepare_bundle, prepare_manifest};
pub use guest::{compiler, component, language, part};
pub use home::{Home, Ran, Run, examples};
pub use read::{Rows, csv, parquet_columns};
