//! The set-up token: how the first operator gets his credential.
//!
//! The first start writes it to `setup-token` in the data directory, 0600, and says where. It can do nothing but make
//! members and tokens of the operator's people, and is not taken once one of them has a token, or 24 hours after it was
//! made. When every operator's token is lost, whoever owns the data directory has another one made
//! (`--new-setup-token`), which is taken though there are tokens, for an hour or until it is forgotten.

use super::token::{self, Hash, SETUP_PREFIX};
use crate::access::{Action, Caller, Role};
use lockgate_core::error::code;
use lockgate_core::{Error, Result, Timestamp};
use lockgate_server::private;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// How long it is taken, in seconds.
pub const LIFETIME_SECONDS: i64 = 24 * 3_600;

/// How long one is taken that was made though there are tokens of operators.
pub const RECOVERY_SECONDS: i64 = 3_600;

/// The principal of who uses it.
pub const PRINCIPAL: &str = "setup";

/// What it is good for.
const SCOPES: [Action; 5] =
    [Action::Describe, Action::ReadMembers, Action::ManageMembers, Action::ReadTokens, Action::ManageTokens];

/// The set-up token of a data directory.
#[derive(Debug)]
pub struct Setup {
    folder: PathBuf,
}

/// What is kept of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    hash: Hash,
    expires: Timestamp,
    /// Whether it is taken although there are tokens of operators.
    recovery: bool,
}

impl Setup {
    /// That of the data directory `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes a token in place of any former one, and says in which file it is.
    ///
    /// # Errors
    /// `LG1055` if it cannot be written.
    pub fn make(&self, now: Timestamp, recovery: bool) -> Result<PathBuf> {
        let (_, text, hash) = token::issue(SETUP_PREFIX)?;
        let lifetime = if recovery { RECOVERY_SECONDS } else { LIFETIME_SECONDS };
        let record = Record { hash, expires: now.plus(lifetime), recovery };
        let record = serde_json::to_vec(&record).map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
        private::write(&self.record(), &record, 0o600)?;
        private::write(&self.file(), format!("{}\n", text.expose()).as_bytes(), 0o600)?;
        Ok(self.file())
    }

    /// Whether there is a token that is still taken at `now`.
    ///
    /// # Errors
    /// `LG0850`, `LG1055` if what is kept of it cannot be read.
    pub fn is_valid(&self, now: Timestamp) -> Result<bool> {
        Ok(self.read()?.is_some_and(|record| now < record.expires))
    }

    /// Who brings this token.
    ///
    /// # Errors
    /// `LG1103` if it is not the one, `LG1113` if it is not taken any more.
    pub fn authenticate(&self, text: &str, has_operator_token: bool, now: Timestamp) -> Result<Caller> {
        let presented = token::parse(text, SETUP_PREFIX)?;
        let refused = || Error::new(code::CREDENTIAL_REFUSED, "the credential is not valid");
        let record = self.read()?.filter(|record| record.hash.is_of(&presented)).ok_or_else(refused)?;
        if now >= record.expires || (has_operator_token && !record.recovery) {
            self.forget();
            return Err(Error::new(code::SETUP_TOKEN_USED, "the set-up token is no longer valid"));
        }
        Ok(Caller {
            principal: PRINCIPAL.into(),
            credential: presented.id.into(),
            tenant: None,
            roles: [Role::Operator].into(),
            scopes: Some(SCOPES.into()),
        })
    }

    /// Forgets the token: to be called when its holder has made an operator's token.
    pub fn forget(&self) {
        for path in [self.record(), self.file()] {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a used set-up token could not be removed");
            }
        }
    }

    fn read(&self) -> Result<Option<Record>> {
        let path = self.record();
        let failed = |error: std::io::Error| Error::new(code::DATA_DIRECTORY, format!("{}: {error}", path.display()));
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        private::check(&path, &file)?;
        let mut bytes = Vec::new();
        file.take(4_096).read_to_end(&mut bytes).map_err(failed)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| Error::new(code::DATA_DIRECTORY, format!("{} is damaged", path.display())))
    }

    fn record(&self) -> PathBuf {
        self.folder.join("setup.json")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("setup-token")
    }
}
