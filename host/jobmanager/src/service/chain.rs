//! Which trust documents hold for a tenant: the newest statuses, and exactly what they name. So a new root or policy can be
//! uploaded ahead of the status that makes it current, and the set that is served always holds together.

use super::Service;
use crate::model::trust::{Kind, Newest, OPERATOR, Stored};
use crate::model::{Kept, keys};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::trust::chain::MAX_CHAIN;
use lockgate_core::trust::{Documents, OperatorStatus, Reference, TenantStatus, peek};
use lockgate_core::{Error, Name, Result};

/// The marks by which a tenant's bundles are verified, as the store keeps them.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct KeptMarks(pub Marks);

impl crate::model::Record for KeptMarks {
    const NAME: &'static str = "the marks of a tenant";
}

/// A set of documents, and the operator root that the first of them were checked against.
pub(super) struct Set {
    pub pinned: Envelope,
    pub documents: Documents,
}

impl Service {
    /// The set of documents that holds for a tenant.
    ///
    /// # Errors
    /// `LG1014`, saying which document is missing.
    pub(super) async fn document_set(&self, tenant: &Name) -> Result<Set> {
        let operator = self.newest(OPERATOR).await?.record;
        let own = self.newest(tenant).await?.record;
        let operator_status = self.newest_of(OPERATOR, Kind::OperatorStatus, &operator).await?;
        let named: OperatorStatus = peek(&operator_status)?;
        let tenant_status = self.newest_of(tenant, Kind::Status, &own).await?;
        let tenant_root = self.named(tenant, Kind::Root, peek::<TenantStatus>(&tenant_status)?.root).await?;
        let policy = named.policies.get(tenant).copied();
        let policy = policy.ok_or_else(|| missing("the operator's status names no policy for this tenant"))?;
        self.named(tenant, Kind::Policy, policy).await?;
        let up_to = |reference: Reference| {
            move |stored: &Stored| {
                (stored.reference.epoch, stored.reference.version) <= (reference.epoch, reference.version)
            }
        };
        let mut roots = self.versions(OPERATOR, Kind::OperatorRoot, up_to(named.root)).await?.into_iter();
        let pinned = roots.next().ok_or_else(|| missing("there is no operator root"))?;
        let policies = self.versions(tenant, Kind::Policy, up_to(policy)).await?;
        let operator_roots = roots.collect();
        let documents = Documents { operator_roots, operator_status, policies, tenant_root, tenant_status };
        Ok(Set { pinned, documents })
    }

    /// Which versions are the newest of an owner's documents.
    pub(super) async fn newest(&self, owner: &str) -> Result<Kept<Newest>> {
        let kept = self.records.get::<Newest>(&keys::newest(owner)).await?;
        Ok(kept.unwrap_or(Kept { revision: 0, record: Newest::default() }))
    }

    async fn newest_of(&self, owner: &str, kind: Kind, newest: &Newest) -> Result<Envelope> {
        let reference = newest.of.get(&kind).copied();
        let reference = reference.ok_or_else(|| missing(&format!("there is no {}", kind.as_str())))?;
        self.named(owner, kind, reference).await
    }

    /// The document that a reference names.
    pub(super) async fn named(&self, owner: &str, kind: Kind, reference: Reference) -> Result<Envelope> {
        let stored = self.stored(owner, kind, reference.epoch, reference.version).await?;
        let stored = stored.filter(|kept| kept.record.reference == reference);
        let none = || missing(&format!("{} {reference} is named and not here", kind.as_str()));
        Ok(stored.ok_or_else(none)?.record.envelope)
    }

    /// One version of a document.
    pub(super) async fn stored(
        &self,
        owner: &str,
        kind: Kind,
        epoch: u64,
        version: u64,
    ) -> Result<Option<Kept<Stored>>> {
        self.records.get::<Stored>(&keys::document(owner, kind.as_str(), epoch, version)).await
    }

    /// The versions of a document that fit, in their order; the newest of them if there are too many for a set.
    async fn versions(&self, owner: &str, kind: Kind, fits: impl Fn(&Stored) -> bool) -> Result<Vec<Envelope>> {
        let (prefix, mut after) = (keys::documents(owner, kind.as_str()), None);
        let mut envelopes = std::collections::VecDeque::new();
        loop {
            // One at a time would be many reads; a page of the largest is still bounded.
            let found = self.records.scan::<Stored>(&prefix, after.as_ref(), 16).await?;
            let Some((last, _)) = found.last() else { return Ok(envelopes.into()) };
            after = Some(last.clone());
            for (_, kept) in found.into_iter().filter(|(_, kept)| fits(&kept.record)) {
                envelopes.push_back(kept.record.envelope);
                if envelopes.len() > MAX_CHAIN {
                    envelopes.pop_front();
                }
            }
        }
    }

    /// The marks of a tenant; fresh ones if it has none yet.
    pub(super) async fn marks(&self, tenant: &Name) -> Result<Option<Kept<KeptMarks>>> {
        self.records.get(&keys::marks(tenant)).await
    }
}

impl KeptMarks {
    /// What was kept, or marks that have seen nothing: every tenant begins so.
    pub(super) fn of(kept: Option<&Kept<Self>>, now: lockgate_core::Timestamp) -> Marks {
        kept.map_or_else(|| Marks::provision(now), |kept| kept.record.0.clone())
    }
}

fn missing(why: &str) -> Error {
    Error::new(code::NO_TRUST, format!("the tenant's trust documents are not whole: {why}"))
}
