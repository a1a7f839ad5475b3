//! Labels: what users find their things by. Narrow enough to stand in a URL, a metric or a log line as they are.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::BTreeMap;

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// The most labels of one thing.
pub const MAX_LABELS: usize = 32;
/// The longest key or value, in bytes.
pub const MAX_LABEL: usize = 63;

/// Refuses labels that are too many or not plain.
///
/// # Errors
/// `LG1010`.
pub fn check(labels: &Labels) -> Result<()> {
    if labels.len() > MAX_LABELS {
        let cause = format!("there are {} labels, at most {MAX_LABELS} are allowed", labels.len());
        return Err(Error::new(code::INVALID_LABEL, cause));
    }
    let key = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && plain(text);
    match labels.iter().find(|(name, value)| !key(name) || !plain(value)) {
        None => Ok(()),
        Some((name, value)) => {
            let shown: String = format!("{name}={value}").chars().take(80).collect();
            let help = "a key begins with a-z; keys and values have at most 63 of A-Z a-z 0-9 \".\" \"_\" \"-\" \"/\"";
            Err(Error::new(code::INVALID_LABEL, format!("{shown:?} is not a label")).help(help))
        }
    }
}

fn plain(text: &str) -> bool {
    text.len() <= MAX_LABEL && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_labels_and_no_others() {
        let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        for (key, value) in [("team", "fraud"), ("example.org/tier", ""), ("a", &*"x".repeat(63))] {
            check(&labels(key, value)).unwrap();
        }
        for (key, value) in
            [("", "a"), ("A", "a"), ("1", "a"), ("a", "é"), ("a", "a b"), ("a", &*"x".repeat(64)), ("a\n", "")]
        {
            assert_eq!(check(&labels(key, value)).unwrap_err().code(), code::INVALID_LABEL, "{key:?} {value:?}");
        }
        let many = (0..=MAX_LABELS).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check(&many).is_err());
    }
}
