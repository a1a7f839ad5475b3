//! Listening: the one way in which anything of Lockgate does. A JobManager serves its API and its plane by this, a TaskManager
//! its figures, and the two must not reach each other.
//!
//! HTTP/1.1 over TLS and nothing else, with a bound on everything that a peer can make the server hold. Who may ask, and what
//! is answered, is said by who listens.
//!
//! - [`listen`]: connections, from being accepted to their end
//! - [`tls`]: certificates and keys, an authority of one's own, and new files without a restart
//! - [`private`]: files that are for nobody else
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod listen;
pub mod private;
mod source;
mod stream;
pub mod tls;

pub use listen::{Cut, Limits, Peer, Server};
pub use source::Source;
