//! `Idempotency-Key`: a creating request that is sent again makes nothing twice and gets the same answer. What was made is
//! kept in the commit that made it, bound to the caller and to the request's content.

use super::{Call, Change, Service};
use crate::model::idempotency::{Answered, LIFE};
use crate::model::{Kept, keys};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest key, in bytes.
const MAX: usize = 128;

/// A key with the digest of the request that carries it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    key: String,
    request: Digest,
}

/// Something that was made, now or by an earlier request under the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made<T> {
    /// It.
    pub thing: T,
    /// Whether an earlier request made it.
    pub replayed: bool,
}

impl IdempotencyKey {
    /// A key as a client sent it, with what distinguishes the request: its route and body.
    ///
    /// # Errors
    /// `LG1007`.
    pub fn new(key: &str, route: &str, body: &[u8]) -> Result<Self> {
        if key.is_empty() || key.len() > MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let cause = format!("an idempotency key is not 1 to {MAX} visible characters of ASCII");
            return Err(Error::new(code::INVALID_IDEMPOTENCY_KEY, cause));
        }
        let request = Digest::of(format!("{}\n{route}\n{}", route.len(), Digest::of(body)).as_bytes());
        Ok(Self { key: key.to_owned(), request })
    }
}

/// What is known of a key before something is made under it.
pub(super) enum Known<T> {
    /// It was used; here is what was made.
    Made(T),
    /// It was not, or so long ago that it does not count.
    New(Option<Kept<Answered>>),
}

impl Service {
    /// Looks up what was made under `key`.
    pub(super) async fn known<T: DeserializeOwned>(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
    ) -> Result<Known<T>> {
        let Some(key) = key else { return Ok(Known::New(None)) };
        let place = keys::idempotency(&call.caller.principal, &key.key);
        let found = self.records.get::<Answered>(&place).await?;
        let Some(kept) = found.as_ref().filter(|kept| kept.record.expires > self.now()) else {
            return Ok(Known::New(found));
        };
        if kept.record.request != key.request {
            let cause = "this idempotency key was used for another request";
            return Err(Error::new(code::IDEMPOTENCY_MISMATCH, cause).help("use a new key for a new request"));
        }
        serde_json::from_value(kept.record.result.clone()).map(Known::Made).map_err(|error| {
            Error::new(code::RECORD_UNREADABLE, format!("the record of an answered request is damaged: {error}"))
        })
    }

    /// Adds to `change` that `thing` was made under `key`.
    pub(super) fn remember<T: Serialize>(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        before: Option<&Kept<Answered>>,
        thing: &T,
        change: &mut Change,
    ) -> Result<()> {
        let Some(key) = key else { return Ok(()) };
        let result =
            serde_json::to_value(thing).map_err(|error| Error::new(code::INTERNAL, format!("an answer: {error}")))?;
        let answered = Answered { request: key.request, result, expires: self.now().plus(LIFE) };
        change.put(keys::idempotency(&call.caller.principal, &key.key), before, &answered)
    }

    /// Forgets keys whose time is over, at most `limit` of them; how many it was. For whoever keeps house.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or written.
    pub async fn forget_answers(&self, limit: usize) -> Result<usize> {
        let (all, now, mut after, mut forgotten) = (keys::all_idempotency(), self.now(), None, 0);
        loop {
            let found = self.records.scan::<Answered>(&all, after.as_ref(), 500).await?;
            let Some((last, _)) = found.last() else { return Ok(forgotten) };
            after = Some(last.clone());
            let mut change = Change::default();
            let over = found.into_iter().filter(|(_, kept)| kept.record.expires <= now);
            let before = forgotten;
            for (key, kept) in over.take(limit - forgotten) {
                change.remove(key, kept.revision);
                forgotten += 1;
            }
            if forgotten > before {
                self.records.commit(change).await?;
            }
            if forgotten >= limit {
                return Ok(forgotten);
            }
        }
    }
}
