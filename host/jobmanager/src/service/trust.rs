//! Trust documents: taken in when their signatures and their place in the chain are right, kept with their history, and
//! served as a set that holds together. The JobManager is trusted with none of it: TaskManagers verify the same again.

use super::chain::KeptMarks;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::model::trust::{Kind, OPERATOR, Stored};
use crate::model::{Kept, keys};
use lockgate_core::bundle::ReadLimits;
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::keys::Role;
use lockgate_core::trust::{
    Document, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, parse, peek,
};
use lockgate_core::verify::{Admission, Request, learn};
use lockgate_core::{Error, Name, Result, Timestamp};

impl Listed for Stored {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }
}

/// What a document says of itself, once its signatures are found right.
struct Claim {
    reference: Reference,
    expires: Timestamp,
}

/// Where a document belongs.
fn owner(tenant: Option<&Name>) -> &str {
    tenant.map_or(OPERATOR, Name::as_str)
}

fn resource(tenant: Option<&Name>, kind: Kind) -> Resource {
    let all = tenant.map_or_else(|| Resource::cluster("trust"), |tenant| Resource::of(tenant.clone(), "trust"));
    all.named(kind.as_str())
}

impl Service {
    /// The newest version of a document; `tenant` for the documents of one.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn trust_document(&self, call: &Call, tenant: Option<&Name>, kind: Kind) -> Result<Kept<Stored>> {
        let resource = self.may_read_trust(call, tenant, kind).await?;
        let newest = self.newest(owner(tenant)).await?.record.of.get(&kind).copied();
        let newest = newest.ok_or_else(|| not_found(&resource))?;
        let found = self.stored(owner(tenant), kind, newest.epoch, newest.version).await?;
        found.ok_or_else(|| not_found(&resource))
    }

    /// One version of a document.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn trust_version(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        kind: Kind,
        (epoch, version): (u64, u64),
    ) -> Result<Kept<Stored>> {
        let resource = self.may_read_trust(call, tenant, kind).await?;
        self.stored(owner(tenant), kind, epoch, version).await?.ok_or_else(|| not_found(&resource))
    }

    /// The versions of a document, oldest first.
    ///
    /// # Errors
    /// `LG1102` if the caller may see none.
    pub async fn trust_history(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        kind: Kind,
        filter: &Filter,
    ) -> Result<Page<Stored>> {
        self.may_read_trust(call, tenant, kind).await?;
        self.list(call, &keys::documents(owner(tenant), kind.as_str()), filter).await
    }

    /// The set of documents that holds for a tenant: what whoever verifies its bundles needs.
    ///
    /// # Errors
    /// `LG1014` if it is not whole, `LG1102` if the caller may see no such tenant.
    pub async fn trust_set(&self, call: &Call, tenant: &Name) -> Result<Documents> {
        let resource = Resource::of(tenant.clone(), "trust");
        self.allow(call, Action::ReadTrust, &resource).await?;
        self.tenant(tenant, &resource).await?;
        self.trust_for(tenant).await
    }

    async fn may_read_trust(&self, call: &Call, tenant: Option<&Name>, kind: Kind) -> Result<Resource> {
        let resource = resource(tenant, kind);
        // The operator's documents say nothing of a tenant to another: every tenant needs them to check its own.
        match (tenant, &call.caller.tenant) {
            (None, Some(own)) => self.allow(call, Action::ReadTrust, &Resource::of(own.clone(), "trust")).await?,
            _ => self.allow(call, Action::ReadTrust, &resource).await?,
        }
        if let Some(tenant) = tenant {
            self.tenant(tenant, &resource).await?;
        }
        Ok(resource)
    }

    /// Takes in a document. The same one again is no change.
    ///
    /// # Errors
    /// `LG04nn` if its signatures, audience, times or version are not right, `LG1015` if it names a document that is not
    /// here, `LG11nn` if the caller may not.
    pub async fn upload_trust(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        kind: Kind,
        envelope: &Envelope,
    ) -> Result<Kept<Stored>> {
        let resource = resource(tenant, kind);
        let action = match kind {
            Kind::OperatorRoot | Kind::OperatorStatus | Kind::Policy => Action::WriteOperatorTrust,
            Kind::Root => Action::WriteTenantTrust,
            Kind::Status => Action::WriteTenantStatus,
        };
        self.allow(call, action, &resource).await?;
        let work = || self.try_upload_trust(call, tenant, kind, envelope, (action, &resource));
        let result = self.records.attempt(work).await;
        self.noted(call, action, &resource, result).await
    }

    async fn try_upload_trust(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        kind: Kind,
        envelope: &Envelope,
        (action, resource): (Action, &Resource),
    ) -> Result<Kept<Stored>> {
        if let Some(tenant) = tenant {
            self.tenant(tenant, resource).await?;
        }
        let owner = owner(tenant);
        let mut newest = self.newest(owner).await?;
        let claim = match (kind, tenant) {
            (Kind::OperatorRoot, None) => self.check_operator_root(envelope).await?,
            (Kind::OperatorStatus, None) => self.check_operator_status(envelope).await?,
            (Kind::Policy, Some(tenant)) => self.check_policy(tenant, envelope).await?,
            (Kind::Root, Some(tenant)) => self.check_tenant_root(tenant, envelope).await?,
            (Kind::Status, Some(tenant)) => self.check_tenant_status(tenant, envelope).await?,
            _ => return Err(not_found(resource)),
        };
        let Claim { reference, expires } = claim;
        let held = newest.record.of.get(&kind).copied();
        if held == Some(reference)
            && let Some(same) = self.stored(owner, kind, reference.epoch, reference.version).await?
        {
            return Ok(same);
        }
        check_forward(kind, held, reference)?;
        if expires <= self.now() {
            let cause = format!("{} {reference} expired at {expires}", kind.as_str());
            return Err(Error::new(code::EXPIRED, cause));
        }
        let stored = Stored {
            kind,
            reference,
            expires,
            uploaded: self.now(),
            uploaded_by: call.caller.principal.clone(),
            envelope: envelope.clone(),
        };
        newest.record.of.insert(kind, reference);
        let mut change = Change::default();
        match newest.revision {
            0 => change.create(keys::newest(owner), &newest.record)?,
            revision => change.replace(keys::newest(owner), revision, &newest.record)?,
        }
        change.create(keys::document(owner, kind.as_str(), reference.epoch, reference.version), &stored)?;
        let event = self.done(call, action, resource).detail("version", reference.version.to_string());
        let event = if reference.epoch == 0 { event } else { event.detail("epoch", reference.epoch.to_string()) };
        change.event(event.detail("digest", reference.digest.to_string()));
        let revision = self.records.commit(change).await?;
        if let Some(tenant) = tenant {
            self.learn_from(tenant).await;
        }
        Ok(Kept { revision, record: stored })
    }

    /// Lets a tenant's marks know of what its documents say now. While the set is not whole there is nothing to know.
    async fn learn_from(&self, tenant: &Name) {
        let work = || async {
            let set = self.document_set(tenant).await?;
            let kept = self.marks(tenant).await?;
            let marks = KeptMarks::of(kept.as_ref(), self.now());
            let learnt = learn(&Request {
                pinned: &set.pinned,
                documents: &set.documents,
                domain: &self.options.domain,
                tenant,
                marks: &marks,
                now: self.now(),
                admission: Admission::Start,
                read: ReadLimits::default(),
            })?;
            let mut change = Change::default();
            change.put(keys::marks(tenant), kept.as_ref(), &KeptMarks(learnt))?;
            self.records.commit(change).await
        };
        if let Err(error) = self.records.attempt(work).await {
            tracing::info!(%tenant, %error, "a tenant's trust documents do not hold together yet");
        }
    }

    /// The first is taken as the operator's word; every further one follows on its predecessor by both thresholds.
    async fn check_operator_root(&self, envelope: &Envelope) -> Result<Claim> {
        let root: OperatorRoot = peek(envelope)?;
        let newest = self.newest(OPERATOR).await?.record.of.get(&Kind::OperatorRoot).copied();
        if let Some(held) = newest.filter(|held| *held != root.reference(envelope)) {
            let current: OperatorRoot = peek(&self.named(OPERATOR, Kind::OperatorRoot, held).await?)?;
            if root.version > current.version && root.version != current.version.saturating_add(1) {
                let cause = format!("operator root {} does not follow version {}", root.version, current.version);
                return Err(Error::new(code::ROOT_CHAIN, cause));
            }
            if root.version > current.version {
                self.verified::<OperatorRoot>(envelope, &current.root)?;
            }
        }
        self.verified::<OperatorRoot>(envelope, &root.root).map(|(_, claim)| claim)
    }

    async fn check_operator_status(&self, envelope: &Envelope) -> Result<Claim> {
        let status: OperatorStatus = peek(envelope)?;
        let root: OperatorRoot = peek(&self.here(OPERATOR, Kind::OperatorRoot, status.root).await?)?;
        let (status, claim) = self.verified::<OperatorStatus>(envelope, &root.status)?;
        for (tenant, policy) in &status.policies {
            // Of tenants that are not on this cluster nothing is known.
            if self.newest(tenant).await?.record.of.contains_key(&Kind::Policy) {
                self.here(tenant, Kind::Policy, *policy).await?;
            }
        }
        Ok(claim)
    }

    async fn check_policy(&self, tenant: &Name, envelope: &Envelope) -> Result<Claim> {
        let root: OperatorRoot = self.newest_document(OPERATOR, Kind::OperatorRoot).await?;
        let (policy, claim) = self.verified::<TenantPolicy>(envelope, &root.root)?;
        require_tenant("the policy", tenant, &policy.tenant)?;
        let newest = self.newest(tenant).await?.record.of.get(&Kind::Policy).copied();
        if let Some(held) = newest.filter(|held| held.epoch == claim.reference.epoch) {
            let held: TenantPolicy = peek(&self.named(tenant, Kind::Policy, held).await?)?;
            if held.root != policy.root {
                let consent = envelope.verify(TenantPolicy::NAME, TenantPolicy::PAYLOAD_TYPE, &held.root);
                consent.map_err(|error| {
                    let cause = format!(
                        "policy version {} changes the root keys of tenant {tenant} without the old keys' consent: {}",
                        policy.version,
                        error.cause()
                    );
                    Error::new(code::ROTATION_UNSIGNED, cause)
                })?;
            }
        }
        Ok(claim)
    }

    async fn check_tenant_root(&self, tenant: &Name, envelope: &Envelope) -> Result<Claim> {
        let policy: TenantPolicy = self.newest_document(tenant, Kind::Policy).await?;
        let (root, claim) = self.verified::<TenantRoot>(envelope, &policy.root)?;
        require_tenant("the tenant root", tenant, &root.tenant)?;
        require_epoch("the tenant root", root.epoch, &policy)?;
        Ok(claim)
    }

    async fn check_tenant_status(&self, tenant: &Name, envelope: &Envelope) -> Result<Claim> {
        let policy: TenantPolicy = self.newest_document(tenant, Kind::Policy).await?;
        let peeked: TenantStatus = peek(envelope)?;
        require_tenant("the tenant's status", tenant, &peeked.tenant)?;
        require_epoch("the tenant's status", peeked.epoch, &policy)?;
        let root: TenantRoot = peek(&self.here(tenant, Kind::Root, peeked.root).await?)?;
        let (status, claim) = self.verified::<TenantStatus>(envelope, &root.status)?;
        let days = status.expires.seconds().saturating_sub(status.issued.seconds());
        if days > i64::from(policy.status_days) * 86_400 {
            let cause = format!("the tenant's status lives longer than the {} days of its policy", policy.status_days);
            return Err(Error::new(code::STATUS_TOO_LONG, cause));
        }
        Ok(claim)
    }

    /// Reads a document that the threshold of `role` signed and that is for this cluster.
    fn verified<D: Document>(&self, envelope: &Envelope, role: &Role) -> Result<(D, Claim)> {
        let document: D = parse(envelope.verify(D::NAME, D::PAYLOAD_TYPE, role)?.payload)?;
        document.audience().require(D::NAME, &self.options.domain)?;
        let claim = Claim { reference: document.reference(envelope), expires: document.expires() };
        Ok((document, claim))
    }

    async fn newest_document<D: Document>(&self, owner: &str, kind: Kind) -> Result<D> {
        let newest = self.newest(owner).await?.record.of.get(&kind).copied();
        let none = || Error::new(code::NO_TRUST, format!("there is no {} yet to check this by", kind.as_str()));
        peek(&self.named(owner, kind, newest.ok_or_else(none)?).await?)
    }

    /// The document that an upload names, which must be here.
    async fn here(&self, owner: &str, kind: Kind, reference: Reference) -> Result<Envelope> {
        self.named(owner, kind, reference).await.map_err(|error| match error.code() {
            code::NO_TRUST => {
                let cause = format!("it names {} {reference}, which is not here", kind.as_str());
                Error::new(code::UNNAMED_DOCUMENT, cause).help(format!("upload that {} first", kind.as_str()))
            }
            _ => error,
        })
    }
}

/// Versions only rise, and none exists twice.
fn check_forward(kind: Kind, held: Option<Reference>, next: Reference) -> Result<()> {
    let Some(held) = held else { return Ok(()) };
    let (old, new) = ((held.epoch, held.version), (next.epoch, next.version));
    let name = kind.as_str();
    if new < old {
        return Err(Error::new(code::ROLLBACK, format!("{name} goes back: it is {next}, {held} is known here")));
    }
    if new == old {
        let cause = format!("{name} exists twice in one version: it is {next}, {held} is known here");
        return Err(Error::new(code::SAME_VERSION_TWICE, cause));
    }
    Ok(())
}

fn require_tenant(what: &str, tenant: &Name, found: &Name) -> Result<()> {
    if tenant == found {
        return Ok(());
    }
    Err(Error::new(code::WRONG_TENANT, format!("{what} is of tenant {found}, not {tenant}")))
}

fn require_epoch(what: &str, found: u64, policy: &TenantPolicy) -> Result<()> {
    if found == policy.epoch {
        return Ok(());
    }
    Err(Error::new(code::WRONG_EPOCH, format!("{what} is of epoch {found}, its tenant is in epoch {}", policy.epoch)))
}
