//! Client certificates: whose the one with a URI among its alternative names is. Effective and revoked with the next
//! request, since whoever authenticates looks each time.
//!
//! Which URI is whose is the operator's to say, as the authority is that signs them: were it a tenant's, one could claim
//! the name of another's certificate. The tenant's administrators see them and can take them away.

use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::credentials::keys as places;
use crate::credentials::{CertificateRecord, Member, is_uri};
use crate::model::{Kept, Record};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};

/// The longest URI, in bytes: it is part of a key.
const MAX_URI: usize = 256;
/// The most certificates of a member.
const MAX_CERTIFICATES: usize = 100;

impl Record for CertificateRecord {
    const NAME: &'static str = "a certificate";
    const FRAMED: bool = false;
}

impl Listed for CertificateRecord {
    fn name(&self) -> &str {
        &self.principal
    }
}

fn resource(tenant: Option<&Name>, uri: Option<&str>) -> Resource {
    let all =
        tenant.map_or_else(|| Resource::cluster("certificate"), |tenant| Resource::of(tenant.clone(), "certificate"));
    if let Some(uri) = uri { all.named(uri) } else { all }
}

impl Service {
    /// The certificates of a tenant's members, or of the operator's people. `name` is compared with whose they are.
    ///
    /// # Errors
    /// `LG1102` if the caller may see none.
    pub async fn certificates(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        filter: &Filter,
    ) -> Result<Page<CertificateRecord>> {
        let resource = resource(tenant, None);
        self.allow(call, Action::ReadMembers, &resource).await?;
        self.of_tenant(tenant, &resource).await?;
        self.list(call, &places::certificates_of(tenant), filter).await
    }

    /// Takes a certificate with this URI as `principal`'s from the next request on.
    ///
    /// # Errors
    /// `LG1001` if it is no URI, `LG1011` if it is somebody else's, `LG1102` if there is no such member, `LG1112` for more
    /// than 100 of a member, `LG11nn` if the caller may not.
    pub async fn map_certificate(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        uri: &str,
        principal: &str,
    ) -> Result<Kept<CertificateRecord>> {
        let resource = resource(tenant, Some(uri));
        self.allow(call, Action::MapCertificates, &resource).await?;
        let work = || async {
            if !is_uri(uri) || uri.len() > MAX_URI {
                let cause =
                    format!("what names a certificate is not a URI of at most {MAX_URI} visible ASCII characters");
                return Err(Error::new(code::MALFORMED_REQUEST, cause));
            }
            self.of_tenant(tenant, &resource).await?;
            let missing =
                || not_found(&Resource { name: Some(principal.to_owned()), kind: "member", ..resource.clone() });
            let place = places::member(tenant, principal);
            let member = self.records.get::<Member>(&place).await?.ok_or_else(missing)?;
            if let Some(kept) = self.records.get::<CertificateRecord>(&places::certificate(uri)).await? {
                if kept.record.principal == principal && kept.record.tenant.as_ref() == tenant {
                    return Ok(kept);
                }
                let cause = format!("a certificate with the URI {uri} is somebody's already");
                return Err(Error::new(code::ALREADY_EXISTS, cause).help("remove it there first"));
            }
            let own = places::certificates_of_member(tenant, principal);
            if self.records.scan::<CertificateRecord>(&own, None, MAX_CERTIFICATES).await?.len() >= MAX_CERTIFICATES {
                let cause = format!("{principal} has {MAX_CERTIFICATES} certificates already");
                return Err(Error::new(code::QUOTA_EXCEEDED, cause));
            }
            let record = CertificateRecord {
                uri: uri.to_owned(),
                principal: principal.to_owned(),
                tenant: tenant.cloned(),
                created: self.now(),
                created_by: call.caller.principal.clone(),
            };
            let mut change = Change::default();
            change.require(place, member.revision);
            change.create(places::certificate(uri), &record)?;
            change.create(places::certificate_of(tenant, principal, uri), &record)?;
            change.event(self.done(call, Action::MapCertificates, &resource).detail("principal", principal));
            let revision = self.records.commit(change).await?;
            Ok(Kept { revision, record })
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::MapCertificates, &resource, result).await
    }

    /// Takes a certificate with this URI no more, from the next request on.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see, `LG1101` if he may not.
    pub async fn unmap_certificate(&self, call: &Call, tenant: Option<&Name>, uri: &str) -> Result<()> {
        let resource = resource(tenant, Some(uri));
        self.allow(call, Action::RevokeTokens, &resource).await?;
        let work = || async {
            self.of_tenant(tenant, &resource).await?;
            let found = self.records.get::<CertificateRecord>(&places::certificate(uri)).await?;
            let kept = found.filter(|kept| kept.record.tenant.as_ref() == tenant);
            let kept = kept.ok_or_else(|| not_found(&resource))?;
            let principal = kept.record.principal;
            let mut change = Change::default();
            change.remove(places::certificate(uri), kept.revision);
            change.clear(places::certificate_of(tenant, &principal, uri));
            change.event(self.done(call, Action::RevokeTokens, &resource).detail("principal", principal));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::RevokeTokens, &resource, result).await
    }

    /// Adds to `change` that a member's certificates are taken no more; how many there are.
    pub(super) async fn clear_certificates(
        &self,
        change: &mut Change,
        tenant: Option<&Name>,
        principal: &str,
    ) -> Result<usize> {
        let own = places::certificates_of_member(tenant, principal);
        let found = self.records.scan::<CertificateRecord>(&own, None, MAX_CERTIFICATES).await?;
        for (key, kept) in &found {
            change.clear(key.clone());
            change.clear(places::certificate(&kept.record.uri));
        }
        Ok(found.len())
    }
}
