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
