//! Names of tenants, jobs, nodes, components, volumes and parameters.

use crate::error::{Error, Result, code};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A name that matches `[a-z][a-z0-9-]{0,62}`.
///
/// So narrow that a name can stand in a path, a URI, a metric or a log line without escaping, and that no two names
/// look alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 63;

    /// Checks `text`.
    ///
    /// # Errors
    /// `LG0101` if it is not a name.
    pub fn new(text: &str) -> Result<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        if first && text.len() <= Self::MAX && bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Ok(Self(text.into()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(code::INVALID_NAME, format!("{shown:?} is not a name: names match [a-z][a-z0-9-]{{0,62}}")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(&text)
    }
}

impl std::str::FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_nothing_else() {
        for good in ["a", "late-flights", "q1", &"x".repeat(63)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "A", "a_b", "a.b", "a/b", "..", "a b", "ä", "a\n", "a\0", &"x".repeat(64)] {
            assert_eq!(Name::new(bad).unwrap_err().code(), code::INVALID_NAME, "{bad:?}");
        }
    }
}
