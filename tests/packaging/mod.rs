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
    match try_understand(rest) {
        Err(why) if rest.first().is_some_and(|verb| verb == NOT_YET) && why.contains("unrecognized subcommand") => {}
        Err(why) => panic!("{}: {why}", words.join(" ")),
        Ok(()) => {}
    }
}

/// The verb of TaskManagers of a cluster, which files here name already: compared like all others once it is there.
const NOT_YET: &str = "taskmanager";

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

/// The configurations that are shipped are taken, a secret that is nowhere here apart.
#[test]
fn the_configurations_are_taken() {
    use lockgate_jobmanager::Config;
    use lockgate_jobmanager::config::Surroundings;
    let folder = Path::new("/etc/lockgate");
    let text = file("packaging/jobmanager.toml");
    let secret = "${FILE:/run/secrets/store.key}";
    assert_eq!(text.matches(secret).count(), 1);
    let text = text.replace(secret, "${ENV:KEY}");
    let environment = |_: &str| Some("key".to_owned());
    let config = Config::parse(&text, "jobmanager.toml", Surroundings { folder, environment: &environment });
    let config = config.unwrap_or_else(|errors| panic!("{errors:?}"));
    // What a new volume gives to the image's user, and what systemd makes for the service's.
    assert_eq!(config.data, Path::new("/var/lib/lockgate/jobmanager"));
    assert!(config.names.contains(&"jobmanager".to_owned()));

    let taskmanager: toml::Table = file("packaging/taskmanager.toml").parse().expect("TOML");
    for key in ["state", "cache"] {
        let path = taskmanager[key].as_str().expect("a path");
        assert!(path.starts_with("/var/lib/lockgate/taskmanager/"), "{path}");
    }
}
