//! An answer that is no JSON document: written down as it comes, however long it is.

use super::{Broken, Client, MAX_ANSWER, PATIENCE, Request, problem};
use http_body_util::{BodyExt as _, Limited};
use hyper::HeaderMap;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::io::Write;

impl Client {
    /// Writes what is answered to `request` to `sink`; the answer's headers. It is asked for once: half of it may have
    /// been written when it breaks off.
    ///
    /// # Errors
    /// What the JobManager refuses, under its own code; `LG1074` to `LG1076` if the answer does not come to its end,
    /// `LG0002` if it cannot be written.
    pub async fn download(&self, request: &Request, sink: &mut impl Write) -> Result<HeaderMap> {
        let lost = |why: String| Error::new(code::UNREACHABLE, why);
        let (body, progress) = request.body().await?;
        let mut sent = self.connector.send(request, Some(&self.token), body).await.map_err(Broken::into_error)?;
        let (head, mut body) = sent.answered(&progress, PATIENCE).await.map_err(Broken::into_error)?.into_parts();
        if !head.status.is_success() {
            let body = Limited::new(body, MAX_ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(problem::read(&head, &body, &self.connector.server().to_string()));
        }
        loop {
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
            let frame = frame.map_err(|_| lost("the answer does not go on".into()))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| lost(format!("the answer broke off: {error}")))?;
            if let Some(bytes) = frame.data_ref() {
                let failed = |error| Error::new(code::IO, format!("the answer cannot be written: {error}"));
                sink.write_all(bytes).map_err(failed)?;
            }
        }
        Ok(head.headers)
    }
}
