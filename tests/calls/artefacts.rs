//! Uploads that are no bundle, no longer the bundle that was signed, or one that must not run: nothing of them is kept.

use super::client::{Answer, HONEST, request};
use super::site::{Site, TAR};
use super::suite::{Cases, Expected};
use crate::harness::signed;
use lockgate_core::Digest;
use lockgate_core::keys::SecretKey;
use std::io::Write as _;
use std::time::Duration;
use tar::{EntryType, Header};

pub const GROUP: &str = "artefacts";
const WHO: &str = "acme deployer";
const POST: &str = "POST /api/v1/tenants/acme/bundles";
const MALFORMED: Expected = (422, "LG0302");
const TOO_LARGE: Expected = (413, "LG0303");
const FORBIDDEN: Expected = (422, "LG0304");
const CHANGED: Expected = (422, "LG0306");

/// An archive that begins with these entries: type, path, claimed size, contents.
fn archive(entries: &[(EntryType, &[u8], u64, &[u8])], rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, path, size, contents) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(*size);
        // By hand: the crate would refuse to write what is refused to be read.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// The first file of a bundle, as its whole entry.
fn first(bytes: &[u8]) -> Vec<u8> {
    let size = Header::from_byte_slice(&bytes[..512]).size().expect("a size");
    bytes[..512 + usize::try_from(size).expect("a size").next_multiple_of(512)].to_vec()
}

/// The same bundle with one byte changed that stands this far behind the first of `after`.
fn flipped(bytes: &[u8], after: &[u8]) -> Vec<u8> {
    let at = bytes.windows(after.len()).position(|window| window == after).expect("it is there");
    let mut bytes = bytes.to_vec();
    bytes[at + after.len() - 1] ^= 1;
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn post(site: &Site, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", site.token(WHO));
    let own = [("authorization", &*bearer), ("content-type", TAR)];
    site.client.ask(&request(POST, &[&own, headers].concat(), body))
}

pub fn cases(site: &Site, cases: &mut Cases) {
    // The version that would be taken if nothing were done to it.
    site.release("acme", &[&site.next], 2);
    let good = site.next.to_bytes().expect("bytes");
    let again = |key: Option<&SecretKey>| {
        let mut package = signed::draft("acme", "late", 2).package(Some(&site.package)).expect("a package");
        key.into_iter().for_each(|key| package.envelope.sign(key).expect("a signature"));
        package.to_bytes().expect("bytes")
    };
    let blob = format!("blobs/sha256/{}", "0".repeat(64));
    let folders: Vec<(EntryType, &[u8], u64, &[u8])> = vec![(EntryType::Directory, b"blobs/", 0, b""); 2];
    let many: Vec<String> =
        (0..300).map(|n| format!("blobs/sha256/{}", Digest::of(format!("{n}").as_bytes()).hex())).collect();
    let texts: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let many: Vec<(EntryType, &[u8], u64, &[u8])> = many
        .iter()
        .zip(&texts)
        .map(|(path, text)| (EntryType::Regular, path.as_bytes(), text.len() as u64, text.as_bytes()))
        .collect();
    let one = |kind, path: &'static [u8]| archive(&[(kind, path, 0, b"")], &good);
    let pax = b"30 path=../../etc/cron.d/job\n\0";
    let mut negative = good.clone();
    negative[124] = 0xff;

    let bodies: Vec<(&str, Expected, Vec<u8>)> = vec![
        ("nothing", MALFORMED, Vec::new()),
        (
            "noise",
            MALFORMED,
            (0..100_000_u32).flat_map(|n| Digest::of(&n.to_le_bytes()).as_bytes()[..1].to_vec()).collect(),
        ),
        ("cut in half", MALFORMED, good[..good.len() / 2].to_vec()),
        ("cut by one byte", MALFORMED, good[..good.len() - 1].to_vec()),
        ("bytes behind its end", (422, "LG0305"), [&good[..], b"#!/bin/sh"].concat()),
        ("zip-slip: a path that goes up", FORBIDDEN, one(EntryType::Regular, b"../../../etc/cron.d/job")),
        ("zip-slip: a blob that goes up", FORBIDDEN, one(EntryType::Regular, b"blobs/sha256/../../../setup-token")),
        ("zip-slip: an absolute path", FORBIDDEN, one(EntryType::Regular, b"/etc/passwd")),
        ("zip-slip: a path in an extension", FORBIDDEN, archive(&[(EntryType::XHeader, b"pax", 30, pax)], &good)),
        ("a symbolic link", FORBIDDEN, one(EntryType::Symlink, b"index.json")),
        ("a hard link", FORBIDDEN, one(EntryType::Link, b"index.json")),
        ("a device", FORBIDDEN, one(EntryType::Char, b"oci-layout")),
        ("a name twice", FORBIDDEN, [first(&good), good.clone()].concat()),
        ("a folder twice", FORBIDDEN, archive(&folders, &good)),
        ("a tar bomb: 300 entries", TOO_LARGE, archive(&many, &good)),
        (
            "a tar bomb: an entry that claims 7 GiB",
            TOO_LARGE,
            archive(&[(EntryType::Regular, blob.as_bytes(), 7 << 30, b"")], &good),
        ),
        ("a tar bomb: gzip", MALFORMED, gzip(&vec![0; 4 << 20])),
        ("a size below zero", MALFORMED, negative),
        ("a blob with another digest", CHANGED, archive(&[(EntryType::Regular, blob.as_bytes(), 5, b"hello")], &good)),
        ("a component with one bit changed", CHANGED, flipped(&good, b"\0asm,")),
        ("an envelope with one bit changed", CHANGED, flipped(&good, b"\"payload\":\"")),
        ("unsigned", (422, "LG0408"), again(None)),
        ("signed by a stranger", (422, "LG0408"), again(Some(&signed::stranger()))),
        ("signed by another tenant", (422, "LG0408"), again(Some(&signed::keys("bolt").signer))),
        (
            "a version that was replaced",
            (422, "LG0418"),
            signed::package("acme", "late", 1, None).to_bytes().expect("bytes"),
        ),
        (
            "a job that the status does not name",
            (422, "LG0418"),
            signed::package("acme", "unheard-of", 1, None).to_bytes().expect("bytes"),
        ),
    ];
    for (name, expected, body) in &bodies {
        cases.run(site, (GROUP, WHO), name, *expected, |site| site.send(WHO, POST, TAR, body));
    }
    let wrong = format!("PUT /api/v1/tenants/acme/bundles/{}", Digest::of(b"other"));
    cases.run(site, (GROUP, WHO), "another digest than announced", CHANGED, |site| site.send(WHO, &wrong, TAR, &good));
    let announced = (8_u64 << 20).to_string();
    cases.run(site, (GROUP, WHO), "8 MiB announced where 2 are taken", TOO_LARGE, |site| {
        post(site, &[("content-length", &announced)], b"")
    });
    cases.run(site, (GROUP, WHO), "4 MiB unannounced", (413, "LG1061"), |site| {
        let bearer = format!("Bearer {}", site.token(WHO));
        let headers = [("authorization", &*bearer), ("content-type", TAR), ("transfer-encoding", "chunked")];
        let name = format!("blobs/sha256/{}", Digest::of(b"4 MiB").hex());
        let head = archive(&[(EntryType::Regular, name.as_bytes(), 4 << 20, b"")], b"");
        let pieces = std::iter::once(head).chain((0..128).map(|_| vec![0; 32 << 10]));
        let chunks = pieces.map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat());
        site.client.drip(HONEST, &request(POST, &headers, b""), chunks, Duration::from_millis(1))
    });
    cases.run(site, (GROUP, WHO), "of another kind", (415, "LG1002"), |site| site.send(WHO, POST, "text/html", &good));
    let kept = site.send(WHO, POST, TAR, &good);
    cases.check(kept.status == 201, || format!("what nothing was done to is not taken: {kept:?}"));
}
