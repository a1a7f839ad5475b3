//! Paths and patterns within a volume, resolved in a real folder that has a file, a folder and links to the outside:
//! whatever is asked for, nothing outside is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::Name;
use lockgate_taskmanager::volume::Volume;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::sync::LazyLock;
use tempfile::TempDir;

static VOLUME: LazyLock<(TempDir, Volume)> = LazyLock::new(|| {
    let outer = tempfile::tempdir().expect("a folder");
    let inner = outer.path().join("v");
    std::fs::create_dir_all(inner.join("a/b")).expect("folders");
    for (path, text) in [("secret", "outside"), ("v/f", "inside"), ("v/a/b/f", "inside")] {
        std::fs::write(outer.path().join(path), text).expect("a file");
    }
    symlink("../secret", inner.join("s")).expect("a link to a file");
    symlink("..", inner.join("a/u")).expect("a link to a folder");
    symlink("../..", inner.join("a/b/o")).expect("a link out");
    symlink("/", inner.join("r")).expect("a link to the root");
    let volume = Volume::open(Name::new("v").expect("a name"), &inner).expect("a volume");
    (outer, volume)
});

fuzz_target!(|path: &str| {
    let volume = &VOLUME.1;
    let opened = |path: &str| {
        if let Ok((mut file, _)) = volume.file(path) {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("it reads");
            assert_eq!(text, "inside", "{path:?}");
        }
    };
    opened(path);
    for (found, _) in volume.find(path).unwrap_or_default() {
        opened(&found);
    }
});
