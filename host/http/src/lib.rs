//! The one client of HTTP/1.1 over TLS: whoever here asks a server, such as the command line a JobManager, or a JobManager
//! an identity provider, does so with this.
//!
//! Small on purpose: hyper over rustls with ring, no redirects (a credential goes to the named server and nowhere else), no
//! proxy of the environment, no decompression, no other protocol. Every wait and every answer is bounded by who asks. What
//! to trust and who to be comes as a [`rustls::ClientConfig`]; what a failure means to a user, under which code, is said by
//! who asks too, which is why this depends on no other crate of ours.
//!
//! - [`address`]: where a server is
//! - [`body`]: what a request carries
//! - [`client`]: exchanges with one server, over connections that are kept
//! - [`tls`]: the one provider of cryptography
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod address;
mod answer;
pub mod body;
pub mod client;
mod connection;
mod failure;
#[cfg(test)]
mod tests;
pub mod tls;

pub use address::{Address, Url};
pub use answer::Answer;
pub use body::Body;
pub use client::{Client, Times};
pub use failure::Failure;
pub use hyper::http::{request, response::Parts};
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Bytes, header};
