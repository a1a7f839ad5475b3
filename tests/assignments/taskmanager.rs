//! A real TaskManager in a process of its own: what is attacked.

use super::jobmanager::{JobManager, PATIENCE};
use super::papers::{DOMAIN, Operator};
use crate::harness::service::Service;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Rows of the input.
pub const ROWS: i64 = 10;

pub struct TaskManager {
    pub folder: tempfile::TempDir,
    service: Service,
}

impl TaskManager {
    /// One that joins `jobmanager` and relies on `operator`, with these lines under `[trust]` besides.
    pub fn start(jobmanager: &JobManager, operator: &Operator, trust: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["in/rows", "in/secret", "out", "elsewhere"] {
            fs::create_dir_all(path(name)).expect("a folder");
        }
        let rows: String = (0..ROWS).map(|x| format!("{{\"x\":{x}}}\n")).collect();
        fs::write(path("in/rows/rows.json"), rows).expect("the input");
        fs::write(path("in/secret/secret.json"), "{\"x\":666}\n").expect("what nobody may read");
        fs::write(path("elsewhere/secret.json"), "{\"x\":666}\n").expect("what nobody may read");
        fs::write(path("ca.pem"), &jobmanager.ca).expect("the authority");
        fs::write(path("operator-root.json"), operator.pinned().to_json().expect("JSON")).expect("the root");
        fs::write(path("token"), "lgj_0123456789abcdef_0123456789abcdef0123456789abcdef\n").expect("a token");
        fs::set_permissions(path("token"), fs::Permissions::from_mode(0o600)).expect("a token");
        let text = format!(
            r#"
            name = "tm"
            log-format = "json"
            slots = 4
            state = "state"
            cache = "cache"
            [jobmanager]
            join = "{}"
            ca = "ca.pem"
            join-token-file = "token"
            [trust]
            domain = "{DOMAIN}"
            operator-root = "operator-root.json"
            {trust}
            [volumes]
            in = "in"
            out = "out"
            "#,
            jobmanager.url(),
        );
        fs::write(path("taskmanager.toml"), text).expect("a configuration");
        let service = start(folder.path());
        Self { folder, service }
    }

    /// Waits for its end, which must come by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while self.service.runs() {
            assert!(begun.elapsed() < PATIENCE, "it does not end: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.service.end()
    }

    /// Stops it, and starts it again with the state that it left.
    pub fn restart(&mut self) {
        self.service.stop();
        self.service = start(self.folder.path());
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.service.runs()
    }

    /// The lines of its log.
    pub fn lines(&self) -> Vec<Value> {
        self.service.lines()
    }

    /// The same as text.
    pub fn log(&self) -> Vec<String> {
        self.lines().iter().map(ToString::to_string).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All files below a folder, hidden ones too, with what is in them.
    pub fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path(below)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.folder.path()).expect("below it");
                    // What is gone by now was not left.
                    fs::read(&path).into_iter().for_each(|bytes| drop(files.insert(name.display().to_string(), bytes)));
                }
            }
        }
        files
    }

    /// The most bytes of memory that it ever held.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
    }

    /// Its executors and compilers: processes that it started and that are not gone.
    pub fn children(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.service.id())).into_iter().flatten();
        let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
        tasks.map(|task| of(task.expect("a thread").path()).split_whitespace().count()).sum()
    }
}

fn start(folder: &Path) -> Service {
    let config = folder.join("taskmanager.toml");
    Service::start(&["taskmanager".as_ref(), "--config".as_ref(), config.as_os_str()])
}
