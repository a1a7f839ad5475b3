//! What a path within a volume may look like. Text only: what is there on the disk is looked at when it is walked.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};

/// The longest path, in bytes.
pub const MAX_LENGTH: usize = 1_024;

/// The most components of a path, and so the deepest folder that a walk enters.
pub const MAX_COMPONENTS: usize = 32;

/// Splits the path of a file into its folders and its name.
///
/// # Errors
/// `LG0803`.
pub(super) fn file(path: &str) -> Result<(Vec<&str>, &str)> {
    let mut parts = components(path)?;
    let name = parts.pop().ok_or_else(|| refuse(path, "is empty"))?;
    Ok((parts, name))
}

/// Splits the path of a folder, which may be empty or end in one `/`.
///
/// # Errors
/// `LG0803`.
pub(super) fn folder(path: &str) -> Result<Vec<&str>> {
    match path {
        "" => Ok(Vec::new()),
        path => components(path.strip_suffix('/').unwrap_or(path)),
    }
}

/// Whether a name on the disk may stand in a path.
pub(super) fn allowed(name: &str) -> bool {
    !name.contains(|c: char| c.is_control() || c == '\\')
}

pub(super) fn refuse(path: &str, why: &str) -> Error {
    let shown: String = path.chars().take(100).collect();
    Error::new(code::PATH_REFUSED, format!("the path {shown:?} {why}"))
}

fn components(path: &str) -> Result<Vec<&str>> {
    if path.is_empty() {
        return Err(refuse(path, "is empty"));
    }
    if path.len() > MAX_LENGTH {
        return Err(refuse(path, &format!("is longer than {MAX_LENGTH} bytes")));
    }
    if path.starts_with('/') {
        return Err(refuse(path, "is absolute: paths are relative to the volume"));
    }
    if !allowed(path) {
        return Err(refuse(path, "has a control character or a backslash"));
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MAX_COMPONENTS {
        return Err(refuse(path, &format!("has more than {MAX_COMPONENTS} components")));
    }
    for part in &parts {
        match *part {
            "" => return Err(refuse(path, "has an empty component")),
            "." | ".." => return Err(refuse(path, &format!("has a component {part:?}"))),
            _ => {}
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_relative_paths_and_nothing_else() {
        assert_eq!(file("2013/06/a b.csv").unwrap(), (vec!["2013", "06"], "a b.csv"));
        assert_eq!(folder("late/").unwrap(), ["late"]);
        assert!(folder("").unwrap().is_empty());
        let (long, deep) = ("x".repeat(MAX_LENGTH + 1), vec!["x"; MAX_COMPONENTS + 1].join("/"));
        for bad in ["", "/", "/etc/passwd", "..", "a/../b", "../a", ".", "a/./b", "a//b", "a/", "a\\b", "a\nb", "a\0"]
            .into_iter()
            .chain([long.as_str(), deep.as_str(), "a\u{9b}b"])
        {
            assert_eq!(file(bad).unwrap_err().code(), code::PATH_REFUSED, "{bad:?}");
        }
        for bad in ["/", "//", "a//", "../", "a/.."] {
            assert_eq!(folder(bad).unwrap_err().code(), code::PATH_REFUSED, "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn what_passes_only_descends(path in "[a./\\\\\u{0}-\u{1f}]{0,12}") {
            if let Ok((folders, name)) = file(&path) {
                for part in folders.into_iter().chain([name]) {
                    prop_assert!(!part.is_empty() && part != "." && part != ".." && !part.contains('/') && allowed(part));
                }
            }
        }
    }
}
