//! A name for each request, in its answer, in the log and in the audit log. Made here always: one that a client chose
//! could be another request's.

use std::cell::RefCell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A ULID: 48 bits of milliseconds and 80 random ones, in Crockford's base 32, so that ids sort by time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestId(String);

/// For how many ids random bytes are asked for at once, by each thread.
const AT_ONCE: usize = 64;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RequestId {
    /// A new one.
    pub fn new() -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self::of(millis, u128::from_be_bytes(random()))
    }

    fn of(millis: u128, random: u128) -> Self {
        let value = millis << 80 | random & ((1 << 80) - 1);
        let digit = |place: u32| {
            let index = usize::try_from(value >> (place * 5) & 31).unwrap_or_default();
            ALPHABET.get(index).map_or('0', |byte| char::from(*byte))
        };
        Self((0..26).rev().map(digit).collect())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Random bytes, of which many are asked for at once: to ask for each id's took longer than to make the id.
fn random() -> [u8; 16] {
    thread_local! {
        static LEFT: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }
    LEFT.with_borrow_mut(|left| {
        if let Some(next) = left.pop() {
            return next;
        }
        let mut fresh = [0; AT_ONCE * 16];
        // Without random numbers ids may repeat, which is no reason to refuse a request.
        let _ = getrandom::fill(&mut fresh);
        left.extend_from_slice(fresh.as_chunks().0);
        left.pop().unwrap_or_default()
    })
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_differ_sort_by_time_and_have_the_ulids_form() {
        // More than random bytes are asked for at once.
        let ids: BTreeSet<String> = (0..3 * AT_ONCE).map(|_| RequestId::new().0).collect();
        assert_eq!(ids.len(), 3 * AT_ONCE);
        assert_eq!(RequestId::of(1_469_918_176_385, 0).as_str(), "01ARYZ6S410000000000000000", "as the specification");
        assert!(RequestId::of(1, u128::MAX).as_str() < RequestId::of(2, 0).as_str());
        assert_eq!(RequestId::of(0, u128::MAX).as_str(), "0000000000ZZZZZZZZZZZZZZZZ");
    }
}
