//! A JobManager in a container: waited for until it listens, and again until it has ended.

use crate::Result;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(90);

/// What stands in its log once it does.
const LISTENING: &str = "listening address=";

/// What runs it, which ends when this is dropped.
pub struct Server(Child);

impl Server {
    /// Starts it and waits until it listens. Its log goes to this file.
    ///
    /// # Errors
    /// When it cannot be started, ends or does not listen in time.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let file = File::create(log).map_err(failed)?;
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Self(command.spawn().map_err(|error| format!("the JobManager: {error}"))?);
        let told = server.0.stderr.take().ok_or("the JobManager has no log")?;
        let (tell, listens) = sync_channel(1);
        std::thread::spawn(move || keep(told, file, &tell));
        listens.recv_timeout(PATIENCE).map_err(|error| {
            let what = if error == RecvTimeoutError::Timeout { "does not listen" } else { "has ended" };
            format!("the JobManager {what}; see {}", log.display())
        })?;
        Ok(server)
    }

    /// Waits for its end, which somebody has asked it for.
    ///
    /// # Errors
    /// When it ends as it should not.
    pub fn ended(mut self) -> Result {
        let status = self.0.wait().map_err(|error| format!("the JobManager: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the JobManager ended otherwise than asked ({status})")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies the log to its end, so that the JobManager never waits for a reader, and tells once it listens.
fn keep(log: ChildStderr, mut file: File, tell: &SyncSender<()>) {
    for line in BufReader::new(log).lines().map_while(std::result::Result::ok) {
        if line.contains(LISTENING) {
            let _ = tell.try_send(());
        }
        let _ = writeln!(file, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server> {
        let log = std::env::temp_dir().join(format!("xtask-server-{}-{}", std::process::id(), script.len()));
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let started = Server::start(command, &log);
        std::fs::remove_file(log).unwrap();
        started
    }

    #[test]
    fn a_server_is_waited_for_and_its_end_is_looked_at() {
        start("echo 'INFO listening address=127.0.0.1:4433' >&2").unwrap().ended().unwrap();
        let wrong = start("echo 'INFO listening address=127.0.0.1:4433' >&2; exit 3").unwrap();
        assert!(wrong.ended().unwrap_err().contains("otherwise"));
    }

    #[test]
    fn a_server_that_ends_at_once_is_told() {
        assert!(start("echo no >&2").err().unwrap().contains("has ended"));
    }
}
