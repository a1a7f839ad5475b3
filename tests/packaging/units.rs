//! The systemd units: what they call, what they restrict, and that systemd takes them where it is there to be asked.

use super::{file, understood};
use std::collections::BTreeMap;
use std::process::Command;

const UNITS: [&str; 2] = ["lockgate-jobmanager", "lockgate-taskmanager"];

/// Section and key with all values, in their order.
type Unit = BTreeMap<(String, String), Vec<String>>;

fn unit(name: &str) -> Unit {
    parse(&file(&format!("packaging/systemd/{name}.service"))).unwrap_or_else(|line| panic!("{name}: {line}"))
}

/// systemd.syntax(7) as far as it is used here; or the line that is none of it.
fn parse(text: &str) -> Result<Unit, String> {
    let (mut unit, mut section) = (Unit::new(), None);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = Some(name.to_owned());
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(line)?;
        let section = section.clone().ok_or(line)?;
        unit.entry((section, key.to_owned())).or_default().push(value.to_owned());
    }
    Ok(unit)
}

fn value<'a>(unit: &'a Unit, key: &str) -> &'a str {
    let values = unit.get(&("Service".to_owned(), key.to_owned()));
    values.and_then(|values| values.last()).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn the_units_call_lockgate_as_it_can_be_called() {
    for name in UNITS {
        let unit = unit(name);
        let command: Vec<String> = value(&unit, "ExecStart").split(' ').map(str::to_owned).collect();
        understood(&command);
        assert!(command.last().is_some_and(|config| config.starts_with("/etc/lockgate/")), "{command:?}");
        // The folder that it makes is the one that the configuration names.
        let kind = name.strip_prefix("lockgate-").expect("a kind");
        assert_eq!(value(&unit, "StateDirectory"), format!("lockgate/{kind}"));
        let config = file(&format!("packaging/{kind}.toml"));
        assert!(config.contains(&format!("/var/lib/lockgate/{kind}")));
        assert!(file("packaging/systemd/lockgate.sysusers.conf").contains(&format!("u {} ", value(&unit, "User"))));
    }
}

#[test]
fn the_units_are_hardened() {
    for name in UNITS {
        let unit = unit(name);
        for key in [
            "NoNewPrivileges",
            "ProtectHome",
            "ProtectClock",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "PrivateDevices",
            "PrivateTmp",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "RestrictRealtime",
            "RestrictSUIDSGID",
        ] {
            assert_eq!(value(&unit, key), "yes", "{name}: {key}");
        }
        assert_eq!((value(&unit, "CapabilityBoundingSet"), value(&unit, "ProtectSystem")), ("", "strict"), "{name}");
        assert_eq!(value(&unit, "SystemCallArchitectures"), "native", "{name}");
        assert!(["0077", "0027"].contains(&value(&unit, "UMask")), "{name}");
        assert_eq!((value(&unit, "StateDirectoryMode"), value(&unit, "LimitCORE")), ("0700", "0"), "{name}");
        assert!(unit[&("Service".into(), "SystemCallFilter".into())][0] == "@system-service", "{name}");
    }
}

/// What the jail needs is open to the TaskManager, and to the JobManager it is not.
#[test]
fn the_jail_fits_into_the_unit() {
    let (jobmanager, taskmanager) = (unit(UNITS[0]), unit(UNITS[1]));
    assert_eq!(value(&jobmanager, "RestrictNamespaces"), "yes");
    assert_eq!(value(&jobmanager, "SystemCallFilter"), "~@privileged @resources");
    assert_eq!(value(&taskmanager, "RestrictNamespaces"), "user mnt net pid ipc uts");
    let calls = value(&taskmanager, "SystemCallFilter");
    for call in ["mount", "umount2", "pivot_root", "landlock_create_ruleset", "landlock_restrict_self", "seccomp"] {
        assert!(calls.split(' ').any(|own| own == call), "{call}");
    }
    assert_eq!((value(&taskmanager, "Delegate"), value(&taskmanager, "OOMPolicy")), ("memory cpu", "continue"));
    for never in ["ProtectControlGroups", "ProtectProc", "ProcSubset"] {
        assert!(!taskmanager.contains_key(&("Service".into(), never.into())), "{never}");
    }
}

/// systemd itself finds nothing wrong with them. Only where it is installed: what it says of a word that is misspelt is
/// nowhere else to be had.
#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |name: &str, text: &str| {
        let path = folder.path().join(format!("{name}.service"));
        std::fs::write(&path, text).expect("a unit");
        Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(path).output()
    };
    let program = lockgate_executor::testing::program().display().to_string();
    for name in UNITS {
        let text = file(&format!("packaging/systemd/{name}.service")).replace("/usr/bin/lockgate", &program);
        let Ok(verified) = check(name, &text) else {
            eprintln!("systemd-analyze is not installed; the units were only parsed");
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let own: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(own.is_empty(), "{said}");
        let wrong =
            check(name, &text.replace("ProtectSystem=strict", "ProtectSystem=strictly")).expect("systemd-analyze");
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("strictly"), "{wrong:?}");
    }
}

#[test]
fn what_is_no_unit_is_found() {
    assert_eq!(parse("[Service]\n# x\nUser=a\nUser=b\n").unwrap()[&("Service".into(), "User".into())], ["a", "b"]);
    assert!(parse("User=a\n").is_err() && parse("[Service]\nUser\n").is_err());
}
