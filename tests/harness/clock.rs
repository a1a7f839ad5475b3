//! Clocks of processes that can be set while these run, as a machine's are: by libfaketime, which answers for the C library
//! what the time of day is. Clocks that nobody sets go on as they are.
//!
//! The library is Debian's package libfaketime. Where it is not installed it is unpacked from there into the target folder;
//! where it cannot be had this fails: a test that was skipped would look like one that passed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Where the package puts the library, below the root or wherever it is unpacked. For processes of several threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one process.
pub struct Clock {
    /// Says how far it is off.
    file: PathBuf,
    library: &'static Path,
}

impl Clock {
    /// That of the process `name` of a cluster in `folder`.
    pub fn of(folder: &Path, name: &str) -> Self {
        // Here, where the network is the machine's own.
        let clock = Self { file: folder.join(format!("{name}.clock")), library: &FAKETIME };
        if !clock.file.exists() {
            clock.set(0);
        }
        clock
    }

    /// Sets it to so many seconds ahead of the machine's, or behind it.
    pub fn set(&self, seconds: i64) {
        // In one piece: it may be read at any time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}s\n")).expect("a file");
        std::fs::rename(new, &self.file).expect("the file");
    }

    /// The variables by which a process has this clock. Only the time of day is another: neither how long things take nor
    /// what a file system says of its files.
    pub fn environment(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    /// What the library leaves of a process that is killed.
    pub fn leavings(process: u32) -> Vec<PathBuf> {
        let names = ["faketime_shm_", "sem.faketime_sem_"];
        names.map(|name| PathBuf::from(format!("/dev/shm/{name}{process}"))).into()
    }
}

/// The library.
static FAKETIME: LazyLock<PathBuf> = LazyLock::new(|| {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools");
    let unpacked = tools.join("libfaketime");
    if let Some(found) = find(Path::new("/")).or_else(|| find(&unpacked)) {
        return found;
    }
    std::fs::create_dir_all(&tools).expect("a folder");
    let folder = tempfile::tempdir_in(&tools).expect("a folder");
    let mut download = Command::new("apt-get");
    download.args(["-qq", "download", "libfaketime"]).current_dir(&folder);
    // On a new machine it is not known yet which packages there are.
    if !download.output().is_ok_and(|output| output.status.success()) {
        run(Command::new("apt-get").args(["-qq", "update"]));
        run(&mut download);
    }
    let package = std::fs::read_dir(&folder).expect("the package").flatten().next().expect("the package").path();
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&root));
    // Another process may have been faster.
    let _ = std::fs::rename(root, &unpacked);
    find(&unpacked).expect("the library in its package")
});

/// The library below `root`, in whatever folder the architecture's libraries are.
fn find(root: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(root.join("usr/lib")).ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join(LIBRARY)).find(|library| library.is_file())
}

fn run(command: &mut Command) {
    let what = "clocks are set by libfaketime: install Debian's package of that name";
    let output = command.output().unwrap_or_else(|error| panic!("{what}; {command:?}: {error}"));
    assert!(output.status.success(), "{what}; {command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
