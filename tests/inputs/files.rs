//! Files that are none, and files that shrink, grow, are replaced or change before or while they are read.

use super::{Verdict, X, attempt, rows};
use crate::harness::suite::Ended;
use crate::harness::{Home, Run};
use lockgate_core::error::code::*;
use lockgate_taskmanager::job::Event;
use std::fs::{self, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub fn outcomes() -> Vec<Ended> {
    let unusual = UNUSUAL.iter().map(|(name, make, code)| {
        let home = Home::new();
        make(&home.root().join("in"));
        ended(name, Verdict::Fails(*code), attempt(&home, "rows.json", X, "y", Verdict::Fails(*code), Run::default()))
    });
    let early = CHANGES.iter().map(|(name, change)| {
        let started = |event: &Event| matches!(event, Event::Started { .. });
        ended(&format!("{name}, before it is read"), changed(), while_running(*change, started))
    });
    let late = CHANGES.iter().map(|(name, change)| {
        let committed = |event: &Event| matches!(event, Event::Committed { epoch: 1, .. });
        ended(&format!("{name}, while it is read"), changed(), while_running(*change, committed))
    });
    unusual.chain(early).chain(late).collect()
}

fn ended(name: &str, verdict: Verdict, result: Result<(), String>) -> Ended {
    Ended { group: "files", name: name.to_owned(), verdict: verdict.shown(), billed: "its job", result }
}

fn changed() -> Verdict {
    Verdict::Fails(INPUT_CHANGED)
}

type Make = fn(&Path);

/// What stands in the place of `rows.json`, in the folder.
const UNUSUAL: &[(&str, Make, lockgate_core::Code)] = &[
    ("nothing", |_| {}, FILE_UNREADABLE),
    ("a-folder", |folder| fs::create_dir(folder.join("rows.json")).unwrap(), NOT_A_FILE),
    (
        "a-link-to-a-secret",
        |folder| std::os::unix::fs::symlink("/etc/passwd", folder.join("rows.json")).unwrap(),
        LINK_REFUSED,
    ),
    (
        "a-link-to-itself",
        |folder| std::os::unix::fs::symlink("rows.json", folder.join("rows.json")).unwrap(),
        LINK_REFUSED,
    ),
    (
        "a-link-to-a-sibling",
        |folder| {
            fs::write(folder.join("other.json"), rows(1)).unwrap();
            std::os::unix::fs::symlink("other.json", folder.join("rows.json")).unwrap();
        },
        LINK_REFUSED,
    ),
    ("a-named-pipe", |folder| named_pipe(&folder.join("rows.json")), NOT_A_FILE),
    ("a-socket", |folder| drop(std::os::unix::net::UnixListener::bind(folder.join("rows.json")).unwrap()), NOT_A_FILE),
];

/// A named pipe, whose opening would wait for ever.
fn named_pipe(path: &PathBuf) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

/// What happens to a file of 8 MiB.
const CHANGES: &[(&str, Make)] = &[
    ("a-file-that-shrinks", |path| open(path).set_len(1 << 20).unwrap()),
    ("a-file-that-is-emptied", |path| open(path).set_len(0).unwrap()),
    ("a-file-that-grows", |path| {
        let mut file = open(path);
        file.seek(std::io::SeekFrom::End(0)).unwrap();
        file.write_all(b"{\"x\":-1}\n").unwrap();
    }),
    ("a-file-that-is-overwritten", |path| {
        let mut file = open(path);
        file.seek(std::io::SeekFrom::Start(7 << 20)).unwrap();
        file.write_all(b"{\"x\":-1}\n").unwrap();
    }),
];

fn open(path: &Path) -> fs::File {
    OpenOptions::new().write(true).open(path).unwrap()
}

/// Runs a job over a large file that is changed when an event says so.
fn while_running(change: Make, when: fn(&Event) -> bool) -> Result<(), String> {
    let home = Home::new();
    let path = home.root().join("in/rows.json");
    fs::write(&path, b"{\"x\":1}\n".repeat(1 << 20)).unwrap();
    let done = AtomicBool::new(false);
    let watch = move |event: &Event, _: &_| {
        if when(event) && !done.swap(true, Ordering::Relaxed) {
            change(&path);
        }
    };
    super::interrupted(&home, Run { watch: Some(Box::new(watch)), ..Run::default() })
}
