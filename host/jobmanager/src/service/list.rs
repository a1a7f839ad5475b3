//! Lists: a page at a time, by what users look for, with a bound on what one request looks at.

use super::{Call, Service};
use crate::model::label::Labels;
use crate::model::{Kept, Record};
use crate::store::Key;
use lockgate_core::Result;
use std::fmt::Write as _;

/// The most things on a page.
pub const MAX_LIMIT: usize = 200;
/// The things on a page if the request does not say.
pub const DEFAULT_LIMIT: usize = 50;
/// The most records that one request looks at: a filter that fits little then gives a short page and a cursor.
const MAX_LOOKED_AT: usize = 2_000;

/// What a list is narrowed to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// States, any of which fits; all if empty.
    pub states: Vec<String>,
    /// How names begin.
    pub name: Option<String>,
    /// Labels that must be there with these values.
    pub labels: Labels,
    /// The most things on the page, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// Where to go on.
    pub cursor: Option<String>,
}

impl Filter {
    /// All, as long a page as may be.
    pub fn all() -> Self {
        Self { limit: MAX_LIMIT, ..Self::default() }
    }

    fn fits<T: Listed>(&self, thing: &T) -> bool {
        let state = thing.state();
        let labels = thing.labels();
        (self.states.is_empty() || self.states.iter().any(|wanted| Some(wanted.as_str()) == state))
            && self.name.as_ref().is_none_or(|prefix| thing.name().starts_with(prefix.as_str()))
            && self.labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    }
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<Kept<T>>,
    /// Where the next one begins; none at the end.
    pub next: Option<String>,
}

/// What a list can be narrowed by.
pub trait Listed: Record {
    /// What `state` is compared with.
    fn state(&self) -> Option<&'static str> {
        None
    }

    /// What `name` is compared with.
    fn name(&self) -> &str;

    /// What `label` is compared with.
    fn labels(&self) -> Option<&Labels> {
        None
    }
}

impl Service {
    /// A page of the records below `prefix` that fit.
    pub(super) async fn list<T: Listed>(&self, call: &Call, prefix: &Key, filter: &Filter) -> Result<Page<T>> {
        let mut bound = format!("{}\n{prefix}\n{:?}", call.caller.principal, filter.name);
        // Writing to a string does not fail.
        let _ = write!(bound, "\n{:?}\n{:?}", filter.states, filter.labels);
        let limit = filter.limit.clamp(1, MAX_LIMIT);
        let cursor = filter.cursor.as_deref();
        let mut after = cursor.map(|cursor| self.cursors.open_cursor(&bound, prefix, cursor)).transpose()?;
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let found = self.records.scan::<T>(prefix, after.as_ref(), MAX_LIMIT + 1).await?;
            let ended = found.len() <= MAX_LIMIT;
            let count = found.len();
            for (at, (key, kept)) in found.into_iter().enumerate() {
                looked_at += 1;
                after = Some(key);
                if filter.fits(&kept.record) {
                    items.push(kept);
                }
                let more = !ended || at + 1 < count;
                if more && (items.len() >= limit || looked_at >= MAX_LOOKED_AT) {
                    let next = after.map(|key| self.cursors.seal(&bound, &key));
                    return Ok(Page { items, next });
                }
            }
            if ended {
                return Ok(Page { items, next: None });
            }
        }
    }
}
