//! Each rule of placement by the smallest case that shows it.

use super::*;

fn volumes(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|text| name(text)).collect()
}

fn on(placement: &Placement, id: &str) -> Vec<(String, u32)> {
    let found = placement.placed.iter().find(|(job, _)| job.to_string() == id);
    let slots = found.into_iter().flat_map(|(_, placed)| &placed.slots);
    slots.map(|(name, slots)| (name.to_string(), *slots)).collect()
}

#[test]
fn with_no_taskmanager_every_job_waits() {
    let mut world = World::new(vec![job("a/x", 1, 2), job("b/y", 1, 1)], Vec::new());
    let placement = world.round();
    assert!(placement.placed.is_empty());
    assert_eq!(placement.waiting.values().copied().collect::<Vec<_>>(), [Waits::Slots, Waits::Slots]);
}

#[test]
fn the_slots_of_a_job_are_spread() {
    let taskmanagers = vec![taskmanager("t1", 4, 9), taskmanager("t2", 4, 9), taskmanager("t3", 4, 9)];
    let mut world = World::new(vec![job("a/x", 3, 3), job("a/y", 1, 5)], taskmanagers);
    let placement = world.round();
    assert_eq!(on(&placement, "a/x"), [("t1".into(), 1), ("t2".into(), 1), ("t3".into(), 1)]);
    let slots: Vec<u32> = on(&placement, "a/y").into_iter().map(|(_, slots)| slots).collect();
    assert_eq!((slots.len(), slots.iter().sum::<u32>()), (3, 5));
    assert!(slots.iter().all(|slots| (1..=2).contains(slots)), "{slots:?}");
}

#[test]
fn a_job_has_its_least_slots_or_none() {
    let mut world = World::new(vec![job("a/x", 3, 8)], vec![taskmanager("t1", 2, 9)]);
    assert_eq!(world.round().waiting.into_values().collect::<Vec<_>>(), [Waits::Slots]);
    world.taskmanagers.push(taskmanager("t2", 2, 9));
    assert_eq!(world.round().placed.into_values().next().unwrap().parallelism(), 4);
}

#[test]
fn a_job_goes_where_its_volumes_are() {
    let mut needs = job("a/x", 1, 4);
    needs.volumes = volumes(&["flights", "results"]);
    let mut near = taskmanager("t1", 9, 9);
    near.volumes = volumes(&["flights"]);
    let mut world = World::new(vec![needs], vec![near.clone()]);
    assert_eq!(world.round().waiting.into_values().collect::<Vec<_>>(), [Waits::Volumes]);
    near.volumes = volumes(&["flights", "more", "results"]);
    near.name = name("t2");
    world.taskmanagers.push(near);
    assert_eq!(on(&world.round(), "a/x"), [("t2".into(), 4)]);
    // What stops offering a volume keeps none of its tasks.
    world.taskmanagers[1].volumes.clear();
    assert_eq!(world.round().waiting.len(), 1);
}

#[test]
fn each_quota_is_kept_and_named() {
    for (quota, waits) in [
        (Quota { slots: Some(2), ..Quota::default() }, Waits::QuotaSlots),
        (Quota { memory: Some(5), ..Quota::default() }, Waits::QuotaMemory),
        (Quota { fuel: Some(29), ..Quota::default() }, Waits::QuotaFuel),
    ] {
        let mut jobs = vec![job("a/x", 1, 9), job("a/y", 1, 9), job("a/z", 1, 9), job("b/x", 1, 1)];
        jobs.iter_mut().for_each(|job| job.slot = SlotCost { memory: 2, fuel: 10 });
        let mut world = World::new(jobs, vec![taskmanager("t1", 99, 999)]);
        world.quotas.insert(name("a"), quota);
        let placement = world.round();
        assert_eq!((world.slots(&placement, "a"), world.slots(&placement, "b")), (2, 1));
        assert_eq!(placement.waiting.into_values().collect::<Vec<_>>(), [waits]);
    }
}

#[test]
fn a_lowered_quota_takes_the_extra_slots_first_and_the_newest_jobs_next() {
    let mut world =
        World::new(vec![job("a/x", 1, 3), job("a/y", 1, 2), job("a/z", 2, 2)], vec![taskmanager("t1", 9, 9)]);
    world.round();
    world.jobs[0].since = UnixMillis(1);
    world.jobs[1].since = UnixMillis(2);
    let limit = |slots| BTreeMap::from([(name("a"), Quota { slots: Some(slots), ..Quota::default() })]);
    world.quotas = limit(4);
    let placement = world.round();
    assert_eq!((world.slots(&placement, "a"), placement.placed.len(), placement.moved), (4, 3, 0));
    world.quotas = limit(2);
    let placement = world.round();
    assert_eq!(on(&placement, "a/z"), []);
    assert_eq!((on(&placement, "a/x"), on(&placement, "a/y")), (vec![("t1".into(), 1)], vec![("t1".into(), 1)]));
}

#[test]
fn cordoned_keeps_draining_and_lost_do_not() {
    for (state, left) in [
        (Availability::Active, "t1"),
        (Availability::Cordoned, "t1"),
        (Availability::Draining, "t2"),
        (Availability::Lost, "t2"),
    ] {
        let mut world = World::new(vec![job("a/x", 1, 1)], vec![taskmanager("t1", 1, 9)]);
        world.round();
        world.taskmanagers[0].state = state;
        world.taskmanagers.push(taskmanager("t2", 9, 9));
        world.jobs.push(job("a/y", 1, 1));
        let placement = world.round();
        assert_eq!(on(&placement, "a/x"), [(left.into(), 1)], "{state:?}");
        assert_eq!(on(&placement, "a/y"), [("t2".into(), 1)], "{state:?}");
        assert_eq!(placement.moved, u64::from(left == "t2"));
    }
}

#[test]
fn only_what_was_lost_moves() {
    let mut world = World::new(
        vec![job("a/x", 4, 4), job("b/y", 2, 2)],
        vec![taskmanager("t1", 4, 9), taskmanager("t2", 4, 9), taskmanager("t3", 4, 9)],
    );
    world.round();
    let before: Vec<Placed> = world.jobs.iter().map(|job| job.current.clone().unwrap()).collect();
    world.taskmanagers.remove(0);
    let placement = world.round();
    let lost: u32 = before.iter().filter_map(|placed| placed.slots.get("t1")).sum();
    assert!(lost > 0 && placement.moved == u64::from(lost), "{} moved, {lost} lost", placement.moved);
    for (job, before) in world.jobs.iter().zip(&before) {
        let now = &placement.placed[&job.id];
        assert!(before.slots.iter().all(|(name, slots)| name.as_str() == "t1" || now.slots[name] >= *slots));
        assert_eq!(now.lease.epoch > before.lease.epoch, before.slots.contains_key("t1"));
    }
}

#[test]
fn a_running_job_grows_only_when_it_has_rested() {
    let mut world = World::new(vec![job("a/x", 1, 4)], vec![taskmanager("t1", 2, 9)]);
    assert_eq!(on(&world.round(), "a/x"), [("t1".into(), 2)]);
    world.taskmanagers.push(taskmanager("t2", 2, 9));
    world.pass(world.rules.cooldown - Duration::from_millis(1));
    assert_eq!(on(&world.round(), "a/x"), [("t1".into(), 2)]);
    world.pass(Duration::from_millis(1));
    assert_eq!(on(&world.round(), "a/x"), [("t1".into(), 2), ("t2".into(), 2)]);
}

#[test]
fn a_lease_that_has_ended_is_not_renewed() {
    let mut world = World::new(vec![job("a/x", 1, 1)], vec![taskmanager("t1", 1, 9)]);
    let first = world.round().placed.into_values().next().unwrap().lease;
    assert_eq!(first, Lease { epoch: 1, until: world.now.plus(world.rules.lease) });
    world.pass(Duration::from_secs(10));
    let renewed = world.round().placed.into_values().next().unwrap().lease;
    assert_eq!(renewed, Lease { epoch: 1, until: world.now.plus(world.rules.lease) });
    world.pass(world.rules.lease);
    let anew = world.round().placed.into_values().next().unwrap().lease;
    assert_eq!(anew.epoch, 2);
    // Nor does a job that was without slots for a while begin again at 1.
    world.jobs[0].current = None;
    world.round();
    assert_eq!(world.jobs[0].epoch, 3);
}

#[test]
fn a_signed_range_binds_whatever_is_wished() {
    let mut wishes = job("a/x", 2, 3);
    for (desired, slots) in [(0, 2), (2, 2), (3, 3), (9, 3)] {
        wishes.desired = desired;
        let mut world = World::new(vec![wishes.clone()], vec![taskmanager("t1", 9, 9)]);
        assert_eq!(world.round().placed.into_values().next().unwrap().parallelism(), slots);
    }
}

#[test]
fn each_function_of_a_slot_has_an_instance() {
    let function = |name: &str, input: &str| format!("[operator.{name}]\ninput = \"{input}\"\nfunction = \"f/f\"\n");
    let text = format!(
        "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n[component.f]\n[limits]\nmemory = \"32 MiB\"\n\
         stack = \"1 MiB\"\n[source.s]\nconnector = \"nexmark\"\ntable = \"bid\"\n{}{}[operator.c]\ninput = \"two\"\n\
         select = [\"auction\"]\n[sink.k]\ninput = \"c\"\nconnector = \"discard\"\n",
        function("one", "s"),
        function("two", "one"),
    );
    let manifest = crate::manifest::Manifest::parse_toml(&text, "x").unwrap_or_else(|errors| panic!("{errors:?}"));
    let port = |fields| crate::types::Port { name: "in".into(), fields };
    let describe = crate::types::FunctionDescription {
        name: "f".into(),
        kind: "transform".into(),
        inputs: vec![port(vec![crate::types::Field::new("auction", crate::types::LogicalType::Int64, false)])],
        outputs: vec![port(Vec::new())],
        attributes: Vec::new(),
    };
    let described = BTreeMap::from([(name("f"), vec![describe])]);
    let plan = crate::planner::Planner::plan(&manifest, &described, &BTreeMap::new());
    let plan = plan.unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(SlotCost::of(&plan, 7), SlotCost { memory: SlotCost::BASE_MEMORY + (66 << 20), fuel: 7 });
    let endless = Plan { limits: crate::limits::Limits { memory: u64::MAX, ..plan.limits }, ..plan };
    assert_eq!(SlotCost::of(&endless, 0).memory, u64::MAX);
}
