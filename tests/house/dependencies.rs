//! Which crate may depend on which. The walls between tenant code, parsers, credentials and the control plane are
//! crate boundaries, so an edge too many is a hole in a wall.

use super::{GRAPH, none};

/// Our crates and what each may depend on among them; what it links, not what it tests with.
const EDGES: &[(&str, &[&str])] = &[
    ("lockgate-core", &[]),
    ("lockgate-http", &[]),
    ("lockgate-server", &["lockgate-core", "lockgate-http"]),
    ("lockgate-sandbox", &["lockgate-core"]),
    ("lockgate-dataflow", &["lockgate-core"]),
    ("lockgate-executor", &["lockgate-core", "lockgate-sandbox", "lockgate-dataflow"]),
    ("lockgate-taskmanager", &["lockgate-core", "lockgate-http", "lockgate-server", "lockgate-executor"]),
    ("lockgate-jobmanager", &["lockgate-core", "lockgate-http", "lockgate-server"]),
    (
        "lockgate",
        &["lockgate-core", "lockgate-http", "lockgate-executor", "lockgate-taskmanager", "lockgate-jobmanager"],
    ),
    ("lockgate-sdk", &["lockgate-sdk-macros"]),
    ("lockgate-sdk-macros", &[]),
    // For the program that plays a compromised executor.
    ("lockgate-tests", &["lockgate-executor"]),
    (
        "lockgate-benches",
        &[
            "lockgate-core",
            "lockgate-sandbox",
            "lockgate-dataflow",
            "lockgate-executor",
            "lockgate-taskmanager",
            "lockgate-jobmanager",
        ],
    ),
    ("xtask", &[]),
];

/// Runtimes, and what opens files, sockets or threads for them.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "async-io",
    "smol",
    "polling",
    "futures-executor",
    "socket2",
    "hyper",
    "reqwest",
    "rayon",
    "cap-std",
    "tempfile",
    "memmap2",
];

#[test]
fn our_crates_depend_on_each_other_as_the_layers_allow() {
    let own = GRAPH.own();
    let mut wrong = Vec::new();
    for (name, package) in &own {
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} is new: say in EDGES what it may depend on"));
            continue;
        };
        for dependency in GRAPH.direct(&package.id) {
            let dependency = dependency.name.as_str();
            if own.contains_key(dependency) && !allowed.contains(&dependency) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    none(wrong);
}

#[test]
fn only_the_sandbox_depends_on_wasmtime() {
    let wrong = GRAPH.own().into_iter().filter(|(name, _)| *name != "lockgate-sandbox").flat_map(|(name, package)| {
        // As declared: of any kind, for any platform, optional or not.
        let engine = package.dependencies.iter().filter(|dependency| dependency.name.starts_with("wasmtime"));
        engine.map(move |dependency| format!("{name} depends on {}", dependency.name)).collect::<Vec<_>>()
    });
    none(wrong.collect());
}

#[test]
fn core_and_dataflow_reach_no_runtime_and_no_io() {
    let own = GRAPH.own();
    let mut wrong = Vec::new();
    for name in ["lockgate-core", "lockgate-dataflow"] {
        let closure = GRAPH.closure(&own[name].id);
        assert!(closure.contains("serde"), "the closure of {name} cannot be right");
        wrong.extend(
            IMPURE.iter().filter(|impure| closure.contains(*impure)).map(|impure| format!("{name} reaches {impure}")),
        );
    }
    none(wrong);
}

#[test]
fn the_control_plane_never_reaches_the_engine() {
    let own = GRAPH.own();
    for name in ["lockgate-core", "lockgate-dataflow", "lockgate-jobmanager"] {
        let Some(package) = own.get(name) else { continue };
        let closure = GRAPH.closure(&package.id);
        none(
            closure
                .into_iter()
                .filter(|name| name.starts_with("wasmtime") || name.starts_with("cranelift"))
                .map(String::from)
                .collect(),
        );
    }
    // The same walk does find it where it is.
    assert!(GRAPH.closure(&own["lockgate-taskmanager"].id).contains("wasmtime"));
}

#[test]
fn the_engine_is_built_with_cranelift_only() {
    let engine = GRAPH.versions("wasmtime");
    assert_eq!(engine.len(), 1, "one wasmtime");
    let features: Vec<&str> = GRAPH.node(&engine[0].id).features.iter().map(|feature| feature.as_str()).collect();
    assert!(features.contains(&"cranelift"), "{features:?}");
    for feature in ["winch", "threads", "parallel-compilation", "cache", "profiling", "debug", "wat", "all-arch"] {
        assert!(!features.contains(&feature), "wasmtime is built with {feature}");
    }
}

#[test]
fn components_are_checked_by_the_parser_that_the_engine_uses() {
    let parser = |of: &str| {
        let [package] = GRAPH.versions(of)[..] else { panic!("one {of}") };
        let direct = GRAPH.direct(&package.id);
        direct.into_iter().find(|dependency| dependency.name == "wasmparser").expect("wasmparser").version.clone()
    };
    assert_eq!(parser("lockgate-sandbox"), parser("wasmtime"));
}

#[test]
fn there_is_one_implementation_of_the_signature() {
    let [curve] = GRAPH.versions("curve25519-dalek")[..] else { panic!("one curve25519-dalek") };
    let [signature] = GRAPH.versions("ed25519-dalek")[..] else { panic!("one ed25519-dalek") };
    assert_eq!(signature.version.major, 3);
    assert!(GRAPH.direct(&signature.id).iter().any(|package| package.id == curve.id));
}
