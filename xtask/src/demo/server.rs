//! The JobManager that the demo asks: a process of its own on a free port of this machine, which ends with the demo
//! however that ends.

use crate::Result;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands in its log before the address.
const LISTENING: &str = "listening address=";

/// A process that ends when this is dropped.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts this `lockgate jobmanager` and waits until it listens. Its log goes to this file.
    ///
    /// # Errors
    /// When it cannot be started, ends or does not listen in time.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let file = File::create(log).map_err(failed)?;
        command.env_remove("LOCKGATE_LOG").stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("the JobManager: {error}"))?;
        let mut server = Self { child, port: 0 };
        let told = server.child.stderr.take().ok_or("the JobManager has no log")?;
        let (tell, port) = sync_channel(1);
        std::thread::spawn(move || keep(told, file, &tell));
        server.port = port.recv_timeout(PATIENCE).map_err(|error| {
            let what = if error == RecvTimeoutError::Timeout { "does not listen" } else { "has ended" };
            format!("the JobManager {what}; see {}", log.display())
        })?;
        Ok(server)
    }

    /// How it is asked.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies the log to its end, so that the JobManager never waits for a reader, and tells the port once it is there.
fn keep(log: ChildStderr, mut file: File, tell: &SyncSender<u16>) {
    for line in BufReader::new(log).lines().map_while(std::result::Result::ok) {
        if let Some(port) = port(&line) {
            let _ = tell.try_send(port);
        }
        let _ = writeln!(file, "{line}");
    }
}

fn port(line: &str) -> Option<u16> {
    let (_, address) = line.split_once(LISTENING)?;
    address.trim().rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server> {
        let log = std::env::temp_dir().join(format!("xtask-server-{}-{}", std::process::id(), script.len()));
        let mut command = Command::new("sh");
        command.args(["-c", script]).stderr(Stdio::piped());
        let started = Server::start(command, &log);
        std::fs::remove_file(log).unwrap();
        started
    }

    #[test]
    fn a_server_is_waited_for_and_ends_with_whoever_has_it() {
        let server = start("echo 'INFO listening address=127.0.0.1:4433' >&2; exec sleep 600").unwrap();
        assert_eq!(server.url(), "https://localhost:4433");
        let process = format!("/proc/{}", server.child.id());
        assert!(Path::new(&process).exists());
        drop(server);
        assert!(!Path::new(&process).exists());
    }

    #[test]
    fn a_server_that_ends_at_once_is_told() {
        assert!(start("echo no >&2").err().unwrap().contains("has ended"));
    }
}
