//! The Dockerfile, what may get into its build, and the filter of system calls for containers.

use super::{file, try_understand, understood};
use std::collections::BTreeSet;

/// The instructions with their continued lines as one each, comments left out.
fn instructions(dockerfile: &str) -> Vec<String> {
    let lines = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|l| !l.is_empty()).collect()
}

/// What stands behind the instruction `name` that is last.
fn last<'a>(instructions: &'a [String], name: &str) -> &'a str {
    let found = instructions.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}"))
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}: a shell would be needed"))
}

#[test]
fn the_image_calls_lockgate_as_it_can_be_called() {
    let instructions = instructions(&file("Dockerfile"));
    let mut command = words(last(&instructions, "ENTRYPOINT"));
    command.extend(words(last(&instructions, "CMD")));
    understood(&command);
    let health = last(&instructions, "HEALTHCHECK").split_once("CMD ").expect("a command").1;
    understood(&words(health));
    // The two are of one configuration.
    assert_eq!(command.last(), words(health).last());
}

#[test]
fn the_image_has_no_shell_no_root_and_one_version() {
    let text = file("Dockerfile");
    let instructions = instructions(&text);
    let last_stage = instructions.iter().rposition(|line| line.starts_with("FROM ")).expect("a stage");
    assert!(instructions[last_stage].starts_with("FROM ${BASE_IMAGE}"));
    assert!(!instructions[last_stage..].iter().any(|line| line.starts_with("RUN ") || line.starts_with("ADD ")));
    assert_eq!(last(&instructions, "USER"), "65532:65532");
    assert!(text.contains("ARG BASE_IMAGE=gcr.io/distroless/"));

    let toolchain: toml::Table = file("rust-toolchain.toml").parse().expect("TOML");
    let rust = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    assert!(text.contains(&format!("/rust:{rust}-")) && text.contains(&format!("RUSTUP_TOOLCHAIN={rust} ")), "{rust}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("ARG VERSION={version}\n")), "{version}");
    assert!(file("compose.yaml").contains(&format!("localhost/lockgate:{version}}}")), "{version}");
}

/// What cargo needs in order to read the workspace is let in, and keys are not.
#[test]
fn the_build_sees_the_workspace_and_nothing_secret() {
    let ignored = file(".dockerignore");
    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"));
    let manifest: toml::Table = file("Cargo.toml").parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    for member in members.iter().map(|member| member.as_str().expect("a path")) {
        let top = member.split('/').next().expect("a folder");
        assert!(lines.contains(&format!("!{top}").as_str()), "{member} is kept out of the build");
    }
    assert!(lines.contains(&"**/*.key") && lines.contains(&"**/target"));
    assert!(!lines.iter().any(|line| line.starts_with("!.")), "{lines:?}");
}

/// What executors and compilers may call, and what raises their walls, is allowed in the container around them.
#[test]
fn the_jail_fits_into_the_filter_of_the_container() {
    let filter: serde_json::Value = serde_json::from_str(&file("packaging/seccomp.json")).expect("JSON");
    assert_eq!(filter["defaultAction"], "SCMP_ACT_ERRNO");
    let groups = filter["syscalls"].as_array().expect("groups");
    assert!(groups.iter().all(|group| group["action"] == "SCMP_ACT_ALLOW"));
    let names = groups.iter().flat_map(|group| group["names"].as_array().expect("names"));
    let names: Vec<&str> = names.map(|name| name.as_str().expect("a name")).collect();
    let allowed: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), allowed.len(), "a call is there twice");

    let source: String = file("host/executor/src/jail/filter.rs").split_whitespace().collect();
    let called = source.split("line(libc::SYS_").skip(1);
    let called: BTreeSet<&str> = called.map(|rest| rest.split([',', ')']).next().expect("a name")).collect();
    assert!(called.len() > 20, "{called:?}");
    assert_eq!(called.difference(&allowed).collect::<Vec<_>>(), Vec::<&&str>::new());
    let raising =
        ["clone", "mount", "umount2", "pivot_root", "seccomp", "prctl", "execveat", "pidfd_open", "memfd_create"];
    for call in
        raising.into_iter().chain(["landlock_create_ruleset", "landlock_restrict_self", "close_range", "capset"])
    {
        assert!(allowed.contains(call), "{call}");
    }
    // What nothing here calls and what has let others out of containers before.
    let never =
        ["ptrace", "bpf", "userfaultfd", "io_uring_setup", "keyctl", "add_key", "setns", "unshare", "kexec_load"];
    for call in never.into_iter().chain(["init_module", "open_by_handle_at", "perf_event_open", "process_vm_writev"]) {
        assert!(!allowed.contains(call), "{call}");
    }
}

#[test]
fn continued_lines_are_one_instruction() {
    let found = instructions("# x\nRUN a \\\n    b\n\nUSER 1\n# y\nUSER 2\n");
    assert_eq!(found, ["RUN a b", "USER 1", "USER 2"]);
    assert_eq!(last(&found, "USER"), "2");
    assert!(try_understand(&[]).is_err());
}
