//! Random numbers as a function of what is computed: SHA-256 in counter mode over a key made of the job, the function
//! and the batch's position.
//!
//! The same batch sees the same numbers on any worker, in any retry and in any instance; no two batches see the same
//! ones, whichever instances run them. Not secret: whoever knows the job knows the numbers.

use sha2::{Digest as _, Sha256};

/// The first parts of a stream, hashed beforehand: a batch then costs no more than its own.
#[derive(Clone)]
pub(crate) struct RandomBase(Sha256);

impl RandomBase {
    pub fn new(parts: &[&[u8]]) -> Self {
        Self(absorb(Sha256::new_with_prefix(b"lockgate random 1"), parts))
    }

    /// The stream for the first parts and these.
    pub fn stream(&self, parts: &[&[u8]]) -> Random {
        let key = absorb(self.0.clone(), parts).finalize().into();
        Random { key, counter: 0, block: [0; 32], used: 32 }
    }
}

/// Hashes `parts`, each after its length, so that no two lists of parts run together.
fn absorb(mut hash: Sha256, parts: &[&[u8]]) -> Sha256 {
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash
}

/// A stream of random bytes.
#[derive(Clone)]
pub(crate) struct Random {
    key: [u8; 32],
    counter: u64,
    block: [u8; 32],
    /// Bytes of `block` already handed out.
    used: usize,
}

impl Random {
    /// The stream for these parts.
    pub fn new(parts: &[&[u8]]) -> Self {
        RandomBase::new(parts).stream(&[])
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let hash = Sha256::new().chain_update(self.key).chain_update(self.counter.to_le_bytes());
                (self.block, self.used) = (hash.finalize().into(), 0);
                self.counter = self.counter.wrapping_add(1);
            }
            *byte = self.block.get(self.used).copied().unwrap_or_default();
            self.used += 1;
        }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Random::new(&[b"ab", b"c"]).next_u64(), Random::new(&[b"a", b"bc"]).next_u64());
        assert_eq!(Random::new(&[b"ab", b"c"]).next_u64(), Random::new(&[b"ab", b"c"]).next_u64());
    }

    #[test]
    fn the_stream_does_not_depend_on_the_pieces_it_is_read_in() {
        let (mut whole, mut pieces) = ([0; 100], [0; 100]);
        Random::new(&[]).fill(&mut whole);
        let mut random = Random::new(&[]);
        pieces.chunks_mut(7).for_each(|piece| random.fill(piece));
        assert_eq!(whole, pieces);
        assert_ne!(whole[..32], whole[32..64]);
    }
}
