//! What changes have in common: the revision that they are conditional on, and the commit of one record.

use super::{Change, Service};
use crate::audit::Event;
use crate::model::{Kept, Record};
use crate::store::Key;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};

/// What must hold of a thing for a change to be made (`If-Match`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Nothing was said.
    Unstated,
    /// It must be there.
    Any,
    /// It must be at this revision.
    Revision(u64),
}

impl Precondition {
    /// Refuses another revision; takes what says nothing.
    pub(super) fn require(self, revision: u64) -> Result<()> {
        match self {
            Self::Revision(wanted) if wanted != revision => {
                Err(Error::new(code::PRECONDITION_FAILED, "it was changed since it was read")
                    .help("read it again and send the new ETag as If-Match"))
            }
            _ => Ok(()),
        }
    }

    /// The same for what replaces something as a whole: whoever does must say what he replaces.
    pub(super) fn demand(self, revision: Option<u64>) -> Result<()> {
        match (self, revision) {
            (Self::Unstated, Some(_)) => {
                Err(Error::new(code::PRECONDITION_REQUIRED, "there is one already, and If-Match does not say which")
                    .help("read it and send its ETag as If-Match"))
            }
            (Self::Any | Self::Revision(_), None) => {
                Err(Error::new(code::PRECONDITION_FAILED, "there is none that If-Match could mean"))
            }
            (wanted, Some(revision)) => wanted.require(revision),
            (Self::Unstated, None) => Ok(()),
        }
    }
}

impl Service {
    /// Commits a changed record with its event.
    pub(super) async fn replace<T: Record>(&self, key: Key, kept: Kept<T>, event: Event) -> Result<Kept<T>> {
        let mut change = Change::default();
        change.replace(key, kept.revision, &kept.record)?;
        change.event(event);
        let revision = self.records.commit(change).await?;
        Ok(Kept { revision, record: kept.record })
    }
}
