//! Certificates that are made, renewed, replaced and refused.

use super::*;
use crate::testing::{Authority, Running, Trust, config, soon};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn code_of(folder: &Path, text: &str) -> lockgate_core::Code {
    of(&config(folder, text)).unwrap_err().code()
}

/// The certificate that a server shows.
async fn shown(server: &Running, trust: &Trust) -> Vec<u8> {
    let stream = trust.connect(server.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn the_first_start_makes_what_is_missing_for_nobody_else_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    lockgate_server::private::directory(&config.data).unwrap();
    let (_, made) = of(&config).unwrap();
    let made = made.unwrap();
    assert!(made.new_authority);
    assert_eq!(mode(&made.folder), 0o700);
    for key in [made.key(), made.folder.join("ca.key")] {
        assert_eq!(mode(&key), 0o600, "{}", key.display());
    }
    let before = std::fs::read(made.certificate()).unwrap();
    let (_, again) = of(&config).unwrap();
    assert!(!again.unwrap().new_authority, "a second start makes another authority");
    assert_eq!(std::fs::read(made.certificate()).unwrap(), before, "a second start makes another certificate");
}

#[test]
fn the_certificate_is_made_anew_when_names_change_or_it_grows_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), "");
    let (_, made) = of(&config).unwrap();
    let made = made.unwrap();
    let read = || (std::fs::read(made.certificate()).unwrap(), std::fs::read(made.ca()).unwrap());
    let first = read();
    config.names.push("jobs.example.org".into());
    let (tls, _) = of(&config).unwrap();
    let second = read();
    assert!(first.0 != second.0 && first.1 == second.1, "the authority stays, the certificate does not");
    assert!(!tls.reload().unwrap());
    let old = SystemTime::now() - Duration::from_secs(61 * 86_400);
    std::fs::File::options().append(true).open(made.certificate()).unwrap().set_modified(old).unwrap();
    assert!(tls.reload().unwrap());
    assert!(read().0 != second.0 && read().1 == first.1);
}

#[test]
fn a_start_with_keys_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let (certificate, key) = authority.issue("server", &[]);
    let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}");
    of(&config(folder.path(), &text)).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        assert_eq!(code_of(folder.path(), &text), code::EXPOSED_TO_OTHERS, "{mode:o}");
    }
    // The same for what was made here, and for the folder that it is in.
    let own = tempfile::tempdir().unwrap();
    let (_, made) = of(&config(own.path(), "")).unwrap();
    let made = made.unwrap();
    for path in [made.key(), made.folder.join("ca.key"), made.folder.clone()] {
        let before = mode(&path);
        set_permissions(&path, Permissions::from_mode(before | 0o044)).unwrap();
        assert_eq!(code_of(own.path(), ""), code::EXPOSED_TO_OTHERS, "{}", path.display());
        set_permissions(&path, Permissions::from_mode(before)).unwrap();
    }
    of(&config(own.path(), "")).unwrap();
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let (certificate, key) = authority.issue("server", &[]);
    let (_, other) = authority.issue("other", &[]);
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    set_permissions(&empty, Permissions::from_mode(0o600)).unwrap();
    let nowhere = folder.path().join("nowhere");
    for (certificate, key) in [
        (&certificate, &other),
        (&empty, &key),
        (&certificate, &empty),
        (&nowhere, &key),
        (&certificate, &nowhere),
        (&key, &key),
        (&certificate, &certificate),
    ] {
        set_permissions(certificate, Permissions::from_mode(0o600)).ok();
        let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}");
        assert_eq!(code_of(folder.path(), &text), code::TLS_MATERIAL, "{text}");
    }
    let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nclient-ca = {empty:?}");
    assert_eq!(code_of(folder.path(), &text), code::TLS_MATERIAL);
}

#[tokio::test]
async fn new_certificates_count_without_a_restart_and_broken_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "a");
    let (certificate, key) = authority.issue("server", &[]);
    let trust = Trust::of(&authority.ca());
    let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nreload-interval = \"50 ms\"");
    let log = crate::testing::log();
    let server = Running::start_in(folder, &text, axum::Router::new()).await;
    let first = shown(&server, &trust).await;
    let open = trust.connect(server.address).await.unwrap();
    authority.issue("server", &[]);
    let second = soon("the new certificate", async {
        loop {
            let now = shown(&server, &trust).await;
            if now != first {
                return now;
            }
        }
    });
    let second = second.await;
    drop(open);
    std::fs::write(&certificate, "broken").unwrap();
    let told = format!("{} has no certificate", certificate.display());
    soon("the error in the log", async {
        while !log().contains(&told) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(shown(&server, &trust).await, second, "the former certificate does not go on");
}

#[test]
fn the_provider_is_ring_and_no_default_of_the_process_is_needed() {
    let provider = format!("{:?}", provider().key_provider);
    assert_eq!(provider, "Ring");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "somebody set a default that others may lean on");
}
