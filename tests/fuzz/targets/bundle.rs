//! Bundles: a tar as it comes, and a tar whose checksums and digests fit, so that what stands behind them is reached.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use lockgate_core::Digest;
use lockgate_core::bundle::Package;
use tar::{Builder, EntryType, Header};

#[derive(Arbitrary, Debug)]
enum Entry<'a> {
    Blob(&'a [u8]),
    Layout,
    Index(&'a [u8]),
    /// An index with one manifest: the blob of the bytes.
    IndexOf(&'a [u8]),
    Other {
        path: &'a str,
        kind: u8,
        bytes: &'a [u8],
    },
}

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    Raw(&'a [u8]),
    Tar(Vec<Entry<'a>>),
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    if header.set_path(path).is_err() {
        return;
    }
    header.set_size(bytes.len() as u64);
    header.set_entry_type(kind);
    header.set_cksum();
    tar.append(&header, bytes).expect("memory");
}

fn blob(tar: &mut Builder<Vec<u8>>, bytes: &[u8]) {
    append(tar, &format!("blobs/sha256/{}", Digest::of(bytes).hex()), EntryType::Regular, bytes);
}

fn build(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        match entry {
            Entry::Blob(bytes) => blob(&mut tar, bytes),
            Entry::Layout => {
                append(&mut tar, "oci-layout", EntryType::Regular, br#"{"imageLayoutVersion":"1.0.0"}"#);
            }
            Entry::Index(bytes) => append(&mut tar, "index.json", EntryType::Regular, bytes),
            Entry::IndexOf(bytes) => {
                let index = format!(
                    r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":{}}}]}}"#,
                    Digest::of(bytes).hex(),
                    bytes.len()
                );
                append(&mut tar, "index.json", EntryType::Regular, index.as_bytes());
                blob(&mut tar, bytes);
            }
            Entry::Other { path, kind, bytes } => append(&mut tar, path, EntryType::new(*kind), bytes),
        }
    }
    tar.into_inner().expect("memory")
}

fuzz_target!(|case: Case| {
    let bytes = match case {
        Case::Raw(bytes) => bytes.to_vec(),
        Case::Tar(entries) => build(&entries),
    };
    if let Ok(package) = Package::parse(&bytes) {
        let again = package.to_bytes().expect("it can be written");
        assert_eq!(Package::parse(&again).expect("what was written is refused"), package);
    }
});
