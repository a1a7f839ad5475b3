//! Configurations that are taken, mistakes that are told, and secrets that are not.

use super::*;
use crate::access::Role;
use crate::fair_use::Kind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

const SECRET: &str = "marker-7d1e";

fn parse(text: &str) -> Result<Config, Vec<Error>> {
    parse_in(text, Path::new("/etc/lockgate"))
}

fn parse_in(text: &str, folder: &Path) -> Result<Config, Vec<Error>> {
    let environment = |name: &str| match name {
        "HOST" => Some("jobs.example.org".to_owned()),
        "PORT" => Some("9443".to_owned()),
        "TOKEN" => Some(SECRET.to_owned()),
        _ => None,
    };
    Config::parse(text, "jobmanager.toml", Surroundings { folder, environment: &environment })
}

#[test]
fn the_smallest_is_safe() {
    let config = parse("data = \"data\"").unwrap();
    assert_eq!(config.data, Path::new("/etc/lockgate/data"));
    assert_eq!(config.listen, ["127.0.0.1:8443".parse().unwrap()]);
    assert_eq!(config.names, ["localhost", "127.0.0.1", "[::1]"]);
    assert!(!config.tls.allow_1_2 && config.tls.files.is_none() && config.tls.client_ca.is_none());
    assert_eq!((config.limits, config.fair_use), (Limits::default(), FairUse::default()));
    assert!(config.issuers.is_empty() && config.certificates.is_empty() && config.authorization.is_none());
}

#[test]
fn a_plane_is_called_as_the_api_is_and_bounded() {
    let plane = |text: &str| parse(&format!("data = \"d\"\nnames = [\"jobs.example.org\"]\n{text}"));
    assert_eq!(plane("").unwrap().plane, None, "TaskManagers can dial in though nobody asked for it");
    let default = plane("[plane]").unwrap().plane.unwrap();
    assert_eq!(
        (default.listen, default.names),
        (vec!["127.0.0.1:8444".parse().unwrap()], vec!["jobs.example.org".into()])
    );
    let times = [default.certificate_lifetime, default.join_token_lifetime, default.lease];
    assert_eq!(times.map(|time| time.as_secs()), [86_400, 3_600, 30]);
    for (wrong, part) in [
        ("listen = []", "`listen` of [plane] is empty"),
        ("listen = [\"nowhere\"]", "not an address"),
        ("names = [\"a b\"]", "not a host name"),
        ("certificate-lifetime = \"1 s\"", "`certificate-lifetime` is 1 s"),
        ("join-token-lifetime = \"25 h\"", "`join-token-lifetime` is 25 h"),
        ("lease = \"2 h\"", "`lease` is 2 h"),
        ("colour = 1", "no key `colour`"),
    ] {
        let errors = plane(&format!("[plane]\n{wrong}")).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(part)), "{wrong}: {errors:?}");
    }
    assert!(plane("[internal]\nlisten = \"127.0.0.1:8444\"").is_err(), "a table that is no more is passed over");
}

/// What the page for operators shows is taken as it stands.
#[test]
fn the_page_for_operators_is_right() {
    let page = include_str!("../../../../docs/jobmanager.md");
    let shown = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of TOML");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.key"), "k").unwrap();
    std::fs::set_permissions(folder.path().join("store.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let text =
        shown.replace("/run/credentials/store.key", "store.key").replace("${ENV:AUTHORIZATION_TOKEN}", "${ENV:TOKEN}");
    let config = parse_in(&text, folder.path()).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.fair_use, FairUse::default());
    for kind in Kind::ALL {
        assert!(shown.contains(&format!("\n{} = ", kind.as_str())), "{kind:?} is not shown");
        assert_eq!(config.quota.get(*kind), kind.default_value(), "{kind:?}");
    }
    for field in fields(&Limits::default()).chain(fields(&FairUse::default())) {
        assert!(shown.contains(&format!("\n{field} = ")), "{field} is not shown");
    }
}

/// The names of a struct's fields, as TOML has them.
fn fields(of: &impl std::fmt::Debug) -> impl Iterator<Item = String> {
    let text = format!("{of:#?}");
    let names = text.lines().filter_map(|line| Some(line.trim().split_once(": ")?.0.replace('_', "-")));
    names.collect::<Vec<_>>().into_iter()
}

#[test]
fn values_come_from_the_environment_and_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("name"), "other.example.org\n").unwrap();
    let text = "data = \"d\"\nlisten = [\"0.0.0.0:${ENV:PORT}\"]\nnames = [\"${ENV:HOST}\", \"${FILE:name}\"]\n\
                [limits]\nconnections = \"${ENV:PORT}\"";
    let config = parse_in(text, folder.path()).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:9443".parse().unwrap()]);
    assert_eq!(config.names, ["jobs.example.org", "other.example.org"]);
    assert_eq!(config.limits.connections, 9_443);
    assert_eq!(parse("data = \"a$${ENV:X}\"").unwrap().data, Path::new("/etc/lockgate/a${ENV:X}"));
    for text in ["${ENV:NOWHERE}", "${FILE:nowhere}", "${X:y}", "${ENV:HOST", "${}"] {
        let errors = parse(&format!("data = \"{text}\"")).unwrap_err();
        assert_eq!(errors[0].code(), code::CONFIG_REFERENCE, "{text}: {errors:?}");
        assert_eq!(errors[0].place(), Some("jobmanager.toml:1:8"), "{text}");
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = "data = 3\nlisten = [\"nowhere\"]\nnames = [\"a b\"]\ncolour = 1\n[tls]\ncertificate = \"a\"\nminimum = \"1.1\"\n\
                [limits]\nconnections = 0\nbody-idle = 5\nheader-bytes = \"1 KiB\"\n[[certificate]]\nuri = \"u\"\nroles = [\"root\"]\n\
                [[oidc]]\nissuer = \"http://id.example.org\"\naudience = \"a\"\nalgorithms = [\"HS256\"]\n";
    let errors = parse(text).unwrap_err();
    assert!(errors.iter().all(|error| error.code() == code::JOBMANAGER_CONFIG), "{errors:#?}");
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for (line, part) in [
        (1, "`data` wants"),
        (2, "\"nowhere\" is not an address"),
        (3, "\"a b\" is not a host name"),
        (4, "no key `colour`"),
        (5, "no `key`"),
        (7, "neither \"1.3\" nor \"1.2\""),
        (9, "`connections` is 0"),
        (10, "`body-idle` wants a duration"),
        (11, "`header-bytes` is 1 KiB"),
        (13, "not a URI"),
        (14, "\"root\" is no role"),
        (16, "is not a URL"),
        (18, "\"HS256\" is no algorithm"),
    ] {
        let place = format!("jobmanager.toml:{line}:");
        assert!(shown.iter().any(|error| error.contains(&place) && error.contains(part)), "{line} {part}: {shown:#?}");
    }
    assert_eq!(parse("data = [").unwrap_err()[0].place(), Some("jobmanager.toml:1:9"));
    assert!(parse(&format!("data = \"{}\"", "x".repeat(2 << 20))).is_err());
}

#[test]
fn roles_stand_where_they_mean_something() {
    let rule = |rest: &str| {
        parse(&format!("data = \"d\"\n[tls]\nclient-ca = \"ca\"\n[[certificate]]\nuri = \"spiffe://a/b\"\n{rest}"))
    };
    let config = rule("tenant = \"acme\"\nroles = [\"deployer\", \"viewer\"]").unwrap();
    assert_eq!(config.certificates[0].grant.roles, [Role::Deployer, Role::Viewer].into());
    rule("roles = [\"operator\", \"auditor\"]").unwrap();
    for bad in [
        "roles = [\"deployer\"]",
        "tenant = \"acme\"\nroles = [\"operator\"]",
        "roles = []",
        "tenant = \"acme\"",
        "tenant = \"Acme\"\nroles = [\"viewer\"]",
    ] {
        assert!(rule(bad).is_err(), "{bad}");
    }
    let twice = "[[certificate]]\nuri = \"a:b\"\nroles = [\"auditor\"]\n".repeat(2);
    assert!(parse(&format!("data = \"d\"\n[tls]\nclient-ca = \"ca\"\n{twice}")).is_err(), "one URI, two holders");
    assert!(parse("data = \"d\"\n[[certificate]]\nuri = \"a:b\"\nroles = [\"auditor\"]").is_err(), "nobody vouches");
}

#[test]
fn a_secret_comes_from_a_private_file_or_the_environment_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let text = |value: &str| format!("data = \"d\"\n[store]\nencryption-key = \"{value}\"\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for good in ["${FILE:key}", "${ENV:TOKEN}"] {
        let config = parse_in(&text(good), folder.path()).unwrap();
        assert_eq!(config.encryption_key.as_ref().unwrap().expose(), SECRET);
        assert!(!format!("{config:?}").contains(SECRET), "the secret is shown");
    }
    for plain in [SECRET, &format!("{SECRET}${{ENV:TOKEN}}"), "${ENV:TOKEN}${ENV:TOKEN}"] {
        let errors = parse_in(&text(plain), folder.path()).unwrap_err();
        assert_eq!(errors[0].code(), code::SECRET_IN_CONFIG, "{plain}");
        assert!(!format!("{errors:?}{:?}", errors[0].help_text()).contains(SECRET), "the error repeats the secret");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    let of_root = std::fs::metadata(&file).is_ok_and(|file| (file.uid(), file.gid()) == (0, 0));
    assert_eq!(parse_in(&text("${FILE:key}"), folder.path()).is_ok(), of_root, "as systemd shows a credential");
    for mode in [0o640, 0o604, 0o620, 0o444] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let errors = parse_in(&text("${FILE:key}"), folder.path()).unwrap_err();
        assert_eq!(errors[0].code(), code::EXPOSED_TO_OTHERS, "{mode:o}");
    }
}

#[test]
fn a_file_that_others_may_change_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobmanager.toml");
    std::fs::write(&path, "data = \"d\"").unwrap();
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(&path, 0o644);
    assert_eq!(Config::read(&path).unwrap().data, folder.path().join("d"));
    for mode in [0o664, 0o646] {
        set(&path, mode);
        assert_eq!(Config::read(&path).unwrap_err()[0].code(), code::EXPOSED_TO_OTHERS, "{mode:o}");
    }
    set(&path, 0o644);
    set(folder.path(), 0o777);
    assert_eq!(Config::read(&path).unwrap_err()[0].code(), code::EXPOSED_TO_OTHERS);
    assert_eq!(Config::read(Path::new("/nowhere/jobmanager.toml")).unwrap_err()[0].code(), code::IO);
}
