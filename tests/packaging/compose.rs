//! compose.yaml: each service is restricted as docs/packaging.md says, and what it refers to is declared.

use super::{file, understood};
use yaml_rust2::{Yaml, YamlLoader};

/// The document with `<<` resolved, which the parser leaves to others.
fn project(text: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(text).expect("YAML");
    assert_eq!(documents.len(), 1);
    merged(&documents[0])
}

fn merged(node: &Yaml) -> Yaml {
    match node {
        Yaml::Array(items) => Yaml::Array(items.iter().map(merged).collect()),
        Yaml::Hash(own) => {
            let base = own.get(&Yaml::String("<<".into())).map(merged);
            let mut all = base.and_then(Yaml::into_hash).unwrap_or_default();
            for (key, value) in own.iter().filter(|(key, _)| key.as_str() != Some("<<")) {
                all.insert(key.clone(), merged(value));
            }
            Yaml::Hash(all)
        }
        other => other.clone(),
    }
}

fn texts(node: &Yaml) -> Vec<String> {
    let items = node.as_vec().unwrap_or_else(|| panic!("{node:?} is no list"));
    items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{item:?}")).to_owned()).collect()
}

fn services(project: &Yaml) -> Vec<(&str, &Yaml)> {
    let services = project["services"].as_hash().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service)).collect()
}

#[test]
fn the_services_call_lockgate_as_it_can_be_called() {
    let project = project(&file("compose.yaml"));
    for (name, service) in services(&project) {
        let mut command = vec!["/usr/bin/lockgate".to_owned()];
        command.extend(texts(&service["command"]));
        understood(&command);
        let health = texts(&service["healthcheck"]["test"]);
        assert_eq!(health[0], "CMD", "{name}");
        understood(&health[1..]);
        // The configuration that it names is there.
        let config = command.last().expect("a file");
        assert!(texts(&service["volumes"]).iter().any(|volume| volume.ends_with(&format!(":{config}:ro"))), "{name}");
    }
}

#[test]
fn every_service_is_contained() {
    let project = project(&file("compose.yaml"));
    let names: Vec<&str> = services(&project).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["jobmanager", "taskmanager-1", "taskmanager-2"]);
    for (name, service) in services(&project) {
        assert_eq!(wrong(service), Vec::<String>::new(), "{name}");
        let profile = texts(&service["security_opt"]).iter().any(|option| option == "seccomp=packaging/seccomp.json");
        assert_eq!(profile, name.starts_with("taskmanager"), "{name}");
    }
    // TaskManagers reach nothing outside; what is published is the API, on loopback.
    assert_eq!(project["networks"]["cluster"]["internal"], Yaml::Boolean(true));
    for (name, service) in services(&project).into_iter().skip(1) {
        assert_eq!(texts(&service["networks"]), ["cluster"], "{name}");
        assert!(service["ports"].is_badvalue(), "{name}");
    }
    assert!(texts(&project["services"]["jobmanager"]["ports"]).iter().all(|port| port.starts_with("127.0.0.1:")));
}

/// Which of the restrictions it lacks.
fn wrong(service: &Yaml) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut need = |held: bool, what: &str| {
        if !held {
            wrong.push(what.to_owned());
        }
    };
    let text = format!("{service:?}");
    let options = if service["security_opt"].is_badvalue() { vec![] } else { texts(&service["security_opt"]) };
    need(service["read_only"] == Yaml::Boolean(true), "a root that cannot be written");
    need(service["user"].as_str() == Some("65532:65532"), "the user");
    need(service["cap_drop"].as_vec().is_some_and(|all| all == &[Yaml::String("ALL".into())]), "no capability");
    need(service["cap_add"].is_badvalue(), "no capability again");
    need(options.iter().any(|option| option == "no-new-privileges:true"), "no new privileges");
    need(!text.contains("unconfined") && service["privileged"].is_badvalue(), "the engine's own walls");
    need(!service["pids_limit"].is_badvalue() && !service["mem_limit"].is_badvalue(), "limits");
    let own = |key: &str| service[key].is_badvalue();
    need(
        own("network_mode") && own("pid") && own("ipc") && own("devices") && own("environment"),
        "nothing of the host's",
    );
    need(!text.contains("docker.sock"), "no engine");
    wrong
}

#[test]
fn what_is_not_contained_is_found() {
    let contained = merged(&project(&file("compose.yaml"))["services"]["jobmanager"]);
    for (key, value) in [
        ("read_only", Yaml::Boolean(false)),
        ("user", Yaml::String("0".into())),
        ("cap_drop", Yaml::Array(vec![])),
        ("cap_add", Yaml::Array(vec![])),
        ("security_opt", Yaml::Array(vec![Yaml::String("seccomp=unconfined".into())])),
        ("privileged", Yaml::Boolean(true)),
        ("network_mode", Yaml::String("host".into())),
        ("environment", Yaml::Array(vec![])),
        ("mem_limit", Yaml::BadValue),
    ] {
        let mut changed = contained.clone().into_hash().expect("a service");
        changed.insert(Yaml::String(key.into()), value);
        assert!(!wrong(&Yaml::Hash(changed)).is_empty(), "{key}");
    }
}

#[test]
fn what_services_refer_to_is_declared() {
    let project = project(&file("compose.yaml"));
    let declared = |kind: &str, name: &str| {
        project[kind].as_hash().is_some_and(|all| all.contains_key(&Yaml::String(name.into())))
    };
    for (name, service) in services(&project) {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(":/").next().expect("a source");
            let host = source.starts_with("${LOCKGATE_");
            assert!(host || declared("volumes", source), "{name}: {volume}");
            assert!(!host || volume.ends_with(":ro") || volume.ends_with(":/volumes/results"), "{name}: {volume}");
        }
        for network in texts(&service["networks"]) {
            assert!(declared("networks", &network), "{name}: {network}");
        }
        for secret in service["secrets"].as_vec().expect("secrets") {
            let source = secret["source"].as_str().expect("a source");
            assert!(declared("secrets", source) && project["secrets"][source]["file"].as_str().is_some(), "{source}");
            // The configuration that is shipped looks for it there.
            let target = format!("/run/secrets/{}", secret["target"].as_str().expect("a target"));
            let kind = name.split('-').next().expect("a kind");
            assert!(file(&format!("packaging/{kind}.toml")).contains(&target), "{target}");
        }
    }
}
