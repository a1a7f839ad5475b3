//! The processes of the demo's cluster: `lockgate standalone`, and a second TaskManager. Both end with the demo, however that
//! ends.

use crate::{Result, workspace};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How long a process may take until it says that it is ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends when this is dropped: it is asked to by the end of its standard input, and given time.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts a process that says on its standard output that it is ready; what it logs goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, ends or is not ready in time.
    pub fn that_says_so(mut command: Command, log: &Path) -> Result<Self> {
        let mut process = Self::start(command.stdout(Stdio::piped()), log)?;
        let said = process.child.stdout.take().ok_or("it has no output")?;
        let (tell, told) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(std::result::Result::ok) {
                println!("{line}");
                let _ = tell.try_send(());
            }
        });
        let ready = told.recv_timeout(PATIENCE);
        ready.map_err(|_| format!("it is not ready; see {}", workspace::shown(log)))?;
        Ok(process)
    }

    /// Starts a process that tells systemd that it is ready; what it logs goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, ends or is not ready in time.
    pub fn that_notifies(mut command: Command, log: &Path) -> Result<Self> {
        let name = format!("lockgate-demo-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).map_err(|error| error.to_string())?;
        let socket = UnixDatagram::bind_addr(&address).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let process = Self::start(command.stdout(Stdio::null()).env("NOTIFY_SOCKET", format!("@{name}")), log)?;
        let mut buffer = [0; 256];
        loop {
            let length =
                socket.recv(&mut buffer).map_err(|_| format!("it is not ready; see {}", workspace::shown(log)))?;
            if buffer.get(..length).unwrap_or_default().starts_with(b"READY=1") {
                return Ok(process);
            }
        }
    }

    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.env_remove("LOCKGATE_LOG").env("LOCKGATE_SUPERVISED", "1").stdin(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|error| format!("a process could not be started: {error}"))?;
        let input = child.stdin.take();
        Ok(Self { child, input })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // Its own bound on ending in order is below a minute.
        for _ in 0..600 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// The id of the process whose command line has `argument` in it.
///
/// # Errors
/// When there is not exactly one.
pub fn process_with(argument: &str) -> Result<u32> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir("/proc").map_err(|error| error.to_string())?;
    for entry in entries.map_while(std::result::Result::ok) {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|part| part.ends_with(argument.as_bytes())) {
            found.push(id);
        }
    }
    match found.as_slice() {
        [one] => Ok(*one),
        other => Err(format!("{} processes have {argument} among their arguments, not one", other.len())),
    }
}
