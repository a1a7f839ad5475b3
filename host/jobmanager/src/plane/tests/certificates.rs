//! Certificates: what is granted is what is said and nothing that was asked for, and who is believed by whom.

use super::*;
use crate::plane::{Authority, PublicKey};
use crate::testing::Authority as Other;
use crate::world::request;
use lockgate_core::error::code;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const RSA: &str = include_str!("certificates/rsa-2048.csr");
const P384: &str = include_str!("certificates/p-384.csr");

#[test]
fn a_request_of_another_key_or_with_another_signature_is_refused() {
    let good = request().1;
    PublicKey::of_request(&good).unwrap();
    let der =
        |pem: &str| rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let pem = |der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    };
    PublicKey::of_request(&pem(&der(&good))).unwrap();
    let refused = |request: &str, why: &str| {
        let error = PublicKey::of_request(request).unwrap_err();
        assert_eq!(error.code(), code::CERTIFICATE_REQUEST);
        assert!(error.cause().contains(why), "{error} is not {why:?}");
    };
    // Somebody else's signature over one's own key: nobody gets a certificate for a key that he does not hold.
    let (mine, other) = (der(&good), der(&request().1));
    let info = |der: &[u8]| X509CertificationRequest::from_der(der).unwrap().1.certification_request_info.raw.to_vec();
    let behind = |der: &[u8]| der[3 + info(der).len()..].to_vec();
    let whole = |info: Vec<u8>, behind: Vec<u8>| {
        let content = [info, behind].concat();
        [vec![0x30, 0x81, u8::try_from(content.len()).unwrap()], content].concat()
    };
    assert_eq!(whole(info(&mine), behind(&mine)), mine);
    refused(&pem(&whole(info(&mine), behind(&other))), "not signed with its own key");
    // Every byte of what is signed counts.
    for at in 3..3 + info(&mine).len() {
        let mut changed = mine.clone();
        changed[at] ^= 1;
        assert!(PublicKey::of_request(&pem(&changed)).is_err(), "byte {at} does not count");
    }
    refused(RSA, "not of ECDSA P-256");
    refused(P384, "not of ECDSA P-256");
    refused("", "no PEM");
    refused(&pem(b""), "malformed");
    refused(&pem(&[mine.clone(), vec![0]].concat()), "something behind it");
    refused(&"x".repeat(1 << 20), "too long");
    for end in 0..mine.len() {
        assert!(PublicKey::of_request(&pem(&mine[..end])).is_err(), "{end}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_granted_does_not_use_the_token_up() {
    let site = Site::start("").await;
    let (_, token) = site.world.join_token(None).await;
    for wrong in [RSA, P384, "", "x"] {
        let answer = site.join(&token, "tm-1", wrong).await;
        assert_eq!((answer.status, answer.code()), (422, "LG1403"), "{answer:?}");
    }
    joined(&site.join(&token, "tm-1", &request().1).await);
}

#[tokio::test]
async fn what_else_a_request_asks_for_is_not_given() {
    let site = Site::start("").await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["jobmanager.example.org".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let uri = "spiffe://cluster.local/taskmanager/tm-9";
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let (_, token) = site.world.join_token(None).await;
    let certificate = joined(&site.join(&token, "tm-1", &request).await).certificate.chain;
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert!(!parsed.is_ca());
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(crate::tls::uris(&der), [format!("spiffe://{}/taskmanager/tm-1", site.world.service.domain())]);
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    // From five minutes before, for a day.
    let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    assert_eq!(to - from, 86_400 + 300);
    assert_eq!(parsed.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
}

#[tokio::test]
async fn certificates_of_others_mean_nothing_on_the_plane() {
    let folder = tempfile::tempdir().unwrap();
    let clients = Other::new(folder.path(), "clients");
    let domain = World::empty().await.service.domain().clone();
    let uri = format!("spiffe://{domain}/taskmanager/tm-1");
    let forged = clients.issue("forged", &[&uri]);
    let site = Site::start(&format!("[tls]\nclient-ca = {:?}\n", clients.ca())).await;
    let own = site.joined("tm-1").await;
    assert_eq!(site.get(&own, "/who").await.body, "tm-1");
    assert_eq!(site.get(&forged, "/who").await.status, 0, "a client of the API gets in");
    let nobody = site.trust().ask(site.plane, text("/who", "1.0", "close").as_bytes()).await;
    assert_eq!(nobody.status, 0, "nobody gets in");
    let old = site.trust().with(own.clone()).only_1_2().connect(site.plane).await;
    assert!(old.is_err(), "TLS 1.2 is spoken");
    // And the other way round: the API takes no TaskManager for a client, and no client takes the plane for the API.
    let api = Trust::of(&site.world.folder.path().join("data/tls/ca.pem"));
    let plain = b"GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(api.clone().with(own.clone()).ask(site.api, plain).await.status, 0);
    assert!(site.trust().connect(site.api).await.is_err(), "the API shows a certificate of the plane");
    assert!(api.with(own).connect(site.plane).await.is_err(), "the plane shows a certificate of the API");
}

#[tokio::test]
async fn without_a_client_authority_a_taskmanagers_certificate_says_nothing_to_the_api() {
    let site = Site::start("").await;
    let own = site.joined("tm-1").await;
    let api = Trust::of(&site.world.folder.path().join("data/tls/ca.pem"));
    let plain = b"GET /api/v1/taskmanagers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(api.with(own).ask(site.api, plain).await.code(), "LG1100");
}

#[tokio::test]
async fn a_certificate_that_is_in_no_record_is_refused() {
    let site = Site::start("").await;
    let (_, chain) = site.world.taskmanager("tm-1").await;
    let authority = site.world.service.plane().unwrap().0;
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let public = PublicKey::of_request(&request).unwrap();
    for called in ["tm-1", "tm-2"] {
        let issued = authority.issue(&name(called), &public, site.world.now()).unwrap();
        assert_ne!(issued.certificate.chain, chain);
        let files = site.files(&key.serialize_pem(), &issued.certificate.chain);
        let answer = site.get(&files, "/who").await;
        assert_eq!((answer.status, answer.code()), (403, "LG1401"), "{called}");
    }
    // One for another trust domain, of the same authority.
    let elsewhere = "elsewhere.example".parse().unwrap();
    let other = Authority::ensure(site.world.folder.path(), &elsewhere, &crate::world::plane()).unwrap();
    let issued = other.issue(&name("tm-1"), &public, site.world.now()).unwrap();
    let files = site.files(&key.serialize_pem(), &issued.certificate.chain);
    assert_eq!(site.get(&files, "/who").await.code(), "LG1401");
    assert!(audited(&site).await.contains("LG1401"), "denials are not recorded");
}

#[test]
fn the_authority_stays_and_its_key_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let ensure = || Authority::ensure(folder.path(), &"cluster.local".parse().unwrap(), &crate::world::plane());
    let first = ensure().unwrap();
    assert_eq!(ensure().unwrap().certificate(), first.certificate());
    let key = folder.path().join("plane/ca.key");
    let set = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    set(0o640);
    assert_eq!(ensure().unwrap_err().code(), code::EXPOSED_TO_OTHERS);
    set(0o600);
    assert!(!format!("{first:?}").contains(std::fs::read_to_string(&key).unwrap().lines().nth(1).unwrap()));
    std::fs::write(&key, "x").unwrap();
    assert_eq!(ensure().unwrap_err().code(), code::DATA_DIRECTORY);
}
