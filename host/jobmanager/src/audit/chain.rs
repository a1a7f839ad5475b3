//! The chain of events: each record's hash covers the hash before it and the record's own canonical line.
//!
//! A record has one form, a flat JSON object in the canonical spelling of RFC 8785 (names sorted, no spaces, strings
//! escaped in one way; all values are strings but `sequence`). That line is what the store keeps, what `export` writes
//! and what `verify` reads, so that anyone can check a log with a few lines of any language:
//!
//! ```text
//! hash = SHA-256(the 32 bytes of previous, then the line without its fields hash and previous)
//! ```

use super::{Event, Outcome};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result, Timestamp};
use std::collections::BTreeMap;

/// The end of a chain: how many records there are and the last one's hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last record's sequence number; 0 if there is none yet.
    pub sequence: u64,
    /// Its hash; 32 zero bytes if there is none yet.
    pub hash: Digest,
}

/// An event at its place in the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Counts from 1, without gaps.
    pub sequence: u64,
    /// The hash of the record before it.
    pub previous: Digest,
    /// What happened.
    pub event: Event,
    /// The hash of this record.
    pub hash: Digest,
}

/// The longest line of a record, in bytes.
pub const MAX_LINE: usize = 512 << 10;

impl Head {
    /// The head of the empty chain.
    pub const START: Self = Self { sequence: 0, hash: Digest::from_bytes([0; 32]) };

    /// Appends `event`: its record and, by [`Record::head`], the new head.
    pub fn link(self, event: Event) -> Record {
        let (sequence, previous, event) = (self.sequence.saturating_add(1), self.hash, event.bounded());
        let hash = digest(&previous, &Fields::of(sequence, &event).line());
        Record { sequence, previous, event, hash }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::START
    }
}

impl Record {
    /// The chain's head when this record is its last.
    pub fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }

    /// Whether its hash fits its content.
    pub fn is_intact(&self) -> bool {
        self.hash == digest(&self.previous, &Fields::of(self.sequence, &self.event).line())
    }

    /// The record as its canonical line, without a line feed.
    pub fn line(&self) -> String {
        let mut fields = Fields::of(self.sequence, &self.event);
        fields.text("hash", self.hash.hex());
        fields.text("previous", self.previous.hex());
        fields.line()
    }

    /// Reads a line. Says nothing of whether the hash fits: see [`Record::is_intact`].
    ///
    /// # Errors
    /// `LG1223` if it is not exactly what [`Record::line`] writes for some record.
    pub fn parse(line: &str) -> Result<Self> {
        let malformed = |why: &str| Error::new(code::AUDIT_MALFORMED, format!("a line {why}"));
        if line.len() > MAX_LINE {
            return Err(malformed("is too long"));
        }
        let fields: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|_| malformed("is no JSON object"))?;
        let record = read(fields).ok_or_else(|| malformed("lacks a field of a record or has one too many"))?;
        if record.line() == line { Ok(record) } else { Err(malformed("is not in its canonical spelling")) }
    }
}

fn digest(previous: &Digest, line: &str) -> Digest {
    let mut bytes = previous.as_bytes().to_vec();
    bytes.extend_from_slice(line.as_bytes());
    Digest::of(&bytes)
}

/// What the names of details begin with in a line.
const DETAIL: &str = "detail_";

fn read(mut fields: BTreeMap<String, serde_json::Value>) -> Option<Record> {
    let sequence = fields.remove("sequence")?.as_u64()?;
    let mut fields: BTreeMap<String, String> = fields
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let outcome = match (fields.remove("outcome")?.as_str(), fields.remove("code")) {
        ("done", None) => Outcome::Done,
        ("denied", Some(code)) => Outcome::Denied(code),
        _ => return None,
    };
    let (hash, previous) = (fields.remove("hash")?, fields.remove("previous")?);
    let event = Event {
        time: fields.remove("time")?.parse::<Timestamp>().ok()?,
        principal: fields.remove("principal")?,
        credential: fields.remove("credential"),
        tenant: fields.remove("tenant").map(|name| Name::new(&name)).transpose().ok()?,
        action: fields.remove("action")?,
        resource: fields.remove("resource")?,
        outcome,
        request: fields.remove("request"),
        details: fields
            .into_iter()
            .map(|(name, value)| name.strip_prefix(DETAIL).map(|name| (name.to_owned(), value)))
            .collect::<Option<_>>()?,
    };
    Some(Record { sequence, previous: Digest::from_hex(&previous).ok()?, event, hash: Digest::from_hex(&hash).ok()? })
}

/// The fields of a line, each value as JSON.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(sequence: u64, event: &Event) -> Self {
        let mut fields = Self(vec![("sequence".into(), sequence.to_string())]);
        fields.text("time", event.time.to_string());
        fields.text("principal", event.principal.clone());
        fields.text("action", event.action.clone());
        fields.text("resource", event.resource.clone());
        match &event.outcome {
            Outcome::Done => fields.text("outcome", "done".into()),
            Outcome::Denied(code) => {
                fields.text("outcome", "denied".into());
                fields.text("code", code.clone());
            }
        }
        let optional =
            [("credential", &event.credential), ("request", &event.request), ("tenant", &event.tenant_text())];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.text(name, value.clone());
            }
        }
        for (name, value) in &event.details {
            fields.text(&format!("{DETAIL}{name}"), value.clone());
        }
        fields
    }

    fn text(&mut self, name: &str, value: String) {
        self.0.push((name.into(), serde_json::Value::String(value).to_string()));
    }

    /// RFC 8785, section 3: names sorted by their UTF-16 code units; `serde_json` escapes strings as section 3.2.2.2 says.
    fn line(&mut self) -> String {
        self.0.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        let fields: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::String(name.clone()))).collect();
        format!("{{{}}}", fields.join(","))
    }
}

impl Event {
    fn tenant_text(&self) -> Option<String> {
        self.tenant.as_ref().map(ToString::to_string)
    }
}
