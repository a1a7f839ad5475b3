//! The JobManager's side of the internal plane (`lockgate_core::plane`): what TaskManagers say and are told, the record of
//! every run, and what of a job they may fetch.

mod answer;
mod artefacts;
mod dispatch;
mod fleet;
mod heartbeat;
mod ledger;
mod mailbox;
mod peer;
mod report;

pub use dispatch::{Dispatch, router};
pub use fleet::{About, Fleet};
pub use mailbox::Mailboxes;
pub use peer::Peer;
