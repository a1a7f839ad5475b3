//! What a bundle's file and a volume's paths are refused for, on the way that every job takes.

use crate::harness::{self, Home};
use lockgate_core::bundle::{Draft, Package, ReadLimits};
use lockgate_core::error::{Code, code};
use lockgate_core::keys::SecretKey;
use lockgate_core::marks::Marks;
use lockgate_core::time::Timestamp;
use lockgate_core::trust::{Audience, development};
use lockgate_core::verify::{Admission, Request, verify};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

const MANIFEST: &str = r#"
    [job]
    tenant = "tests"
    name = "trust"
    version = 1
    [component.guest]
    path = "guest.wasm"
    [source.rows]
    connector = "file"
    volume = "in"
    path = "*.json"
    schema = ["x: int64"]
    [operator.f]
    input = "rows"
    function = "guest/honest"
    [sink.good]
    input = "f"
    connector = "file"
    volume = "out"
    path = "good/"
"#;

fn draft() -> Draft {
    harness::draft(harness::manifest(MANIFEST), &[("guest", harness::part("hostile"))])
}

/// Signs the bundle, writes its file, changes that, and presents it to a machine whose status names it.
fn present(draft: Draft, signer: &SecretKey, now: Timestamp, change: impl Fn(&mut Vec<u8>)) -> Option<Code> {
    let mut package = draft.package(None).unwrap();
    package.sign(signer).unwrap();
    let job = package.unverified_statement().unwrap().predicate.manifest.job;
    let jobs = BTreeMap::from([(job.name.clone(), package.release().unwrap())]);
    let keys = harness::keys();
    let (pinned, documents) =
        development::chain(&keys, &job.tenant, &harness::allowed(&package), jobs, now, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.tar");
    let mut bytes = package.to_bytes().unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let request = Request {
        pinned: &pinned,
        documents: &documents,
        domain: &development::domain().unwrap(),
        tenant: &job.tenant,
        marks: &Marks::provision(now),
        now,
        admission: Admission::Start,
        read: ReadLimits::default(),
    };
    let accepted = verify(&request, File::open(&path).unwrap());
    match accepted.and_then(|accepted| harness::prepare_bundle(&accepted.bundle)) {
        Ok(_) => None,
        Err(error) => Some(error.code()),
    }
}

/// Changes one bit in the middle of the component.
fn flip(bytes: &mut [u8]) {
    let wasm = harness::part("hostile").wasm;
    let start = bytes.windows(64).position(|window| window == &wasm[..64]).expect("the component in the file");
    bytes[start + wasm.len() / 2] ^= 1;
}

#[test]
fn a_bundle_is_refused_for_what_was_done_to_it() {
    let (keys, now) = (harness::keys(), harness::now());
    let stranger = development::Keys::from_seed(&[1; 32]).signer;
    let elsewhere = Draft { audience: Audience::new(vec!["prod.example".parse().unwrap()]).unwrap(), ..draft() };
    assert_eq!(present(draft(), &keys.signer, now, |_| ()), None);
    assert_eq!(present(draft(), &keys.signer, now, |bytes| flip(bytes)), Some(code::DIGEST_MISMATCH));
    assert_eq!(
        present(draft(), &keys.signer, now, |bytes| bytes.truncate(bytes.len() / 2)),
        Some(code::MALFORMED_ARCHIVE)
    );
    assert_eq!(present(draft(), &stranger, now, |_| ()), Some(code::UNTRUSTED_SIGNER));
    assert_eq!(present(draft(), &keys.signer, now.plus(86_401), |_| ()), Some(code::EXPIRED));
    assert_eq!(present(draft(), &keys.signer, now.plus(-1), |_| ()), Some(code::NOT_YET_VALID));
    assert_eq!(present(elsewhere, &keys.signer, now, |_| ()), Some(code::WRONG_AUDIENCE));
}

#[test]
fn bytes_that_change_after_signing_are_not_signed_again() {
    let mut package = draft().package(None).unwrap();
    package.layers[0].bytes[100] ^= 1;
    // As they are, and as they are once they have been written, with digests that fit.
    assert_eq!(harness::admit(&mut package).unwrap_err().code(), code::LAYERS_DIFFER);
    let mut written = Package::parse(&package.to_bytes().unwrap()).unwrap();
    assert_eq!(harness::admit(&mut written).unwrap_err().code(), code::LAYERS_DIFFER);
}

#[test]
fn a_volume_is_not_left() {
    let job = harness::prepare(MANIFEST, &[("guest", harness::part("hostile"))]).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("rows.json"), "{\"x\":1}\n").unwrap();
    let link = |home: &Home, from: &Path, to: &str| {
        std::os::unix::fs::symlink(from, home.root().join(to)).unwrap();
    };
    // A file that is a link out of the volume.
    let home = Home::new();
    link(&home, &outside.path().join("rows.json"), "in/rows.json");
    assert_eq!(home.run(&job).code(), code::LINK_REFUSED);
    // The sink's folder is a link out of the volume.
    let home = Home::with_rows(0..3);
    link(&home, outside.path(), "out/good");
    assert_eq!(home.run(&job).code(), code::LINK_REFUSED);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    // A file that is none.
    let home = Home::new();
    std::os::unix::net::UnixListener::bind(home.root().join("in/rows.json")).unwrap();
    assert_eq!(home.run(&job).code(), code::NOT_A_FILE);
    // Nothing at all, and a file that does not hold what was signed.
    assert_eq!(Home::new().run(&job).code(), code::NO_INPUT);
    let home = Home::new();
    home.write("rows.json", b"{\"x\":\"seven\"}\n");
    assert_eq!(home.run(&job).code(), code::BAD_VALUE);
    // A path out of the volume does not even become a manifest.
    let text = MANIFEST.replace("\"*.json\"", "\"../*.json\"");
    let errors = lockgate_core::manifest::Manifest::parse_toml(&text, "lockgate.toml").unwrap_err();
    assert_eq!(errors[0].code(), code::MANIFEST_PATH);
}
