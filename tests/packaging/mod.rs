//! Dockerfile, compose.yaml and units: that they call `lockgate` as it can be called, that their parts fit each other, and
//! that none of the restrictions which docs/packaging.md promises has been lost.
//!
//! Nothing is built or started but `lockgate … --help`: `cargo xtask image` builds the image and runs it.

mod compose;
mod image;
mod units;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A file of the repository.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a root").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails unless `lockgate`, which these words begin with, has the verb and the flags that follow.
fn understood(words: &[String]) {
    let (program, rest) = words.split_first().expect("a command");
    assert_eq!(program, "/usr/bin/lockgate", "{words:?}");
    if let Err(why) = try_understand(rest) {
        panic!("{}: {why}", words.join(" "));
    }
}

fn try_understand(words: &[String]) -> Result<(), String> {
    let verb: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    if verb.is_empty() {
        return Err("no verb".into());
    }
    let mut help = Command::new(lockgate_executor::testing::program());
    let help = help.args(&verb).arg("--help").output().expect("lockgate starts");
    let text = String::from_utf8_lossy(&help.stdout);
    if !help.status.success() {
        return Err(String::from_utf8_lossy(&help.stderr).into_owned());
    }
    let flags: BTreeSet<&str> = text.split([' ', '\n', ',', '[', ']']).filter(|word| word.starts_with("--")).collect();
    match words.iter().find(|word| word.starts_with('-') && !flags.contains(word.as_str())) {
        Some(unknown) => Err(format!("`lockgate {}` has no {unknown}", verb.join(" "))),
        None => Ok(()),
    }
}

#[test]
fn what_lockgate_cannot_be_called_with_is_found() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(try_understand(&words("health --config x")), Ok(()));
    assert_eq!(try_understand(&words("doctor")), Ok(()));
    assert!(try_understand(&words("healthy --config x")).unwrap_err().contains("healthy"));
    assert!(try_understand(&words("health --configuration x")).unwrap_err().contains("--configuration"));
    assert!(try_understand(&words("--config x")).is_err());
}

/// The configurations that are shipped are taken, and what they keep is where a new volume gives it to the image's user and
/// systemd makes a folder for the service's.
#[test]
fn the_configurations_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in ["jobmanager", "taskmanager"] {
        let text = file(&format!("packaging/{kind}.toml"));
        let kept: Vec<&str> = text.lines().filter(|line| line.contains("/var/lib/lockgate")).collect();
        let below = format!("\"/var/lib/lockgate/{kind}");
        assert!(!kept.is_empty() && kept.iter().all(|line| line.contains(&below)), "{kept:?}");
        // The one file that is read before a start.
        let text = text.replace("${FILE:/run/secrets/store.key}", "${ENV:KEY}");
        let path = folder.path().join(format!("{kind}.toml"));
        std::fs::write(&path, text).expect("a configuration");
        let mut command = Command::new(lockgate_executor::testing::program());
        let checked = command.args(["config", "check"]).arg(&path).env("KEY", "key").output().expect("lockgate starts");
        assert!(checked.status.success(), "{kind}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    let wrong = folder.path().join("jobmanager.toml");
    std::fs::write(&wrong, "data = 1\n").expect("a configuration");
    let checked = Command::new(lockgate_executor::testing::program()).args(["config", "check"]).arg(&wrong).output();
    assert!(!checked.expect("lockgate starts").status.success());
}
