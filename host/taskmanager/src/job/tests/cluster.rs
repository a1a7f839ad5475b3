//! Jobs whose slots are spread over several TaskManagers, which share a folder and a record in memory. The way to the record
//! loses requests and answers, and leases end in the middle.

use super::*;
use crate::ledger::model::{Asked, Fate, Model};
use lockgate_core::plane::{Claimed, Fence, Opened};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::thread;

/// Runs a share of the world's job.
fn run_share(
    world: &World,
    fence: Fence,
    client: impl LedgerClient + 'static,
    share: Share,
    stop: &Stop,
) -> Result<Report> {
    run_with_events(world, fence, client, share, stop, silent())
}

fn run_with_events(
    world: &World,
    fence: Fence,
    client: impl LedgerClient + 'static,
    share: Share,
    stop: &Stop,
    events: Events,
) -> Result<Report> {
    let executors = testing::executors(share.slots.max(1));
    let record = Kept::ByJobManager { client: Arc::new(client), fence };
    let options =
        RunOptions { executors: &executors, volumes: &world.volumes, record, share, fuel_per_second: None, events };
    block_on(run(&world.job, options, stop))
}

/// Alone, on a good way, to the end.
fn finish(world: &World, model: &Model, slots: u32) {
    let (fence, way) = (model.lease(), model.way(|_| Fate::Answered));
    assert!(run_share(world, fence, way, Share::whole(slots), &Stop::default()).unwrap().finished);
}

/// Two TaskManagers with two slots and one slot.
const SHARES: [Share; 2] = [Share { first: 0, slots: 2, parallelism: 3 }, Share { first: 2, slots: 1, parallelism: 3 }];

/// Runs all of the world's job on two TaskManagers at once.
fn run_both(world: &World, model: &Model, fate: impl Fn(Asked) -> Fate + Clone + Send + Sync + 'static) {
    let fence = model.lease();
    thread::scope(|scope| {
        let runs = SHARES.map(|share| {
            let (fence, way) = (fence.clone(), model.way(fate.clone()));
            scope.spawn(move || run_share(world, fence, way, share, &Stop::default()))
        });
        for run in runs {
            assert!(run.join().unwrap().unwrap().finished);
        }
    });
}

/// A world with files of fifty numbers, and some empty ones.
fn fifty() -> World {
    let world = World::plain();
    for (file, numbers) in [("a", 0..20), ("b", 20..31), ("c", 31..32), ("d", 32..32), ("e", 32..50)] {
        world.numbers(&format!("in/{file}"), numbers);
    }
    world
}

#[test]
fn two_taskmanagers_write_what_one_would() {
    let (world, model) = (fifty(), Model::default());
    run_both(&world, &model, |_| Fate::Answered);
    assert_eq!(world.seen("out"), expected(0..50));
    assert_eq!(world.hidden("out"), expected([]));
    // Slots for which nothing is left end at once.
    finish(&world, &model, 5);
    assert_eq!(world.seen("out"), expected(0..50));
}

#[test]
fn whatever_is_lost_on_its_way_no_record_is_lost_or_repeated() {
    for seed in [1, 2, 3, 5_usize] {
        let (world, model) = (fifty(), Model::default());
        let asked = Arc::new(AtomicUsize::new(seed));
        // Three of seven, and never the same request again and again.
        run_both(&world, &model, move |_| match asked.fetch_add(1, Ordering::Relaxed) * seed % 7 {
            0 => Fate::Lost,
            3 | 5 => Fate::AnswerLost,
            _ => Fate::Answered,
        });
        assert_eq!(world.seen("out"), expected(0..50), "{seed}");
        assert_eq!(world.hidden("out"), expected([]), "{seed}");
    }
}

#[test]
fn a_lease_that_ends_in_the_middle_is_gone_on_with_by_any_number_of_slots() {
    let (world, model) = (fifty(), Model::default());
    let mut ended = 0;
    for slots in [3, 1, 2, 4].into_iter().cycle().take(100) {
        let (stop, drain) = (Stop::default(), Stop::default());
        let (fence, drained) = (model.lease(), drain.clone());
        let next = model.clone();
        // Every second lease ends by an order when one slot has a split, the others are taken away when the third commit is under
        // way.
        let (claims, commits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let way = model.way(move |asked| {
            match (asked, ended % 2) {
                (Asked::Claim, 0) if claims.fetch_add(1, Ordering::Relaxed) == 1 => drained.drain(),
                (Asked::Commit, 1) if commits.fetch_add(1, Ordering::Relaxed) == 2 => drop(next.lease()),
                _ => {}
            }
            Fate::Answered
        });
        ended += 1;
        let share = Share::whole(slots);
        let stop = if ended % 2 == 1 { &drain } else { &stop };
        match run_share(&world, fence, way, share, stop) {
            Ok(report) if report.finished => break,
            Ok(_) => {}
            Err(error) => assert_eq!(error.code(), code::FENCED, "{error}"),
        }
    }
    assert!(ended > 3, "{ended}");
    assert_eq!(world.seen("out"), expected(0..50));
}

#[test]
fn a_slot_goes_on_while_nobody_answers_its_commits() {
    let (world, model) = (World::plain(), Model::default());
    world.numbers("in/a", 0..15);
    let out = world.path("out");
    let waiting = move || {
        let names = fs::read_dir(&out).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with('.')).count()
    };
    // Nobody is there until four commits wait for an answer, and long enough for a slot to get there.
    let (asked, seen) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let most = Arc::clone(&seen);
    let way = model.way(move |request| {
        if request != Asked::Commit || seen.fetch_max(waiting(), Ordering::Relaxed) >= 4 {
            return Fate::Answered;
        }
        if asked.fetch_add(1, Ordering::Relaxed) < 30 { Fate::Lost } else { Fate::Answered }
    });
    assert!(run_share(&world, model.lease(), way, Share::whole(1), &Stop::default()).unwrap().finished);
    assert!(most.load(Ordering::Relaxed) >= 4, "no more than {most:?} commits waited");
    assert_eq!(world.seen("out"), expected(0..15));
    assert_eq!(world.hidden("out"), expected([]));
}

#[test]
fn what_was_not_acknowledged_is_not_published_and_its_successor_publishes_it_once() {
    for carried_out in [false, true] {
        let (world, model) = (World::plain(), Model::default());
        world.numbers("in/a", 0..7);
        let stop = Stop::default();
        let commits = AtomicUsize::new(0);
        let way = model.way(move |asked| match asked {
            // The lease ends while the second commit is under way.
            Asked::Commit if commits.fetch_add(1, Ordering::Relaxed) == 1 => Fate::Stuck { carried_out },
            _ => Fate::Answered,
        });
        let way = way.cancelling(&stop);
        let ended = run_share(&world, model.lease(), way, Share::whole(1), &stop);
        assert_eq!(ended.unwrap_err().code(), code::JOB_CANCELLED);
        assert_eq!(world.seen("out"), expected(0..2), "{carried_out}");
        // Whether it counts, the record knows: until then it waits.
        assert_eq!(world.hidden("out"), expected(2..4));
        assert_eq!(model.commits(), if carried_out { 2 } else { 1 });
        finish(&world, &model, 2);
        assert_eq!(world.seen("out"), expected(0..7), "{carried_out}");
        assert_eq!(world.hidden("out"), expected([]));
    }
}

#[test]
fn a_lease_that_was_taken_away_ends_the_run_under_its_code_and_leaves_nothing_in_the_way() {
    for answer_lost in [false, true] {
        let (world, model) = (World::plain(), Model::default());
        world.numbers("in/a", 0..7);
        let (next, commits) = (model.clone(), AtomicUsize::new(0));
        let way = model.way(move |asked| match asked {
            Asked::Commit => match commits.fetch_add(1, Ordering::Relaxed) {
                1 if answer_lost => Fate::AnswerLost,
                1 | 2 => {
                    next.lease();
                    Fate::Answered
                }
                _ => Fate::Answered,
            },
            _ => Fate::Answered,
        });
        let ended = run_share(&world, model.lease(), way, Share::whole(1), &Stop::default());
        assert_eq!(ended.unwrap_err().code(), code::FENCED);
        assert_eq!(world.seen("out"), expected(0..2));
        // Removed if it is known that it does not count, and only then.
        assert_eq!(world.hidden("out"), if answer_lost { expected(2..4) } else { expected([]) });
        finish(&world, &model, 1);
        assert_eq!(world.seen("out"), expected(0..7));
        assert_eq!(world.hidden("out"), expected([]));
    }
}

#[test]
fn a_taskmanager_that_stands_still_under_an_old_lease_takes_nothing_from_its_successor() {
    let (world, model) = (fifty(), Model::default());
    let (old, at_commit) = (model.lease(), Arc::new(Mutex::new(None)));
    // The successor runs to its end while the first commit of the old one is on its way.
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        *at_commit.lock().unwrap() = Some((tell, gone));
        let way = model.way(move |asked| {
            if let Some((tell, gone)) = (asked == Asked::Commit).then(|| at_commit.lock().unwrap().take()).flatten() {
                tell.send(()).unwrap();
                gone.recv().unwrap();
            }
            Fate::Answered
        });
        let still = scope.spawn(|| run_share(&world, old, way, Share::whole(1), &Stop::default()));
        told.recv().unwrap();
        finish(&world, &model, 2);
        assert_eq!(world.seen("out"), expected(0..50));
        go.send(()).unwrap();
        assert_eq!(still.join().unwrap().unwrap_err().code(), code::FENCED);
    });
    assert_eq!(world.seen("out"), expected(0..50));
    assert_eq!(world.hidden("out"), expected([]));
}

#[test]
fn what_the_record_cannot_say_is_not_believed() {
    type Lie = (&'static str, fn(&mut Opened), fn(&mut Claimed));
    fn output(opened: &mut Opened, change: fn(&mut lockgate_core::plane::Output)) {
        opened.slots.insert(0, 1);
        let mut output = lockgate_core::plane::Output { node: name("out"), epoch: 1, slot: 0, sequence: 1, bytes: 16 };
        change(&mut output);
        opened.unpublished.push(output);
    }
    fn split(claimed: &mut Claimed) -> &mut (Name, lockgate_core::plane::Split) {
        claimed.split.as_mut().unwrap()
    }
    let nothing: fn(&mut Opened) = |_| ();
    let none: fn(&mut Claimed) = |_| ();
    let lies: [Lie; 15] = [
        ("a run's id that leads elsewhere", |opened| opened.run = "../../../../etc.".into(), none),
        ("a run's id that is too short", |opened| opened.run = "0123".into(), none),
        ("a slot that no job has", |opened| opened.slots.extend([(1_024, 1)]), none),
        ("a sequence that cannot be counted on", |opened| opened.slots.extend([(0, u64::MAX)]), none),
        ("output of no sink", |opened| output(opened, |output| output.node = name("in")), none),
        ("output of a slot that never committed", |opened| output(opened, |output| output.slot = 1), none),
        ("output of a commit to come", |opened| output(opened, |output| output.sequence = 2), none),
        ("output of a lease to come", |opened| output(opened, |output| output.epoch = 2), none),
        ("output of no bytes", |opened| output(opened, |output| output.bytes = 0), none),
        ("output of too many bytes", |opened| output(opened, |output| output.bytes = u64::MAX), none),
        ("a split that is not there", nothing, |claimed| split(claimed).1.name = "in/b".into()),
        ("a split out of the source", nothing, |claimed| split(claimed).1.name = "../secret".into()),
        ("a split of no source", nothing, |claimed| split(claimed).0 = name("out")),
        ("a split of another content", nothing, |claimed| split(claimed).1.fingerprint.push('0')),
        ("a split of another size", nothing, |claimed| split(claimed).1.size = Some(1)),
    ];
    let long: Lie = ("a long position", nothing, |claimed| {
        claimed.position = Some(vec![0; crate::checkpoint::MAX_POSITION + 1]);
    });
    for (what, opened, claimed) in lies.into_iter().chain([long]) {
        let (world, model) = (World::plain(), Model::default());
        world.numbers("in/a", 0..3);
        // What waits there under the first lease is nobody's business yet.
        let waiting = format!(".out-{}-0-00000-00000001.json.tmp", crate::ledger::model::RUN);
        world.write(&format!("out/{waiting}"), "{\"n\":9}\n");
        let way = model.way(|_| Fate::Answered).lying(opened, claimed);
        let ended = run_share(&world, model.lease(), way, Share::whole(1), &Stop::default());
        assert_eq!(ended.unwrap_err().code(), code::RECORD_UNBELIEVED, "{what}");
        assert_eq!((world.seen("out"), model.commits()), (expected([]), 0), "{what}");
    }
}

#[test]
fn a_split_is_not_read_a_second_time_under_a_lease() {
    let (world, model) = (World::plain(), Model::default());
    world.numbers("in/a", 0..3);
    // Whatever is asked for, it is the same split again.
    let again: fn(&mut Claimed) = |claimed| {
        static FIRST: Mutex<Option<Claimed>> = Mutex::new(None);
        *claimed = FIRST.lock().unwrap().get_or_insert_with(|| claimed.clone()).clone();
    };
    let way = model.way(|_| Fate::Answered).lying(|_| (), again);
    let ended = run_share(&world, model.lease(), way, Share::whole(1), &Stop::default());
    assert_eq!(ended.unwrap_err().code(), code::RECORD_UNBELIEVED);
    assert!(world.seen("out").len() <= 3);
}

#[test]
fn a_job_is_not_finished_while_splits_are_held_back() {
    let (world, model) = (World::plain(), Model::default());
    world.numbers("in/a", 0..3);
    let nothing: fn(&mut Claimed) = |claimed| claimed.split = None;
    for (parallelism, alone) in [(1, true), (2, false)] {
        let way = model.way(|_| Fate::Answered).lying(|_| (), nothing);
        let share = Share { first: 0, slots: 1, parallelism };
        match run_share(&world, model.lease(), way, share, &Stop::default()) {
            // Another TaskManager may have it.
            Ok(report) => assert!(report.finished && !alone),
            Err(error) => assert_eq!((error.code(), alone), (code::RECORD_UNBELIEVED, true)),
        }
    }
}

#[test]
fn a_split_that_another_taskmanager_found_later_is_looked_for() {
    let (world, model) = (World::plain(), Model::default());
    world.numbers("in/a", 0..3);
    let fence = model.lease();
    let other = model.way(|_| Fate::Answered);
    let added = Mutex::new(false);
    let way = model.way(move |_| Fate::Answered);
    let adds = {
        let (path, fence) = (world.path("in/b"), fence.clone());
        let volumes = world.volumes.clone();
        let plan = Arc::clone(&world.job.plan);
        move || {
            fs::write(&path, "{\"n\":3}\n").unwrap();
            let sources = begin::sources(&plan, &volumes, &Stop::default()).unwrap();
            let splits = begin::listing(&plan, &sources).unwrap().into_iter().collect();
            let request = lockgate_core::plane::Open { fence: fence.clone(), splits };
            block_on(other.open(&request)).unwrap();
        }
    };
    let events = Events::new(move |event| {
        if matches!(event, Event::Started { .. }) && !std::mem::replace(&mut *added.lock().unwrap(), true) {
            thread::scope(|scope| drop(scope.spawn(&adds)));
        }
    });
    let share = Share { first: 0, slots: 1, parallelism: 2 };
    assert!(run_with_events(&world, fence, way, share, &Stop::default(), events).unwrap().finished);
    assert_eq!(world.seen("out"), expected(0..4));
}

#[test]
fn standard_streams_and_shares_that_cannot_be_are_refused_before_anything_is_asked() {
    let never = |_| -> Fate { panic!("the JobManager was asked") };
    let stdin = {
        let mut node = source("in", OnError::Fail);
        if let NodeKind::Source(source) = &mut node.kind {
            source.connector = SourceConnector::Stdin;
        }
        World::new(vec![node, sink("out", &[0])])
    };
    let stdout = {
        let mut node = sink("out", &[0]);
        if let NodeKind::Sink(sink) = &mut node.kind {
            sink.connector = SinkConnector::Stdout;
        }
        World::new(vec![source("in", OnError::Fail), node])
    };
    let model = Model::default();
    for world in [stdin, stdout] {
        let ended = run_share(&world, model.lease(), model.way(never), Share::whole(1), &Stop::default());
        assert_eq!(ended.unwrap_err().code(), code::STREAM_ELSEWHERE);
    }
    let world = fifty();
    for (first, slots, parallelism) in [(0, 0, 1), (0, 2, 1), (1, 1, 1), (u32::MAX, 1, 8), (0, 65, 65), (0, 1, 1_025)] {
        let share = Share { first, slots, parallelism };
        let executors = testing::executors(1);
        let record = Kept::ByJobManager { client: Arc::new(model.way(never)), fence: model.lease() };
        let (volumes, events) = (&world.volumes, silent());
        let options = RunOptions { executors: &executors, volumes, record, share, fuel_per_second: None, events };
        let ended = block_on(run(&world.job, options, &Stop::default()));
        assert_eq!(ended.unwrap_err().code(), code::PLANE_MESSAGE, "{share:?}");
    }
}

#[test]
fn splits_without_an_end_are_counted_against_the_slots_of_the_whole_job() {
    let (table, events, prepared) = (NexmarkTable::Bid, None, 0);
    let settings = Nexmark { table, events, rate: Some(1_000), seed: 1, splits: 2, prepared };
    let mut node = source("in", OnError::Fail);
    if let NodeKind::Source(source) = &mut node.kind {
        (source.connector, source.format) = (SourceConnector::Nexmark(settings), None);
    }
    let mut to = sink("out", &[0]);
    if let NodeKind::Sink(sink) = &mut to.kind {
        (sink.connector, sink.format) = (SinkConnector::Discard, None);
    }
    let (world, model) = (World::new(vec![node, to]), Model::default());
    for (parallelism, enough) in [(1, false), (2, true)] {
        let stop = Stop::default();
        stop.drain();
        let share = Share { first: 0, slots: 1, parallelism };
        let ended = run_share(&world, model.lease(), model.way(|_| Fate::Answered), share, &stop);
        match enough {
            true => assert!(!ended.unwrap().finished),
            false => assert_eq!(ended.unwrap_err().code(), code::SPLITS_STARVE),
        }
    }
}
