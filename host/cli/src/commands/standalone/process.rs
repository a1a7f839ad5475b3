//! One of the processes: started, waited for until it says that it is ready, and started again when it ends.
//!
//! Readiness comes as systemd would get it (`NOTIFY_SOCKET`). The process has a pipe for its standard input and ends when that
//! does, so that it does not outlive whoever started it, however that one ended.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end when asked to.
const STOP: Duration = Duration::from_secs(40);
/// The first pause before it is started again; doubled by each further one.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// After running this long the pauses begin anew.
const SETTLED: Duration = Duration::from_secs(60);

/// A process that is kept running.
pub struct Supervised {
    /// The verb that it is.
    verb: &'static str,
    config: PathBuf,
    /// Where the sockets are by which it says that it is ready.
    folder: PathBuf,
    child: Option<Child>,
    /// Its standard input: it ends with this. Kept apart, since waiting for a child would close it.
    leash: Option<ChildStdin>,
    started: Instant,
    pause: Duration,
}

impl Supervised {
    /// One that is not started yet: `lockgate VERB --config CONFIG`.
    pub fn new(verb: &'static str, config: PathBuf, folder: PathBuf) -> Self {
        Self { verb, config, folder, child: None, leash: None, started: Instant::now(), pause: PAUSE }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// `LG0003` if it cannot be started, ends before it is ready (it has said why), or is not ready in time.
    pub async fn start(&mut self) -> Result<()> {
        let failed = |what: String| Error::new(code::INTERNAL, format!("the {} {what}", self.verb));
        let path = self.folder.join(format!("{}.notify", self.verb));
        let _ = std::fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        let mut command = Command::new(super::setup::program()?);
        command.arg(self.verb).arg("--config").arg(&self.config);
        command.env("NOTIFY_SOCKET", &path).env("LOCKGATE_SUPERVISED", "1");
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        // A group of its own: Ctrl-C is for the supervisor, which ends them one after the other.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).process_group(0);
        let mut child = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
        self.leash = child.stdin.take();
        let said = async {
            let mut buffer = [0; 256];
            while let Ok(length) = ready.recv(&mut buffer).await {
                if buffer.get(..length).unwrap_or_default().split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
                {
                    break;
                }
            }
        };
        let outcome = tokio::select! {
            ended = child.wait() => Err(failed(format!("ended before it was ready: {}", shown(ended)))),
            said = timeout(START, said) => said.map_err(|_| failed(format!("is not ready after {} s", START.as_secs()))),
        };
        let _ = std::fs::remove_file(&path);
        (self.child, self.started) = (Some(child), Instant::now());
        outcome
    }

    /// Waits until it ends, says so, and starts it again after a pause. Can be dropped at any time.
    pub async fn keep(&mut self) {
        if let Some(child) = &mut self.child {
            let ended = child.wait().await;
            tracing::error!(
                process = self.verb,
                ended = shown(ended),
                "a process ended by itself and is started again"
            );
            self.child = None;
        }
        if self.started.elapsed() > SETTLED {
            self.pause = PAUSE;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        if let Err(error) = self.start().await {
            tracing::error!(%error, "it will be tried again");
            self.child = None;
        }
    }

    /// Asks it to end, and makes it end if it does not in time.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        self.leash = None;
        if timeout(STOP, child.wait()).await.is_err() {
            tracing::warn!(process = self.verb, "it did not end in time and is killed");
            let _ = child.kill().await;
        }
    }
}

fn shown(ended: std::io::Result<std::process::ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
