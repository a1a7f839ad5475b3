//! Patterns over the files of a volume. `globset` matches; the walk is our own, because it has to be bounded, to stay
//! below an open handle, and to follow no link.

use super::{MAX_COMPONENTS, Stat, Volume, path};
use globset::{GlobBuilder, GlobMatcher};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};

/// The most folder entries that one pattern may visit.
pub const MAX_ENTRIES: usize = 100_000;

pub(super) fn find(volume: &Volume, pattern: &str) -> Result<Vec<(String, Stat)>> {
    find_within(volume, pattern, MAX_ENTRIES)
}

/// See [`Volume::find`]; visits at most `limit` entries.
fn find_within(volume: &Volume, pattern: &str, limit: usize) -> Result<Vec<(String, Stat)>> {
    let (folders, name) = path::file(pattern).map_err(|error| error.at(volume.place()))?;
    if !has_wildcard(pattern) {
        let folder = volume.descend(folders, pattern)?;
        return Ok(vec![(pattern.to_owned(), volume.regular(&folder, name, pattern)?)]);
    }
    let matcher = matcher(pattern).map_err(|error| error.at(volume.place()))?;
    let literal: Vec<&str> = folders.iter().copied().take_while(|part| !has_wildcard(part)).collect();
    // Braces may hold a `/`, so only without them does a pattern say how deep it goes.
    let deepest = if pattern.contains("**") || pattern.contains('{') { MAX_COMPONENTS } else { folders.len() + 1 };

    let mut found = Vec::new();
    let mut visited = 0_usize;
    let mut waiting = vec![literal.join("/")];
    while let Some(folder) = waiting.pop() {
        let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let depth = parts.len() + 1;
        let dir = volume.descend(parts, &folder)?;
        for entry in dir.entries().map_err(|error| volume.unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| volume.unreadable(&folder, &error))?;
            visited += 1;
            if visited > limit {
                return Err(too_many(volume, pattern, &format!("visits more than {limit} entries")));
            }
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if shown.starts_with('.') {
                continue;
            }
            let path = if folder.is_empty() { shown.clone().into_owned() } else { format!("{folder}/{shown}") };
            let kind = entry.file_type().map_err(|error| volume.unreadable(&path, &error))?;
            let matches = matcher.is_match(&path);
            if name.to_str().is_none_or(|name| !path::allowed(name)) {
                if matches || (kind.is_dir() && depth < deepest) {
                    let error = path::refuse(&path, "has a control character, a backslash or is not UTF-8");
                    return Err(error.at(volume.place()));
                }
            } else if kind.is_dir() {
                if depth < deepest {
                    waiting.push(path);
                } else if deepest == MAX_COMPONENTS {
                    return Err(too_many(volume, pattern, &format!("meets folders more than {deepest} deep")));
                }
            } else if matches {
                let stat = volume.regular(&dir, &shown, &path)?;
                found.push((path, stat));
            } else if kind.is_symlink() && depth < deepest {
                tracing::warn!(volume = %volume.name, path, "a symbolic link is not followed");
            }
        }
    }
    if found.is_empty() {
        let help = "look what is in the volume's directory: `*` stays within a folder, `**` goes through folders";
        return Err(Error::new(code::NO_INPUT, format!("{pattern:?} matches no file")).at(volume.place()).help(help));
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn matcher(pattern: &str) -> Result<GlobMatcher> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(false)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| path::refuse(pattern, &format!("is not a pattern: {}", error.kind())))
}

fn too_many(volume: &Volume, pattern: &str, what: &str) -> Error {
    Error::new(code::TOO_MANY_FILES, format!("{pattern:?} {what}")).at(volume.place())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn volume() -> (tempfile::TempDir, Volume) {
        let root = tempfile::tempdir().unwrap();
        for path in
            ["2013/b.csv", "2013/a.csv", "2013/06/c.csv", "2014/d.csv", "2013/.hidden.csv", ".git/e.csv", "f.txt"]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let volume = Volume::open("v".parse().unwrap(), root.path()).unwrap();
        (root, volume)
    }

    fn paths(volume: &Volume, pattern: &str) -> Vec<String> {
        volume.find(pattern).unwrap().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn matches_as_shells_do_and_sorts() {
        let (_root, volume) = volume();
        assert_eq!(paths(&volume, "2013/*.csv"), ["2013/a.csv", "2013/b.csv"]);
        assert_eq!(paths(&volume, "*/*.csv"), ["2013/a.csv", "2013/b.csv", "2014/d.csv"]);
        assert_eq!(paths(&volume, "**/*.csv"), ["2013/06/c.csv", "2013/a.csv", "2013/b.csv", "2014/d.csv"]);
        assert_eq!(paths(&volume, "{2014,2013/06}/?.csv"), ["2013/06/c.csv", "2014/d.csv"]);
        assert_eq!(paths(&volume, "2013/[!a].csv"), ["2013/b.csv"]);
        assert_eq!(paths(&volume, "*"), ["f.txt"]);
        assert_eq!(paths(&volume, "2013/a.csv"), ["2013/a.csv"]);
        assert_eq!(paths(&volume, ".git/*"), [".git/e.csv"]);
    }

    #[test]
    fn says_when_nothing_matches_or_the_pattern_is_none() {
        let (_root, volume) = volume();
        for (pattern, expected) in [
            ("*.parquet", code::NO_INPUT),
            ("2015/*.csv", code::FILE_UNREADABLE),
            ("2013/z.csv", code::FILE_UNREADABLE),
            ("2013", code::NOT_A_FILE),
            ("2013/[", code::INVALID_VOLUME_PATH),
            ("../*", code::INVALID_VOLUME_PATH),
            ("/etc/*", code::INVALID_VOLUME_PATH),
            ("*/..", code::INVALID_VOLUME_PATH),
        ] {
            assert_eq!(volume.find(pattern).unwrap_err().code(), expected, "{pattern}");
        }
        // The walk meets names on the disk only, and `..` is none of them.
        assert_eq!(paths(&volume, "{..,2013}/a.csv"), ["2013/a.csv"]);
    }

    #[test]
    fn visits_a_bounded_number_of_entries_and_depth() {
        let (root, volume) = volume();
        assert_eq!(find_within(&volume, "**/*.csv", 5).unwrap_err().code(), code::TOO_MANY_FILES);
        fs::create_dir_all(root.path().join(vec!["x"; MAX_COMPONENTS].join("/"))).unwrap();
        assert_eq!(volume.find("**/*.csv").unwrap_err().code(), code::TOO_MANY_FILES);
    }

    #[test]
    fn refuses_names_that_could_fool_a_terminal() {
        use std::os::unix::ffi::OsStrExt;
        for name in [&b"a\x1b[2J.csv"[..], b"a\n.csv", b"a\xff.csv", b"a\\b.csv"] {
            let (root, volume) = volume();
            fs::write(root.path().join("2013").join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
            assert_eq!(volume.find("2013/*.csv").unwrap_err().code(), code::INVALID_VOLUME_PATH, "{name:?}");
            assert_eq!(paths(&volume, "2013/b*"), ["2013/b.csv"]);
        }
    }

    #[test]
    fn refuses_matched_links_and_enters_no_linked_folder() {
        let (root, volume) = volume();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.csv"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("linked")).unwrap();
        assert_eq!(paths(&volume, "*/*.csv").len(), 3);
        assert_eq!(volume.find("linked/*.csv").unwrap_err().code(), code::LINK_REFUSED);
        std::os::unix::fs::symlink(outside.path().join("secret.csv"), root.path().join("2013/z.csv")).unwrap();
        assert_eq!(volume.find("2013/*.csv").unwrap_err().code(), code::LINK_REFUSED);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_pattern_finds_files_of_the_volume_or_is_refused(pattern in "[*?\\[\\]{}!,./a-c0-9^-]{0,24}") {
            let (root, volume) = volume();
            for (path, stat) in volume.find(&pattern).unwrap_or_default() {
                prop_assert!(root.path().join(&path).is_file() && stat.size == 1, "{path}");
            }
        }
    }

    #[test]
    fn refuses_matched_special_files() {
        let (root, volume) = volume();
        let pipe = root.path().join("2013/pipe.csv");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(volume.find("2013/*.csv").unwrap_err().code(), code::NOT_A_FILE);
    }
}
