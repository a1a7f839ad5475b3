//! Under which key what stands. The only place that spells keys out, so that what lies beside what is seen at a glance;
//! numbers are padded so that they sort.

use crate::store::Key;
use lockgate_core::{Digest, Name};

/// A number as it sorts.
fn number(value: u64) -> String {
    format!("{value:020}")
}

/// All tenants.
pub fn tenants() -> Key {
    Key::new(["tenants"])
}

/// A tenant.
pub fn tenant(name: &Name) -> Key {
    Key::new(["tenants", name.as_str()])
}

/// All jobs of a tenant.
pub fn jobs(tenant: &Name) -> Key {
    Key::new(["jobs", tenant.as_str()])
}

/// The jobs of all tenants, for the reconciler.
pub fn all_jobs() -> Key {
    Key::new(["jobs"])
}

/// A job.
pub fn job(tenant: &Name, job: &Name) -> Key {
    Key::new(["jobs", tenant.as_str(), job.as_str()])
}

/// What a tenant uses: jobs, slots, memory, bytes of bundles.
pub fn usage(tenant: &Name) -> Key {
    Key::new(["usage", tenant.as_str()])
}

/// A tenant's quota.
pub fn quota(tenant: &Name) -> Key {
    Key::new(["quotas", tenant.as_str()])
}

/// The quotas of all tenants for which one is set.
pub fn quotas() -> Key {
    Key::new(["quotas"])
}

/// A job's events. By the job's id, so that a new job of an old name begins with none.
pub fn events(tenant: &Name, id: &str) -> Key {
    Key::new(["events", tenant.as_str(), id])
}

/// One event of a job.
pub fn event(tenant: &Name, id: &str, sequence: u64) -> Key {
    Key::new(["events", tenant.as_str(), id, &number(sequence)])
}

/// A job's exceptions.
pub fn exceptions(tenant: &Name, id: &str) -> Key {
    Key::new(["exceptions", tenant.as_str(), id])
}

/// One exception of a job.
pub fn exception(tenant: &Name, id: &str, sequence: u64) -> Key {
    Key::new(["exceptions", tenant.as_str(), id, &number(sequence)])
}

/// A job's figures, as they were last reported.
pub fn metrics(tenant: &Name, id: &str) -> Key {
    Key::new(["metrics", tenant.as_str(), id])
}

/// All bundles of a tenant.
pub fn bundles(tenant: &Name) -> Key {
    Key::new(["bundles", tenant.as_str()])
}

/// A bundle of a tenant, by the digest of its file.
pub fn bundle(tenant: &Name, digest: &Digest) -> Key {
    Key::new(["bundles", tenant.as_str(), &digest.hex()])
}

/// The bundles of all tenants: what refers to files.
pub fn all_bundles() -> Key {
    Key::new(["bundles"])
}

/// The versions of a trust document; `owner` is a tenant, or `@operator`, which no tenant can be called.
pub fn documents(owner: &str, kind: &str) -> Key {
    Key::new(["documents", owner, kind])
}

/// One of them.
pub fn document(owner: &str, kind: &str, epoch: u64, version: u64) -> Key {
    Key::new(["documents", owner, kind, &number(epoch), &number(version)])
}

/// Which version of each document is the newest.
pub fn newest(owner: &str) -> Key {
    Key::new(["newest", owner])
}

/// The marks against rollback by which a tenant's bundles are verified here.
pub fn marks(tenant: &Name) -> Key {
    Key::new(["marks", tenant.as_str()])
}

/// The TaskManagers that have joined.
pub fn taskmanagers() -> Key {
    Key::new(["taskmanagers"])
}

/// A TaskManager that has joined.
pub fn taskmanager(name: &Name) -> Key {
    Key::new(["taskmanagers", name.as_str()])
}

/// What was made under an idempotency key.
pub fn idempotency(principal: &str, key: &str) -> Key {
    Key::new(["idempotency", &Digest::of(principal.as_bytes()).hex(), &Digest::of(key.as_bytes()).hex()])
}

/// All that was made under idempotency keys.
pub fn all_idempotency() -> Key {
    Key::new(["idempotency"])
}

/// A run of a job: by the job's id, so that a new job of an old name begins with none.
pub fn run(tenant: &Name, id: &str, run: u64) -> Key {
    Key::new(["runs", tenant.as_str(), id, &number(run)])
}

/// The runs of all jobs of all tenants.
pub fn all_runs() -> Key {
    Key::new(["runs"])
}

/// A record of a run that is being made and does not count yet.
pub fn draft(tenant: &Name, id: &str, ledger: &str) -> Key {
    Key::new(["drafts", tenant.as_str(), id, ledger])
}

/// All records that are being made.
pub fn all_drafts() -> Key {
    Key::new(["drafts"])
}

/// All that is kept of a run but its head. `ledger` is the run's own random id.
pub fn ledger(tenant: &Name, id: &str, ledger: &str) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger])
}

/// The splits of a run.
pub fn splits(tenant: &Name, id: &str, ledger: &str) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "splits"])
}

/// A split of a run. Splits sort by their names as far as a key has room for them.
pub fn split(tenant: &Name, id: &str, ledger: &str, source: &Name, name: &str) -> Key {
    const ROOM: usize = 64;
    let end = (0..=ROOM.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    let (beginning, digest) = (name.get(..end).unwrap_or_default(), Digest::of(name.as_bytes()).hex());
    Key::new(["ledger", tenant.as_str(), id, ledger, "splits", source.as_str(), beginning, &digest])
}

/// The slots of a run that have committed.
pub fn slots(tenant: &Name, id: &str, ledger: &str) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "slots"])
}

/// What a slot committed last.
pub fn slot(tenant: &Name, id: &str, ledger: &str, slot: u32) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "slots", &number(slot.into())])
}

/// What a slot claimed last.
pub fn claim(tenant: &Name, id: &str, ledger: &str, slot: u32) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "claims", &number(slot.into())])
}

/// What a TaskManager was told when it opened a run.
pub fn opening(tenant: &Name, id: &str, ledger: &str, taskmanager: &Name) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "openings", taskmanager.as_str()])
}

/// Which outputs of a run are known to be published.
pub fn published(tenant: &Name, id: &str, ledger: &str) -> Key {
    Key::new(["ledger", tenant.as_str(), id, ledger, "published"])
}

/// Whether nothing that is to be done about a job depends on what stands here: what runs write of themselves.
pub fn is_quiet(key: &Key) -> bool {
    const QUIET: [&str; 6] = ["drafts", "events", "exceptions", "ledger", "metrics", "runs"];
    QUIET.iter().any(|first| key.starts_with(&Key::new([*first])))
}

/// The key that cursors are signed with.
pub fn cursor_key() -> Key {
    Key::new(["cursor-key"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_numbers() {
        assert!(document("acme", "root", 1, 9) < document("acme", "root", 1, 10));
        assert!(document("acme", "root", 1, 10) < document("acme", "root", 2, 1));
    }

    #[test]
    fn no_tenants_keys_reach_into_anothers() {
        let name = |text| Name::new(text).unwrap();
        let (a, ab) = (jobs(&name("a")), jobs(&name("ab")));
        assert!(!ab.as_bytes().starts_with(a.as_bytes()));
        assert!(job(&name("a"), &name("b")).as_bytes().starts_with(a.as_bytes()));
    }

    #[test]
    fn no_name_of_a_split_is_too_long_and_no_two_are_one() {
        let long = Name::new(&"x".repeat(Name::MAX)).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let of = |text: &str| split(&long, id, "0123456789abcdef", &long, text);
        for text in ["\u{0}".repeat(4_096), "ä".repeat(2_048), "\u{1}é".repeat(99), String::new()] {
            assert!(of(&text).as_bytes().len() <= crate::store::MAX_KEY, "{}", of(&text).as_bytes().len());
            assert_ne!(of(&text), of(&format!("{text}.")));
        }
        assert!(of("2013/09.parquet") < of("2013/10.parquet"));
        assert!(is_quiet(&of("a")) && !is_quiet(&job(&long, &long)));
    }
}
