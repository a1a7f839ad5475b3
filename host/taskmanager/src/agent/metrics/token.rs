//! The token that whoever asks for figures must bring. Only its digest is kept: what is compared tells nothing of the token
//! by how long it takes.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::HeaderMap;
use lockgate_http::header::AUTHORIZATION;
use lockgate_server::private;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How many characters a token may have. 32 hexadecimal digits are 128 bits, which nobody guesses.
const LENGTH: RangeInclusive<usize> = 32..=512;

/// The token of a file.
#[derive(Debug)]
pub struct Token {
    file: PathBuf,
    digest: RwLock<[u8; 32]>,
}

impl Token {
    /// That of `file`.
    ///
    /// # Errors
    /// `LG1441` if there is none or it could be guessed, `LG0850` if others may read it.
    pub fn read(file: &Path) -> Result<Self> {
        Ok(Self { file: file.to_owned(), digest: RwLock::new(digest(file)?) })
    }

    /// Takes what is in the file now; whether that is another token.
    ///
    /// # Errors
    /// As [`Token::read`]; the former token goes on.
    pub fn reload(&self) -> Result<bool> {
        let now = digest(&self.file)?;
        let mut known = self.digest.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = *known != now;
        *known = now;
        Ok(is_new)
    }

    /// Whether a request's headers bring it.
    ///
    /// # Errors
    /// `LG1100` if they bring none, `LG1106` if they bring several, `LG1103` if it is another.
    pub fn check(&self, headers: &HeaderMap) -> Result<()> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let none = || Error::new(code::UNAUTHENTICATED, "a bearer token is needed");
        let value = all.next().ok_or_else(none)?;
        if all.next().is_some() {
            return Err(Error::new(code::SEVERAL_CREDENTIALS, "the request has several credentials"));
        }
        let brought = value.to_str().ok().and_then(|value| value.split_once(' '));
        let (_, brought) = brought.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or_else(none)?;
        let brought: [u8; 32] = Sha256::digest(brought.as_bytes()).into();
        let known = *self.digest.read().unwrap_or_else(PoisonError::into_inner);
        if bool::from(brought.ct_eq(&known)) {
            return Ok(());
        }
        Err(Error::new(code::CREDENTIAL_REFUSED, "the token is not the one of this TaskManager's figures"))
    }
}

fn digest(path: &Path) -> Result<[u8; 32]> {
    let refuse = |why: &str| {
        Error::new(code::METRICS_TOKEN, format!("{} {why}", path.display()))
            .help(format!("for example: (umask 077; head -c 32 /dev/urandom | base64 > {})", path.display()))
    };
    let file = File::open(path).map_err(|error| refuse(&format!("cannot be opened: {error}")))?;
    private::check(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    let most = u64::try_from(*LENGTH.end()).unwrap_or_default() + 2;
    file.take(most).read_to_string(&mut text).map_err(|_| refuse("cannot be read, or is no text"))?;
    let token = text.strip_suffix('\n').unwrap_or(&text);
    if !LENGTH.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let (least, most) = LENGTH.into_inner();
        return Err(refuse(&format!("has not one line of {least} to {most} visible characters")));
    }
    Ok(Sha256::digest(token.as_bytes()).into())
}
