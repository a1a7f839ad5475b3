//! A backup of everything, made while commits go on, as a stream to whoever asked for it.
//!
//! It holds all tenants' bundles and what credentials are checked by, so over the network it goes encrypted to a key only:
//! a credential that lets somebody ask for it does not let whoever stands on its way read it.

use super::{Call, Change, Service};
use crate::access::{Action, Resource};
use crate::backup::Recipient;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces that wait for the one who takes them.
const WAITING: usize = 4;

/// The pieces of a backup; one that is an error is the last, and means that the others are no backup.
pub type Pieces = mpsc::Receiver<io::Result<Vec<u8>>>;

impl Service {
    /// Begins a backup, encrypted to `recipient`. One at a time is made.
    ///
    /// # Errors
    /// `LG1066` if one is being made, `LG11nn` if the caller may not, `LG12nn` if it cannot be recorded.
    pub async fn backup(&self, call: &Call, recipient: Recipient) -> Result<Pieces> {
        let resource = Resource::cluster("store");
        self.allow(call, Action::ManageStore, &resource).await?;
        let place = Arc::clone(&self.backing_up).try_acquire_owned();
        let place = place.map_err(|_| Error::new(code::BUSY, "a backup is being made already"))?;
        let mut change = Change::default();
        let event = self.done(call, Action::ManageStore, &resource);
        change.event(event.detail("ask", "backup").detail("recipient", recipient.to_string()));
        self.records.commit(change).await?;
        let (pieces, taken) = mpsc::channel(WAITING);
        let (records, bundles) = (self.records.clone(), self.bundles.clone());
        tokio::spawn(async move {
            let sink = Box::new(Pipe(pieces.clone()));
            match records.backup(&bundles, &recipient, sink).await {
                Ok(contents) => {
                    let (entries, bundles) = (contents.entries, contents.bundles);
                    tracing::info!(entries, bundles, "a backup was made");
                }
                Err(error) => {
                    tracing::warn!(%error, "a backup was broken off");
                    // Nobody left to be told is as well.
                    let _ = pieces.send(Err(io::Error::other("the backup was broken off"))).await;
                }
            }
            drop(place);
        });
        Ok(taken)
    }
}

/// Writes to whoever takes the pieces, on a thread that may wait for him.
struct Pipe(mpsc::Sender<io::Result<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        match self.0.try_send(Ok(bytes.to_vec())) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(piece)) => self.0.blocking_send(piece).map_err(|_| gone())?,
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(gone()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
