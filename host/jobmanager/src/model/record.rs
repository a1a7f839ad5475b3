//! How a record becomes a value of the store: JSON in a frame that says of which version it is. A newer version than this
//! program knows is refused rather than misread, so that a downgrade loses nothing.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something that the store keeps under a key of its own.
pub trait Record: Serialize + DeserializeOwned + Send {
    /// What errors call it.
    const NAME: &'static str;
    /// The version that is written; all below are read.
    const VERSION: u32 = 1;
    /// Whether it stands in a frame. Records of credentials do not: those who check credentials read them by themselves.
    const FRAMED: bool = true;
}

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    record: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    record: &'a serde_json::value::RawValue,
}

/// A record as it was found, with the revision that a change of it is conditional on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept<T> {
    /// Rises with every change; what an ETag is made of.
    pub revision: u64,
    /// The record.
    pub record: T,
}

/// The value that the store keeps for `record`.
///
/// # Errors
/// `LG0003`, never in practice.
pub fn encode<T: Record>(record: &T) -> Result<Vec<u8>> {
    let written =
        if T::FRAMED { serde_json::to_vec(&Written { v: T::VERSION, record }) } else { serde_json::to_vec(record) };
    written.map_err(|error| Error::new(code::INTERNAL, format!("{}: {error}", T::NAME)))
}

/// Reads a value of the store.
///
/// # Errors
/// `LG1020` if a newer program wrote it or it is damaged.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T> {
    let refuse = |why: String| Error::new(code::RECORD_UNREADABLE, format!("the record of {} {why}", T::NAME));
    if !T::FRAMED {
        return serde_json::from_slice(bytes).map_err(|_| refuse("is damaged".to_owned()));
    }
    let read: Read<'_> = serde_json::from_slice(bytes).map_err(|error| refuse(format!("is damaged: {error}")))?;
    if read.v > T::VERSION {
        return Err(refuse(format!("is of version {}, this program reads up to {}", read.v, T::VERSION)));
    }
    serde_json::from_str(read.record.get()).map_err(|error| refuse(format!("is damaged: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Thing {
        a: u64,
    }

    impl Record for Thing {
        const NAME: &'static str = "a thing";
        const VERSION: u32 = 3;
    }

    #[test]
    fn reads_what_it_writes_and_older_ones_and_nothing_newer() {
        assert_eq!(decode::<Thing>(&encode(&Thing { a: 7 }).unwrap()).unwrap(), Thing { a: 7 });
        assert_eq!(decode::<Thing>(br#"{"v":2,"record":{"a":1}}"#).unwrap(), Thing { a: 1 });
        for bad in [r#"{"v":4,"record":{"a":1}}"#, r#"{"v":1,"record":{}}"#, r#"{"a":1}"#, "", "{"] {
            assert_eq!(decode::<Thing>(bad.as_bytes()).unwrap_err().code(), code::RECORD_UNREADABLE, "{bad}");
        }
    }
}
