//! A clock that jumps so far that documents seem to have expired, and an operator who sets it right.

use super::fault::{Fault, Target};
use super::run::{Step, World, name};

const DAY: i64 = 86_400;

/// Nothing runs where documents have expired by the machine's clock, and what ran there is not given up: it goes on, exactly
/// once, when the operator has set up the machine anew. The TaskManager that saw the wrong time does not unsee it.
#[test]
fn what_expires_by_one_wrong_clock_goes_on_elsewhere() {
    let ahead = 10 * DAY;
    let wrong = Fault::Clock(Target::TaskManager(0), ahead);
    // The fault says what the cluster needs, and so many steps for how long the job lasts; it is this test that sets the clock.
    let step = Step { pause_ms: 0, hold_ms: 0, faults: vec![wrong] };
    let mut world = World::begin("expired", &vec![step; 5]);
    assert!(world.await_commits(world.commits()), "the job was over");
    world.cluster.clock(&name(0)).set(ahead);
    // Newer documents are a reason to look at once.
    world.cluster.publish(|_| {});
    let refused = |word: &'static str| {
        move |line: &serde_json::Value| (line["message"] == word && line["code"] == "LG0414").then_some(())
    };
    let tm = world.cluster.taskmanager(&name(0));
    // What runs ends by that, unless its lease has just ended it; and then nothing starts.
    tm.await_line("that it may not run", |line| {
        refused("may not run any longer")(line).or_else(|| refused("refused")(line))
    });
    tm.await_line("that nothing may start", refused("refused"));
    world.await_seen(0, ahead);
    let failed = world.cluster.await_job("expired", "held up", |job| job["failure"]["code"] == "LG0414");
    assert_ne!(failed["state"], "FAILED", "{failed:#}");
    // The operator sets the clock right. That does not help: for this TaskManager time does not go back.
    world.cluster.clock(&name(0)).set(0);
    let lines = world.cluster.taskmanager(&name(0)).lines().len();
    let tm = world.cluster.taskmanager(&name(0));
    tm.await_line("that nothing may start still", {
        let seen = std::cell::Cell::new(0);
        move |line| {
            seen.set(seen.get() + 1);
            (seen.get() > lines).then(|| refused("refused")(line)).flatten()
        }
    });
    // So another takes its place, under another name.
    world.cluster.revoke(&name(0));
    world.cluster.taskmanager(&name(0)).kill();
    world.cluster.join("tm-new", "slots = 1");
    world.managers[0] = "tm-new".to_owned();
    world.finish();
}
