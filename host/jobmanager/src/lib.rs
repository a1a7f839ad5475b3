//! The JobManager: takes authenticated submissions of many tenants over HTTPS, keeps what it acknowledged, and decides
//! where jobs run.
//!
//! It is trusted with none of what it passes on: every TaskManager verifies bundles and trust documents itself. What is
//! here decides who may ask for what, and loses nothing that it has said yes to.
//!
//! - [`access`]: who asks, and the one place that says whether he may
//! - [`store`]: the port to what is kept, one conditional commit at a time
//! - [`audit`]: what is recorded with each change
//! - [`bundles`]: uploaded bundles, by their digest
//! - [`backup`]: all of it as one stream, and back
//! - [`secret`]: what is never shown
//! - [`reconcile`]: what is done next about every job
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod access;
pub mod audit;
pub mod backup;
pub mod bundles;
pub mod reconcile;
pub mod secret;
pub mod store;
