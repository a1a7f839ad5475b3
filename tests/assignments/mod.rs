//! A JobManager in an attacker's hands, and a TaskManager that is to run what it must not.
//!
//! The TaskManager is the real one, in a process of its own. The JobManager is one of ours that speaks the plane over mutual
//! TLS and is honest at first: a well-signed job runs to its end and its output is right. Each case is one deviation from
//! that, so that what is refused is refused for the deviation alone. After each the same job, told honestly, runs.
//!
//! - [`wire`], [`authority`], [`ledger`], [`jobmanager`]: the JobManager; [`taskmanager`]: the TaskManager's process
//! - [`papers`]: who signs what; [`stage`]: what a case is, and how it must end
//! - [`bundles`], [`documents`], [`orders`], [`record`], [`answers`], [`transport`], [`leases`], [`joining`], [`disk`]: the cases

mod answers;
mod authority;
mod bundles;
mod disk;
mod documents;
mod jobmanager;
mod joining;
mod leases;
mod ledger;
mod orders;
mod papers;
mod record;
mod stage;
mod taskmanager;
mod transport;
mod wire;

use crate::harness::suite;
use stage::Site;

#[test]
fn suite() {
    suite::alone("assignments::suite", inside);
}

fn inside() -> String {
    let mut site = Site::start();
    let groups: [fn(&mut Site); 7] =
        [bundles::cases, documents::cases, orders::cases, record::cases, answers::cases, transport::cases, disk::cases];
    for cases in groups {
        cases(&mut site);
    }
    let mut ended = site.ended;
    ended.extend(leases::outcomes());
    ended.extend(joining::outcomes());
    suite::tables("assignments", "refused", &ended)
}
