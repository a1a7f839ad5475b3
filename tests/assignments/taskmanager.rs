//! A real TaskManager in a process of its own: what is attacked.

use super::jobmanager::{JobManager, PATIENCE};
use super::papers::{DOMAIN, Operator};
use lockgate_executor::testing;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rows of the input.
pub const ROWS: i64 = 10;

pub struct TaskManager {
    pub folder: tempfile::TempDir,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
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
        let (child, log, reader) = spawn(folder.path());
        Self { folder, child, log, reader: Some(reader) }
    }

    /// Stops it.
    pub fn stop(&mut self) -> ExitStatus {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its end") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }

    /// Starts it again, with the state that it left; `change` may alter that first.
    pub fn restart(&mut self, change: impl FnOnce(&Path)) {
        self.stop();
        change(self.folder.path());
        let (child, log, reader) = spawn(self.folder.path());
        (self.child, self.log, self.reader) = (child, log, Some(reader));
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
    }

    /// Its executors and compilers: processes that it started and that are not gone.
    pub fn children(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
        tasks.map(|task| of(task.expect("a thread").path()).split_whitespace().count()).sum()
    }
}

impl Drop for TaskManager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Spawned = (Child, Arc<Mutex<Vec<String>>>, JoinHandle<()>);

fn spawn(folder: &Path) -> Spawned {
    let mut command = Command::new(testing::program());
    command.args(["taskmanager", "--config"]).arg(folder.join("taskmanager.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("lockgate, which is built beside the tests");
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let (kept, errors) = (Arc::clone(&log), child.stderr.take().expect("its log"));
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    (child, log, reader)
}
