//! A disk that is small enough to be filled: a file system of its own in memory. Only root can make one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system. It is gone when this is dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// One of so many MiB at `at`, which must not be there yet; none without the right to.
    pub fn make(at: &Path, size: u32) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mut mount = Command::new("mount");
        let options = format!("size={size}m,mode=0700");
        mount.args(["-t", "tmpfs", "-o", &options, "lockgate-tests"]).arg(at);
        let made = rustix::process::geteuid().is_root() && mount.status().is_ok_and(|status| status.success());
        if made {
            return Some(Self { at: at.to_owned() });
        }
        std::fs::remove_dir(at).expect("the folder");
        None
    }

    /// Takes all room.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).expect("a file");
        for length in [1 << 20, 4_096, 1] {
            let zeros = vec![0; length];
            while file.write_all(&zeros).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn clear(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast");
    }

    fn ballast(&self) -> PathBuf {
        self.at.join(".ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there is ended by its own guard.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
