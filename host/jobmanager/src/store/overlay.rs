//! Entries of an earlier moment laid over newer ones: what readers see while a commit is on its way to the disk, and what
//! a snapshot sees while commits go on.

use super::{Entry, Key};
use lockgate_core::Result;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

/// What some keys held before; none if they were not there.
pub(super) type Overlay = BTreeMap<Key, Option<Entry>>;

/// `below`, with what `overlay` has for keys from `begin` on in its place.
pub(super) fn lay<'a, I>(below: I, overlay: &'a Overlay, begin: Bound<&Key>) -> Laid<'a, I>
where
    I: Iterator<Item = Result<Entry>>,
{
    Laid { below: below.peekable(), above: overlay.range::<Key, _>((begin, Bound::Unbounded)).peekable() }
}

/// See [`lay`].
pub(super) struct Laid<'a, I: Iterator<Item = Result<Entry>>> {
    below: Peekable<I>,
    above: Peekable<btree_map::Range<'a, Key, Option<Entry>>>,
}

impl<I: Iterator<Item = Result<Entry>>> Iterator for Laid<'_, I> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.below.peek(), self.above.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) | (Some(_), None) => return self.below.next(),
                (Some(Ok(below)), Some((key, _))) if below.key < **key => return self.below.next(),
                (below, Some((key, _))) => {
                    if below.is_some_and(|below| below.as_ref().is_ok_and(|below| below.key == **key)) {
                        self.below.next();
                    }
                    if let Some(entry) = self.above.next().and_then(|(_, entry)| entry.clone()) {
                        return Some(Ok(entry));
                    }
                }
            }
        }
    }
}
