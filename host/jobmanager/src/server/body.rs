//! A request's body within bounds: so many bytes, coming so fast, never silent for long.
//!
//! The bound on bytes is that of small bodies until a route raises it by [`BodyLimit`]: forgetting to say something is the
//! safe side.

use crate::config::Limits;
use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use lockgate_core::error::code;
use lockgate_core::{Error, human};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The most bytes of this request's body. An extension of every request.
#[derive(Clone, Debug)]
pub struct BodyLimit(Arc<AtomicU64>);

impl BodyLimit {
    /// That a route takes up to `bytes`. To be called before the body is read.
    pub fn raise(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// When the last of a body came, so that the time for an answer counts from then, and whether all of it did.
#[derive(Clone, Debug)]
pub struct Progress {
    start: Instant,
    millis: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Progress {
    /// That of `body`, from now.
    pub fn of(body: &Body) -> Self {
        let ended = Arc::new(AtomicBool::new(body.is_end_stream()));
        Self { start: Instant::now(), millis: Arc::default(), ended }
    }

    /// Whether nothing of the body is left on the way.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// When anything came last.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }
}

/// The refusal behind an error that reading a body gave, however it is wrapped.
pub fn refusal_in(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refusal) = error.downcast_ref::<Error>() {
            return Some(refusal.clone());
        }
        next = error.source();
    }
    None
}

/// `body` within the bounds of `limits`.
pub fn bounded(body: Body, limits: &Limits, progress: &Progress) -> (Body, BodyLimit) {
    let limit = BodyLimit(Arc::new(AtomicU64::new(limits.body_bytes)));
    let bounded = Bounded {
        body,
        limit: limit.clone(),
        taken: 0,
        waited: Duration::ZERO,
        waiting: None,
        idle: limits.body_idle,
        rate: limits.body_bytes_per_second,
        progress: progress.clone(),
    };
    (Body::new(bounded.boxed_unsync()), limit)
}

struct Bounded {
    body: Body,
    limit: BodyLimit,
    taken: u64,
    /// How long the peer was waited for. Time in which nobody reads is not the peer's.
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    idle: Duration,
    rate: u64,
    progress: Progress,
}

impl Bounded {
    /// Whether what came so far came too slowly. Not looked at before `idle` is over.
    fn too_slow(&self) -> bool {
        let owed = u128::from(self.rate) * self.waited.as_millis() / 1_000;
        self.waited >= self.idle && u128::from(self.taken) < owed
    }

    fn too_large(&self, bytes: u64) -> Error {
        let most = human::bytes(self.limit.bytes());
        Error::new(code::BODY_TOO_LARGE, format!("the body has {} or more, and {most} are taken", human::bytes(bytes)))
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let announced = this.taken.saturating_add(this.body.size_hint().lower());
        if announced > this.limit.bytes() {
            return Poll::Ready(Some(Err(this.too_large(announced))));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            let idle = this.idle;
            let (_, sleep) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(idle))));
            ready!(sleep.as_mut().poll(cx));
            let cause =
                format!("nothing of the body came for {}", human::millis(idle.as_millis().try_into().unwrap_or(0)));
            return Poll::Ready(Some(Err(Error::new(code::BODY_TOO_SLOW, cause))));
        }
        if let Some((since, _)) = this.waiting.take() {
            this.waited += since.elapsed();
        }
        this.progress.note();
        if this.body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            this.progress.ended.store(true, Ordering::Relaxed);
        }
        Poll::Ready(match ready!(polled) {
            None => None,
            Some(Err(_)) => Some(Err(Error::new(code::BODY_TOO_SLOW, "the body ended before its end"))),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.taken = this.taken.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                if this.taken > this.limit.bytes() {
                    Some(Err(this.too_large(this.taken)))
                } else if this.too_slow() {
                    let cause = format!("the body came at less than {} a second", human::bytes(this.rate));
                    Some(Err(Error::new(code::BODY_TOO_SLOW, cause)))
                } else {
                    Some(Ok(frame))
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
