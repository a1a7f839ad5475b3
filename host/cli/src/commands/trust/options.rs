//! What several verbs of `trust` share: where the documents lie, who signs, and how roles and lists are given.

use super::TrustFolder;
use crate::{files, keyfile};
use lockgate_core::error::code;
use lockgate_core::grant::{Grant, Mode, ResourceKind};
use lockgate_core::keys::{PublicKey, Role, SecretKey};
use lockgate_core::limits::{LIMITS, PartialLimits};
use lockgate_core::{Error, Name, Result, Timestamp, suggest};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Signing {
    /// The folder of trust documents; made if it is missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A key file to sign with; may be given several times.
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
}

impl Signing {
    pub fn folder(&self) -> TrustFolder {
        TrustFolder::new(&self.dir)
    }

    pub fn keys(&self) -> Result<Vec<SecretKey>> {
        keyfile::secrets(&self.keys)
    }
}

/// The role of `keys`, given by `option`; what is not given stays as in `current`.
///
/// # Errors
/// `LG0001` if there is neither; `LG0402` and `LG0404` if a key or the threshold is wrong.
pub fn role(option: &str, keys: &[String], threshold: Option<u32>, current: Option<&Role>) -> Result<Role> {
    let threshold = threshold.or(current.map(Role::threshold)).unwrap_or(1);
    if let (true, Some(current)) = (keys.is_empty(), current) {
        return Role::new(current.keys().to_vec(), threshold);
    }
    if keys.is_empty() {
        return Err(Error::new(code::USAGE, format!("the first version needs `{option} KEY`")));
    }
    Role::new(public_keys(keys)?, threshold)
}

/// Public keys, each as text or as a file.
pub fn public_keys(keys: &[String]) -> Result<Vec<PublicKey>> {
    keys.iter().map(|key| keyfile::public(key)).collect()
}

/// The time in this many days.
pub fn in_days(days: u32) -> Timestamp {
    files::now().plus(i64::from(days) * 86_400)
}

/// Reads `read:volume:flights/2013` or `write:stream:stdout`.
///
/// # Errors
/// `LG0001`, or `LG0101` for the name.
pub fn grant(text: &str) -> Result<Grant> {
    let refuse = || {
        Error::new(code::USAGE, format!("{text:?} is not a grant")).help(
            "write `read:volume:NAME/PREFIX`, `write:volume:NAME/PREFIX`, `read:stream:stdin` or `write:stream:stdout`",
        )
    };
    let mut parts = text.splitn(3, ':');
    let mode = match parts.next() {
        Some("read") => Mode::Read,
        Some("write") => Mode::Write,
        _ => return Err(refuse()),
    };
    let kind = match parts.next() {
        Some("volume") => ResourceKind::Volume,
        Some("stream") => ResourceKind::Stream,
        _ => return Err(refuse()),
    };
    let resource = parts.next().ok_or_else(refuse)?;
    let (name, prefix) = resource.split_once('/').unwrap_or((resource, ""));
    Ok(Grant { kind, name: Name::new(name)?, mode, prefix: prefix.to_owned() })
}

/// Sets ceilings given as `memory=1 GiB` on top of `ceilings`.
///
/// # Errors
/// `LG0001` for a limit that does not exist, `LG0107` for its value.
pub fn ceilings(mut ceilings: PartialLimits, given: &[String]) -> Result<PartialLimits> {
    for text in given {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Error::new(code::USAGE, format!("{text:?} is not a ceiling")).help("write `memory=1 GiB`")
        })?;
        let limit = LIMITS.iter().find(|limit| limit.toml_key() == key).ok_or_else(|| {
            Error::new(code::USAGE, format!("there is no limit {key:?}"))
                .help(suggest::help(key, LIMITS.iter().map(|limit| limit.toml_key())))
        })?;
        ceilings.set(limit.key, limit.parse(value)?);
    }
    Ok(ceilings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_as_they_are_written() {
        let read = grant("read:volume:flights/2013/x").unwrap();
        assert_eq!((read.mode, read.kind, read.prefix.as_str()), (Mode::Read, ResourceKind::Volume, "2013/x"));
        let write = grant("write:stream:stdout").unwrap();
        assert_eq!((write.kind, write.name.as_str(), write.prefix.as_str()), (ResourceKind::Stream, "stdout", ""));
        for bad in ["", "read", "read:volume", "own:volume:a", "read:disk:a", "read:volume:A"] {
            assert!(grant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ceilings_have_units_and_known_names() {
        let set = ceilings(PartialLimits::default(), &["memory=1 GiB".into(), "deadline=5 s".into()]).unwrap();
        assert_eq!((set.memory, set.deadline), (Some(1 << 30), Some(5_000)));
        let error = ceilings(PartialLimits::default(), &["memroy=1".into()]).unwrap_err();
        assert_eq!(error.help_text(), Some("did you mean `memory`?"));
        assert!(ceilings(PartialLimits::default(), &["memory=lots".into()]).is_err());
    }
}
