//! An answer: its head, and its body as it comes or as a whole up to a bound.

use crate::Failure;
use crate::client::{Kept, Patience};
use crate::connection::Connection;
use crate::failure::chain;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Response, StatusCode};

/// An answer. Its connection ends if it is dropped before the end of the body, and carries a next exchange otherwise.
pub struct Answer {
    head: Parts,
    body: Incoming,
    /// None once the body is at its end.
    connection: Option<Connection>,
    kept: Kept,
    patience: Patience,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.head.status).finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn new(response: Response<Incoming>, connection: Connection, kept: Kept, patience: Patience) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body, connection: Some(connection), kept, patience }
    }

    /// Status and headers.
    pub fn head(&self) -> &Parts {
        &self.head
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// [`Failure::Lost`] if it breaks off or does not go on in time.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        // Frames that are no data are trailers, of which HTTP/1.1 has at most one.
        while self.connection.is_some() {
            let frame = self.patience.wait(None, self.body.frame()).await;
            match frame.ok_or_else(|| Failure::Lost("the answer does not go on in time".into()))? {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    self.connection = None;
                    return Err(Failure::Lost(format!("the answer broke off: {}", chain(&error))));
                }
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.kept.put(connection);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Head and body, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Failure::TooLong`], and as [`Self::chunk`].
    pub async fn whole(mut self, most: usize) -> Result<(Parts, Vec<u8>), Failure> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > most.saturating_sub(whole.len()) {
                return Err(Failure::TooLong(most));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((self.head, whole))
    }
}
