//! What the JobManager keeps, as it keeps it: plain data with a version, apart from what the API shows, so that either
//! can change without the other.

pub mod bundle;
pub mod event;
pub mod exception;
pub mod idempotency;
pub mod job;
pub mod keys;
pub mod label;
pub mod metrics;
pub mod record;
pub mod taskmanager;
pub mod tenant;
pub mod trust;
pub mod usage;

pub use record::{Kept, Record};
