//! A name for each request, in its answer, in the log and in the audit log. Made here always: one that a client chose
//! could be another request's.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A ULID: 48 bits of milliseconds and 80 random ones, in Crockford's base 32, so that ids sort by time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestId(String);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RequestId {
    /// A new one.
    pub fn new() -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut random = [0; 16];
        // Without random numbers ids may repeat, which is no reason to refuse a request.
        let _ = getrandom::fill(&mut random);
        Self::of(millis, u128::from_be_bytes(random))
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

    #[test]
    fn ids_differ_sort_by_time_and_have_the_ulids_form() {
        assert_ne!(RequestId::new(), RequestId::new());
        assert_eq!(RequestId::of(1_469_918_176_385, 0).as_str(), "01ARYZ6S410000000000000000", "as the specification");
        assert!(RequestId::of(1, u128::MAX).as_str() < RequestId::of(2, 0).as_str());
        assert_eq!(RequestId::of(0, u128::MAX).as_str(), "0000000000ZZZZZZZZZZZZZZZZ");
    }
}
