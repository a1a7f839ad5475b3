//! What a TaskManager takes of its configuration, and what it refuses.

use super::*;
use std::time::Duration;

fn parse(text: &str) -> Result<Config, Vec<Error>> {
    Config::parse(text, "taskmanager.toml", Path::new("/etc/lockgate"))
}

const CLUSTER: &str = "name = \"tm-1\"\nstate = \"state\"\n[jobmanager]\njoin = \"https://jm.example:8443\"\nca = \"ca.pem\"\n\
    plane = [\"JM:8444\", \"[::1]:8444\"]\njoin-token-file = \"token\"\n[trust]\ndomain = \"c.example\"\n\
    operator-root = \"root.json\"\nmax-lease = \"1 min\"\n";

#[test]
fn reads_a_file_and_flags() {
    let text = "slots = 3\nstate = \"/s\"\ncache = \"c\"\n[volumes]\nflights = \"data\"\nresults = \"/out\"\n";
    let mut config = parse(text).unwrap();
    config.add_volume("results=./a=b").unwrap();
    assert_eq!(config.slots, 3);
    assert_eq!((config.state, config.cache), (Some("/s".into()), Some("/etc/lockgate/c".into())));
    let volumes = [("flights", "/etc/lockgate/data"), ("results", "./a=b")];
    assert_eq!(config.volumes, volumes.map(|(name, path)| (name.parse().unwrap(), path.into())).into());
    let empty = parse("").unwrap();
    assert_eq!(empty, Config::default());
    assert!(empty.slots > 0);
    let sizes = parse("executor-memory = \"2 GiB\"\ncache-bytes = 7\njail = \"best-effort\"").unwrap();
    assert_eq!((sizes.executor_memory, sizes.cache_bytes, sizes.jail), (Some(2 << 30), 7, Policy::BestEffort));
}

#[test]
fn reads_which_cluster_it_belongs_to() {
    let cluster = parse(CLUSTER).unwrap().cluster.unwrap();
    assert_eq!(cluster.join, ("jm.example".into(), 8443));
    assert_eq!(cluster.plane, [("jm".into(), 8444), ("::1".into(), 8444)]);
    assert_eq!((cluster.ca, cluster.join_token), ("/etc/lockgate/ca.pem".into(), Some("/etc/lockgate/token".into())));
    assert_eq!((cluster.domain.to_string().as_str(), cluster.max_lease), ("c.example", Duration::from_secs(60)));
    assert!(Config::looks_like(CLUSTER) && !Config::looks_like("data = \"d\"\nlisten = []\n[tls]\n"));
}

#[test]
fn reads_where_figures_are_shown() {
    assert_eq!(parse(CLUSTER).unwrap().metrics, None, "nothing is shown unless it is asked for");
    let read = |text: &str| parse(&format!("{CLUSTER}[metrics]\n{text}")).map(|config| config.metrics.unwrap());
    let own = read("listen = [\"127.0.0.1:9464\"]\ntoken-file = \"t\"\nnames = [\"TM-1.example\", \"[::1]\"]").unwrap();
    assert_eq!((own.listen, own.token_file), (vec!["127.0.0.1:9464".parse().unwrap()], "/etc/lockgate/t".into()));
    assert_eq!((own.names, own.files), (vec!["tm-1.example".into(), "::1".into()], None));
    let given = read("listen = [\"[::]:1\"]\ntoken-file = \"t\"\ncertificate = \"c\"\nkey = \"/k\"").unwrap().files;
    assert_eq!(given, Some(("/etc/lockgate/c".into(), "/k".into())));
    for wrong in [
        "",
        "token-file = \"t\"",
        "listen = [\"127.0.0.1:1\"]",
        "listen = []\ntoken-file = \"t\"",
        "listen = [\"localhost\"]\ntoken-file = \"t\"",
        "listen = [\"127.0.0.1:1\"]\ntoken = \"t\"",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"\"",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"t\"\nkey = \"k\"",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"t\"\ncertificate = \"c\"",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"t\"\nnames = []",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"t\"\nnames = [\"a b\"]",
        "listen = [\"127.0.0.1:1\"]\ntoken-file = \"t\"\nnames = [\"a\"]\ncertificate = \"c\"\nkey = \"k\"",
    ] {
        let errors = read(wrong).unwrap_err();
        assert!(errors.iter().all(|error| error.code() == code::INVALID_CONFIGURATION), "{wrong}: {errors:?}");
    }
}

#[test]
fn the_documentation_says_what_is_read() {
    let page = include_str!("../../../../docs/taskmanager.md");
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = parse(block).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(config.cluster.is_some() && config.metrics.is_some() && config.volumes.len() == 1);
}

#[test]
fn says_all_that_is_wrong_and_where() {
    let broken = |text: &str, place: &str| {
        let errors = parse(text).unwrap_err();
        assert!(errors.iter().all(|error| error.code() == code::INVALID_CONFIGURATION), "{text}: {errors:?}");
        let places: Vec<&str> = errors.iter().filter_map(Error::place).collect();
        assert!(places.iter().any(|at| at.starts_with(&format!("taskmanager.toml:{place}:"))), "{text}: {places:?}");
        errors.len()
    };
    for (text, line) in [
        ("slots = 1\nslotz = 2\n", "2"),
        ("[volumes]\nA = \"x\"\n", "1"),
        ("[volumes]\na = 3\n", "2"),
        ("slots = 0", "1"),
        ("slots = 1025", "1"),
        ("slots = -1", "1"),
        ("executor-nice = 20", "1"),
        ("jail = \"none\"", "1"),
        ("state = \"\"", "1"),
        ("[volumes]\na = \"\"", "2"),
        ("[volumes]\na = \"x\"\na = \"y\"", "3"),
        ("slots", "1"),
    ] {
        assert_eq!(broken(text, line), 1, "{text}");
    }
    for (from, to) in [
        ("https://jm.example:8443", "http://jm.example"),
        ("https://jm.example:8443", "https://"),
        ("JM:8444", "JM"),
        ("[::1]:8444", "::1:8444"),
        ("JM:8444", "JM:0"),
        ("1 min", "1 s\"\nmax-leas = \"2 s"),
        ("1 min", "999 ms"),
        ("1 min", "2 days"),
        ("c.example", "C"),
        ("ca = \"ca.pem\"\n", ""),
        ("operator-root = \"root.json\"\n", ""),
        ("[trust]\ndomain", "[other]\ndomain"),
    ] {
        assert!(CLUSTER.contains(from), "{from}");
        assert!(parse(&CLUSTER.replace(from, to)).is_err(), "{to}");
    }
    assert_eq!(broken("slots = 0\nstate = \"\"\n[jobmanager]\njoin = 3\nca = \"c\"\n", "4"), 4, "all at once");
    for (flag, expected) in [
        ("flights", code::INVALID_CONFIGURATION),
        ("flights=", code::INVALID_CONFIGURATION),
        ("=data", code::INVALID_NAME),
        ("Flights=data", code::INVALID_NAME),
    ] {
        assert_eq!(Config::default().add_volume(flag).unwrap_err().code(), expected, "{flag}");
    }
}

#[test]
fn a_file_that_others_may_change_decides_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taskmanager.toml");
    assert_eq!(Config::read(&file).unwrap_err()[0].code(), code::IO);
    std::fs::write(&file, CLUSTER).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    Config::read(&file).unwrap();
    mode(0o664);
    assert_eq!(Config::read(&file).unwrap_err()[0].code(), code::EXPOSED_TO_OTHERS);
    std::fs::write(&file, "slots = 2").unwrap();
    Config::read(&file).unwrap();
}
