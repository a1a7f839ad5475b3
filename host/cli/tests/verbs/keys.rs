//! Key files are private, never overwritten, and never shown.

use crate::support::{Home, mode};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let home = Home::new();
    let public = home.key("a.key");
    assert_eq!(mode(&home.path("a.key")), 0o600);
    let before = std::fs::read(home.path("a.key")).unwrap();
    home.run("keys generate a.key").refused(3, "LG0004");
    assert_eq!(std::fs::read(home.path("a.key")).unwrap(), before);
    assert_ne!(home.key("b.key"), public);
    home.run("keys generate missing/a.key").refused(3, "LG0002");
}

#[test]
fn only_the_public_key_is_shown() {
    let home = Home::new();
    let public = home.key("a.key");
    let secret = std::fs::read_to_string(home.path("a.key")).unwrap();
    let seed = secret.lines().nth(1).unwrap().to_owned();
    for verb in ["keys show a.key", "inspect a.key", "keys show a.key --output json"] {
        let ran = home.run(verb);
        assert!(ran.out.contains(&public) && !ran.out.contains(&seed), "{verb}");
    }
    home.write("a.pub", format!("{public}\n"));
    assert!(home.run("keys show a.pub").text().contains(&public));
    home.write("none.key", "hello");
    home.run("keys show none.key").refused(1, "LG0402");
}

#[test]
fn a_key_file_that_others_may_read_does_not_sign() {
    let home = Home::new();
    home.key("a.key");
    std::fs::set_permissions(home.path("a.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    home.write("x.json", "{}");
    home.run("sign x.json --key a.key").refused(1, "LG0005");
}
