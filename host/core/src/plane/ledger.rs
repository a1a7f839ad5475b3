//! The record of a run: which splits there are, who reads them, how far they are read, which outputs count.
//!
//! Kept by the JobManager, changed by TaskManagers under the epoch of the job's present lease, one conditional commit each.
//! Every request may come twice, since its answer may be lost: the second time changes nothing and is answered alike.
//!
//! 1. *Open.* Each TaskManager of a job says which splits it finds. The first one records them; the others, and those of later
//!    leases, may add to them and must agree about those that are there. The answer says what is committed, and which outputs
//!    are recorded as committed and not yet known to be published: each TaskManager publishes those again, which does
//!    nothing where they are, before it writes anything.
//! 2. *Claim.* A slot asks for a split that nobody reads. A split stays with the slot until it is finished, given back, or
//!    its epoch is over.
//! 3. *Commit.* A slot's positions and prepared outputs, together. Once it is answered they count, and the TaskManager
//!    publishes the outputs; before that they do not, whatever is on a disk. A slot commits only when all is published that
//!    its TaskManager was told of at opening, and what the slot committed before: so a commit also says that.
//! 4. *Release.* A TaskManager whose executor died gives back what its slots had claimed, and says which of their claims
//!    were the last, since one of them may still be on its way.
//!
//! A claim is answered once: whatever comes under its number later is answered alike, also where it was told that nothing is
//! left. Otherwise one that was on its way for long could take a split for a slot that has ended since.
//!
//! A job has finished when its record says that every split is read to its end, and not because its tasks say so.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes of a list of splits.
pub const MAX_LISTING: usize = 32 << 20;

/// Which job a request is about, and under which lease it is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fence {
    /// The job's id.
    pub id: String,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The session of the process that asks, as its heartbeats name it: a lease is for the process that it was given to, and
    /// another one of the same certificate has no part in it.
    #[serde(default)]
    pub session: String,
}

/// A part of a source that one slot reads from its beginning to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Split {
    /// Its stable name within the source: a file's path, for example.
    pub name: String,
    /// Bytes, if that is known.
    #[serde(default)]
    pub size: Option<u64>,
    /// What tells this content from another under the same name.
    pub fingerprint: String,
}

/// A TaskManager is about to run a job's slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Open {
    /// Under which lease.
    #[serde(flatten)]
    pub fence: Fence,
    /// The splits that it finds, by source node.
    pub splits: BTreeMap<Name, Vec<Split>>,
}

/// Where a run stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opened {
    /// The run's id, of 16 hexadecimal digits: part of the names of its outputs.
    pub run: String,
    /// When the run began, in microseconds since 1970: the job's clock, the same after every restart.
    pub started: u64,
    /// Commits so far.
    pub commits: u64,
    /// The last committed sequence number of every slot that has committed.
    pub slots: BTreeMap<u32, u64>,
    /// Outputs that are committed and perhaps not published.
    pub unpublished: Vec<Output>,
    /// Splits that are not finished.
    pub left: u64,
    /// Their bytes, if all are known.
    pub left_bytes: Option<u64>,
}

/// A slot asks for a split.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Under which lease.
    #[serde(flatten)]
    pub fence: Fence,
    /// The slot.
    pub slot: u32,
    /// Counts the claims of the slot under this lease, from 1, so that a claim that comes twice gives one split.
    pub number: u64,
}

/// What a slot is to read next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claimed {
    /// The source node and the split; `null` if nothing is left. It must be said: an answer without it says nothing, least of
    /// all that a slot has read all there is.
    #[serde(deserialize_with = "Option::deserialize")]
    pub split: Option<(Name, Split)>,
    /// Where to go on; none at the beginning.
    #[serde(default, with = "base64_option")]
    pub position: Option<Vec<u8>>,
}

/// A slot commits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Under which lease.
    #[serde(flatten)]
    pub fence: Fence,
    /// The slot.
    pub slot: u32,
    /// One more than the slot's last committed sequence number: the number of its outputs.
    pub sequence: u64,
    /// How far it has read.
    pub splits: Vec<SplitProgress>,
    /// What it has prepared.
    pub outputs: Vec<Output>,
}

/// A commit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// Commits of the run so far.
    pub commits: u64,
}

/// How far a split has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SplitProgress {
    /// The source node.
    pub source: Name,
    /// The split's name.
    pub split: String,
    /// How far.
    pub progress: Progress,
}

/// How far a split has been read, and of which content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The content that the position points into.
    pub fingerprint: String,
    /// Where reading goes on.
    pub position: Position,
}

/// A place in a split.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Opaque to everyone but the decoder that made it.
    At(#[serde(with = "base64_bytes")] Vec<u8>),
    /// Behind the last record.
    Finished,
}

/// Output of one slot with one sequence number that is complete.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Output {
    /// The sink's node.
    pub node: Name,
    /// The epoch of the lease under which it was written: part of the name under which it waits.
    pub epoch: u64,
    /// The slot.
    pub slot: u32,
    /// The slot's sequence number.
    pub sequence: u64,
    /// Its length.
    pub bytes: u64,
}

/// Slots give back the splits that they have claimed and not finished.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// Under which lease.
    #[serde(flatten)]
    pub fence: Fence,
    /// The first of the slots.
    pub first: u32,
    /// How many.
    pub slots: u32,
    /// The highest number of a claim that one of them has ever made: claims up to it that are still on their way are
    /// refused, so that none takes a split for a slot that is gone. The next claim of each has a higher number.
    #[serde(default)]
    pub claims: u64,
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

mod base64_option {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_adds_is_skipped() {
        let text = r#"{"id":"x","epoch":3,"slot":1,"number":1,"colour":"green"}"#;
        let claim: Claim = serde_json::from_str(text).unwrap();
        assert_eq!((claim.fence.epoch, claim.slot), (3, 1));
        let none: Claimed = serde_json::from_str(r#"{"split":null,"later":1}"#).unwrap();
        assert_eq!(none, Claimed { split: None, position: None });
    }

    #[test]
    fn an_answer_without_a_split_does_not_say_that_nothing_is_left() {
        for text in ["{}", r#"{"later":1}"#, r#"{"position":null}"#] {
            let refused = serde_json::from_str::<Claimed>(text).unwrap_err();
            assert!(refused.to_string().contains("split"), "{text}: {refused}");
        }
        let nothing = serde_json::to_string(&Claimed { split: None, position: None }).unwrap();
        assert!(nothing.contains(r#""split":null"#), "{nothing}");
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let split = Split { name: "a".into(), size: Some(3), fingerprint: "f".into() };
        let claimed = Claimed { split: Some(("in".parse().unwrap(), split)), position: Some(vec![0, 255, 7]) };
        let text = serde_json::to_string(&claimed).unwrap();
        assert_eq!(serde_json::from_str::<Claimed>(&text).unwrap(), claimed);
        let at = Position::At(vec![1, 2]);
        assert_eq!(serde_json::from_str::<Position>(&serde_json::to_string(&at).unwrap()).unwrap(), at);
        assert!(serde_json::from_str::<Position>(r#"{"at":"%"}"#).is_err());
    }
}
