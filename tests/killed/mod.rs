//! Killed with SIGKILL at random points, again and again, what was acknowledged is there and nothing is half done.
//!
//! [`driver`] knows how to torment a service and compare it with a model; what the service is and what it is asked stands
//! behind [`driver::Service`]. [`jobmanager`] is the real one, over HTTPS; [`store`] is its store alone in a process of its
//! own, this test binary again, which is killed many more times in the same time and can be made to fail on purpose.
//! `cargo xtask crash` kills more often and prints the line that sums up.

mod driver;
mod https;
mod jobmanager;
mod requests;
mod store;

/// How often a service is killed if nothing else is asked for.
const KILLS: u32 = 100;

/// Asks for another number of kills.
const KILLS_VARIABLE: &str = "LOCKGATE_KILLS";

#[test]
fn what_the_store_acknowledged_survives_being_killed() {
    torment(store::Process::begin);
}

#[test]
fn what_the_api_acknowledged_survives_being_killed() {
    torment(jobmanager::Process::begin);
}

fn torment<S: driver::Service>(begin: impl Fn(u32) -> S) {
    let kills = std::env::var(KILLS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let found = driver::torment(kills, begin);
    for complaint in &found.complaints {
        println!("{complaint}");
    }
    println!("{} changes acknowledged", found.acknowledged);
    println!("{} kills, {} lost, {} diverged", found.kills, found.lost, found.diverged);
    assert!(found.acknowledged > u64::from(kills), "hardly anything was done: {}", found.acknowledged);
    assert_eq!((found.kills, found.lost, found.diverged), (kills, 0, 0));
}

/// A driver that finds nothing would be of no use: it must see a store that forgets, and one that does things by halves.
#[test]
fn the_driver_sees_what_is_lost_and_what_is_half_done() {
    for (fault, is_loss) in [(store::Fault::Forget, true), (store::Fault::Halve, false)] {
        // On a machine with much else to do, few kills may come before anything was done.
        let found =
            [6, 24, 96].map(|kills| move || driver::torment(kills, |round| store::Process::faulty(round, fault)));
        let seen = |found: &driver::Found| if is_loss { found.lost > 0 } else { found.diverged > 0 };
        assert!(found.into_iter().any(|torment| seen(&torment())), "{fault:?} is not seen");
    }
}
