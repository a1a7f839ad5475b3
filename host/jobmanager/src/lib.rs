//! The JobManager: takes authenticated submissions of many tenants over HTTPS, keeps what it acknowledged, and decides
//! where jobs run.
//!
//! It is trusted with none of what it passes on: every TaskManager verifies bundles and trust documents itself. What is
//! here decides who may ask for what, and loses nothing that it has said yes to.
//!
//! - [`access`]: who asks, and the one place that says whether he may
//! - [`config`]: what the operator says, checked whole before anything starts
//! - [`credentials`], [`oidc`]: from a credential to a caller
//! - [`fair_use`]: quotas, rates, and a wait for whoever brings wrong credentials
//! - [`tls`], [`http_client`]: rustls, for those who ask and for whom this asks
//! - [`serve()`]: from a configuration to a server that answers
//! - [`notify`]: what systemd is told
//! - [`server`]: HTTPS, and a bound on everything that a peer can make it hold
//! - [`store`]: the port to what is kept, one conditional commit at a time
//! - [`audit`]: what is recorded with each change
//! - [`model`]: the records that are kept
//! - [`api`]: the routes, and the description made from them
//! - [`service`]: what can be asked for, free of HTTP
//! - [`control`]: the service, and what goes on without being asked
//! - [`reconcile`]: what is done next about every job
//! - [`plane`]: what TaskManagers say and are told
//! - [`ledger`]: what every run has read and committed
//! - [`bundles`]: uploaded bundles, by their digest
//! - [`backup`]: all of it as one stream, and back
//! - [`plane`]: where TaskManagers dial in
//! - [`secret`]: what is never shown
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod access;
pub mod api;
pub mod audit;
pub mod backup;
pub mod bundles;
pub mod config;
pub mod control;
pub mod credentials;
pub mod fair_use;
pub mod http_client;
pub mod ledger;
pub mod model;
pub mod notify;
pub mod oidc;
pub mod plane;
pub mod reconcile;
pub mod secret;
pub mod serve;
pub mod server;
pub mod service;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
#[cfg(test)]
mod world;

pub use config::Config;
pub use serve::serve;
