//! A JobManager as a process of its own: how it tells systemd, reloads, stops, and refuses to start.
//!
//! The process is this test binary once more, with a variable that makes one of its tests serve: signals are a process's,
//! so that they cannot be tried out within this one.

use super::*;
use crate::testing::Trust;
use crate::testing::client;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

const VARIABLE: &str = "LOCKGATE_TEST_SERVE";

/// Does nothing unless it is started by another test here.
#[test]
fn serves_in_a_process_of_its_own() {
    let Ok(path) = std::env::var(VARIABLE) else { return };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let served = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let config = Config::read(Path::new(&path)).map_err(|errors| errors[0].clone())?;
        serve(&config, false, asked_to_stop()?).await
    });
    match served {
        Ok(drained) => std::process::exit(if drained { 0 } else { 3 }),
        Err(error) => {
            eprintln!("refused: {error}");
            std::process::exit(1);
        }
    }
}

/// A JobManager in a process; ended when dropped.
struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Process {
    fn start(folder: &Path, socket: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve::tests::serves_in_a_process_of_its_own", "--nocapture"])
            .env(VARIABLE, folder.join("jobmanager.toml"))
            .env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", "100000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// The next line of its log that has this in it, from there on.
    fn line(&mut self, with: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended without {with:?}: {seen}");
            if let Some(at) = line.find(with) {
                return line[at + with.len()..].trim().to_owned();
            }
            seen.push_str(&line);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a configuration and a socket for what systemd would be told.
fn set_up() -> (tempfile::TempDir, UnixDatagram) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobmanager.toml"), "data = \"data\"\nlisten = [\"127.0.0.1:0\"]\n").unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(crate::testing::PATIENCE)).unwrap();
    (folder, socket)
}

/// Waits until the process says this; what it says of its watchdog is left out.
fn told(socket: &UnixDatagram, wanted: &str) {
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("{wanted} was not told"));
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        if text.starts_with(wanted) {
            return;
        }
        assert_eq!(text, "WATCHDOG=1\n", "before {wanted}");
    }
}

#[test]
fn it_starts_reloads_and_stops_as_systemd_expects() {
    let (folder, socket) = set_up();
    let place = folder.path().join("notify");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut first = Process::start(folder.path(), &place);
    let address = first.line("listening address=").parse().unwrap();
    told(&socket, "READY=1");
    let token = std::fs::read_to_string(folder.path().join("data/setup-token")).unwrap();
    let trust = Trust::of(&folder.path().join("data/tls/ca.pem"));
    let whoami = client::get("/api/v1/whoami", token.trim());
    let answer = runtime.block_on(trust.ask(address, whoami.as_bytes()));
    assert!(answer.status == 200 && answer.body.contains("\"principal\":\"setup\""), "{answer:?}");
    told(&socket, "WATCHDOG=1");
    first.signal(Signal::HUP);
    told(&socket, "RELOADING=1\nMONOTONIC_USEC=");
    told(&socket, "READY=1");

    // Nobody else may have the store meanwhile.
    let mut second = Process::start(folder.path(), &place);
    assert!(second.line("refused: ").starts_with("LG1210"));
    assert_eq!(second.ended().code(), Some(1));

    first.signal(Signal::TERM);
    told(&socket, "STOPPING=1");
    assert_eq!(first.ended().code(), Some(0));

    // What was made is there after a restart: the authority, and the token.
    let mut again = Process::start(folder.path(), &place);
    let address = again.line("listening address=").parse().unwrap();
    told(&socket, "READY=1");
    assert_eq!(runtime.block_on(trust.ask(address, whoami.as_bytes())).status, 200);
    again.signal(Signal::INT);
    assert_eq!(again.ended().code(), Some(0));
}

#[test]
fn it_does_not_start_where_others_can_look() {
    let (folder, _socket) = set_up();
    let place = folder.path().join("notify");
    let data = folder.path().join("data");
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir(&data).unwrap();
    set(&data, 0o750);
    let mut open = Process::start(folder.path(), &place);
    assert!(open.line("refused: ").starts_with("LG0850"));
    assert_eq!(open.ended().code(), Some(1));
    set(&data, 0o700);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("data = \"data\"\nlisten = [\"{}\"]\n", taken.local_addr().unwrap());
    std::fs::write(folder.path().join("jobmanager.toml"), text).unwrap();
    assert!(Process::start(folder.path(), &place).line("refused: ").starts_with("LG1054"));
    set(&folder.path().join("data/tls/server.key"), 0o644);
    assert!(Process::start(folder.path(), &place).line("refused: ").starts_with("LG0850"));
}
