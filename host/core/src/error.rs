//! One error type for all that a user can see, because a user who reports "LG0412" should be understood at once.
//!
//! Every error has a stable [`Code`], one sentence of cause and one of what to do. The page behind a code
//! (`lockgate explain LG0412`) lives in `docs/errors/`; a test fails when a code has none.

mod codes;
mod pages;

pub use codes::{ALL, Code, code};
pub use pages::page;

use std::fmt;

/// The result of everything that can fail in a way a user sees.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with a stable code, its cause and what to do about it.
///
/// Never holds a secret: what goes in is shown in terminals, logs and audit events as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    cause: String,
    help: Option<String>,
    at: Option<String>,
}

impl Error {
    /// An error of `code`; `cause` is one sentence without a full stop that names the offending thing.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self(Box::new(Inner { code, cause: cause.into(), help: None, at: None }))
    }

    /// Adds one sentence of what to do. Without it the code's page speaks.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds where it happened (`lockgate.toml:12:3`, `operator score`), if nothing nearer is known yet.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.at.get_or_insert(place.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// One sentence of cause.
    pub fn cause(&self) -> &str {
        &self.0.cause
    }

    /// What to do, if this error says more than its page.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Where it happened, if known.
    pub fn place(&self) -> Option<&str> {
        self.0.at.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0.code)?;
        if let Some(at) = &self.0.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.0.cause)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_code_place_and_cause() {
        let error = Error::new(code::INVALID_NAME, "\"A\" is not a name").at("line 3").at("line 9");
        assert_eq!(error.to_string(), "LG0101: line 3: \"A\" is not a name");
    }

    #[test]
    fn every_code_is_unique_and_has_a_page() {
        let mut seen = std::collections::BTreeSet::new();
        for (code, title) in ALL {
            assert!(seen.insert(*code), "{code} is there twice");
            let text = page(*code).unwrap_or_else(|| panic!("{code} ({title}) has no page in docs/errors"));
            assert!(text.contains("**Cause**") && text.contains("**What to do**"), "{code}: incomplete page");
        }
    }

    #[test]
    fn no_page_is_left_over() {
        for code in pages::documented() {
            assert!(ALL.iter().any(|(known, _)| *known == code), "{code} has a page but does not exist");
        }
    }

    #[test]
    fn codes_parse_back() {
        for (code, _) in ALL {
            assert_eq!(code.to_string().parse::<Code>(), Ok(*code));
        }
        assert!("LG12".parse::<Code>().is_err() && "XX0101".parse::<Code>().is_err());
    }
}
