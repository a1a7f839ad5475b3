//! Cursors: where a list goes on. Opaque and signed, and bound to the caller and the list, so that a cursor opens nothing
//! that its holder could not list and no part of the store can be walked by making one up.

use super::kv::{Change, Records};
use crate::model::{Record, keys};
use crate::store::Key;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a cursor's signature.
const TAG: usize = 16;
/// The longest cursor, in characters.
const MAX: usize = 1_024;

/// The key that cursors are signed with. Kept, so that a list goes on after a restart.
#[derive(Serialize, Deserialize)]
struct CursorKey {
    key: [u8; 32],
}

impl Record for CursorKey {
    const NAME: &'static str = "the key of cursors";
}

/// Makes and reads cursors.
pub struct Cursors {
    key: [u8; 32],
}

impl Cursors {
    /// With the key of the store, which is made if there is none.
    pub async fn open(records: &Records) -> Result<Self> {
        let key = keys::cursor_key();
        records
            .attempt(|| async {
                if let Some(kept) = records.get::<CursorKey>(&key).await? {
                    return Ok(Self { key: kept.record.key });
                }
                let mut fresh = CursorKey { key: [0; 32] };
                getrandom::fill(&mut fresh.key)
                    .map_err(|error| Error::new(code::INTERNAL, format!("no random numbers: {error}")))?;
                let mut change = Change::default();
                change.create(key.clone(), &fresh)?;
                records.commit(change).await?;
                Ok(Self { key: fresh.key })
            })
            .await
    }

    /// A cursor behind `key`, for the list that `bound` describes.
    pub fn seal(&self, bound: &str, key: &Key) -> String {
        let mut bytes = self.tag(bound, key.as_bytes());
        bytes.extend_from_slice(key.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key behind which the list goes on; `prefix` is what all its keys begin with.
    pub fn open_cursor(&self, bound: &str, prefix: &Key, cursor: &str) -> Result<Key> {
        let refuse = || {
            Error::new(code::INVALID_CURSOR, "the cursor is not one of this list")
                .help("begin the list anew without a cursor")
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor.get(..MAX.min(cursor.len())).unwrap_or_default());
        let bytes = bytes.ok().filter(|_| cursor.len() <= MAX).ok_or_else(refuse)?;
        let (tag, key) = bytes.split_at_checked(TAG).ok_or_else(refuse)?;
        self.mac(bound, key).verify_truncated_left(tag).map_err(|_| refuse())?;
        let parts: Vec<&str> =
            key.split(|byte| *byte == 0).map(|part| std::str::from_utf8(part).unwrap_or_default()).collect();
        let (_, parts) = parts.split_last().ok_or_else(refuse)?;
        let key = Key::new(parts.iter().copied());
        if key.starts_with(prefix) { Ok(key) } else { Err(refuse()) }
    }

    fn tag(&self, bound: &str, key: &[u8]) -> Vec<u8> {
        self.mac(bound, key).finalize().into_bytes().into_iter().take(TAG).collect()
    }

    fn mac(&self, bound: &str, key: &[u8]) -> Hmac<Sha256> {
        // A key of the hash's block length, 64 bytes, padded with zeros: the same as the shorter one (RFC 2104).
        let mut block = [0; 64];
        block.iter_mut().zip(self.key).for_each(|(place, byte)| *place = byte);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&u64::try_from(bound.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(bound.as_bytes());
        mac.update(key);
        mac
    }
}
