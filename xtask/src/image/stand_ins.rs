//! Images under the names that the Dockerfile starts from, out of Debian's packages: for machines that reach no registry
//! of images.
//!
//! They have what the Dockerfile relies on and no more: Debian with a C compiler and the Rust toolchain of this machine in
//! place of Rust's image; glibc, certificates and the user 65532 in place of distroless. Fine for trying the Dockerfile,
//! not for publishing what comes of it; both have the label `lockgate.stand-in`.

use super::{Container, buildah, copy, default_of};
use crate::Result;
use crate::process::{read, run, succeeds};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The release of Debian that both images are of.
const RELEASE: &str = "bookworm";
/// What the Rust image has besides the minimum.
const COMPILER: &str = "ca-certificates,gcc,libc6-dev";
/// What distroless `cc` is made of, as packages that are unpacked and not installed.
const BASE: [&str; 6] = ["base-files", "gcc-12-base", "libc6", "libgcc-s1", "netbase", "tzdata"];
const LABEL: &str = "lockgate.stand-in=true";
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Makes those that are missing.
///
/// # Errors
/// When a tool fails, or an image of that name is there that is no stand-in.
pub fn make(folder: &Path) -> Result {
    let (rust, base) = (default_of("RUST_IMAGE")?, default_of("BASE_IMAGE")?);
    if !is_there(&rust)? {
        eprintln!("making a stand-in for {rust}");
        let container = Container::from("scratch")?;
        let root = &container.root;
        run(debootstrap(&["--variant=minbase", &format!("--include={COMPILER}"), RELEASE]).arg(root))?;
        fs::remove_dir_all(root.join("var/cache/apt")).map_err(|error| format!("{}: {error}", root.display()))?;
        let sysroot = read(&mut rustc(&["--print", "sysroot"]))?;
        for part in ["bin", "lib", "libexec"] {
            let from = Path::new(&sysroot).join(part);
            if from.is_dir() {
                run(Command::new("cp").arg("-a").arg(from).arg(root.join("usr/local")))?;
            }
        }
        copy(&Path::new("/").join(AUTHORITIES), &root.join(AUTHORITIES))?;
        configure(&container, &["--env", "CARGO_HOME=/usr/local/cargo", "--user", "0"])?;
        container.commit(&rust)?;
    }
    if !is_there(&base)? {
        eprintln!("making a stand-in for {base}");
        let packages = folder.join("packages");
        let what = ["--variant=minbase", "--download-only", &format!("--include={}", BASE.join(",")), RELEASE];
        run(debootstrap(&what).arg(&packages))?;
        let container = Container::from("scratch")?;
        let root = &container.root;
        for file in crate::workspace::files(&packages.join("var/cache/apt/archives"))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".deb") && BASE.iter().any(|package| name.split('_').next() == Some(package)) {
                run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root))?;
            }
        }
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::write(&path, text)).map_err(|error| format!("{}: {error}", path.display()))
        };
        write(
            "etc/passwd",
            "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
        )?;
        write("etc/group", "root:x:0:\nnonroot:x:65532:\n")?;
        write(AUTHORITIES, "")?;
        copy(&Path::new("/").join(AUTHORITIES), &root.join(AUTHORITIES))?;
        configure(&container, &["--user", "65532", "--env", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"])?;
        container.commit(&base)?;
        fs::remove_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    }
    Ok(())
}

/// Whether there is an image of this name, which then must be a stand-in.
fn is_there(image: &str) -> Result<bool> {
    if !succeeds(&mut buildah(["inspect", "--type", "image", image])) {
        return Ok(false);
    }
    let labels = read(&mut buildah(["inspect", "--type", "image", "--format", "{{.OCIv1.Config.Labels}}", image]))?;
    if labels.contains("lockgate.stand-in:true") {
        return Ok(true);
    }
    Err(format!("{image} is there and no stand-in; leave --stand-ins out to build with it"))
}

fn configure(container: &Container, what: &[&str]) -> Result {
    let path = "PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut command = buildah(["config", "--label", LABEL, "--env", path]);
    run(command.args(what).arg(&container.name))
}

fn debootstrap(arguments: &[&str]) -> Command {
    let mut command = Command::new("debootstrap");
    command.args(arguments);
    command
}

fn rustc(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustc");
    command.args(arguments).current_dir(crate::workspace::root());
    command
}
