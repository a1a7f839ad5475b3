//! Paths and globs within a volume: relative, `/` between components, nothing that could lead out.
//!
//! Checked when a manifest is read, in either form, so that no later part meets a path that was not. Opening goes
//! through a directory handle all the same; this is the first of two walls.

use crate::error::{Error, Result, code};
use serde::{Deserialize, Deserializer};

/// The longest path, in bytes.
pub const MAX_LENGTH: usize = 1_024;

const HELP: &str = "write a relative path with `/` between its components, without `.`, `..` or an empty component";

/// Checks a literal path, as sinks have it.
///
/// # Errors
/// `LG0108`, saying what is wrong with it.
pub fn check(path: &str) -> Result<()> {
    let _ = components(path)?;
    match path.find(['*', '?', '[', ']', '{', '}']) {
        Some(_) => {
            Err(refuse(path, "has a character of a glob")
                .help("a sink writes into one folder: name it without `*?[]{}`"))
        }
        None => Ok(()),
    }
}

/// Checks a glob, as sources have it: `*`, `?`, `[..]`, `{a,b}` within a component, `**` as a whole one.
///
/// # Errors
/// `LG0108`, saying what is wrong with it.
pub fn check_glob(path: &str) -> Result<()> {
    for component in components(path)? {
        if component != "**" {
            check_component(path, component)?;
        }
    }
    Ok(())
}

fn components(path: &str) -> Result<impl Iterator<Item = &str>> {
    let refusal = if path.is_empty() {
        Some("is empty")
    } else if path.len() > MAX_LENGTH {
        Some("is longer than 1,024 bytes")
    } else if path.starts_with('/') {
        Some("is absolute")
    } else if path.contains('\\') {
        Some("has a backslash")
    } else if path.chars().any(char::is_control) {
        Some("has a control character")
    } else if path.split('/').any(|part| part == "..") {
        Some("has a component `..`")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("has an empty component or `.`")
    } else {
        None
    };
    refusal.map_or_else(|| Ok(path.split('/')), |why| Err(refuse(path, why).help(HELP)))
}

/// One state machine for `[..]` and `{..}`: neither nests, neither may be empty or left open.
fn check_component(path: &str, component: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(refuse(path, why).help("globs have `*`, `?`, `[abc]`, `{a,b}` within a component and `**` as a whole one"))
    };
    if component.contains("**") {
        return wrong("has `**` beside other characters");
    }
    let mut open: Option<(char, usize)> = None;
    for (at, c) in component.char_indices() {
        open = match (open, c) {
            (None, '[') => Some((']', at + 1)),
            (None, '{') => Some(('}', at + 1)),
            (None, ']' | '}') => return wrong("closes a bracket that it does not open"),
            (Some((close, start)), c) if c == close => {
                let inner = component.get(start..at).unwrap_or_default();
                if inner.trim_start_matches(['!', '^']).is_empty()
                    || (close == '}' && inner.split(',').any(str::is_empty))
                {
                    return wrong("has an empty bracket or alternative");
                }
                None
            }
            (Some(_), '[' | ']' | '{' | '}') => return wrong("has a bracket within a bracket"),
            (open, _) => open,
        };
    }
    if open.is_some() { wrong("does not close a bracket") } else { Ok(()) }
}

fn refuse(path: &str, why: &str) -> Error {
    let shown: String = path.chars().take(80).collect();
    Error::new(code::INVALID_PATH, format!("path {shown:?} {why}"))
}

/// For serde: a checked literal path.
pub(crate) fn literal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, check)
}

/// For serde: a checked glob.
pub(crate) fn glob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, check_glob)
}

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    check: fn(&str) -> Result<()>,
) -> Result<Option<String>, D::Error> {
    let path = Option::<String>::deserialize(deserializer)?;
    if let Some(path) = &path {
        check(path).map_err(serde::de::Error::custom)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_and_globs() {
        for good in ["a", "a/b.csv", "2013/ü b.csv", "..a/b..", ".hidden"] {
            check(good).unwrap();
            check_glob(good).unwrap();
        }
        for good in ["*", "2013/*.parquet", "**/x", "a/**", "a?[bc]{d,e}.csv", "[!a]x", "[a-z]/{1,2}"] {
            check_glob(good).unwrap();
            assert!(!good.contains(['*', '[']) || check(good).is_err(), "{good}");
        }
    }

    #[test]
    fn refuses_whatever_leads_out() {
        let long = "a/".repeat(512) + "a";
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/..",
            "../a",
            "a/../b",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "a\nb",
            &long,
        ] {
            assert_eq!(check(bad).unwrap_err().code(), code::INVALID_PATH, "{bad:?}");
            assert_eq!(check_glob(bad).unwrap_err().code(), code::INVALID_PATH, "{bad:?}");
        }
        for bad in
            ["a**", "**b/c", "***", "[", "]", "{", "}", "[]", "[!]", "{}", "{a,}", "{a,{b}}", "[[a]]", "a]b", "{a/b}"]
        {
            assert_eq!(check_glob(bad).unwrap_err().code(), code::INVALID_PATH, "{bad:?}");
        }
    }
}
