//! What a request carries: nothing, bytes, or a stream that is never held as a whole.

use futures_util::{Stream, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// What a request carries.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Nothing.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// What `chunks` brings. Its error, if it has one, comes back as [`crate::Failure::Body`]. If the length is known, the caller
/// says so in `Content-Length`.
pub fn stream<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Body {
    StreamBody::new(chunks.map_ok(Frame::data).map_err(Into::into)).boxed_unsync()
}

/// How far a body was taken, by which a slow exchange is told from one that stands still, and why it could not go on: hyper
/// does not give that back.
#[derive(Default)]
pub(crate) struct Watched {
    taken: AtomicU64,
    failed: Mutex<Option<Box<dyn Error + Send + Sync>>>,
}

impl Watched {
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn failure(&self) -> Option<Box<dyn Error + Send + Sync>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that is watched.
pub(crate) struct Sent {
    body: Body,
    watched: Arc<Watched>,
}

impl Sent {
    pub fn new(body: Body, watched: &Arc<Watched>) -> Self {
        Self { body, watched: Arc::clone(watched) }
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.watched.taken.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(polled.map(|frame| {
            frame.map_err(|error| {
                *self.watched.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                std::io::Error::other("what was to be sent could not be had")
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
