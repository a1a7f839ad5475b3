//! Bundles' files: what they read back as, and every trick with a tar.

use super::archive;
use super::*;
use crate::error::Code;
use crate::testing::{self, draft};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

fn package() -> Package {
    let mut package = draft(1).package(None).unwrap();
    package.sign(&testing::key(1)).unwrap();
    package
}

fn refusal(bytes: &[u8]) -> Code {
    Package::parse(bytes).unwrap_err().code()
}

/// The bundle with its list of files changed.
fn with_files(change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let mut files = oci::pack(&package()).unwrap();
    change(&mut files);
    let mut bytes = Vec::new();
    archive::write(&files, &mut bytes).unwrap();
    bytes
}

/// The bundle with one more entry of `kind` called `path`, behind the others.
fn with_entry(kind: EntryType, path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in oci::pack(&package()).unwrap() {
        let mut header = Header::new_ustar();
        header.set_path(&path).unwrap();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).unwrap();
    }
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_link_name("index.json").unwrap();
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn reads_what_it_writes_and_writes_the_same_again() {
    let bytes = package().to_bytes().unwrap();
    let read = Package::parse(&bytes).unwrap();
    assert_eq!(read, package());
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let titles: Vec<&str> = read.layers.iter().map(|layer| layer.title.as_str()).collect();
    assert_eq!(titles, ["delays.wasm", "delays.describe.json", "airports.data"]);
}

#[test]
fn other_tools_may_write_folders_and_more_padding() {
    let mut bytes = with_entry(EntryType::Directory, b"blobs/sha256/", b"");
    bytes.extend([0; 9_000]);
    assert_eq!(Package::parse(&bytes).unwrap(), package());
}

#[test]
fn a_flipped_byte_in_any_file_of_the_bundle_is_found() {
    for at in 0..oci::pack(&package()).unwrap().len() {
        let bytes = with_files(|files| {
            let middle = files[at].1.len() / 2;
            files[at].1[middle] ^= 1;
        });
        let found = refusal(&bytes);
        // The two files that are no blobs have no digest; what they say no longer holds together.
        let expected: &[Code] =
            if at < 2 { &[code::MALFORMED_LAYOUT, code::MISSING_BLOB] } else { &[code::DIGEST_MISMATCH] };
        assert!(expected.contains(&found), "file {at}: {found}");
    }
}

#[test]
fn path_tricks_links_and_devices_are_refused() {
    for path in [
        "/etc/passwd",
        "../index.json",
        "blobs/../x",
        "blobs/sha256/../../x",
        "blobs/sha256/xyz",
        "x",
        "",
        "./oci-layout",
    ] {
        assert_eq!(refusal(&with_entry(EntryType::Regular, path.as_bytes(), b"x")), code::FORBIDDEN_ENTRY, "{path}");
    }
    let blob = format!("{}{}", archive::BLOBS, "0".repeat(64));
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::GNUSparse,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
        EntryType::new(b'Z'),
    ] {
        assert_eq!(refusal(&with_entry(kind, blob.as_bytes(), b"")), code::FORBIDDEN_ENTRY, "{kind:?}");
    }
    assert_eq!(refusal(&with_entry(EntryType::Directory, b"blobs/sha512/", b"")), code::FORBIDDEN_ENTRY);
    assert_eq!(refusal(&with_entry(EntryType::Directory, b"blobs/", b"hidden")), code::FORBIDDEN_ENTRY);
    assert_eq!(refusal(&with_entry(EntryType::Regular, b"\xff\xfe", b"")), code::FORBIDDEN_ENTRY);
}

#[test]
fn one_blob_may_serve_under_two_titles() {
    let mut draft = draft(1);
    let part = draft.parts[&testing::name("delays")].clone();
    draft.parts.insert(testing::name("twin"), part);
    draft.manifest.component.insert(testing::name("twin"), crate::manifest::Component { path: None });
    let package = draft.package(None).unwrap();
    assert_eq!(Package::parse(&package.to_bytes().unwrap()).unwrap(), package);
}

#[test]
fn a_small_file_that_names_much_is_refused() {
    let mut package = package();
    let layer = |at: usize, size: usize| Layer::new(LayerKind::Data, format!("d{at}.data"), vec![7; size]);
    package.layers.extend((0..20).map(|at| layer(at, 100_000)));
    let bytes = package.to_bytes().unwrap();
    assert!(bytes.len() < 200_000, "one blob is written more than once");
    let read = |total| Package::read(bytes.as_slice(), &ReadLimits { total, ..ReadLimits::default() });
    assert_eq!(read(3_000_000).unwrap(), package);
    assert_eq!(read(1_000_000).unwrap_err().code(), code::BUNDLE_TOO_LARGE);
    package.layers.extend((20..300).map(|at| layer(at, 1)));
    assert_eq!(refusal(&package.to_bytes().unwrap()), code::BUNDLE_TOO_LARGE);
}

#[test]
fn nobody_signs_layers_that_are_not_bound() {
    let mut package = package();
    package.layers.pop();
    assert_eq!(package.sign(&testing::key(2)).unwrap_err().code(), code::LAYERS_DIFFER);
}

#[test]
fn a_name_twice_is_refused() {
    assert_eq!(refusal(&with_entry(EntryType::Regular, b"index.json", b"{}")), code::FORBIDDEN_ENTRY);
    let bytes = with_files(|files| files.push(files[3].clone()));
    assert_eq!(refusal(&bytes), code::FORBIDDEN_ENTRY);
}

#[test]
fn blobs_too_many_or_too_few_are_refused() {
    let extra = b"nobody names this".to_vec();
    let path = format!("{}{}", archive::BLOBS, Digest::of(&extra).hex());
    assert_eq!(refusal(&with_files(|files| files.push((path, extra)))), code::UNREFERENCED_BLOB);
    for at in 2..oci::pack(&package()).unwrap().len() {
        assert_eq!(refusal(&with_files(|files| drop(files.remove(at)))), code::MISSING_BLOB, "file {at}");
    }
    for at in 0..2 {
        assert_eq!(refusal(&with_files(|files| drop(files.remove(at)))), code::MALFORMED_LAYOUT, "file {at}");
    }
}

#[test]
fn data_behind_the_end_and_an_early_end_are_refused() {
    let bytes = package().to_bytes().unwrap();
    let mut trailing = bytes.clone();
    trailing.extend([0; 600]);
    trailing.push(1);
    assert_eq!(refusal(&trailing), code::TRAILING_DATA);
    let mut second = bytes.clone();
    second.extend(&bytes);
    assert_eq!(refusal(&second), code::TRAILING_DATA);
    for cut in [0, 100, 512, 700, bytes.len() / 2, bytes.len() - 1_024, bytes.len() - 512] {
        assert_eq!(refusal(&bytes[..cut]), code::MALFORMED_ARCHIVE, "{cut} of {}", bytes.len());
    }
}

#[test]
fn sizes_are_bounded() {
    let bytes = package().to_bytes().unwrap();
    let read = |limits: ReadLimits| Package::read(bytes.as_slice(), &limits).map_err(|error| error.code());
    let (total, generous) = (bytes.len() as u64, ReadLimits::default());
    assert!(read(ReadLimits { total, ..generous }).is_ok());
    for limits in [
        ReadLimits { total: total - 1, ..generous },
        ReadLimits { total: 100, ..generous },
        ReadLimits { entry: 50, ..generous },
        ReadLimits { entries: 4, ..generous },
    ] {
        assert_eq!(read(limits).unwrap_err(), code::BUNDLE_TOO_LARGE, "{limits:?}");
    }
    // Zeros without end behind the archive.
    let endless = bytes.as_slice().chain(std::io::repeat(0));
    let limits = ReadLimits { total: total + 9_999, ..generous };
    assert_eq!(Package::read(endless, &limits).unwrap_err().code(), code::BUNDLE_TOO_LARGE);
}

#[test]
fn a_claimed_size_allocates_nothing() {
    let mut header = Header::new_gnu();
    header.set_path("index.json").unwrap();
    for (size, expected) in [(u64::MAX, code::BUNDLE_TOO_LARGE), (100 << 20, code::MALFORMED_ARCHIVE)] {
        header.set_size(size);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        let found = refusal(header.as_bytes());
        assert!(found == expected || found == code::MALFORMED_ARCHIVE, "{size}: {found}");
    }
}

#[test]
fn image_documents_that_lie_are_refused() {
    let change = |at: usize, from: &str, to: &str| {
        let mut files = oci::pack(&package()).unwrap();
        let text = String::from_utf8(files[at].1.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        let bytes = text.replacen(from, to, 1).into_bytes();
        let (old, new) = (Digest::of(&files[at].1).hex(), Digest::of(&bytes).hex());
        let (size, longer) = (format!("\"size\":{}", files[at].1.len()), format!("\"size\":{}", bytes.len()));
        files[at].1 = bytes;
        if at >= 2 {
            files[at].0 = format!("{}{new}", archive::BLOBS);
            // The index names the manifest; the manifest's own digest is mended there.
            let index = String::from_utf8(files[1].1.clone()).unwrap().replace(&old, &new).replace(&size, &longer);
            files[1].1 = index.into_bytes();
        }
        let mut bytes = Vec::new();
        archive::write(&files, &mut bytes).unwrap();
        refusal(&bytes)
    };
    assert_eq!(change(0, "1.0.0", "1.0.1"), code::MALFORMED_LAYOUT);
    assert_eq!(change(1, "\"schemaVersion\":2", "\"schemaVersion\":1"), code::MALFORMED_LAYOUT);
    assert_eq!(change(1, "\"schemaVersion\":2", "\"schemaVersion\":2,\"schemaVersion\":2"), code::MALFORMED_LAYOUT);
    assert_eq!(change(1, "\"manifests\":[", "\"manifests\":[],\"x\":["), code::MALFORMED_LAYOUT);
    assert_eq!(change(1, "\"size\":", "\"size\":1"), code::DIGEST_MISMATCH);
    assert_eq!(change(2, "application/wasm", "application/wasn"), code::MALFORMED_LAYOUT);
    assert_eq!(change(2, "delays.wasm", "delays.describe.json"), code::MALFORMED_LAYOUT);
    assert_eq!(change(2, "org.opencontainers.image.title", "org.opencontainers.image.other"), code::MALFORMED_LAYOUT);
    assert_eq!(change(2, "vnd.lockgate.envelope.v1", "vnd.lockgate.envelope.v2"), code::MALFORMED_LAYOUT);
    assert_eq!(change(2, "vnd.wasm.config.v0", "vnd.wasm.config.v1"), code::MALFORMED_LAYOUT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_files_never_panic_and_never_read_as_something_else(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = package().to_bytes().unwrap();
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = Package::parse(&bytes) {
            // Owner, mode and padding of a tar's entries mean nothing.
            prop_assert_eq!(read, package());
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Package::parse(&bytes).is_err());
    }
}
