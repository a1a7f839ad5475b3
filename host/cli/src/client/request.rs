//! A request: method, path, headers and what it carries. A file is streamed from the disk, never held in memory.

use super::reads;
use crate::files;
use futures_util::stream;
use indicatif::ProgressBar;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::header::{self, HeaderName, HeaderValue};
use lockgate_http::{Body, Bytes, Method, body};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;

/// The media type of bundles.
const BUNDLE: &str = "application/vnd.lockgate.bundle.v1+tar";
/// Bytes that are read from the disk at once.
const CHUNK: usize = 64 << 10;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    carried: Carried,
    keyed: bool,
}

#[derive(Clone, Debug)]
enum Carried {
    Nothing,
    Json(Bytes),
    File { path: PathBuf, size: u64, bar: ProgressBar },
}

impl Request {
    fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), carried: Carried::Nothing, keyed: false }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST.
    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    /// A PUT.
    pub fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    /// A PATCH.
    pub fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// A DELETE.
    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Carries JSON.
    #[must_use]
    pub fn json(mut self, value: &Value) -> Self {
        self.carried = Carried::Json(value.to_string().into());
        self.with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Carries a bundle's file of this size, and moves `bar` while it is sent.
    #[must_use]
    pub fn bundle(mut self, path: &Path, size: u64, bar: ProgressBar) -> Self {
        self.carried = Carried::File { path: path.to_owned(), size, bar };
        self.with(header::CONTENT_TYPE, HeaderValue::from_static(BUNDLE)).with(header::CONTENT_LENGTH, size.into())
    }

    /// Only if what is there has this ETag. Without one, nothing is asked for.
    #[must_use]
    pub fn if_match(self, tag: Option<&str>) -> Self {
        match tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            Some(tag) => self.with(header::IF_MATCH, tag),
            None => self,
        }
    }

    /// Under a random `Idempotency-Key`: however often it is sent, it makes one thing.
    ///
    /// # Errors
    /// `LG0002` if the system has no random numbers.
    pub fn keyed(mut self) -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::new(code::IO, format!("the system has no random numbers: {error}")))?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.keyed = true;
        let value = HeaderValue::try_from(text).map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
        Ok(self.with(HeaderName::from_static("idempotency-key"), value))
    }

    /// Asks for a stream of events behind the one of this number.
    pub(super) fn last_event(self, last: u64) -> Self {
        let stream = HeaderValue::from_static("text/event-stream");
        self.with(header::ACCEPT, stream).with(HeaderName::from_static("last-event-id"), last.into())
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its head, before who asks is added.
    pub(super) fn head(&self) -> lockgate_http::request::Builder {
        let head = lockgate_http::Request::builder().method(&self.method).uri(&self.path);
        self.headers.iter().fold(head, |head, (name, value)| head.header(name, value))
    }

    /// Whether it does no harm if it arrives twice: it reads, makes one thing under its key, or brings a file under the
    /// file's own digest.
    pub(super) fn may_arrive_twice(&self) -> bool {
        reads(&self.method) || self.keyed || matches!(self.carried, Carried::File { .. })
    }

    /// What it carries, from the beginning.
    pub(super) async fn body(&self) -> Result<Body> {
        let (path, bar) = match &self.carried {
            Carried::Nothing => return Ok(body::empty()),
            Carried::Json(bytes) => return Ok(body::whole(bytes.clone())),
            Carried::File { path, size, bar } => {
                bar.set_length(*size);
                bar.set_position(0);
                (path.clone(), bar.clone())
            }
        };
        let file = tokio::fs::File::open(&path).await.map_err(|error| files::failed(&path, &error))?;
        Ok(body::stream(stream::try_unfold((file, path, bar), |(mut file, path, bar)| async move {
            let mut chunk = vec![0; CHUNK];
            let count = file.read(&mut chunk).await.map_err(|error| files::failed(&path, &error))?;
            chunk.truncate(count);
            bar.inc(count as u64);
            Ok::<_, Error>((count > 0).then(|| (Bytes::from(chunk), (file, path, bar))))
        })))
    }
}

/// `text` as it can stand in a path or a query (RFC 3986: all but unreserved characters are encoded).
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// A path with a query.
pub(super) fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
