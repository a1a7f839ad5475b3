//! The verbs that ask a JobManager, against a real one: what they do, what they show, and how they end.

use crate::support::mode;
use crate::support::proxy::Proxy;
use crate::support::site::Site;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const LG: &str = "--output json";

#[test]
fn a_bundle_becomes_a_job_and_the_job_ends() {
    let site = Site::new();
    let home = &site.home;
    let submitted = home.run(&format!("submit copy.1.lgb --detached -l team=data {LG}")).json();
    assert_eq!((&submitted["action"], &submitted["uploaded"]), (&json!("created"), &json!(true)));
    let again = home.run(&format!("submit copy.1.lgb --detached {LG}")).json();
    assert_eq!((&again["action"], &again["uploaded"]), (&json!("unchanged"), &json!(false)));
    let info = home.run(&format!("info copy {LG}")).json();
    assert_eq!((&info["deployment"]["version"], &info["labels"]), (&json!(1), &json!({ "team": "data" })));
    assert!(home.run("info copy").text().contains("team=data"));
    let labels = home.run(&format!("label copy tier=1 team- {LG}")).json()["labels"].clone();
    assert_eq!(labels, json!({ "tier": "1" }));
    home.run("label copy tier=2").refused(1, "LG1011");
    assert_eq!(
        home.run("label copy tier=2 team=data --overwrite").text(),
        "job copy has the labels team=data, tier=2\n"
    );
    home.run("label copy A=b").refused(1, "LG1010");
    home.run("label copy").refused(2, "KEY");
    let sequence = || home.run(&format!("events copy {LG}")).out.lines().count();
    let before = sequence();
    home.run("label copy tier-").text();
    home.run("label copy tier-").text();
    assert_eq!(sequence(), before + 1, "what changes nothing is not asked for");
    let list = |flags: &str| home.run(&format!("list {flags} {LG}")).json()["items"].as_array().unwrap().len();
    assert_eq!(list("--state created --state initializing -l team=data --name co"), 1);
    assert_eq!([list("--state running"), list("-l team=other"), list("--name x")], [0, 0, 0]);
    assert!(home.run("list").text().contains("copy") && home.run("list --name x").text() == "none\n");
    home.run("list --state walking").refused(2, "walking");
    // It waits for slots, of which there are none, and goes on when the command does not.
    home.run("submit copy.1.lgb --timeout 1ms --until ended").refused(5, "LG1080");
    home.run("delete copy --yes").refused(1, "LG1012");
    let cancelled = home.run(&format!("cancel copy --wait {LG}")).json();
    assert_eq!(cancelled["state"], "CANCELED");
    home.run("submit copy.1.lgb --detached").refused(1, "LG1012");
    home.run("submit copy.1.lgb").refused(1, "LG1012");
    let restarted = home.run(&format!("submit copy.1.lgb --detached --restart {LG}")).json();
    assert_eq!(restarted["action"], "restarted");
    home.run("stop copy --drain --wait").refused_nothing();
    home.run("cancel copy").refused(1, "LG1012");
    let events = home.run(&format!("events copy {LG}"));
    let kinds: Vec<Value> = events.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kinds.iter().any(|event| event["kind"] == "state") && kinds.iter().all(|event| event["sequence"].is_u64()));
    assert_eq!(home.run("events copy --after 100000").text(), "");
    assert_eq!(home.run("logs copy").text(), "");
    home.run("delete copy").refused(1, "LG1078");
    home.run("delete copy --yes").text();
    home.run("info copy").refused(7, "LG1102");
    let digest = home.run(&format!("bundle list {LG}")).json()["items"][0]["digest"].as_str().unwrap().to_owned();
    assert!(home.run(&format!("bundle show {digest}")).text().contains("texts"));
    home.run(&format!("bundle download {digest}")).refused(3, "LG0004");
    std::fs::rename(home.path("copy.1.lgb"), home.path("sent.lgb")).unwrap();
    home.run(&format!("bundle download {digest}")).text();
    let sent = std::fs::read(home.path("sent.lgb")).unwrap();
    assert!(sent == std::fs::read(home.path("copy.1.lgb")).unwrap(), "it is not what was uploaded");
    let fetched = home.run(&format!("bundle download {digest} -o got.lgb {LG}")).json();
    assert_eq!((&fetched["written"], &fetched["digest"]), (&json!("got.lgb"), &json!(digest)));
    assert!(sent == std::fs::read(home.path("got.lgb")).unwrap(), "it is not what was uploaded");
    // What is damaged at the JobManager is not handed on.
    let kept = std::fs::read_dir(home.path("data/bundles")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::set_permissions(&kept, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&kept, bytes).unwrap();
    let before = std::fs::read_dir(home.path(".")).unwrap().count();
    let damaged = home.run(&format!("bundle download {digest} -o damaged.lgb"));
    assert!(damaged.refused(1, "LG0306").contains("nothing was written"));
    assert_eq!(std::fs::read_dir(home.path(".")).unwrap().count(), before, "something is left");
    home.run(&format!("bundle delete {digest} --yes")).text();
    assert_eq!(home.run(&format!("bundle upload copy.1.lgb {LG}")).json()["uploaded"], true);
}

#[test]
fn an_upgrade_shows_what_it_newly_touches_and_asks_before() {
    let site = Site::new();
    let home = &site.home;
    home.run("submit copy.1.lgb --detached").refused_nothing();
    site.bundle("copy.2.lgb", 2, "secret/*.txt");
    let asked = home.run("submit copy.2.lgb --detached");
    let shown = asked.refused(1, "LG1078");
    assert!(
        shown.contains("from version 1 to 2") && shown.contains("- reading \"secret/*.txt\" of volume texts"),
        "{shown}"
    );
    assert!(!shown.contains("- writing"), "what it touches already is not new: {shown}");
    let version = || home.run(&format!("info copy {LG}")).json()["deployment"]["version"].clone();
    assert_eq!(version(), 1, "nothing happens before somebody says yes");
    let upgraded = home.run(&format!("submit copy.2.lgb --detached --yes -l a=b {LG}")).json();
    assert_eq!((&upgraded["action"], &upgraded["job"]["labels"]), (&json!("upgraded"), &json!({ "a": "b" })));
    assert_eq!(version(), 2);
    home.run("submit copy.1.lgb --detached --yes").refused(1, "LG");
    assert_eq!(version(), 2, "a stale version is refused");
    home.run("submit copy.2.lgb --detached --parallelism 9999").refused(1, "LG0123");
    home.run("submit copy.2.lgb --detached -p none=1").refused(1, "LG0121");
    home.run("submit missing.lgb --detached").refused(3, "LG0002");
    let mut bytes = std::fs::read(home.path("copy.2.lgb")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    home.write("tampered.lgb", bytes);
    assert_eq!(home.run("submit tampered.lgb --detached --yes").status, 1);
    assert_eq!(home.run(&format!("bundle list {LG}")).json()["items"].as_array().unwrap().len(), 2);
}

#[test]
fn nobody_gets_in_with_a_wrong_token_or_a_wrong_authority() {
    let site = Site::new();
    let (home, port) = (&site.home, site.port);
    home.run("submit copy.1.lgb --detached").refused_nothing();
    // Another tenant's token sees neither the job nor the tenant.
    assert_eq!(home.run(&format!("list --context bolt {LG}")).json()["items"], json!([]));
    let missing = home.run("info none --context acme --tenant nobody");
    for verb in ["info copy", "list", "events copy", "cancel copy", "quota show", "bundle list"] {
        home.run(&format!("{verb} --context bolt --tenant acme")).refused(7, "LG1102");
    }
    missing.refused(7, "LG1102");
    home.run("info copy --context op").refused(2, "LG1077");
    home.run("tenant create other").refused(7, "LG1102");
    home.run("quota set jobs=5").refused(6, "LG1101");
    // A wrong token, though of the right form.
    let token = std::fs::read_to_string(home.path("acme.token")).unwrap();
    let address = format!("https://localhost:{port}");
    let wrong = token.trim().replace("lgt_", "lgt_a");
    let login = format!("login {address} --ca data/tls/ca.pem --name wrong");
    let refused = home.run_fed(&login, &wrong);
    assert!(!refused.refused(6, "LG1105").contains(&wrong) && refused.err.contains(", request "), "{}", refused.err);
    home.run_fed(&login, "").refused(6, "LG1073");
    assert!(!home.run("context list").text().contains("wrong"), "a refused token makes no context");
    // A wrong authority, and none.
    let other = Site::fresh();
    let (ca, foreign) = (other.home.path("data/tls/ca.pem"), other.fingerprint());
    for pin in [format!("--ca {}", ca.display()), format!("--ca-sha256 {foreign}")] {
        home.run(&format!("login {address} {pin} --token-file acme.token --name wrong")).refused(6, "LG1075");
    }
    let system = home.run(&format!("login {address} --token-file acme.token --name wrong"));
    assert!(matches!(system.status, 3 | 6), "{}", system.err);
    // The digest of the right one is enough, however it is written; another name of the host is not.
    let right = site.fingerprint().replace("sha256:", "").to_uppercase();
    home.run(&format!("login {address} --ca-sha256 {right} --token-file acme.token --name pinned")).text();
    assert_eq!(home.run(&format!("whoami {LG}")).json()["principal"], "user:ana");
    let other_name = format!("login https://localhost.localdomain:{port} --ca data/tls/ca.pem --token-file acme.token");
    assert!(matches!(home.run(&other_name).status, 5 | 6));
    home.run("login http://localhost --token-file acme.token").refused(2, "LG0001");
    drop(other);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = format!("login https://localhost:{free} --ca data/tls/ca.pem --token-file acme.token");
    home.run(&format!("{nowhere} {LG}")).refused(5, "LG1074");
}

#[test]
fn contexts_are_kept_apart_and_to_oneself() {
    let site = Site::new();
    let (home, port) = (&site.home, site.port);
    let file = home.path(".home/contexts.toml");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(home.run(&format!("context list {LG}")).json()["current"], "acme");
    home.run("context use bolt").text();
    assert_eq!(home.run(&format!("whoami {LG}")).json()["tenant"], "bolt");
    assert_eq!(home.run(&format!("whoami --context acme {LG}")).json()["tenant"], "acme");
    home.run("context use bold").refused(2, "did you mean `bolt`?");
    // A token that is given on standard input is kept, for its owner alone, and shown nowhere.
    let token = std::fs::read_to_string(home.path("acme.token")).unwrap();
    let given = home.run_fed(&format!("login https://localhost:{port} --ca data/tls/ca.pem --name given"), &token);
    assert_eq!(given.status, 0, "{}", given.err);
    let kept = home.path(".home/tokens/given");
    assert_eq!((mode(&kept), std::fs::read_to_string(&kept).unwrap()), (0o600, token.clone()));
    let shown = home.run("context show given");
    assert!(shown.text().contains("acme") && !(shown.out + &given.out + &given.err).contains(token.trim()));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("lgt_"));
    home.run("context delete given").text();
    assert!(!kept.exists() && home.path("acme.token").exists());
    home.run("whoami").refused(2, "LG1070");
    // From the environment, where it stays.
    let login = format!("login https://localhost:{port} --ca data/tls/ca.pem --token-env OWN_TOKEN --name env");
    let login: Vec<&str> = login.split(' ').collect();
    assert!(home.command(&login).env("OWN_TOKEN", token.trim()).output().unwrap().status.success());
    home.run("whoami").refused(6, "LG1073");
    home.run("context use acme").text();
    std::fs::set_permissions(home.path("acme.token"), PermissionsExt::from_mode(0o644)).unwrap();
    home.run("whoami").refused(3, "LG1071");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    home.run("context list").refused(3, "LG1071");
}

#[test]
fn the_operator_manages_tenants_members_tokens_and_quotas() {
    let site = Site::new();
    let home = &site.home;
    home.run("context use op").text();
    assert_eq!(home.run(&format!("tenant list {LG}")).json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(home.run(&format!("tenant suspend bolt {LG}")).json()["state"], "suspended");
    assert_eq!(home.run(&format!("tenant resume bolt {LG}")).json()["state"], "active");
    home.run("tenant create acme").refused(1, "LG1011");
    home.run("tenant close bolt").refused(1, "LG1078");
    let quota = home.run(&format!("quota set jobs=1 memory=1GiB --tenant acme {LG}"));
    assert_eq!(quota.json()["set"], json!({ "jobs": 1, "memory": 1 << 30 }));
    assert_eq!(home.run(&format!("quota set memory= --tenant acme {LG}")).json()["set"], json!({ "jobs": 1 }));
    assert!(home.run("quota show --tenant acme").text().contains("bundle-bytes"));
    let weight = home.run(&format!("quota set --weight 3 --tenant acme {LG}"));
    assert_eq!(weight.json()["set"], json!({ "jobs": 1, "weight": 3 }));
    home.run("quota set weight= --tenant acme").text();
    home.run("quota set jobs=0 --tenant acme").text();
    home.run("submit copy.1.lgb --detached --context acme").refused(1, "LG1112");
    home.run("quota set jobs= fuel-per-second=1G --tenant acme").text();
    let over = home.run("submit copy.1.lgb --detached --fuel-per-second 1100M --context acme");
    assert!(over.refused(1, "LG1112").contains("quota fuel-per-second is 1,000,000,000, 0 are used"));
    let fuel = |flags: &str| {
        home.run(&format!("submit copy.1.lgb --detached{flags} --context acme {LG}")).json()["job"]["fuel-per-second"]
            .clone()
    };
    assert_eq!(
        [fuel(" --fuel-per-second 900M"), fuel(""), fuel(" --fuel-per-second 1G")],
        [900_000_000, 900_000_000, 1_000_000_000]
    );
    assert!(home.run("info copy --context acme").text().contains("fuel a second of each slot"));
    home.run("context use acme").text();
    home.run("quota set jobs=5").refused(6, "LG1101");
    home.run("member set user:eve --role viewer").text();
    assert_eq!(home.run(&format!("member set user:eve --role auditor {LG}")).json()["roles"], json!(["auditor"]));
    let made = home.run(&format!("token create --principal user:eve --label laptop --days 3 {LG}")).json();
    let (id, text) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert!(text.starts_with(&format!("lgt_{id}_")));
    let listed = home.run(&format!("token list {LG}"));
    assert!(listed.out.contains(id) && !listed.out.contains(text));
    let certificate = "member certificate";
    let added = home.run(&format!("{certificate} add user:eve spiffe://a.b/c --tenant acme --context op {LG}")).json();
    assert_eq!((&added["uri"], &added["principal"]), (&json!("spiffe://a.b/c"), &json!("user:eve")));
    home.run(&format!("{certificate} add user:eve spiffe://a.b/d")).refused(6, "LG1101");
    assert!(home.run(&format!("{certificate} list")).text().contains("spiffe://a.b/c"));
    home.run(&format!("{certificate} remove spiffe://a.b/c")).refused(1, "LG1078");
    home.run(&format!("{certificate} remove spiffe://a.b/c --yes")).text();
    assert_eq!(home.run(&format!("{certificate} list")).text(), "none\n");
    home.run("token create --to acme.token").refused(3, "LG0004");
    let login = format!("login https://localhost:{} --ca data/tls/ca.pem --name eve", site.port);
    assert_eq!(home.run_fed(&login, text).status, 0);
    assert_eq!(home.run(&format!("whoami {LG}")).json()["roles"], json!(["auditor"]));
    home.run(&format!("token revoke {id} --context acme")).text();
    home.run("whoami").refused(6, "LG1103");
    home.run("member remove user:eve --yes --context acme").text();
    home.run("member show user:eve --context acme").refused(7, "LG1102");
    let documents = home.run(&format!("trust list --context acme {LG}")).json();
    let kinds: Vec<&str> =
        documents["items"].as_array().unwrap().iter().map(|one| one["document"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["operator-root", "operator-status", "policy", "root", "status"]);
    let again = home.run(&format!("trust upload t --context op {LG}")).json();
    assert!(again["items"].as_array().unwrap().iter().all(|one| one["outcome"] == "there already"), "{again}");
}

#[test]
fn events_are_followed_across_a_restart_of_the_jobmanager() {
    let mut site = Site::new();
    site.home.run("submit copy.1.lgb --detached").refused_nothing();
    let mut command = site.home.command(&["events", "copy", "--follow", "--output", "json"]);
    let mut follower = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> { Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap()) };
    assert_eq!(next().unwrap()["sequence"], 1);
    site.restart();
    site.home.run("cancel copy --wait").refused_nothing();
    let mut text = String::new();
    // Each event once, and in order, until the job is gone.
    let mut last = 1;
    while last == 1 || !text.contains("CANCELED") {
        let event = next().unwrap();
        last += 1;
        assert_eq!(event["sequence"], last, "{event}");
        text = event["text"].as_str().unwrap().to_owned();
    }
    site.home.run("delete copy --yes").text();
    assert!(next().is_none() && follower.wait().unwrap().success());
}

#[test]
fn what_may_arrive_twice_is_sent_again_and_nothing_else() {
    let site = Site::new();
    let home = &site.home;
    let proxy = Proxy::new(site.port);
    let login = format!("login https://localhost:{} --ca data/tls/ca.pem --token-file op.token --name far", proxy.port);
    home.run(&login).text();
    // Its answer is lost twice; under its key it is made once all the same, and is no error.
    proxy.cut(2);
    assert_eq!(home.run(&format!("tenant create twice {LG}")).json()["name"], "twice");
    proxy.cut(1);
    assert!(home.run("tenant list").text().contains("twice"), "reading does no harm");
    proxy.cut(1);
    home.run("tenant suspend twice").refused(5, "LG1081");
    assert_eq!(proxy.left(), 0, "it was sent once");
    assert_eq!(home.run(&format!("tenant show twice {LG}")).json()["state"], "suspended");
    // A token whose text is lost is told by its id, to be revoked.
    proxy.cut(1);
    let lost = home.run("token create --principal user:op");
    let id = lost.refused(5, "LG1081").split_whitespace().find(|word| word.len() == 16).unwrap().to_owned();
    home.run(&format!("token revoke {id}")).text();
    // An upload under its digest.
    proxy.cut(1);
    let far = format!("login https://localhost:{} --ca data/tls/ca.pem --token-file acme.token --name far", proxy.port);
    home.run(&far).text();
    proxy.cut(2);
    assert_eq!(home.run(&format!("bundle upload copy.1.lgb {LG}")).json()["bundle"]["version"], 1);
    proxy.cut(100);
    home.run("list").refused(5, "LG1074");
}

#[test]
fn what_a_running_jobmanager_keeps_is_backed_up_and_its_log_exported() {
    let site = Site::new();
    let home = &site.home;
    home.run("submit copy.1.lgb --detached").refused_nothing();
    let made = home.run(&format!("keys generate backup.key --for backup {LG}")).json();
    let key = made["public-key"].as_str().unwrap();
    home.run("backup all.backup").refused(2, "--data");
    home.run("backup --server --data data all.backup").refused(2, "--data");
    home.run("backup --server --context op all.backup").refused(2, "LG0001");
    home.run(&format!("backup --server --recipient {key} all.backup")).refused(7, "LG1102");
    assert!(!home.path("all.backup").exists(), "what is no backup is not left");
    home.run(&format!("backup --server --context op --recipient {key} all.backup")).text();
    assert_eq!(mode(&home.path("all.backup")), 0o600);
    let restored = home.run(&format!("restore all.backup --key backup.key --data restored {LG}")).json();
    assert_eq!(restored["bundles"], 1);

    let log = home.run("audit export --server --context op").text().to_owned();
    assert!(log.contains("create-jobs") && log.contains("manage-store"));
    assert_eq!(home.run_fed(&format!("audit verify - {LG}"), &log).json()["verified"], true);
    assert!(home.run_fed("audit tail -n 1 -", &log).text().contains("manage-store"));
    let checkpoint = |line: &str| line.contains("\"type\":\"checkpoint\"");
    let lines: Vec<Value> =
        log.lines().filter(|line| checkpoint(line)).map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = lines.first().expect("the JobManager signs its log from the beginning");
    let (at, key) = (first["sequence"].as_u64().unwrap(), first["key"].as_str().unwrap());
    let prune = format!("audit prune --before-checkpoint {at}");
    home.run(&format!("{prune} --yes")).refused(7, "LG1102");
    home.run(&format!("{prune} --context op")).refused(1, "LG1078");
    home.run(&format!("audit prune --before-checkpoint {} --yes --context op", at + 1)).refused(1, "LG1260");
    assert_eq!(home.run(&format!("{prune} --yes --context op {LG}")).json()["removed"], at);
    let rest = home.run("audit export --server --context op").text().to_owned();
    assert!(checkpoint(rest.lines().next().unwrap()), "{rest}");
    let verified = home.run_fed(&format!("audit verify - --key {key} {LG}"), &rest).json();
    assert_eq!((&verified["verified"], &verified["first"]), (&json!(true), &json!(at + 1)));
    home.run_fed("audit verify -", &rest).refused(1, "LG1221");
    home.run(&format!("backup --server --context op --recipient {} cut.backup", made["public-key"].as_str().unwrap()))
        .text();
    home.run("restore cut.backup --key backup.key --data restored-too").text();
    let own = home.run("audit export --server");
    assert!(own.out.contains("create-jobs") && !own.out.contains("manage-store") && own.err.contains("no chain"));
}
