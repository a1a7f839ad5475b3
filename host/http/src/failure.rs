//! Why an exchange brought no answer, by what who asked can do about it.

use crate::body::Watched;
use rustls::CertificateError;
use std::error::Error;
use std::fmt;

/// Why an exchange brought no answer.
#[derive(Debug)]
pub enum Failure {
    /// There is no connection, and nothing was sent.
    Unreached(String),
    /// The server's certificate is not one to trust; nothing was sent.
    Untrusted(CertificateError),
    /// The other side does not speak TLS as it should; nothing was sent.
    Foreign(String),
    /// What the request was to carry could not be had.
    Body(Box<dyn Error + Send + Sync>),
    /// No answer came, or not all of it. The request may have arrived.
    Lost(String),
    /// The answer is longer than this many bytes.
    TooLong(usize),
}

impl Failure {
    /// Of an exchange that had begun.
    pub(crate) fn of(error: &hyper::Error, watched: &Watched) -> Self {
        match watched.failure() {
            Some(failed) => Self::Body(failed),
            None => Self::Lost(format!("the connection broke: {}", chain(error))),
        }
    }

    /// Of a TLS handshake.
    pub(crate) fn of_handshake(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Self::Untrusted(why.clone()),
            Some(other) => Self::Foreign(format!("it does not speak TLS as it should: {other}")),
            None => Self::Unreached(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(CertificateError::UnknownIssuer) => {
                f.write_str("its certificate is not signed by an authority that is trusted here")
            }
            Self::Untrusted(why) => write!(f, "its certificate is not trusted: {why}"),
            Self::Body(why) => write!(f, "what was to be sent could not be had: {why}"),
            Self::TooLong(most) => write!(f, "the answer has more than {most} bytes"),
            Self::Unreached(why) | Self::Foreign(why) | Self::Lost(why) => f.write_str(why),
        }
    }
}

impl Error for Failure {}

/// An error with all that it came from: hyper's own words alone say little.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}
