//! The tar (POSIX.1-1988 ustar) around a bundle: regular files under the names of an OCI image layout and nothing else.

use super::ReadLimits;
use crate::digest::Digest;
use crate::dsse::MAX_ENVELOPE;
use crate::error::{Error, Result, code};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Take, Write};
use tar::{Archive, Builder, EntryType, Header};

/// What stands before the digits in a blob's path.
pub(super) const BLOBS: &str = "blobs/sha256/";
/// The folders of a layout. Other tools write them as entries; they hold nothing.
const FOLDERS: [&str; 2] = ["blobs/", BLOBS];
/// Files that are no blobs.
const FILES: [&str; 2] = ["oci-layout", "index.json"];

/// The most bytes to set aside before any have come.
const RESERVE: u64 = 1 << 20;
/// Bytes of a tar block; two of zeros end an archive.
const BLOCK: u64 = 512;

/// How WebAssembly binaries begin.
const WASM: &[u8] = b"\0asm";

/// A file of an archive.
#[derive(Debug)]
pub(super) struct File {
    /// How many bytes it has.
    pub size: u64,
    /// Its bytes, if they are held.
    pub bytes: Option<Vec<u8>>,
}

/// Reads the files of an archive by path. Digests of blobs are checked while they stream in.
///
/// # Errors
/// `LG0302` to `LG0306`.
pub(super) fn read(reader: impl Read, limits: &ReadLimits) -> Result<BTreeMap<String, File>> {
    let mut archive = Archive::new(reader.take(limits.total.saturating_add(1)));
    let files = entries(&mut archive, limits);
    let mut rest = archive.into_inner();
    let padding = if files.is_ok() { padding(&mut rest) } else { Ok(()) };
    if rest.limit() == 0 {
        return Err(too_large(format!("the bundle has more than {} bytes", limits.total)));
    }
    padding.and(files)
}

fn entries<R: Read>(archive: &mut Archive<Take<R>>, limits: &ReadLimits) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    let (mut seen, mut room) = (BTreeSet::new(), limits.held);
    // Raw: extensions that give an entry another name or size are entries of a type that is refused below.
    for entry in archive.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        let path = path(entry.header())?;
        if !seen.insert(path.clone()) {
            return Err(forbidden(format!("{path} stands in the bundle twice")));
        }
        if seen.len() > limits.entries {
            return Err(too_large(format!("the bundle has more than {} entries", limits.entries)));
        }
        if FOLDERS.contains(&path.as_str()) {
            continue;
        }
        let size = entry.size();
        if size > limits.entry {
            let cause = format!("{path} has {size} bytes, an entry may have at most {}", limits.entry);
            return Err(too_large(cause));
        }
        let bytes = contents(&path, size, &mut entry, &mut room)?;
        files.insert(path, File { size, bytes });
    }
    Ok(files)
}

/// The path of an entry that is allowed: a known file or folder of that type, and a folder without contents.
fn path(header: &Header) -> Result<String> {
    let bytes = header.path_bytes();
    let shown: String = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(120).collect();
    let refuse = |why: &str| Err(forbidden(format!("the bundle's entry {shown:?} {why}")));
    let Ok(path) = std::str::from_utf8(&bytes) else {
        return refuse("has a name that is not UTF-8");
    };
    let blob = path.strip_prefix(BLOBS).is_some_and(|digits| Digest::from_hex(digits).is_ok());
    match header.entry_type() {
        EntryType::Regular if blob || FILES.contains(&path) => Ok(path.to_owned()),
        EntryType::Directory if FOLDERS.contains(&path) && header.entry_size().is_ok_and(|size| size == 0) => {
            Ok(path.to_owned())
        }
        EntryType::Regular => refuse("has no place in an image layout"),
        EntryType::Directory => refuse("is a folder that has no place in an image layout"),
        _ => refuse("is no regular file"),
    }
}

/// Reads `size` bytes, growing as they come (a size is only a claim), and checks their digest if they are a blob. Holds
/// them if there is `room`, which they then take up.
fn contents(path: &str, size: u64, entry: &mut impl Read, room: &mut u64) -> Result<Option<Vec<u8>>> {
    let (bounded, mut count) = (*room != u64::MAX, 0_u64);
    // The largest document is an envelope; what is larger is what a job runs or reads.
    let mut hold = size <= *room && (!bounded || usize::try_from(size).is_ok_and(|size| size <= MAX_ENVELOPE));
    let reserve = if hold { size.min(RESERVE) } else { 0 };
    let mut bytes = Vec::with_capacity(usize::try_from(reserve).unwrap_or_default());
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = match entry.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(malformed)?,
        };
        let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else {
            break;
        };
        hash.update(read);
        count = count.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if hold {
            bytes.extend_from_slice(read);
        }
        if bounded && bytes.starts_with(WASM) {
            (hold, bytes) = (false, Vec::new());
        }
    }
    if count != size {
        return Err(malformed(format!("{path} ends after {count} of {size} bytes")));
    }
    if bounded && hold {
        *room = room.saturating_sub(size);
    }
    let found = Digest::from_bytes(hash.finalize().into());
    match path.strip_prefix(BLOBS) {
        Some(digits) if digits != found.hex() => {
            let cause = format!("{path} has the digest {}: its content was changed", found.short());
            Err(Error::new(code::DIGEST_MISMATCH, cause).help("fetch the bundle anew from where it was built"))
        }
        _ => Ok(hold.then_some(bytes)),
    }
}

/// Checks what follows the archive's first block of zeros: one more, and zeros to the end.
fn padding(rest: &mut impl Read) -> Result<()> {
    let mut chunk = vec![0; 8 << 10];
    let mut count: u64 = 0;
    loop {
        let read = match rest.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(malformed(error)),
        };
        if chunk.iter().take(read).any(|byte| *byte != 0) {
            return Err(Error::new(code::TRAILING_DATA, "the bundle goes on behind the end of its archive"));
        }
        count = count.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    if count < BLOCK { Err(malformed("it stops before the end of its archive")) } else { Ok(()) }
}

/// Writes `files` in their order, without anything of this machine or moment.
pub(super) fn write(files: &[(String, Vec<u8>)], writer: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(writer);
    for (path, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_path(path)?;
        header.set_size(u64::try_from(bytes.len()).map_err(io::Error::other)?);
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, bytes.as_slice())?;
    }
    builder.into_inner()?.flush()
}

fn malformed(why: impl std::fmt::Display) -> Error {
    let why: String = why.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    Error::new(code::MALFORMED_ARCHIVE, format!("the bundle is not a well-formed archive: {why}"))
}

fn forbidden(cause: String) -> Error {
    Error::new(code::FORBIDDEN_ENTRY, cause)
}

fn too_large(cause: String) -> Error {
    Error::new(code::BUNDLE_TOO_LARGE, cause)
}
