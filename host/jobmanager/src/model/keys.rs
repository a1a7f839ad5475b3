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
}
