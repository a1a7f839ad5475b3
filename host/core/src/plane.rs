//! What a JobManager and its TaskManagers say to each other: the messages of the internal plane, and their version.
//!
//! TaskManagers dial in, by HTTP/1.1 over mutual TLS 1.3; bodies are JSON. The plane is level-triggered: a heartbeat carries
//! all that is so on a TaskManager, its answer all that it is to run, and whatever is lost is said again by the next one.
//! What a run has read and committed is kept by the JobManager, since any TaskManager may have to go on from it; each of its
//! changes names the epoch of the lease under which it is made, and is refused under any but the present one.
//!
//! A JobManager is believed in what these messages say and nothing more: where a job runs, in how many slots, with which
//! values within their signed bounds, when it starts again and when it ends. Code, manifest, grants and trust documents are
//! fetched by digest or as signed, and verified by the TaskManager itself.
//!
//! A message that cannot be read is refused as a whole. Of one that can, an assignment that contradicts itself is refused alone,
//! and every one of a job that has several; all others are obeyed.
//!
//! Messages of one major version are read across one minor version either way: fields are only ever added, with a default,
//! and unknown ones are skipped. So no type here denies unknown fields; names of jobs and versions are what they are.

mod heartbeat;
mod join;
mod ledger;
mod report;
mod version;

pub use heartbeat::{
    Assignment, AuditHead, Failure, Figure, Heartbeat, Known, MAX_ORDERS, MAX_TASKS, Offer, OperatorUsage, Orders,
    Status, Task, Witness,
};
pub use join::{Certificate, Join, Joined, MAX_REQUEST, Renew};
pub use ledger::{
    Claim, Claimed, Commit, Committed, Fence, MAX_LISTING, Open, Opened, Output, Position, Progress, Release, Split,
    SplitProgress,
};
pub use report::{MAX_LINES, MAX_SAMPLES, Report, ReportedException, ReportedLine, ReportedSample};
pub use version::{HEADER, Version};

/// Paths of the plane. What stands in braces is a name or a digest.
pub mod path {
    /// `POST` [`Heartbeat`](super::Heartbeat), answered by [`Orders`](super::Orders).
    pub const HEARTBEAT: &str = "/plane/v1/heartbeat";
    /// `POST` [`Renew`](super::Renew), answered by [`Certificate`](super::Certificate).
    pub const CERTIFICATE: &str = "/plane/v1/certificate";
    /// `GET`, answered by the tenant's trust documents as one set (`lockgate_core::trust::Documents`). Only for a tenant of
    /// which a job is placed there.
    pub const TRUST: &str = "/plane/v1/tenants/{tenant}/trust";
    /// `GET`, answered by a bundle's file. Only for a bundle of a job that is placed there.
    pub const BUNDLE: &str = "/plane/v1/tenants/{tenant}/bundles/{digest}";
    /// `POST` [`Open`](super::Open), answered by [`Opened`](super::Opened).
    pub const OPEN: &str = "/plane/v1/tenants/{tenant}/jobs/{job}/open";
    /// `POST` [`Claim`](super::Claim), answered by [`Claimed`](super::Claimed).
    pub const CLAIM: &str = "/plane/v1/tenants/{tenant}/jobs/{job}/claim";
    /// `POST` [`Commit`](super::Commit), answered by [`Committed`](super::Committed).
    pub const COMMIT: &str = "/plane/v1/tenants/{tenant}/jobs/{job}/commit";
    /// `POST` [`Release`](super::Release), answered by an empty object.
    pub const RELEASE: &str = "/plane/v1/tenants/{tenant}/jobs/{job}/release";
    /// `POST` [`Report`](super::Report), answered by an empty object.
    pub const REPORT: &str = "/plane/v1/tenants/{tenant}/jobs/{job}/report";
    /// `POST` [`Join`](super::Join) with the join token as bearer, answered by [`Joined`](super::Joined): of the API, since
    /// whoever joins has no certificate for the plane yet.
    pub const JOIN: &str = "/api/v1/taskmanagers/join";
}

/// The URI by which a TaskManager's certificate names it, after SPIFFE: `spiffe://DOMAIN/taskmanager/NAME`.
pub fn taskmanager_uri(domain: &crate::trust::TrustDomain, name: &crate::Name) -> String {
    format!("spiffe://{domain}/taskmanager/{name}")
}

/// The URI by which the certificate of the JobManager's side of the plane names it: `spiffe://DOMAIN/jobmanager`.
pub fn jobmanager_uri(domain: &crate::trust::TrustDomain) -> String {
    format!("spiffe://{domain}/jobmanager")
}
