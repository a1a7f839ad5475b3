//! Marks against rollback: the newest version of each document and job that this TaskManager has accepted, and the
//! latest time it has seen.
//!
//! Pure: [`Marks::encode`] and [`Marks::decode`] make and read the bytes; who holds the file writes it durably before
//! acting on what was verified. A missing file is not an empty one: [`Marks::provision`] is called where an operator
//! sets a TaskManager up, and nowhere else.

use crate::digest::Digest;
use crate::error::{Error, Result, code};
use crate::grant::Touch;
use crate::keys::Role;
use crate::name::Name;
use crate::strict_json;
use crate::time::Timestamp;
use crate::trust::Reference;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a version or epoch may be ahead of its mark. A stolen key could otherwise use up all versions at once.
pub const MAX_JUMP: u64 = 1 << 32;
/// How far this machine's clock may stand behind the latest time seen, in seconds.
pub const CLOCK_SLACK: i64 = 300;
/// The most jobs of one tenant that are kept in mind, so that a tenant can fill up nobody's marks but its own.
pub const MAX_JOBS: usize = 1_000;
/// The most touches of all those jobs together, for the same reason: they take the most room by far.
pub const MAX_TOUCHES: usize = 8_192;
/// The largest file of marks, in bytes.
pub const MAX_MARKS: usize = 64 << 20;

const HEADER: &str = "lockgate-marks-v1";

/// What this TaskManager has accepted so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    seen: Timestamp,
    operator_root: Option<Reference>,
    operator_status: Option<Reference>,
    tenants: BTreeMap<Name, TenantMarks>,
}

/// What was accepted of one tenant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantMarks {
    policy: Reference,
    /// The tenant's root keys, which must agree to others within the epoch.
    keys: Role,
    root: Option<Reference>,
    status: Option<Reference>,
    jobs: BTreeMap<Name, JobMark>,
}

/// The newest version of a job that was accepted, and what it touches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobMark {
    pub(crate) release: Reference,
    touches: BTreeSet<Digest>,
}

impl JobMark {
    pub(crate) fn new(release: Reference, touches: &BTreeSet<Touch>) -> Self {
        Self { release, touches: touches.iter().map(touch_digest).collect() }
    }

    /// Whether that version touched `touch` already.
    pub(crate) fn touched(&self, touch: &Touch) -> bool {
        self.touches.contains(&touch_digest(touch))
    }
}

fn touch_digest(touch: &Touch) -> Digest {
    Digest::of(&serde_json::to_vec(touch).unwrap_or_default())
}

/// A document of a tenant that has a mark of its own, the policy apart.
#[derive(Clone, Copy)]
pub(crate) enum Kept {
    Root,
    Status,
}

impl Marks {
    /// Marks of a TaskManager that is set up at `now` and has seen nothing. For provisioning only: whoever calls this
    /// because a file is missing lets old versions back in.
    pub fn provision(now: Timestamp) -> Self {
        Self { seen: now, operator_root: None, operator_status: None, tenants: BTreeMap::new() }
    }

    /// The latest time seen.
    pub fn seen(&self) -> Timestamp {
        self.seen
    }

    /// The newest version of `job` that was accepted.
    pub fn job(&self, tenant: &Name, job: &Name) -> Option<Reference> {
        self.job_mark(tenant, job).map(|mark| mark.release)
    }

    /// Takes over what `other` has seen of the operator's documents and this has not. They are the same for all tenants: for who
    /// keeps the marks of each tenant apart.
    pub fn join_operator(&mut self, other: &Self) {
        let newer = |held: &mut Option<Reference>, seen: Option<Reference>| {
            if seen.is_some_and(|seen| held.is_none_or(|held| held.version < seen.version)) {
                *held = seen;
            }
        };
        newer(&mut self.operator_root, other.operator_root);
        newer(&mut self.operator_status, other.operator_status);
    }

    /// The bytes of the file: a line with a checksum, and JSON.
    ///
    /// # Errors
    /// `LG0428` if they would be over [`MAX_MARKS`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|error| Error::new(code::INTERNAL, format!("marks: {error}")))?;
        if json.len() > MAX_MARKS {
            return Err(Error::new(code::MARKS_FULL, format!("the marks would have more than {MAX_MARKS} bytes")));
        }
        let mut bytes = format!("{HEADER} {}\n", Digest::of(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// `LG0427` if they are not what [`Self::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = || Error::new(code::CORRUPT_MARKS, "the file of marks does not fit its checksum");
        let end = bytes.iter().take(128).position(|byte| *byte == b'\n').ok_or_else(corrupt)?;
        let (line, json) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 1..).unwrap_or_default());
        if line != format!("{HEADER} {}", Digest::of(json)).as_bytes() {
            return Err(corrupt());
        }
        strict_json::parse("the file of marks", json, MAX_MARKS)
            .map_err(|error| Error::new(code::CORRUPT_MARKS, error.cause()))
    }

    /// The time to decide by: `now`, but never before what was seen. Remembers it.
    pub(crate) fn advance_clock(&mut self, now: Timestamp) -> Result<Timestamp> {
        if now.plus(CLOCK_SLACK) < self.seen {
            let cause = format!("this machine's clock says {now}, it has been {} already", self.seen);
            return Err(Error::new(code::CLOCK_WENT_BACK, cause));
        }
        self.seen = self.seen.max(now);
        Ok(self.seen)
    }

    pub(crate) fn advance_operator_root(&mut self, what: &str, next: Reference) -> Result<()> {
        advance(what, &mut self.operator_root, next)
    }

    pub(crate) fn advance_operator_status(&mut self, what: &str, next: Reference) -> Result<()> {
        advance(what, &mut self.operator_status, next)
    }

    pub(crate) fn policy(&self, tenant: &Name) -> Option<(Reference, &Role)> {
        self.tenants.get(tenant).map(|marks| (marks.policy, &marks.keys))
    }

    pub(crate) fn advance_policy(&mut self, what: &str, tenant: &Name, next: Reference, keys: &Role) -> Result<()> {
        let mut held = self.tenants.get(tenant).map(|marks| marks.policy);
        advance(what, &mut held, next)?;
        match self.tenants.get_mut(tenant) {
            Some(marks) if marks.policy.epoch == next.epoch => (marks.policy, marks.keys) = (next, keys.clone()),
            // A new epoch begins with nothing: what is of an earlier one is refused by the policy's mark.
            _ => {
                let (root, status, jobs) = (None, None, BTreeMap::new());
                self.tenants
                    .insert(tenant.clone(), TenantMarks { policy: next, keys: keys.clone(), root, status, jobs });
            }
        }
        Ok(())
    }

    pub(crate) fn advance_kept(&mut self, what: &str, tenant: &Name, kept: Kept, next: Reference) -> Result<()> {
        let marks = self.tenant(tenant)?;
        let held = match kept {
            Kept::Root => &mut marks.root,
            Kept::Status => &mut marks.status,
        };
        advance(what, held, next)
    }

    pub(crate) fn job_mark(&self, tenant: &Name, job: &Name) -> Option<&JobMark> {
        self.tenants.get(tenant)?.jobs.get(job)
    }

    pub(crate) fn advance_job(&mut self, what: &str, tenant: &Name, job: &Name, next: JobMark) -> Result<()> {
        let marks = self.tenant(tenant)?;
        let mut held = marks.jobs.get(job).map(|mark| mark.release);
        advance(what, &mut held, next.release)?;
        if !marks.jobs.contains_key(job) && marks.jobs.len() >= MAX_JOBS {
            let cause = format!("tenant {tenant} has had {MAX_JOBS} jobs on this TaskManager, {job} would be one more");
            return Err(Error::new(code::MARKS_FULL, cause));
        }
        let others = marks.jobs.iter().filter(|(name, _)| *name != job);
        let touches = others.map(|(_, mark)| mark.touches.len()).sum::<usize>() + next.touches.len();
        if touches > MAX_TOUCHES {
            let cause = format!("the jobs of tenant {tenant} would touch {touches} things on this TaskManager");
            return Err(Error::new(code::MARKS_FULL, format!("{cause}, at most {MAX_TOUCHES} are kept in mind")));
        }
        marks.jobs.insert(job.clone(), next);
        Ok(())
    }

    fn tenant(&mut self, tenant: &Name) -> Result<&mut TenantMarks> {
        let none = || Error::new(code::INTERNAL, format!("tenant {tenant} has no policy mark"));
        self.tenants.get_mut(tenant).ok_or_else(none)
    }
}

/// Moves a mark from `held` to `next`: never back, never sideways, never by a leap.
fn advance(what: &str, held: &mut Option<Reference>, next: Reference) -> Result<()> {
    let (epoch, version) = held.map_or((0, 0), |held| (held.epoch, held.version));
    let known = held.map_or_else(String::new, |held| format!(", {held} is known here"));
    let refuse = |code, why: &str| Err(Error::new(code, format!("{what} {why}: it is {next}{known}")));
    if (next.epoch, next.version) < (epoch, version) {
        return refuse(code::ROLLBACK, "goes back");
    }
    if (next.epoch, next.version) == (epoch, version) && held.is_some_and(|held| held.digest != next.digest) {
        return refuse(code::SAME_VERSION_TWICE, "exists twice in one version");
    }
    // Versions begin anew in a new epoch.
    let from = if next.epoch == epoch { version } else { 0 };
    if next.epoch - epoch > MAX_JUMP || next.version.saturating_sub(from) > MAX_JUMP {
        return refuse(code::FAST_FORWARD, "leaps too far ahead");
    }
    *held = Some(next);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(epoch: u64, version: u64, content: &str) -> Reference {
        Reference { epoch, version, digest: Digest::of(content.as_bytes()) }
    }

    fn step(from: Option<Reference>, to: Reference) -> Result<()> {
        let mut held = from;
        let result = advance("it", &mut held, to);
        assert_eq!(held, if result.is_ok() { Some(to) } else { from }, "a refused step moves the mark");
        result
    }

    #[test]
    fn marks_go_forward_only() {
        let held = Some(reference(2, 7, "a"));
        for next in [(2, 7, "a"), (2, 8, "b"), (3, 1, "b"), (2, 7 + MAX_JUMP, "b")] {
            assert!(step(held, reference(next.0, next.1, next.2)).is_ok(), "{next:?}");
        }
        for (next, expected) in [
            ((2, 6, "a"), code::ROLLBACK),
            ((1, 9, "b"), code::ROLLBACK),
            ((2, 7, "b"), code::SAME_VERSION_TWICE),
            ((2, 8 + MAX_JUMP, "b"), code::FAST_FORWARD),
            ((3 + MAX_JUMP, 1, "b"), code::FAST_FORWARD),
            ((3, 1 + MAX_JUMP, "b"), code::FAST_FORWARD),
            ((u64::MAX, u64::MAX, "b"), code::FAST_FORWARD),
        ] {
            assert_eq!(step(held, reference(next.0, next.1, next.2)).unwrap_err().code(), expected, "{next:?}");
        }
        assert_eq!(step(None, reference(1, MAX_JUMP + 1, "a")).unwrap_err().code(), code::FAST_FORWARD);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let start = Timestamp::from_seconds(1_000_000);
        let mut marks = Marks::provision(start);
        assert_eq!(marks.advance_clock(start.plus(-CLOCK_SLACK)).unwrap(), start);
        assert_eq!(marks.advance_clock(start.plus(50)).unwrap(), start.plus(50));
        assert_eq!(marks.advance_clock(start.plus(-CLOCK_SLACK)).unwrap_err().code(), code::CLOCK_WENT_BACK);
    }

    fn some() -> Marks {
        let mut marks = Marks::provision(Timestamp::from_seconds(1_000_000));
        let role = Role::single(crate::keys::SecretKey::from_seed(&[1; 32]).public());
        let (tenant, job) = (Name::new("acme").unwrap(), Name::new("late").unwrap());
        marks.advance_policy("it", &tenant, reference(1, 1, "p"), &role).unwrap();
        marks.advance_job("it", &tenant, &job, JobMark::new(reference(1, 4, "j"), &BTreeSet::new())).unwrap();
        marks
    }

    #[test]
    fn a_new_epoch_begins_with_nothing() {
        let mut marks = some();
        let (tenant, job) = (Name::new("acme").unwrap(), Name::new("late").unwrap());
        let keys = marks.policy(&tenant).unwrap().1.clone();
        marks.advance_policy("it", &tenant, reference(1, 2, "q"), &keys).unwrap();
        assert!(marks.job(&tenant, &job).is_some());
        marks.advance_policy("it", &tenant, reference(2, 1, "r"), &keys).unwrap();
        assert!(marks.job(&tenant, &job).is_none());
    }

    #[test]
    fn files_read_what_they_write() {
        let marks = some();
        assert_eq!(Marks::decode(&marks.encode().unwrap()).unwrap(), marks);
    }

    #[test]
    fn a_missing_or_cut_file_is_not_an_empty_one() {
        let bytes = some().encode().unwrap();
        for cut in [0, 1, HEADER.len(), 90, bytes.len() - 1] {
            assert_eq!(Marks::decode(&bytes[..cut]).unwrap_err().code(), code::CORRUPT_MARKS, "{cut}");
        }
    }

    #[test]
    fn a_tenant_fills_up_its_own_marks_only() {
        let mut marks = some();
        let mut admit = |tenant: &str, job: usize| {
            let mark = JobMark::new(reference(1, 1, "j"), &BTreeSet::new());
            marks.advance_job("it", &Name::new(tenant).unwrap(), &Name::new(&format!("job-{job}")).unwrap(), mark)
        };
        for job in 1..MAX_JOBS {
            admit("acme", job).unwrap();
        }
        assert_eq!(admit("acme", MAX_JOBS).unwrap_err().code(), code::MARKS_FULL);
        assert!(admit("acme", 1).is_ok());
    }

    #[test]
    fn what_its_jobs_touch_fills_up_its_own_marks_too() {
        let mut marks = some();
        let mut admit = |job: usize, version: u64, touched: usize| {
            let touch = |n: usize| Digest::of(format!("{job} {n}").as_bytes());
            let touches = (0..touched).map(touch).collect();
            let mark = JobMark { release: reference(1, version, &version.to_string()), touches };
            marks.advance_job("it", &Name::new("acme").unwrap(), &Name::new(&format!("job-{job}")).unwrap(), mark)
        };
        let most = crate::statement::MAX_TOUCHES;
        for job in 0..MAX_TOUCHES / most {
            admit(job, 1, most).unwrap();
        }
        assert_eq!(admit(MAX_TOUCHES, 1, 1).unwrap_err().code(), code::MARKS_FULL);
        // A new version counts in place of the old one.
        admit(0, 2, most - 1).unwrap();
        admit(MAX_TOUCHES, 1, 1).unwrap();
        assert!(marks.encode().unwrap().len() < MAX_MARKS / 64, "a tenant takes more than its share");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_flipped_byte_is_found(at in any::<proptest::sample::Index>(), flip in 1_u8..) {
            let mut bytes = some().encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(Marks::decode(&bytes).unwrap_err().code(), code::CORRUPT_MARKS);
        }
    }
}
