//! `lockgate health` against a real JobManager, and against what is none.

use crate::support::Home;
use crate::support::site::Site;
use std::io::Read as _;
use std::net::TcpListener;

#[test]
fn a_jobmanager_that_takes_requests_is_well() {
    let site = Site::fresh();
    let asked = format!("health --config jobmanager.toml --address 127.0.0.1:{}", site.port);
    assert!(site.home.run(&asked).text().contains("takes requests"));
    assert_eq!(site.home.run(&format!("{asked} --output json")).json()["ready"], true);
    // The configuration leaves the port to the system.
    site.home.run("health --config jobmanager.toml").refused(2, "LG0001");
}

#[test]
fn the_names_of_the_server_are_those_of_its_configuration() {
    let site = Site::fresh();
    let other = "data = \"data\"\nlisten = [\"127.0.0.1:0\"]\nnames = [\"jobs.example.org\"]\n";
    site.home.write("other.toml", other);
    site.home.run(&format!("health --config other.toml --address 127.0.0.1:{}", site.port)).refused(1, "LG1076");
}

#[test]
fn another_server_at_its_port_is_not_believed() {
    let (site, stranger) = (Site::fresh(), Site::fresh());
    site.home
        .run(&format!("health --config jobmanager.toml --address 127.0.0.1:{}", stranger.port))
        .refused(6, "LG1075");
}

#[test]
fn what_does_not_answer_is_not_well() {
    let site = Site::fresh();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = format!("health --config jobmanager.toml --address {address}");
    // It takes the connection and says nothing, until the other side gives up.
    let silent = std::thread::spawn(move || listener.accept().unwrap().0.read_to_end(&mut Vec::new()));
    site.home.run(&asked).refused(5, "LG1074");
    silent.join().unwrap().unwrap();
    // Now nothing listens there.
    site.home.run(&asked).refused(5, "LG1074");
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused() {
    let home = Home::new();
    home.run("health --config none.toml").refused(3, "LG0002");
    home.write("jobmanager.toml", "data = \"data\"\n");
    // It was never started, and so has no certificate.
    home.run("health --config jobmanager.toml").refused(3, "LG1053");
}
