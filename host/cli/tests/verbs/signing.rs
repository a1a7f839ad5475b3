//! From keys to a verified bundle, and the ways in which that must fail.

use crate::support::{Home, MANIFEST, draft};

/// An operator with two root keys, both needed, and a tenant with two signers, both needed.
fn world() -> Home {
    let home = Home::new();
    for name in ["op1", "op2", "ops", "ten", "sig1", "sig2", "sta"] {
        home.key(&format!("{name}.key"));
    }
    home.run("trust operator-root --dir t --domain prod.example --root op1.key --root op2.key --threshold 2 --status ops.key --key op1.key --key op2.key").text();
    home.run("trust policy acme --dir t --root ten.key --grant read:volume:texts/in --grant write:stream:stdout --key op1.key --key op2.key").text();
    home.run("trust tenant-root acme --dir t --signer sig1.key --signer sig2.key --threshold 2 --status sta.key --key ten.key").text();
    bundle(&home, "a.lgb", MANIFEST);
    home
}

fn bundle(home: &Home, file: &str, manifest: &str) {
    home.write(file, draft(manifest, "prod.example").package(None).unwrap().to_bytes().unwrap());
}

/// Names the bundle as current and renews both statuses.
fn publish(home: &Home, bundle: &str) {
    home.run(&format!("trust status acme --dir t --current {bundle} --key sta.key")).text();
    home.run("trust operator-status --dir t --key ops.key").text();
}

const VERIFY: &str = "verify a.lgb --trust t --domain prod.example";

#[test]
fn two_signers_make_a_bundle_that_verifies() {
    let home = world();
    let first = home.run("sign a.lgb --key sig1.key");
    assert!(first.text().contains("- reads files in/*.txt of volume texts"), "{}", first.out);
    publish(&home, "a.lgb");
    home.run(VERIFY).refused(1, "LG0409");
    home.run("sign a.lgb --key sig2.key").text();
    let verified = home.run(&format!("{VERIFY} --output json")).json();
    assert_eq!((verified["verified"].as_bool(), verified["signers"].as_array().unwrap().len()), (Some(true), 2));
    let shown = home.run("inspect a.lgb");
    assert!(shown.text().contains("copy of tenant acme, version 1") && shown.out.contains("Not verified"));
    // The same key again adds nothing.
    assert_eq!(home.run("sign a.lgb --key sig2.key --output json").json()["signatures"], 2);
}

#[test]
fn what_was_changed_or_is_not_for_here_is_refused() {
    let home = world();
    home.run("sign a.lgb --key sig1.key --key sig2.key").text();
    publish(&home, "a.lgb");
    home.run(VERIFY).text();
    home.run("verify a.lgb --trust t --domain test.example").refused(1, "LG0411");
    home.run(&format!("{VERIFY} --tenant other")).refused(3, "LG0002");
    home.run(&format!("{VERIFY} --at 2990-01-01T00:00:00Z")).refused(1, "LG04");
    let mut bytes = std::fs::read(home.path("a.lgb")).unwrap();
    let at = bytes.windows(8).position(|window| window == b"\"payload").unwrap() + 20;
    bytes[at] ^= 1;
    home.write("a.lgb", bytes);
    assert_eq!(home.run(VERIFY).status, 1);
}

#[test]
fn a_stranger_and_a_wider_job_are_refused() {
    let home = world();
    home.key("stranger.key");
    home.run("sign a.lgb --key stranger.key").text();
    publish(&home, "a.lgb");
    home.run(VERIFY).refused(1, "LG0408");
    bundle(&home, "a.lgb", &MANIFEST.replace("in/*.txt", "secret/*.txt"));
    home.run("sign a.lgb --key sig1.key --key sig2.key").text();
    publish(&home, "a.lgb");
    assert_eq!(home.run(VERIFY).status, 1);
}

#[test]
fn revoked_jobs_and_removed_ones_do_not_verify() {
    let home = world();
    home.run("sign a.lgb --key sig1.key --key sig2.key").text();
    publish(&home, "a.lgb");
    home.run("trust status acme --dir t --remove copy --key sta.key").text();
    assert_eq!(home.run(VERIFY).status, 1);
    publish(&home, "a.lgb");
    home.run(VERIFY).text();
    home.run("trust status acme --dir t --revoke-job copy --key sta.key").text();
    home.run(VERIFY).refused(1, "LG0419");
}

#[test]
fn the_operator_root_rotates_under_both_thresholds() {
    let home = world();
    home.run("sign a.lgb --key sig1.key --key sig2.key").text();
    home.key("new.key");
    let made = home.run("trust operator-root --dir t --root new.key --threshold 1 --key new.key --output json").json();
    assert_eq!(made["complete"], false);
    let policy = "trust policy acme --dir t --key new.key";
    home.run(policy).text();
    publish(&home, "a.lgb");
    assert_eq!(home.run(VERIFY).status, 1);
    // The old keys sign the new root too: from the pinned first root on, everything holds together again.
    home.run("sign t/operator-root.2.json --key op1.key --key op2.key").text();
    home.run(VERIFY).text();
    home.run(&format!("{VERIFY} --pin t/operator-root.2.json")).text();
}

#[test]
fn a_tenant_changes_its_root_keys_with_the_old_ones_or_recovers() {
    let home = world();
    home.run("sign a.lgb --key sig1.key --key sig2.key").text();
    home.key("ten2.key");
    let policy = "trust policy acme --dir t --root ten2.key --key op1.key --key op2.key";
    let made = home.run(&format!("{policy} --output json")).json();
    assert_eq!(made["complete"], false);
    home.run("sign t/tenants/acme/policy.1.2.json --key ten.key").text();
    home.run("trust tenant-root acme --dir t --key ten2.key").text();
    publish(&home, "a.lgb");
    home.run(VERIFY).text();
    let recovered = home.run(&format!("{policy} --recover --output json")).json();
    assert_eq!((recovered["complete"].as_bool(), recovered["reference"]["epoch"].as_u64()), (Some(true), Some(2)));
    home.run("trust operator-status --dir t --key ops.key").text();
    // All of the earlier epoch is void, the root's keys too.
    assert_eq!(home.run(VERIFY).status, 1);
    home.run("trust tenant-root acme --dir t --key ten2.key").refused(2, "--signer");
}

#[test]
fn documents_are_checked_before_they_are_signed_or_written() {
    let home = world();
    home.run("trust operator-root --dir u --root op1.key --status ops.key --key op1.key").refused(2, "LG0001");
    home.run("trust operator-root --dir u --domain a --status ops.key --key op1.key").refused(2, "--root");
    home.run("trust status acme --dir t --days 60 --key sta.key").refused(1, "LG04");
    home.run("trust policy acme --dir t --grant own:volume:x --key op1.key").refused(2, "LG0001");
    home.run("trust policy acme --dir t --grant read:volume:x/../y --key op1.key").refused(1, "LG0404");
    home.run("trust status nobody --dir t --key sta.key").refused(3, "lockgate trust policy");
    home.run("sign lockgate.toml --key sig1.key").refused(3, "LG0002");
    home.run("sign sig1.key --key sig1.key").refused(1, "LG0006");
    // Documents can be shown.
    let shown = home.run("inspect t/tenants/acme/policy.1.1.json");
    assert!(shown.text().contains("the tenant's policy") && shown.out.contains("\"prefix\": \"in\""));
}
