//! Trust documents: who may sign what, what a tenant may touch, and what is current. Each is a DSSE envelope with a
//! payload type of its own, a version that only rises, an expiry and the audience that it is for.
//!
//! | document | signed by | says |
//! |---|---|---|
//! | [`OperatorRoot`] | itself, and its predecessor | the operator's keys |
//! | [`OperatorStatus`] | the operator's status keys | which root and policies are current |
//! | [`TenantPolicy`] | the operator's root keys | a tenant's root keys, grants and ceilings |
//! | [`TenantRoot`] | the tenant's root keys | signers, status keys, revocations that last |
//! | [`TenantStatus`] | the tenant's status keys | which root and jobs are current, urgent revocations |
//!
//! [`chain`] checks them together; [`development`] makes a whole chain for one machine.

pub mod chain;
pub mod development;
mod document;
mod operator;
mod tenant;

pub use chain::{Chain, Documents};
pub use document::{Audience, Document, Reference, TrustDomain, create, parse, peek, sign};
pub use operator::{OperatorRoot, OperatorStatus, PoolKey};
pub use tenant::{STATUS_DAYS, TenantPolicy, TenantRoot, TenantStatus};

use crate::dsse::Envelope;
use crate::error::{Error, Result, code};
use crate::keys::SecretKey;

/// Adds `key`'s signature to a trust document of any kind, after the checks that its readers make.
///
/// # Errors
/// `LG0406` if it is no trust document, else as [`sign`].
pub fn countersign(envelope: &mut Envelope, key: &SecretKey) -> Result<()> {
    match envelope.payload_type() {
        OperatorRoot::PAYLOAD_TYPE => sign::<OperatorRoot>(envelope, key),
        OperatorStatus::PAYLOAD_TYPE => sign::<OperatorStatus>(envelope, key),
        TenantPolicy::PAYLOAD_TYPE => sign::<TenantPolicy>(envelope, key),
        TenantRoot::PAYLOAD_TYPE => sign::<TenantRoot>(envelope, key),
        TenantStatus::PAYLOAD_TYPE => sign::<TenantStatus>(envelope, key),
        _ => Err(Error::new(code::WRONG_PAYLOAD_TYPE, "the envelope does not hold a trust document")),
    }
}
