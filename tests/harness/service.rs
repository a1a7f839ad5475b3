//! A service of ours in a process of its own, as an operator runs it, with its log.

use super::clock::Clock;
use lockgate_executor::testing;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long whatever must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A process. It is killed when this is dropped.
pub struct Service {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    /// Removed with it.
    files: Vec<PathBuf>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<Value>, bool)>,
    more: Condvar,
}

impl Service {
    /// `lockgate` with these arguments. It logs in JSON.
    pub fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        Self::start_with(arguments, None)
    }

    /// The same with a clock of its own.
    pub fn start_with<S: AsRef<OsStr>>(arguments: &[S], clock: Option<&Clock>) -> Self {
        let mut command = Command::new(testing::program());
        command.envs(clock.into_iter().flat_map(Clock::environment));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("lockgate, which is built beside the tests");
        let log: Arc<Log> = Arc::default();
        let (kept, errors) = (Arc::clone(&log), child.stderr.take().expect("its log"));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                // What is no JSON is an error that it ends with.
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lines.lock().unwrap().0.push(value);
                kept.more.notify_all();
            }
            kept.lines.lock().unwrap().1 = true;
            kept.more.notify_all();
        });
        let files = clock.map(|_| Clock::leavings(child.id())).unwrap_or_default();
        Self { child, log, reader: Some(reader), files }
    }

    /// Waits for a line of the log that `find` finds something in.
    pub fn await_line<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        let mut seen = 0;
        loop {
            if let Some(found) = lines.0[seen..].iter().find_map(&find) {
                return found;
            }
            seen = lines.0.len();
            let left = end.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                let all = lines.0.clone();
                drop(lines);
                panic!("no line of the log {what}: {all:#?}");
            }
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for a line with this message.
    pub fn await_message(&self, message: &str) -> Value {
        self.await_line(message, |line| (line["message"] == message).then(|| line.clone()))
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.log.lines.lock().unwrap().0.clone()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("its end");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("its log");
        }
        status
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.end();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}
