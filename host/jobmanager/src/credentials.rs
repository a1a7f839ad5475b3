//! From a credential to a [`Caller`]: API tokens, client certificates and tokens of an identity provider.
//!
//! A request has exactly one of them. What is refused is refused in one voice, without saying which part was wrong; why it
//! was goes to the log, where the operator finds it. Nothing is cached between requests but an identity provider's keys,
//! so that a revocation, a role taken away and a member removed count for the very next request.

mod authenticate;
mod directory;
mod setup;
#[cfg(test)]
mod tests;
pub mod token;

pub use authenticate::{Authenticator, JOINS, Presented};
pub use directory::{CertificateRecord, Directory, JoinTokenRecord, Kept, Member, OPERATOR, TokenRecord, is_uri, keys};
pub use setup::Setup;

#[cfg(doc)]
use crate::access::Caller;
