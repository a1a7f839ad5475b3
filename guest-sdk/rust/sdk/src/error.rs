//! An error for functions that do not care to define one.

use std::fmt;

/// A message. It is made of any error by `?`, and of any text by [`Error::new`].
///
/// ```
/// use lockgate_sdk::prelude::*;
///
/// #[udf]
/// fn port(address: &str) -> Result<u16, Error> {
///     let (_, port) = address.rsplit_once(':').ok_or_else(|| Error::new("no port"))?;
///     Ok(port.parse()?)
/// }
/// ```
pub struct Error(String);

impl Error {
    /// An error with this message.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

// As `Error` itself does not implement `std::error::Error`, this does not overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
