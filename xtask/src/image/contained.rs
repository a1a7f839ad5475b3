//! Runs the image as compose.yaml has it run: as its own user, without any capability or a way to gain one, on a read-only
//! root, with only loopback for a network, under packaging/seccomp.json.
//!
//! crun is given all of that in a `config.json` (the OCI runtime specification), as Docker and Podman would give it. What
//! the image itself says (user, command, health check) is taken from the image.

use super::server::Server;
use super::{Container, copy};
use crate::process::{read, run as run_command, succeeds};
use crate::{Result, guests, workspace};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Starts crun (its arguments follow) in a mount namespace in which cgroup v2 is all that there is of control groups:
/// crun refuses machines that have both versions, and none is needed here.
const CRUN: &str = "umount --lazy --recursive /sys/fs/cgroup 2>/dev/null; \
                    mount -t cgroup2 none /sys/fs/cgroup && exec crun --cgroup-manager=disabled \"$@\"";

/// What `doctor` must find besides what it requires: with packaging/seccomp.json a container lacks no wall but the control
/// group, which needs a folder that the engine delegates.
const WALLS: [&str; 7] = [
    "user-namespace",
    "mount-namespace",
    "network-namespace",
    "pid-namespace",
    "ipc-namespace",
    "uts-namespace",
    "oom-score",
];

/// The input of the flights job, and what comes of it (`cargo xtask demo` has the same figures).
const FLIGHTS: [&str; 3] = ["336,776", "15,461", "finished"];

const JOBMANAGER: &str = "data = \"/var/lib/lockgate/jobmanager\"\nlisten = [\"0.0.0.0:8443\"]\n";

/// Tries `doctor`, the flights job and a JobManager.
///
/// # Errors
/// When one does not end as it must.
pub fn run(container: &Container, folder: &Path) -> Result {
    let image = Image::of(container, folder)?;

    say("the walls that stand in the container");
    let said = image.output(&["/usr/bin/lockgate", "doctor"], &[])?;
    let stands = |wall: &str| said.lines().any(|line| line.starts_with(wall) && line.contains(" yes "));
    if let Some(missing) = WALLS.iter().find(|wall| !stands(wall)) {
        return Err(format!("the container lacks the wall {missing}"));
    }

    say("the flights job");
    let results = image.prepare_flights()?;
    let flights = workspace::root().join("examples/data/flights");
    let mounts = [
        Mount { from: flights, to: "/volumes/flights", writable: false },
        Mount { from: results.clone(), to: "/volumes/results", writable: true },
        Mount { from: folder.join("trust"), to: "/trust", writable: false },
        Mount { from: folder.join("flights.lgb"), to: "/flights.lgb", writable: false },
    ];
    let call = "/usr/bin/lockgate run /flights.lgb --trust /trust --domain image.example \
                --volume flights=/volumes/flights --volume results=/volumes/results";
    let said = image.output(&call.split(' ').collect::<Vec<_>>(), &mounts)?;
    if let Some(missing) = FLIGHTS.iter().find(|word| !said.contains(**word)) {
        return Err(format!("the flights job should have said {missing:?}"));
    }
    if workspace::files(&results.join("late"))?.is_empty() {
        return Err(format!("{}: nothing was written", results.display()));
    }

    say("a JobManager that says of itself that it is well");
    let config = folder.join("jobmanager.toml");
    write(&config, JOBMANAGER)?;
    let mounts = [Mount { from: config, to: "/etc/lockgate/jobmanager.toml", writable: false }];
    image.configure(&image.command, &mounts)?;
    // Ends what is in the container; what started it ends with it.
    let _running = Running(&image);
    let server = Server::start(image.crun(&["run", NAME]), &folder.join("jobmanager.log"))?;
    let asked: Vec<&str> =
        ["exec", "--user", &image.user, NAME].into_iter().chain(image.health.iter().map(String::as_str)).collect();
    run_command(&mut image.crun(&asked))?;
    run_command(&mut image.crun(&["kill", NAME, "TERM"]))?;
    server.ended()?;
    eprintln!("\nthe image does what docs/packaging.md says of it");
    Ok(())
}

/// What the containers are called: there is one at a time.
const NAME: &str = "lockgate-image";

/// An image that is unpacked, with the folder of its containers.
struct Image {
    root: PathBuf,
    folder: PathBuf,
    user: String,
    command: Vec<String>,
    health: Vec<String>,
    environment: Vec<String>,
}

/// Something of this machine within a container.
struct Mount {
    from: PathBuf,
    to: &'static str,
    writable: bool,
}

impl Image {
    fn of(container: &Container, folder: &Path) -> Result<Self> {
        let words = |template: &str| -> Result<Vec<String>> {
            let text = container.inspect(&format!("{{{{range {template}}}}}{{{{println .}}}}{{{{end}}}}"))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        let mut command = words(".Docker.Config.Entrypoint")?;
        command.extend(words(".Docker.Config.Cmd")?);
        let health = words(".Docker.Config.Healthcheck.Test")?;
        let (kind, health) = health.split_first().ok_or("the image has no health check")?;
        let user = container.inspect("{{.Docker.Config.User}}")?;
        if user != "65532:65532" || kind != "CMD" {
            return Err(format!("the image runs as {user:?} and asks by {kind:?}"));
        }
        let folder = folder.join("bundle");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let environment = words(".Docker.Config.Env")?;
        Ok(Self { root: container.root.clone(), folder, user, command, health: health.to_vec(), environment })
    }

    /// The folder of this and everything else that is written here.
    fn outer(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// Runs it to its end, with what it says.
    fn output(&self, arguments: &[&str], mounts: &[Mount]) -> Result<String> {
        self.configure(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>(), mounts)?;
        let _running = Running(self);
        let said = read(&mut self.crun(&["run", NAME]))?;
        println!("{said}");
        Ok(said)
    }

    fn crun(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", CRUN, "crun"]);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Writes `config.json`.
    fn configure(&self, arguments: &[String], mounts: &[Mount]) -> Result {
        let file = workspace::root().join("packaging/seccomp.json");
        let seccomp = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let id = self.user.split(':').next().unwrap_or_default();
        let mut all = String::new();
        for Mount { from, to, writable } in mounts {
            let access = if *writable { "rw" } else { "ro" };
            let from = std::path::absolute(from).map_err(|error| format!("{}: {error}", from.display()))?;
            let _ = write!(
                all,
                r#", {{"destination": "{to}", "type": "bind", "source": {}, "options": ["rbind", "{access}", "nosuid", "nodev"]}}"#,
                text(&from.display().to_string())
            );
        }
        let config = format!(
            r#"{{
  "ociVersion": "1.0.2",
  "process": {{
    "user": {{"uid": {id}, "gid": {id}}},
    "args": {args},
    "env": {env},
    "cwd": "/",
    "capabilities": {{"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}},
    "noNewPrivileges": true
  }},
  "root": {{"path": {root}, "readonly": true}},
  "mounts": [
    {{"destination": "/proc", "type": "proc", "source": "proc"}},
    {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}},
    {{"destination": "/var/lib/lockgate", "type": "tmpfs", "source": "state",
      "options": ["nosuid", "nodev", "noexec", "mode=700", "uid={id}", "gid={id}"]}}{all}
  ],
  "linux": {{
    "namespaces": [{{"type": "pid"}}, {{"type": "ipc"}}, {{"type": "uts"}}, {{"type": "mount"}}, {{"type": "network"}}],
    "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    "seccomp": {seccomp}
  }}
}}
"#,
            args = list(arguments),
            env = list(&self.environment),
            root = text(&self.root.display().to_string()),
        );
        write(&self.folder.join("config.json"), &config)
    }

    /// A signed bundle of the flights job with the documents that it needs, made with the image's own `lockgate`; the
    /// folder for its results, which belongs to the image's user.
    fn prepare_flights(&self) -> Result<PathBuf> {
        guests::build()?;
        let folder = self.outer();
        let lockgate = folder.join("lockgate");
        copy(&self.root.join("usr/bin/lockgate"), &lockgate)?;
        let results = folder.join("results");
        for left in ["results", "trust", "flights.lgb"].map(|name| folder.join(name)) {
            let gone = if left.is_dir() { std::fs::remove_dir_all(&left) } else { std::fs::remove_file(&left) };
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", left.display()));
                }
                _ => {}
            }
        }
        for key in ["operator", "operator-status", "tenant", "tenant-status", "signer"] {
            let _ = std::fs::remove_file(folder.join(format!("{key}.key")));
        }
        for call in [
            "keys generate {}/operator.key",
            "keys generate {}/operator-status.key",
            "keys generate {}/tenant.key",
            "keys generate {}/tenant-status.key",
            "keys generate {}/signer.key",
            "trust operator-root --dir {}/trust --domain image.example --root {}/operator.key --status {}/operator-status.key --key {}/operator.key",
            "trust policy examples --dir {}/trust --root {}/tenant.key --grant read:volume:flights/2013 --grant write:volume:results --max-parallelism 4 --key {}/operator.key",
            "trust tenant-root examples --dir {}/trust --signer {}/signer.key --status {}/tenant-status.key --key {}/tenant.key",
            "build examples/flights --volume flights=examples/data/flights --audience image.example --out {}/flights.lgb",
            "sign {}/flights.lgb --key {}/signer.key",
            "trust status examples --dir {}/trust --current {}/flights.lgb --key {}/tenant-status.key",
            "trust operator-status --dir {}/trust --key {}/operator-status.key",
        ] {
            let mut command = Command::new(&lockgate);
            command
                .args(call.split(' ').map(|word| word.replace("{}", &folder.display().to_string())))
                .current_dir(workspace::root())
                .env("LOCKGATE_HOME", folder.join("home"))
                .env("CARGO_TARGET_DIR", workspace::guest_target())
                .env("CARGO_TERM_QUIET", "true");
            read(&mut command)?;
        }
        std::fs::create_dir_all(&results).map_err(|error| format!("{}: {error}", results.display()))?;
        run_command(Command::new("chown").arg(&self.user).arg(&results))?;
        Ok(results)
    }
}

/// A container that may run; ended and taken away at the end.
struct Running<'a>(&'a Image);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        succeeds(&mut self.0.crun(&["delete", "--force", NAME]));
    }
}

fn say(what: &str) {
    println!("\n== {what}\n");
}

/// For the user of the image to read.
fn write(path: &Path, content: &str) -> Result {
    std::fs::write(path, content)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// As a string of JSON.
fn text(plain: &str) -> String {
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(plain: &[String]) -> String {
    format!("[{}]", plain.iter().map(|one| text(one)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_is_given_is_json() {
        assert_eq!(list(&["a\"b".to_owned(), "c\\d".to_owned()]), r#"["a\"b", "c\\d"]"#);
    }
}
