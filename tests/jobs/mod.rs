//! Whole jobs from a signed bundle to committed files, against what the same input gives in a few lines of plain Rust.

mod chance;
mod crash;
mod examples;
mod executors;
mod limits;
mod poison;
mod trust;
