//! Secrets as a type of their own: what holds one cannot show it by accident.
//!
//! `Debug`, `Display` and `Serialize` all write `[redacted]`, so that a secret in a struct stays out of logs, errors,
//! audit events and answers whatever is derived for that struct. To get at it, code says [`Secret::expose`], which is
//! easy to search for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroize;

/// What is written in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// A value that is never shown and is wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Keeps `value` to itself from here on.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Do not log it, put it in an error or keep it anywhere else.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An error about a value of another type would quote the value.
        T::deserialize(deserializer).map(Self).map_err(|_| serde::de::Error::custom("a secret is not of its type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "marker-5cf1";

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Holder {
        token: Secret<String>,
    }

    #[test]
    fn nothing_derived_shows_it() {
        let holder: Holder = serde_json::from_str(&format!(r#"{{"token":"{MARKER}"}}"#)).unwrap();
        assert_eq!(holder.token.expose(), MARKER);
        let shown = [
            format!("{holder:?} {holder:#?}"),
            format!("{}", holder.token.clone()),
            serde_json::to_string(&holder).unwrap(),
        ];
        for text in shown {
            assert!(!text.contains(MARKER) && text.contains(REDACTED), "{text}");
        }
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_repeated_in_the_error() {
        let error = serde_json::from_str::<Secret<u64>>(&format!("\"{MARKER}\"")).unwrap_err().to_string();
        assert!(!error.contains(MARKER), "{error}");
    }
}
