//! How tenants share: by weight, whoever came first, and nobody is left out for ever.

use super::*;
use proptest::prelude::*;

fn jobs(tenant: &str, count: u32, least: u32) -> Vec<Job> {
    (0..count).map(|n| job(&format!("{tenant}/j{n}"), least, least)).collect()
}

#[test]
fn who_comes_late_gets_what_is_due_by_weight() {
    let taskmanagers = (0..4).map(|n| taskmanager(&format!("t{n}"), 10, 99)).collect();
    let mut world = World::new(jobs("early", 60, 1), taskmanagers);
    let placement = world.round();
    assert_eq!(world.slots(&placement, "early"), 40);
    world.jobs.extend(jobs("late", 60, 1));
    world.quotas.insert(name("late"), Quota { weight: 3, ..Quota::default() });
    for _ in 0..3 {
        world.round();
    }
    let placement = world.round();
    assert_eq!((world.slots(&placement, "early"), world.slots(&placement, "late")), (10, 30));
    // And there it rests.
    assert_eq!(world.round().moved, 0);
    let again = world.round();
    assert_eq!((world.slots(&again, "early"), world.slots(&again, "late")), (10, 30));
}

#[test]
fn extra_slots_give_way_before_jobs_do() {
    let mut early = jobs("early", 2, 1);
    early.iter_mut().for_each(|job| (job.desired, job.parallelism.max) = (5, 5));
    let mut world = World::new(early, vec![taskmanager("t1", 10, 99)]);
    world.round();
    world.jobs.extend(jobs("late", 3, 1));
    let placement = world.round();
    assert_eq!((world.slots(&placement, "early"), placement.placed.len()), (7, 5));
}

/// Whole jobs only are given back where a job has no slot to spare, and then the others would have too little.
#[test]
fn nobody_falls_below_what_is_due_to_him() {
    let mut world = World::new(jobs("wide", 1, 3), vec![taskmanager("t1", 4, 99)]);
    world.round();
    world.jobs.extend(jobs("late", 3, 1));
    world.jobs.iter_mut().skip(1).for_each(|job| job.since = world.now);
    let placement = world.round();
    assert_eq!((world.slots(&placement, "wide"), world.slots(&placement, "late")), (3, 1));
}

/// Of its quota, or of the cluster.
#[test]
fn extra_slots_give_way_to_jobs_of_the_same_tenant() {
    for (quota, room) in [(Some(3), 9), (None, 3)] {
        let mut wide = job("a/wide", 1, 3);
        wide.since = UnixMillis(0);
        let mut world = World::new(vec![wide], vec![taskmanager("t1", room, 99)]);
        world.quotas.insert(name("a"), Quota { slots: quota, ..Quota::default() });
        let placement = world.round();
        assert_eq!(world.slots(&placement, "a"), 3);
        world.jobs.extend([job("a/x", 1, 1), job("a/y", 1, 1), job("a/z", 1, 1)]);
        world.jobs.iter_mut().skip(1).for_each(|job| job.since = world.now);
        let placement = world.round();
        // Jobs that run are not ended for that.
        assert_eq!((placement.placed.len(), placement.waiting.len()), (3, 1));
        assert!(placement.placed.keys().any(|id| id.name.as_str() == "wide"));
        world.pass(Duration::from_secs(60));
        assert_eq!(world.round().placed.len(), 3);
    }
}

#[test]
fn the_dominant_share_counts() {
    // The memory of one is the slots of the other.
    let mut heavy = jobs("heavy", 20, 1);
    heavy.iter_mut().for_each(|job| job.slot.memory = 10);
    let mut world = World::new(heavy, vec![taskmanager("t1", 20, 100), taskmanager("t2", 20, 100)]);
    world.jobs.extend(jobs("light", 40, 1));
    let placement = world.round();
    let (heavy, light) = (world.slots(&placement, "heavy"), world.slots(&placement, "light"));
    // Two thirds of the memory and two thirds of the slots.
    assert!((13..=14).contains(&heavy) && (26..=27).contains(&light), "{heavy} {light}");
}

#[test]
fn within_a_tenant_the_longest_wait_for_its_weight_comes_first() {
    let mut all = jobs("a", 3, 1);
    let mut world = World::new(Vec::new(), vec![taskmanager("t1", 1, 9)]);
    all[0].since = UnixMillis(600_000);
    all[1].since = UnixMillis(500_000);
    all[2].since = UnixMillis(700_000);
    world.jobs = all.clone();
    assert_eq!(world.round().placed.keys().next().unwrap().name, name("j1"));
    all[2].weight = 2;
    world.jobs = all;
    assert_eq!(world.round().placed.keys().next().unwrap().name, name("j2"));
}

#[test]
fn tenants_whose_due_is_less_than_a_slot_take_turns() {
    let mut all = Vec::new();
    for tenant in ["a", "b", "c"] {
        all.extend(jobs(tenant, 2, 1));
    }
    let mut world = World::new(all, vec![taskmanager("t1", 1, 9)]);
    world.jobs.iter_mut().for_each(|job| job.since = world.now);
    let mut turns = Vec::new();
    for _ in 0..9 {
        let placement = world.round();
        assert_eq!(placement.placed.len(), 1);
        turns.push(placement.placed.keys().next().unwrap().tenant.to_string());
        // Not before the time is over.
        world.pass(world.rules.patience - Duration::from_millis(1));
        assert_eq!(world.round().placed.keys().next().unwrap().tenant.to_string(), turns[turns.len() - 1]);
        world.pass(Duration::from_millis(1));
    }
    let mut seen: Vec<&str> = turns.iter().map(String::as_str).collect();
    let first: Vec<&str> = seen.drain(..3).collect();
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{turns:?}");
    assert_eq!((&seen[..3], &seen[3..]), (&first[..], &first[..]));
}

/// Others must not slip by, one after the other, while a job waits that needs all their slots at once.
#[test]
fn a_wide_job_is_not_overtaken_for_ever() {
    let mut world = World::new(jobs("wide", 1, 2), vec![taskmanager("t1", 2, 9)]);
    for tenant in ["a", "b", "c", "d"] {
        world.jobs.extend(jobs(tenant, 1, 1));
    }
    // So that the turns of the others do not end together.
    for (at, job) in world.jobs.iter_mut().enumerate() {
        job.since = UnixMillis(1_000_000 + 10_000 * at as u64);
    }
    let mut served = false;
    for _ in 0..60 {
        world.pass(world.rules.patience / 5);
        served |= world.round().placed.keys().any(|id| id.tenant.as_str() == "wide");
    }
    assert!(served);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever tenants ask for: each that has a job which could run by itself has a turn within the time that all
    /// others' turns take.
    #[test]
    fn no_tenant_starves(
        tenants in prop::collection::vec((1..4_u32, 1..4_u32, 0..5_u32), 1..7),
        rooms in prop::collection::vec((1..4_u32, 2..6_u64), 1..4),
    ) {
        let rooms: Vec<TaskManager> = rooms
            .iter()
            .enumerate()
            .map(|(at, (slots, memory))| taskmanager(&format!("t{at}"), *slots, *memory))
            .collect();
        let mut world = World::new(Vec::new(), rooms);
        for (at, (count, least, weight)) in tenants.iter().enumerate() {
            let tenant = format!("a{at}");
            world.jobs.extend(jobs(&tenant, *count, *least));
            world.quotas.insert(name(&tenant), Quota { weight: *weight, ..Quota::default() });
        }
        world.jobs.iter_mut().for_each(|job| job.since = world.now);
        // What could run alone.
        let alone = |job: &Job| {
            let world = World { jobs: vec![job.clone()], ..world.clone() };
            world.place().placed.len() == 1
        };
        let mut left: BTreeSet<Name> =
            world.jobs.iter().filter(|job| alone(job)).map(|job| job.id.tenant.clone()).collect();
        for _ in 0..8 * (tenants.len() + 2) {
            world.round().placed.keys().for_each(|id| {
                left.remove(&id.tenant);
            });
            world.pass(world.rules.patience / 3);
        }
        prop_assert!(left.is_empty(), "{left:?} never ran");
    }
}
