//! The HTTPS server: its own accept loop over rustls, with a bound on everything that a peer can make it hold.

mod refusal;
mod request_id;

pub use refusal::{Refusal, status};
pub use request_id::RequestId;
