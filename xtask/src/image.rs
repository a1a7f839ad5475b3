//! `cargo xtask image`: builds the container image, lists what is in it, and runs it as `compose.yaml` would.
//!
//! With buildah, which needs no daemon, in its `chroot` isolation, which works where a build is itself contained. What was
//! built is run by crun under the settings that packaging/ recommends, so that what docs/packaging.md says of them is tried
//! and not believed. Too long for `cargo xtask test`: it compiles the whole project in release.

mod contained;
mod server;
mod stand_ins;

use crate::process::{read, run as run_command, succeeds};
use crate::{Result, unknown_argument, workspace};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo xtask image --help`.
pub const HELP: &str = "\
Usage: cargo xtask image [--stand-ins] [--no-build] [-- BUILDAH ARGUMENTS]

Builds the image of ./Dockerfile with buildah, writes its list of components to
target/image/lockgate.cdx.json, and tries it in containers without capabilities, on a read-only root, under
packaging/seccomp.json: `doctor`, the flights job, a JobManager that is well. Needs Linux, root, buildah and crun, and takes
as long as a release build.

Options:
  --stand-ins   first makes images with the names that the Dockerfile starts from, out of Debian's packages (debootstrap)
                and the Rust toolchain of this machine: for machines that reach no registry of images
  --no-build    only tries the image that is there
  --            what follows is given to `buildah build`, such as --volume or --build-arg
";

/// What the image is called, as in compose.yaml.
const IMAGE: &str = concat!("localhost/lockgate:", env!("CARGO_PKG_VERSION"));

/// Builds and tries it.
///
/// # Errors
/// When a tool is missing, or a step does not end as it must.
pub fn run(arguments: &[String]) -> Result {
    let own = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (own, rest) = arguments.split_at(own);
    let (mut stand_ins, mut build) = (false, true);
    for argument in own {
        match argument.as_str() {
            "--stand-ins" => stand_ins = true,
            "--no-build" => build = false,
            other => return Err(unknown_argument("image", other)),
        }
    }
    needed("buildah")?;
    needed("crun")?;
    let folder = workspace::target().join("image");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if stand_ins {
        needed("debootstrap")?;
        stand_ins::make(&folder)?;
    }
    if build {
        let revision = read(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(workspace::root()));
        let mut command = buildah(["build", "--isolation", "chroot", "--format", "docker", "--layers"]);
        command.args(["--tag", IMAGE, "--build-arg", concat!("VERSION=", env!("CARGO_PKG_VERSION")), "--build-arg"]);
        command.arg(format!("REVISION={}", revision.unwrap_or_else(|_| "unknown".into())));
        run_command(command.args(rest.iter().skip(1)).arg("."))?;
    }
    let container = Container::from(IMAGE)?;
    let list = folder.join("lockgate.cdx.json");
    copy(&container.root.join("usr/share/sbom/lockgate.cdx.json"), &list)?;
    eprintln!("what is in the image: {}", workspace::shown(&list));
    contained::run(&container, &folder)
}

/// A container of an image whose root is mounted here; taken away at the end.
struct Container {
    name: String,
    root: PathBuf,
}

impl Container {
    fn from(image: &str) -> Result<Self> {
        let name = read(&mut buildah(["from", "--pull-never", image]))?;
        // From here on dropping it removes what was made.
        let mut container = Self { name, root: PathBuf::new() };
        container.root = read(&mut buildah(["mount", &container.name]))?.into();
        Ok(container)
    }

    /// What its configuration says, by a template of `buildah inspect`.
    fn inspect(&self, template: &str) -> Result<String> {
        read(&mut buildah(["inspect", "--format", template, &self.name]))
    }

    /// Makes an image of it.
    fn commit(&self, image: &str) -> Result {
        run_command(&mut buildah(["commit", "--quiet", &self.name, image]))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        succeeds(&mut buildah(["rm", &self.name]));
    }
}

fn buildah<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("buildah");
    command.args(arguments).current_dir(workspace::root());
    command
}

fn needed(tool: &str) -> Result {
    let there = succeeds(Command::new(tool).arg("--version"));
    if there { Ok(()) } else { Err(format!("{tool} is needed and cannot be started; install the package {tool}")) }
}

fn copy(from: &Path, to: &Path) -> Result {
    std::fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

/// The default of an argument of the Dockerfile.
fn default_of(argument: &str) -> Result<String> {
    let file = workspace::root().join("Dockerfile");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let prefix = format!("ARG {argument}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    value.map(str::to_owned).ok_or_else(|| format!("the Dockerfile has no `{prefix}…`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_that_the_dockerfile_starts_from_are_found() {
        assert!(default_of("RUST_IMAGE").unwrap().contains("/rust:"));
        assert!(default_of("BASE_IMAGE").unwrap().contains("distroless"));
        assert!(default_of("NO_IMAGE").unwrap_err().contains("NO_IMAGE"));
    }

    #[test]
    fn a_tool_that_is_missing_is_named() {
        assert!(needed("no-such-tool").unwrap_err().contains("no-such-tool"));
    }
}
