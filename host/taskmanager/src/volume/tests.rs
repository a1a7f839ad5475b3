//! What a volume refuses, on real files.

use super::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

/// A folder with `inside/` as the volume and `secret` beside it.
fn volume() -> (tempfile::TempDir, Volume) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("inside/folder")).unwrap();
    fs::write(root.path().join("inside/folder/file"), "content").unwrap();
    fs::write(root.path().join("secret"), "secret").unwrap();
    let volume = Volume::open("data".parse().unwrap(), &root.path().join("inside")).unwrap();
    (root, volume)
}

fn refusal(volume: &Volume, path: &str) -> lockgate_core::error::Code {
    volume.file(path).map(|_| ()).unwrap_err().code()
}

#[test]
fn reads_a_file_and_keeps_to_the_handle_it_opened() {
    let (root, volume) = volume();
    fs::rename(root.path().join("inside"), root.path().join("moved")).unwrap();
    let (mut file, stat) = volume.file("folder/file").unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), stat.size), ("content", 7));
}

#[test]
fn refuses_paths_that_do_not_descend() {
    let (_root, volume) = volume();
    for path in ["../secret", "folder/../../secret", "/etc/passwd", "", "folder//file", "./folder/file", "fol\0der"] {
        assert_eq!(refusal(&volume, path), code::PATH_REFUSED, "{path:?}");
        if !path.is_empty() {
            assert_eq!(volume.folder(path).unwrap_err().code(), code::PATH_REFUSED, "{path:?}");
        }
    }
}

#[test]
fn refuses_every_symbolic_link() {
    let (root, volume) = volume();
    let inside = root.path().join("inside");
    let secret = root.path().join("secret");
    for (link, target) in [
        ("absolute", secret.as_path()),
        ("relative", Path::new("../secret")),
        ("folder/deep", Path::new("../../secret")),
        ("device", Path::new("/dev/null")),
        ("dangling", Path::new("nowhere")),
        ("loop", Path::new("loop")),
        ("within", Path::new("folder/file")),
        ("magic", Path::new("/proc/self/root/etc/passwd")),
    ] {
        symlink(target, inside.join(link)).unwrap();
        assert_eq!(refusal(&volume, link), code::LINK_REFUSED, "{link}");
    }
    for (link, target) in [("out", root.path()), ("up", Path::new("..")), ("sibling", Path::new("folder"))] {
        symlink(target, inside.join(link)).unwrap();
        for path in [format!("{link}/secret"), format!("{link}/file")] {
            assert_eq!(refusal(&volume, &path), code::LINK_REFUSED, "{path}");
            assert_eq!(volume.folder(&path).unwrap_err().code(), code::LINK_REFUSED, "{path}");
        }
    }
    assert!(!root.path().join("file").exists() && !inside.join("folder/secret").exists());
}

#[test]
fn the_volume_itself_may_be_a_link() {
    let (root, _) = volume();
    symlink(root.path().join("inside"), root.path().join("alias")).unwrap();
    let volume = Volume::open("data".parse().unwrap(), &root.path().join("alias")).unwrap();
    assert_eq!(volume.file("folder/file").unwrap().1.size, 7);
}

#[test]
fn refuses_special_files_without_waiting_for_them() {
    let (root, volume) = volume();
    let inside = root.path().join("inside");
    rustix::fs::mknodat(rustix::fs::CWD, inside.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = UnixListener::bind(inside.join("socket")).unwrap();
    for path in ["pipe", "socket", "folder", "pipe/file", "folder/file/file"] {
        assert_eq!(refusal(&volume, path), code::NOT_A_FILE, "{path}");
    }
    assert_eq!(volume.folder("folder/file").unwrap_err().code(), code::NOT_A_FILE);
    // A volume that somebody pointed at the devices: no node needs to be made for the test.
    let devices = Volume::open("devices".parse().unwrap(), Path::new("/dev")).unwrap();
    for path in ["null", "zero", "full"] {
        assert_eq!(refusal(&devices, path), code::NOT_A_FILE, "{path}");
    }
}

#[test]
fn a_hard_link_is_the_file_itself() {
    let (root, volume) = volume();
    fs::hard_link(root.path().join("secret"), root.path().join("inside/hard")).unwrap();
    assert_eq!(volume.file("hard").unwrap().1.size, 6);
}

#[test]
fn names_what_is_missing() {
    let (root, volume) = volume();
    let error = volume.file("folder/other").unwrap_err();
    assert_eq!(error.code(), code::FILE_UNREADABLE);
    assert_eq!(error.to_string(), "LG0806: volume data: \"folder/other\": No such file or directory (os error 2)");
    assert_eq!(
        Volume::open("v".parse().unwrap(), &root.path().join("none")).unwrap_err().code(),
        code::VOLUME_UNUSABLE
    );
    let volumes = Volumes::open(&BTreeMap::from([("data".parse().unwrap(), root.path().into())])).unwrap();
    assert_eq!(volumes.get(&"date".parse().unwrap()).unwrap_err().code(), code::UNKNOWN_VOLUME);
    assert_eq!(volumes.get(&"data".parse().unwrap()).unwrap().name().as_str(), "data");
}

#[test]
fn makes_missing_folders() {
    let (root, volume) = volume();
    for path in ["a/b/c/", "a/b/c", ""] {
        volume.folder(path).unwrap();
    }
    assert!(root.path().join("inside/a/b/c").is_dir());
}

/// Somebody swaps a folder for a link, over and over, while it is walked: the secret is never what is opened.
#[test]
fn a_race_of_folder_and_link_does_not_leave_the_volume() {
    let (root, volume) = volume();
    let inside = root.path().join("inside");
    fs::create_dir(root.path().join("outside")).unwrap();
    fs::write(root.path().join("outside/file"), "a secret of another length").unwrap();
    symlink(root.path().join("outside"), inside.join("link")).unwrap();
    let exchange = || {
        let (folder, link) = (inside.join("folder"), inside.join("link"));
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, flags).unwrap();
    };
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| (0..4_000).for_each(|_| exchange()));
        while !attacker.is_finished() {
            match volume.file("folder/file") {
                Ok((_, stat)) => assert_eq!(stat.size, 7),
                Err(error) => assert!(
                    matches!(error.code(), code::LINK_REFUSED | code::NOT_A_FILE | code::FILE_UNREADABLE),
                    "{error}"
                ),
            }
        }
    });
}
