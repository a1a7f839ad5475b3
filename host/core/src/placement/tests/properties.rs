//! What holds whatever the cluster looks like.

use super::*;
use proptest::prelude::*;

fn arb_job() -> impl Strategy<Value = Job> {
    let shape = (1..4_u32, 0..4_u32, 0..8_u32, 0..4_u32, 0..4_u64, 0..4_u64);
    let place = prop::collection::btree_map(0..6_usize, 1..4_u32, 0..4);
    (0..4_usize, 0..8_usize, shape, 0..1_000_000_u64, place, 0..5_u64, 0..2_000_000_u64, 0..4_u32).prop_map(
        |(tenant, id, (least, more, desired, weight, memory, fuel), since, slots, epoch, until, volumes)| {
            let slots: BTreeMap<Name, u32> =
                slots.into_iter().map(|(at, slots)| (name(&format!("t{at}")), slots)).collect();
            let current = Placed { lease: Lease { epoch, until: UnixMillis(until) }, slots };
            Job {
                parallelism: Parallelism { min: least, max: least + more },
                desired,
                weight,
                slot: SlotCost { memory, fuel },
                volumes: volume_set(volumes),
                since: UnixMillis(since),
                epoch,
                current: Some(current).filter(|current| !current.slots.is_empty()),
                ..job(&format!("a{tenant}/j{id}"), 1, 1)
            }
        },
    )
}

fn volume_set(bits: u32) -> BTreeSet<Name> {
    ["flights", "results"]
        .iter()
        .enumerate()
        .filter(|(at, _)| bits >> at & 1 == 1)
        .map(|(_, text)| name(text))
        .collect()
}

fn arb_taskmanager() -> impl Strategy<Value = TaskManager> {
    use Availability::{Active, Cordoned, Draining, Lost};
    let state = prop::sample::select(vec![Active, Active, Active, Cordoned, Draining, Lost]);
    (state, 0..6_u32, 0..12_u64, 0..4_u32).prop_map(|(state, slots, memory, volumes)| TaskManager {
        state,
        volumes: volume_set(volumes | volumes >> 1),
        ..taskmanager("t", slots, memory)
    })
}

fn arb_quota() -> impl Strategy<Value = Quota> {
    let most = |top: u64| prop::option::of(0..top);
    (most(12), most(30), most(30), 0..4_u32).prop_map(|(slots, memory, fuel, weight)| Quota {
        slots,
        memory,
        fuel,
        weight,
    })
}

prop_compose! {
    fn arb_world()(
        jobs in prop::collection::vec(arb_job(), 0..14),
        rooms in prop::collection::vec(arb_taskmanager(), 0..6),
        quotas in prop::collection::vec(arb_quota(), 4),
        budget in 0..5_usize,
    ) -> World {
        let jobs: BTreeMap<JobId, Job> = jobs.into_iter().map(|job| (job.id.clone(), job)).collect();
        let rooms = rooms.into_iter().enumerate();
        let taskmanagers = rooms.map(|(at, room)| TaskManager { name: name(&format!("t{at}")), ..room }).collect();
        let mut world = World::new(jobs.into_values().collect(), taskmanagers);
        world.quotas =
            quotas.into_iter().enumerate().map(|(at, quota)| (name(&format!("a{at}")), quota)).collect();
        world.rules.most_preemptions = budget * 3;
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Never over a quota or a capacity, whatever assignments there were before.
    #[test]
    fn every_answer_is_allowed(world in arb_world()) {
        let mut world = world;
        world.round();
        world.pass(Duration::from_secs(400));
        world.round();
    }

    #[test]
    fn the_order_of_the_input_means_nothing(world in arb_world(), seed in any::<u64>()) {
        let mut other = world.clone();
        let turn = |len: usize| (seed as usize).checked_rem(len).unwrap_or_default();
        other.jobs.reverse();
        let by = turn(other.jobs.len());
        other.jobs.rotate_left(by);
        other.taskmanagers.reverse();
        let by = turn(other.taskmanagers.len());
        other.taskmanagers.rotate_left(by);
        prop_assert_eq!(world.place(), other.place());
    }

    /// Left alone, a cluster comes to rest, and stays so as long as nobody's patience ends.
    #[test]
    fn nothing_moves_when_nothing_changes(world in arb_world()) {
        let mut world = world;
        for _ in 0..10 {
            world.round();
        }
        let before = world.place();
        world.pass(Duration::from_millis(1));
        let after = world.place();
        let slots = |placement: &Placement| -> Vec<_> {
            placement.placed.iter().map(|(id, placed)| (id.clone(), placed.slots.clone(), placed.lease.epoch)).collect()
        };
        prop_assert_eq!(slots(&before), slots(&after));
        prop_assert_eq!(after.moved, 0);
    }

    /// A job that comes where there is room changes nothing for any other.
    #[test]
    fn who_comes_where_there_is_room_disturbs_nobody(world in arb_world()) {
        let mut world = world;
        for _ in 0..5 {
            world.round();
        }
        world.quotas.clear();
        world.taskmanagers.push(TaskManager { volumes: volume_set(3), ..taskmanager("t9", 60, 600) });
        let without = world.place();
        let mut new = job("b0/new", 1, 1);
        new.since = world.now;
        world.jobs.push(new.clone());
        // Others wait for the same slots by right; with none of them, nobody is affected.
        prop_assume!(without.waiting.is_empty());
        let with = world.place();
        prop_assume!(with.placed.contains_key(&new.id));
        for (id, placed) in &without.placed {
            let ran = world.jobs.iter().find(|job| job.id == *id).and_then(|job| job.current.clone());
            if ran.as_ref().is_some_and(|ran| ran.slots == placed.slots) {
                prop_assert_eq!(&with.placed[id].slots, &placed.slots);
            }
        }
        prop_assert_eq!(with.moved, 0);
    }

    /// A TaskManager that goes takes along what it had and nothing else, while there is room for that.
    #[test]
    fn a_lost_taskmanager_moves_its_own_slots_only(
        shapes in prop::collection::vec((1..4_u32, 0..3_u32), 1..10),
        rooms in 2..6_usize,
        which in any::<prop::sample::Index>(),
    ) {
        let jobs = shapes.iter().enumerate().map(|(at, (least, more))| {
            job(&format!("a{}/j{at}", at % 3), *least, least + more)
        });
        let rooms = (0..rooms).map(|at| taskmanager(&format!("t{at}"), 60, 600)).collect();
        let mut world = World::new(jobs.collect(), rooms);
        world.round();
        let gone = world.taskmanagers.remove(which.index(world.taskmanagers.len())).name;
        let lost: u32 = world.jobs.iter().filter_map(|job| job.current.as_ref()?.slots.get(&gone)).sum();
        let before = world.jobs.clone();
        let after = world.round();
        prop_assert_eq!(after.moved, u64::from(lost));
        for job in before.iter().filter(|job| !job.current.as_ref().unwrap().slots.contains_key(&gone)) {
            prop_assert_eq!(&after.placed[&job.id].slots, &job.current.as_ref().unwrap().slots);
        }
    }

    /// Whatever happens, the epochs of a job only rise.
    #[test]
    fn epochs_only_rise(world in arb_world(), others in prop::collection::vec(arb_world(), 0..5)) {
        let mut world = world;
        let mut epochs: BTreeMap<JobId, u64> = BTreeMap::new();
        world.jobs.iter_mut().for_each(|job| job.epoch = job.epoch.max(1));
        for next in others {
            for (id, placed) in world.round().placed {
                let known = epochs.insert(id, placed.lease.epoch).unwrap_or_default();
                prop_assert!(placed.lease.epoch >= known);
            }
            world.taskmanagers = next.taskmanagers;
            world.quotas = next.quotas;
            world.pass(Duration::from_secs(20));
        }
    }
}
