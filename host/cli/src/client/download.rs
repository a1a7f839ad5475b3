//! An answer that is no JSON document: written down as it comes, however long it is.

use super::{Broken, Client, Request, TIMES};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::HeaderMap;
use std::io::Write;

impl Client {
    /// Writes what is answered to `request` to `sink`; the answer's headers. It is asked for once: half of it may have
    /// been written when it breaks off.
    ///
    /// # Errors
    /// What the JobManager refuses, under its own code; `LG1074` to `LG1076` if the answer does not come to its end,
    /// `LG0002` if it cannot be written.
    pub async fn download(&self, request: &Request, sink: &mut impl Write) -> Result<HeaderMap> {
        let mut answer = self.ask(request, TIMES).await.map_err(Broken::into_error)?;
        if !answer.status().is_success() {
            return Err(self.refused(answer).await.map_err(Broken::into_error)?.0);
        }
        while let Some(bytes) = answer.chunk().await.map_err(|failure| self.broken(failure).into_error())? {
            let failed = |error| Error::new(code::IO, format!("the answer cannot be written: {error}"));
            sink.write_all(&bytes).map_err(failed)?;
        }
        Ok(answer.headers().clone())
    }
}
