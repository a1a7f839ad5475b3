//! The record of what a run has committed, and what a commit makes of it. Pure: how it gets to the disk is not here.

use crate::durable;
use crate::sink::{Prepared, RunId};
use crate::source::Split;
use lockgate_core::error::code;
use lockgate_core::plane::{Position, Progress};
use lockgate_core::{Digest, Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest position, in bytes.
pub const MAX_POSITION: usize = 64 * 1024;

/// The largest record on the disk, in bytes.
pub const MAX_RECORD: u64 = 64 * 1024 * 1024;

/// Which job a state belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The tenant.
    pub tenant: Name,
    /// The job's name.
    pub name: Name,
    /// The version.
    pub version: u64,
    /// The digest of the signed payload.
    pub payload: Digest,
    /// The values of parameters that it was submitted with.
    pub parameters: BTreeMap<Name, String>,
}

/// All that a run has committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The job.
    pub job: Identity,
    /// The run.
    pub run: RunId,
    /// When the run began, in microseconds since 1970: the job's clock, the same after every restart.
    pub started: u64,
    /// Commits so far.
    pub commits: u64,
    /// The last committed epoch of every slot that has committed.
    pub epochs: BTreeMap<u32, u64>,
    /// The progress of every split that was begun, by source node and split.
    pub splits: BTreeMap<Name, BTreeMap<String, Progress>>,
    /// The outputs of the last commit; those of earlier ones are committed.
    pub prepared: Vec<Output>,
    /// Whether the run is over.
    pub finished: bool,
}

/// Prepared output with the node that it belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The sink's node.
    pub node: Name,
    /// The output.
    pub prepared: Prepared,
}

/// What one slot commits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The slot.
    pub slot: u32,
    /// The epoch: above every epoch that the slot has committed.
    pub epoch: u64,
    /// By source node and split, how far the slot has read.
    pub splits: Vec<(Name, String, Progress)>,
    /// The outputs it has prepared.
    pub prepared: Vec<Output>,
}

/// A split that is still to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The split.
    pub split: Split,
    /// Where to go on; none at the beginning.
    pub position: Option<Vec<u8>>,
}

impl Record {
    /// The record of a run that begins now.
    ///
    /// # Errors
    /// `LG0830` if the system has no random numbers.
    pub(super) fn begin(job: &Identity) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            job: job.clone(),
            run: RunId::random()?,
            started: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            commits: 0,
            epochs: BTreeMap::new(),
            splits: BTreeMap::new(),
            prepared: Vec::new(),
            finished: false,
        })
    }

    /// The epoch that `slot` works on next.
    pub fn next_epoch(&self, slot: u32) -> u64 {
        self.epochs.get(&slot).map_or(1, |epoch| epoch.saturating_add(1))
    }

    /// Which of the splits that source `node` lists are still to be read, and from where. New splits are begun; a finished
    /// one that is gone is no matter.
    ///
    /// # Errors
    /// `LG0809` if a split that was begun is gone, or if one that was begun or finished has other content now.
    pub fn pending(&self, node: &Name, listed: Vec<Split>) -> Result<Vec<Pending>> {
        let nothing = BTreeMap::new();
        let begun = self.splits.get(node).unwrap_or(&nothing);
        let names: BTreeSet<&str> = listed.iter().map(|split| split.name.as_str()).collect();
        for (name, progress) in begun {
            if !names.contains(name.as_str()) && progress.position != Position::Finished {
                let cause = format!("{name:?} has been read in part and is gone");
                return Err(Error::new(code::INPUT_CHANGED, cause).at(node.as_str()));
            }
        }
        let mut pending = Vec::new();
        for split in listed {
            let progress = begun.get(&split.name);
            if progress.is_some_and(|progress| progress.fingerprint != split.fingerprint) {
                let cause = format!("{:?} was changed or replaced since the last commit", split.name);
                return Err(Error::new(code::INPUT_CHANGED, cause).at(node.as_str()));
            }
            match progress.map(|progress| &progress.position) {
                None => pending.push(Pending { split, position: None }),
                Some(Position::At(position)) => pending.push(Pending { split, position: Some(position.clone()) }),
                Some(Position::Finished) => {}
            }
        }
        Ok(pending)
    }

    /// This record with `changes` committed on top.
    ///
    /// # Errors
    /// `LG0003` if a change contradicts it, `LG0836` if a position is too long.
    pub(super) fn with(mut self, changes: Vec<Change>) -> Result<Self> {
        let wrong = |cause: String| Err(Error::new(code::INTERNAL, cause));
        if self.finished {
            return wrong("a commit to a run that has finished".into());
        }
        self.commits = self.commits.saturating_add(1);
        self.prepared.clear();
        for Change { slot, epoch, splits, prepared } in changes {
            if epoch < self.next_epoch(slot) {
                return wrong(format!("slot {slot} commits epoch {epoch} behind one that is committed"));
            }
            if prepared.iter().any(|output| (output.prepared.slot, output.prepared.epoch) != (slot, epoch)) {
                return wrong(format!("slot {slot} commits output of another slot or epoch"));
            }
            self.epochs.insert(slot, epoch);
            self.prepared.extend(prepared);
            for (node, split, progress) in splits {
                if matches!(&progress.position, Position::At(position) if position.len() > MAX_POSITION) {
                    let cause = format!("the position in {split:?} is longer than {MAX_POSITION} bytes");
                    return Err(Error::new(code::STATE_TOO_LARGE, cause).at(node.as_str()));
                }
                let before = self.splits.entry(node).or_default().insert(split.clone(), progress);
                if before.is_some_and(|before| before.position == Position::Finished) {
                    return wrong(format!("slot {slot} moves within {split:?}, which is finished"));
                }
            }
        }
        Ok(self)
    }

    /// The record as bytes with a checksum.
    ///
    /// # Errors
    /// `LG0836` if it is too large.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let body = serde_json::to_vec(self)
            .map_err(|error| Error::new(code::INTERNAL, format!("a record cannot be encoded: {error}")))?;
        let bytes = durable::seal(KIND, &body);
        if bytes.len() as u64 > MAX_RECORD {
            let cause = format!("the record has {} bytes, {MAX_RECORD} are the most", bytes.len());
            return Err(Error::new(code::STATE_TOO_LARGE, cause));
        }
        Ok(bytes)
    }

    /// The record that [`Record::encode`] made.
    ///
    /// # Errors
    /// `LG0832` to `LG0834` if it is anything else, `LG0836` if it is too large.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MAX_RECORD {
            let cause = format!("the record has more than {MAX_RECORD} bytes");
            return Err(Error::new(code::STATE_TOO_LARGE, cause));
        }
        let body = durable::unseal(KIND, bytes).map_err(|damage| damage.error("the record"))?;
        serde_json::from_slice(body)
            .map_err(|error| Error::new(code::STATE_DAMAGED, format!("the record does not parse: {error}")))
    }
}

const KIND: &str = "checkpoint";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> Identity {
        let (tenant, name) = ("acme".parse().unwrap(), "late".parse().unwrap());
        Identity { tenant, name, version: 3, payload: Digest::of(b"payload"), parameters: BTreeMap::new() }
    }

    fn node(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn at(fingerprint: &str, position: &[u8]) -> Progress {
        Progress { fingerprint: fingerprint.into(), position: Position::At(position.to_vec()) }
    }

    fn finished(fingerprint: &str) -> Progress {
        Progress { fingerprint: fingerprint.into(), position: Position::Finished }
    }

    fn change(slot: u32, epoch: u64, splits: &[(&str, Progress)]) -> Change {
        let splits = splits.iter().map(|(name, progress)| (node("in"), (*name).into(), progress.clone())).collect();
        Change { slot, epoch, splits, prepared: Vec::new() }
    }

    fn split(name: &str, fingerprint: &str) -> Split {
        Split { name: name.into(), size: None, fingerprint: fingerprint.into() }
    }

    #[test]
    fn slots_commit_on_their_own() {
        let record = Record::begin(&job()).unwrap();
        let record = record.with(vec![change(0, 1, &[("a", at("1", b"x"))])]).unwrap();
        let record = record.with(vec![change(1, 1, &[("b", finished("2"))]), change(0, 2, &[])]).unwrap();
        assert_eq!((record.next_epoch(0), record.next_epoch(1), record.next_epoch(2)), (3, 2, 1));
        assert_eq!(record.commits, 2);
        let pending = record.pending(&node("in"), vec![split("a", "1"), split("b", "2"), split("c", "3")]).unwrap();
        let expected = [
            Pending { split: split("a", "1"), position: Some(b"x".to_vec()) },
            Pending { split: split("c", "3"), position: None },
        ];
        assert_eq!(pending, expected);
        assert_eq!(record.pending(&node("other"), vec![split("a", "9")]).unwrap().len(), 1);
    }

    #[test]
    fn notices_inputs_that_changed_between_runs() {
        let record = Record::begin(&job()).unwrap();
        let record = record.with(vec![change(0, 1, &[("a", at("1", b"x")), ("b", finished("2"))])]).unwrap();
        assert_eq!(record.pending(&node("in"), vec![split("a", "1")]).unwrap().len(), 1);
        for listed in
            [vec![], vec![split("b", "2")], vec![split("a", "other")], vec![split("a", "1"), split("b", "other")]]
        {
            assert_eq!(record.pending(&node("in"), listed).unwrap_err().code(), code::INPUT_CHANGED);
        }
    }

    #[test]
    fn refuses_changes_that_contradict_it() {
        let record = Record::begin(&job()).unwrap();
        let record = record.with(vec![change(0, 2, &[("a", finished("1"))])]).unwrap();
        let foreign = Output { node: node("out"), prepared: Prepared { epoch: 3, slot: 1, bytes: 1, lease: 0 } };
        for wrong in [
            change(0, 2, &[]),
            change(0, 1, &[]),
            change(0, 3, &[("a", at("1", b""))]),
            Change { prepared: vec![foreign], ..change(0, 3, &[]) },
        ] {
            assert_eq!(record.clone().with(vec![wrong]).unwrap_err().code(), code::INTERNAL);
        }
        let over = Record { finished: true, ..record.clone() };
        assert_eq!(over.with(vec![]).unwrap_err().code(), code::INTERNAL);
        let long = change(0, 3, &[("b", at("1", &vec![0; MAX_POSITION + 1]))]);
        assert_eq!(record.with(vec![long]).unwrap_err().code(), code::STATE_TOO_LARGE);
    }

    #[test]
    fn refuses_what_is_too_large_or_not_a_record() {
        let mut record = Record::begin(&job()).unwrap();
        let many = (0..800).map(|index| (index.to_string(), at("1", &[0; MAX_POSITION]))).collect();
        record.splits.insert(node("in"), many);
        assert_eq!(record.encode().unwrap_err().code(), code::STATE_TOO_LARGE);
        for body in [&b"{}"[..], b"", b"[1]", &[0xff; 9]] {
            let sealed = durable::seal(KIND, body);
            assert_eq!(Record::decode(&sealed).unwrap_err().code(), code::STATE_DAMAGED);
        }
        assert_eq!(Record::decode(&durable::seal("marks", b"{}")).unwrap_err().code(), code::STATE_FOREIGN);
    }

    fn progress() -> impl Strategy<Value = Progress> {
        let position =
            prop_oneof![Just(Position::Finished), prop::collection::vec(any::<u8>(), 0..40).prop_map(Position::At),];
        ("[0-9a-f-]{0,12}", position).prop_map(|(fingerprint, position)| Progress { fingerprint, position })
    }

    fn record() -> impl Strategy<Value = Record> {
        let splits = prop::collection::btree_map(".{0,12}", progress(), 0..6);
        let prepared = prop::collection::vec((any::<u64>(), any::<u32>(), any::<u64>(), 0..3_u64), 0..4);
        let epochs = prop::collection::btree_map(any::<u32>(), any::<u64>(), 0..4);
        (splits, prepared, epochs, any::<bool>(), any::<u64>()).prop_map(
            |(splits, prepared, epochs, finished, started)| {
                let output = |(epoch, slot, bytes, lease)| Output {
                    node: node("out"),
                    prepared: Prepared { epoch, slot, bytes, lease },
                };
                Record {
                    splits: BTreeMap::from([(node("in"), splits)]),
                    prepared: prepared.into_iter().map(output).collect(),
                    epochs,
                    finished,
                    started,
                    ..Record::begin(&job()).unwrap()
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn reads_what_it_writes_and_nothing_altered(
            record in record(),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = record.encode().unwrap();
            prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
            let mut altered = bytes.clone();
            altered[at.index(bytes.len())] ^= flip;
            prop_assert!(Record::decode(&altered).is_err());
            let short = Record::decode(&bytes[..cut.index(bytes.len())]).unwrap_err();
            prop_assert_eq!(short.code(), code::STATE_TRUNCATED);
        }
    }
}
