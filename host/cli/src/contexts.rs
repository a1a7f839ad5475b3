//! Which JobManagers there are and how they are asked: `contexts.toml` in the user's own directory, as kubectl keeps its
//! contexts. Tokens are not in it; each context says where its token is.
//!
//! ```toml
//! current = "acme"
//!
//! [context.acme]
//! server = "https://jobs.example.org:8443"
//! ca = "/etc/lockgate/ca.pem"       # or ca-sha256 = "sha256:…"; the machine's authorities without both
//! tenant = "acme"
//! token-file = "/home/ana/.local/share/lockgate/tokens/acme"      # or token-env = "LOCKGATE_TOKEN"
//! ```

use crate::client::{self, Client, Pin};
use crate::files;
use crate::home::Home;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result};
use lockgate_jobmanager::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest contexts file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The longest token, in bytes: those of identity providers are long.
const MAX_TOKEN: u64 = 16 << 10;

/// All contexts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Contexts {
    /// The one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By their names.
    #[serde(default)]
    pub context: BTreeMap<String, Context>,
}

/// A JobManager, and as whom it is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    /// Its address.
    pub server: String,
    /// The file of the authority that its certificate must be of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The SHA-256 of that authority's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_sha256: Option<Digest>,
    /// The tenant that is meant where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// The file with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The environment variable with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
}

impl Contexts {
    /// Those of this user; none if there is no file.
    ///
    /// # Errors
    /// `LG1071` if others may read the file, `LG1072` if it is not understood, `LG0002` if it cannot be read.
    pub fn read(home: &Home) -> Result<Self> {
        let path = home.contexts();
        let bytes = match File::open(&path) {
            Ok(file) => private(file, &path, MAX_FILE)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(files::failed(&path, &error)),
        };
        let wrong = |why: String| Error::new(code::CONTEXTS_MALFORMED, why).at(path.display().to_string());
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("the file is not UTF-8".into()))?;
        toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))
    }

    /// Keeps them, readable by this user alone.
    ///
    /// # Errors
    /// `LG0002`.
    pub fn write(&self, home: &Home) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
        files::replace_private(&home.contexts(), text.as_bytes())
    }

    /// The context `name`, or the one in use, with its name.
    ///
    /// # Errors
    /// `LG1070`.
    pub fn find(&self, name: Option<&str>) -> Result<(&str, &Context)> {
        let none = |cause: String| Error::new(code::NO_CONTEXT, cause);
        if self.context.is_empty() {
            return Err(none("there is no context".into()).help("make one with `lockgate login https://HOST:PORT`"));
        }
        let wanted = name.or(self.current.as_deref()).ok_or_else(|| {
            none("no context is in use".into()).help("choose one with `lockgate context use NAME` or `--context NAME`")
        })?;
        let found = self.context.get_key_value(wanted).ok_or_else(|| {
            let known = self.context.keys().map(String::as_str);
            none(format!("there is no context {wanted:?}")).help(lockgate_core::suggest::help(wanted, known))
        })?;
        Ok((found.0, found.1))
    }
}

impl Context {
    /// The server's address.
    ///
    /// # Errors
    /// `LG0001`.
    pub fn server(&self) -> Result<lockgate_http::Address> {
        client::server(&self.server)
    }

    /// Whom to believe that a server is this one.
    ///
    /// # Errors
    /// `LG1072` if both a file and a digest are given.
    pub fn pin(&self) -> Result<Pin> {
        match (&self.ca, self.ca_sha256) {
            (Some(_), Some(_)) => Err(Error::new(code::CONTEXTS_MALFORMED, "a context has both `ca` and `ca-sha256`")),
            (Some(path), None) => Ok(Pin::File(path.clone())),
            (None, Some(digest)) => Ok(Pin::Digest(digest)),
            (None, None) => Ok(Pin::System),
        }
    }

    /// The token, from where it is.
    ///
    /// # Errors
    /// `LG1073` if there is none, `LG1071` if others may read it.
    pub fn token(&self) -> Result<Secret<String>> {
        match (&self.token_file, &self.token_env) {
            (Some(path), None) => token_in(path),
            (None, Some(variable)) => token_of(variable),
            _ => Err(Error::new(code::NO_TOKEN, "the context says of no token, or of several, where it is")),
        }
    }

    /// What asks this JobManager.
    ///
    /// # Errors
    /// As the other methods, and `LG1053` if the authorities cannot be read.
    pub fn client(&self) -> Result<Client> {
        Client::new(self.server()?, &self.pin()?, self.token()?)
    }
}

/// The token in a file that only its owner may read.
///
/// # Errors
/// `LG1073` if it has none, `LG1071` if others may read it.
pub fn token_in(path: &Path) -> Result<Secret<String>> {
    let file = File::open(path).map_err(|error| {
        let cause = format!("there is no token in {}: {error}", path.display());
        Error::new(code::NO_TOKEN, cause)
    })?;
    token(&private(file, path, MAX_TOKEN)?, &path.display().to_string())
}

/// The token in an environment variable.
///
/// # Errors
/// `LG1073`.
pub fn token_of(variable: &str) -> Result<Secret<String>> {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::env::var_os(variable).map(|value| Zeroizing::new(value.into_vec())).unwrap_or_default();
    token(&value, &format!("environment variable {variable}"))
}

/// The token that `reader` gives until its end.
///
/// # Errors
/// `LG1073`.
pub fn token_from(reader: impl Read, place: &str) -> Result<Secret<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = reader.take(MAX_TOKEN + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(code::NO_TOKEN, format!("{place}: {error}")))?;
    token(&bytes, place)
}

/// One line of visible ASCII. What is wrong is never quoted.
fn token(bytes: &[u8], place: &str) -> Result<Secret<String>> {
    let wrong = |why: &str| Error::new(code::NO_TOKEN, format!("{place} {why}"));
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(wrong("has no token"));
    }
    if text.len() as u64 > MAX_TOKEN || !text.iter().all(u8::is_ascii_graphic) {
        return Err(wrong("has something that is no token"));
    }
    Ok(Secret::new(String::from_utf8_lossy(text).into_owned()))
}

/// Keeps a token in the user's own directory, readable by him alone; gives the file.
///
/// # Errors
/// `LG0002`.
pub fn keep_token(home: &Home, context: &str, token: &Secret<String>) -> Result<PathBuf> {
    let folder = home.tokens();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| files::failed(&folder, &error))?;
    let path = folder.join(context);
    let line = Zeroizing::new(format!("{}\n", token.expose()));
    files::replace_private(&path, line.as_bytes())?;
    Ok(path)
}

/// Refuses names that cannot be a file's.
///
/// # Errors
/// `LG0001`.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_@.".contains(&byte);
    if (1..=63).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    let error = Error::new(code::USAGE, format!("{name:?} is no name for a context"));
    Err(error.help("1 to 63 letters, digits, `-`, `_`, `@` and `.`, not beginning with `.`"))
}

/// The bytes of a file that only its owner may read.
fn private(file: File, path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>> {
    let mode = file.metadata().map_err(|error| files::failed(path, &error))?.mode();
    if mode & 0o077 != 0 {
        let cause = format!("{} has mode {:o}: others may read it", path.display(), mode & 0o777);
        let help = format!("if nobody has, `chmod 600 {}`; else revoke the token and log in anew", path.display());
        return Err(Error::new(code::CREDENTIALS_EXPOSED, cause).help(help));
    }
    files::read_open(file, path, max).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn context() -> Context {
        Context {
            server: "https://localhost:8443".into(),
            ca: None,
            ca_sha256: Some(Digest::of(b"ca")),
            tenant: Some(Name::new("acme").unwrap()),
            token_file: None,
            token_env: Some("LOCKGATE_TOKEN".into()),
        }
    }

    #[test]
    fn contexts_are_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().into());
        assert_eq!(Contexts::read(&home).unwrap(), Contexts::default());
        let all = Contexts { current: Some("a".into()), context: [("a".into(), context())].into() };
        all.write(&home).unwrap();
        assert_eq!(Contexts::read(&home).unwrap(), all);
        assert_eq!(std::fs::metadata(home.contexts()).unwrap().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o610] {
            std::fs::set_permissions(home.contexts(), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(Contexts::read(&home).unwrap_err().code(), code::CREDENTIALS_EXPOSED, "{mode:o}");
        }
        std::fs::set_permissions(home.contexts(), PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(home.contexts(), "colour = 1").unwrap();
        assert_eq!(Contexts::read(&home).unwrap_err().code(), code::CONTEXTS_MALFORMED);
    }

    #[test]
    fn a_context_is_named_or_in_use() {
        let mut all = Contexts { current: None, context: [("acme".into(), context())].into() };
        assert_eq!(all.find(Some("acme")).unwrap().0, "acme");
        assert_eq!(all.find(None).unwrap_err().code(), code::NO_CONTEXT);
        let error = all.find(Some("acm")).unwrap_err();
        assert_eq!(error.help_text(), Some("did you mean `acme`?"));
        all.current = Some("acme".into());
        assert_eq!(all.find(None).unwrap().0, "acme");
    }

    #[test]
    fn a_token_is_one_line_and_never_quoted() {
        assert_eq!(token_from(&b" lgt_abc\n"[..], "stdin").unwrap().expose(), "lgt_abc");
        let long = "x".repeat(MAX_TOKEN as usize + 1);
        for bad in ["", " \n", "lgt_marker\nlgt_other", "lgt_marker \u{e9}", "lgt_marker\u{1b}[2J", &long] {
            let error = token_from(bad.as_bytes(), "stdin").unwrap_err();
            assert_eq!(error.code(), code::NO_TOKEN);
            assert!(!error.to_string().contains("marker"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "lgt_abc\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(token_in(&path).unwrap_err().code(), code::CREDENTIALS_EXPOSED);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(token_in(&path).unwrap().expose(), "lgt_abc");
        assert!(!format!("{:?}", token_in(&path)).contains("lgt_abc"));
    }

    #[test]
    fn names_of_contexts_are_names_of_files() {
        for good in ["acme", "acme@prod", "a.b-c_1"] {
            check_name(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "\u{1b}", &"a".repeat(64)] {
            assert_eq!(check_name(bad).unwrap_err().code(), code::USAGE, "{bad:?}");
        }
    }
}
