//! Bundles: verified before they are kept, kept once, and nothing left of those that are refused.

use crate::fair_use::Kind as QuotaKind;
use crate::service::Filter;
use crate::service::changes::Precondition;
use crate::service::tenants::NewTenant;
use crate::world::{DAY, World, deployer, draft, keys, name, operator, package, viewer};
use futures_util::stream;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn a_bundle_is_kept_once() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    let digest = world.upload("acme", "late", &package).await;
    assert_eq!(digest, Digest::of(&package.to_bytes().unwrap()));
    let used = world.service.quota(&viewer("acme"), &name("acme")).await.unwrap().usage.get(QuotaKind::BundleBytes);
    assert_eq!(used, package.to_bytes().unwrap().len() as u64);
    // Named by its digest, it is not even read.
    let body = stream::iter([Err::<Vec<u8>, Error>(Error::new(code::INTERNAL, "read"))]);
    let again = world.service.upload_bundle(&deployer("acme"), &name("acme"), (Some(&digest), None), body).await;
    assert!(again.unwrap().replayed);
    world.upload_bytes("acme", package.to_bytes().unwrap()).await.unwrap();
    let after = world.service.quota(&viewer("acme"), &name("acme")).await.unwrap().usage.get(QuotaKind::BundleBytes);
    assert_eq!(used, after);
    assert_eq!(world.files().len(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_refused_upload() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let good = package("acme", "late", 1, None, world.now());
    world.status("acme", BTreeMap::from([(name("late"), good.release().unwrap())])).await;
    let bytes = good.to_bytes().unwrap();
    let mut flipped = bytes.clone();
    *flipped.get_mut(3_000).unwrap() ^= 1;
    let cut = bytes[..bytes.len() / 2].to_vec();
    let unsigned = draft("acme", "late", 1, world.now()).package(None).unwrap();
    let mut widened = draft("acme", "late", 1, world.now());
    widened.manifest.sink.values_mut().for_each(|sink| sink.volume = Some(name("elsewhere")));
    let mut widened = widened.package(None).unwrap();
    widened.envelope.sign(&keys(&name("acme")).signer).unwrap();
    let unnamed = package("acme", "other", 1, None, world.now());
    let mut large = bytes.clone();
    large.resize(2 << 20, 0);
    for (what, bytes, expected) in [
        ("flipped", flipped, None),
        ("cut", cut, None),
        ("large", large, Some(code::BUNDLE_TOO_LARGE)),
        ("unsigned", unsigned.to_bytes().unwrap(), Some(code::UNTRUSTED_SIGNER)),
        ("widened", widened.to_bytes().unwrap(), Some(code::NOT_GRANTED)),
        ("unnamed", unnamed.to_bytes().unwrap(), Some(code::NOT_CURRENT)),
        ("empty", Vec::new(), None),
    ] {
        let error = world.upload_bytes("acme", bytes).await.unwrap_err();
        assert!(expected.is_none_or(|expected| error.code() == expected), "{what}: {error}");
        assert_eq!(world.files(), Vec::<String>::new(), "{what}");
    }
    let broken = stream::iter(vec![Ok(bytes[..100].to_vec()), Err(Error::new(code::MALFORMED_REQUEST, "gone"))]);
    let result = world.service.upload_bundle(&deployer("acme"), &name("acme"), (None, None), broken).await;
    assert_eq!(result.unwrap_err().code(), code::MALFORMED_REQUEST);
    let other = Digest::of(b"other");
    let body = stream::iter(vec![Ok::<_, Error>(bytes.clone())]);
    let result = world.service.upload_bundle(&deployer("acme"), &name("acme"), (Some(&other), None), body).await;
    assert_eq!(result.unwrap_err().code(), code::DIGEST_MISMATCH);
    assert_eq!(world.files(), Vec::<String>::new());
    let page = world.service.bundles(&viewer("acme"), &name("acme"), &Filter::all()).await.unwrap();
    assert_eq!(page.items.len(), 0);
    world.upload_bytes("acme", bytes).await.unwrap();
}

#[tokio::test]
async fn a_bundle_of_another_tenant_is_refused() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.tenant("bolt").await;
    let foreign = package("bolt", "late", 1, None, world.now());
    assert!(world.upload_bytes("acme", foreign.to_bytes().unwrap()).await.is_err());
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn no_body_is_read_without_trust_documents_or_room() {
    let world = World::empty().await;
    let new = NewTenant { name: name("acme"), labels: BTreeMap::new() };
    world.service.create_tenant(&operator(), None, &new).await.unwrap();
    let unread = || stream::iter([Err::<Vec<u8>, Error>(Error::new(code::INTERNAL, "read"))]);
    let upload = |announced: Option<u64>| {
        let world = &world;
        async move {
            let result =
                world.service.upload_bundle(&deployer("acme"), &name("acme"), (None, announced), unread()).await;
            result.unwrap_err().code()
        }
    };
    assert_eq!(upload(None).await, code::NO_TRUST);
    let world = World::empty().await;
    world.tenant("acme").await;
    let values = BTreeMap::from([(QuotaKind::BundleBytes, 100)]);
    world.service.set_quota(&operator(), &name("acme"), &values, Precondition::Unstated).await.unwrap();
    let result: Result<_> =
        world.service.upload_bundle(&deployer("acme"), &name("acme"), (None, Some(101)), unread()).await;
    assert_eq!(result.unwrap_err().code(), code::QUOTA_EXCEEDED);
    let package = package("acme", "late", 1, None, world.now());
    world.status("acme", BTreeMap::from([(name("late"), package.release().unwrap())])).await;
    let unannounced = world.upload_bytes("acme", package.to_bytes().unwrap()).await;
    assert_eq!(unannounced.unwrap_err().code(), code::QUOTA_EXCEEDED);
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_bundle_goes_when_no_job_needs_it() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = world.job("acme", "late").await;
    let digest = Digest::of(&package.to_bytes().unwrap());
    let (call, acme) = (deployer("acme"), name("acme"));
    let error = world.service.delete_bundle(&call, &acme, &digest, Precondition::Unstated).await;
    assert_eq!(error.unwrap_err().code(), code::BUNDLE_IN_USE);
    assert_eq!(world.service.collect_bundles(Duration::ZERO).await.unwrap(), Vec::new());
    let unused = crate::world::package("acme", "other", 1, None, world.now());
    let unused = world.upload("acme", "other", &unused).await;
    world.service.delete_bundle(&deployer("acme"), &name("acme"), &unused, Precondition::Unstated).await.unwrap();
    assert!(world.service.bundle(&viewer("acme"), &name("acme"), &unused).await.is_err());
    assert_eq!(world.service.collect_bundles(Duration::ZERO).await.unwrap(), [unused]);
    assert_eq!(world.files().len(), 1);
}

#[tokio::test]
async fn expired_documents_keep_bundles_out() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    world.status("acme", BTreeMap::from([(name("late"), package.release().unwrap())])).await;
    world.pass(7 * DAY);
    let error = world.upload_bytes("acme", package.to_bytes().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), code::STALE_STATUS);
}
