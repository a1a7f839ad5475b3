//! The record of a run, asked as TaskManagers do.

mod crash;
mod model;

use super::*;
use crate::model::job::{Deployment, Job};
use crate::model::label::Labels;
use crate::reconcile::{Execution, Goal, Holding, Wanted};
use crate::store::{Memory, Store};
use lockgate_core::manifest::Parallelism;
use lockgate_core::placement::{Lease, Placed, SlotCost};
use lockgate_core::plane::{
    Claim, Claimed, Commit, Open, Opened, Output, Position, Progress, Release as GiveBack, Split, SplitProgress,
};
use lockgate_core::restart::RestartStrategy;
use lockgate_core::statement::Release;
use lockgate_core::{Code, Digest, Timestamp, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) const ID: &str = "0123456789abcdef0123456789abcdef";

/// A job of run 1 whose slots are on these TaskManagers, under this epoch.
fn job(epoch: u64, slots: &[(&str, u32)]) -> Job {
    let release = Release { version: 1, digest: Digest::of(b"release") };
    let wanted = Wanted {
        goal: Goal::Run,
        release,
        run: 1,
        restarts: 0,
        parallelism: Parallelism { min: 1, max: 8 },
        desired: 8,
        weight: 1,
        slot: SlotCost::default(),
        volumes: BTreeSet::new(),
        restart: RestartStrategy::FixedDelay { attempts: 2, delay_ms: 2_000 },
    };
    let mut execution = Execution::admitted(release, epoch, UnixMillis(0));
    let slots = slots.iter().filter(|(_, slots)| *slots > 0).map(|(of, slots)| (name(of), *slots)).collect();
    let placed = Placed { lease: Lease { epoch, until: UnixMillis(0) }, slots };
    execution.holds = Some(Holding { placed, phase: Phase::Live, since: UnixMillis(0), sessions: BTreeMap::new() });
    let deployment = Deployment {
        bundle: Digest::of(b"bundle"),
        release,
        parameters: BTreeMap::new(),
        fallback_of: None,
        since: Timestamp::from_seconds(0),
        by: "user:dep".to_owned(),
    };
    Job {
        tenant: name("acme"),
        name: name("late"),
        id: ID.to_owned(),
        labels: Labels::new(),
        created: Timestamp::from_seconds(0),
        created_by: "user:dep".to_owned(),
        deployment,
        former: Vec::new(),
        next_event: 1,
        next_exception: 1,
        wanted,
        execution,
    }
}

/// A ledger and the job's record that it looks at.
pub(super) struct Bench {
    pub ledger: Ledger,
    pub records: Records,
}

pub(super) fn late() -> JobId {
    JobId { tenant: name("acme"), name: name("late") }
}

pub(super) fn fence(epoch: u64) -> Fence {
    Fence { id: ID.to_owned(), epoch, session: String::new() }
}

impl Bench {
    pub fn over(store: impl Store) -> Self {
        let records = Records::new(store);
        let clock: Clock = Arc::new(|| UnixMillis(1_000));
        let ledger = Ledger::new(records.clone(), Arc::clone(&clock), clock);
        Self { ledger, records }
    }

    pub async fn put(&self, job: &Job) {
        let mut change = Change::default();
        change.set(keys::job(&job.tenant, &job.name), job).unwrap();
        self.records.commit(change).await.unwrap();
    }

    pub async fn placed(epoch: u64, slots: &[(&str, u32)]) -> Self {
        let bench = Self::over(Memory::new());
        bench.put(&job(epoch, slots)).await;
        bench
    }

    pub async fn open(&self, peer: &str, epoch: u64, splits: &[(&str, &str)]) -> Result<Opened> {
        let split = |(text, fingerprint): &(&str, &str)| Split {
            name: (*text).to_owned(),
            size: Some(10),
            fingerprint: (*fingerprint).to_owned(),
        };
        let splits = BTreeMap::from([(name("in"), splits.iter().map(split).collect())]);
        self.ledger.open(&name(peer), &late(), Open { fence: fence(epoch), splits }).await
    }

    pub async fn claim(&self, peer: &str, epoch: u64, slot: u32, number: u64) -> Result<Claimed> {
        let claim = Claim { fence: fence(epoch), slot, number };
        self.ledger.claim(&name(peer), &late(), &claim).await
    }

    pub async fn release(&self, peer: &str, epoch: u64, (first, slots): (u32, u32), claims: u64) -> Result<()> {
        let release = GiveBack { fence: fence(epoch), first, slots, claims };
        self.ledger.release(&name(peer), &late(), &release).await
    }

    pub async fn commit(&self, peer: &str, commit: &Commit) -> Result<u64> {
        self.ledger.commit(&name(peer), &late(), commit).await.map(|committed| committed.commits)
    }
}

pub(super) fn commit(epoch: u64, slot: u32, sequence: u64, splits: &[(&str, Position)]) -> Commit {
    let progress = |(text, position): &(&str, Position)| SplitProgress {
        source: name("in"),
        split: (*text).to_owned(),
        progress: Progress { fingerprint: "f".to_owned(), position: position.clone() },
    };
    let output = Output { node: name("out"), epoch, slot, sequence, bytes: 5 };
    let splits = splits.iter().map(progress).collect();
    Commit { fence: fence(epoch), slot, sequence, splits, outputs: vec![output] }
}

fn code_of<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

fn split_of(claimed: &Claimed) -> Option<&str> {
    claimed.split.as_ref().map(|(_, split)| split.name.as_str())
}

#[tokio::test]
async fn only_who_holds_the_slots_under_the_present_epoch_changes_anything() {
    let bench = Bench::placed(5, &[("t1", 2), ("t2", 1)]).await;
    bench.open("t1", 5, &[("a", "f")]).await.unwrap();
    assert_eq!(code_of(bench.open("t3", 5, &[]).await), code::NOT_PLACED);
    assert_eq!(code_of(bench.open("t1", 4, &[]).await), code::FENCED);
    assert_eq!(code_of(bench.open("t1", 6, &[]).await), code::FENCED);
    for (peer, slot) in [("t1", 2), ("t2", 0), ("t2", 3)] {
        assert_eq!(code_of(bench.claim(peer, 5, slot, 1).await), code::FENCED, "{peer} {slot}");
        let change = commit(5, slot, 1, &[]);
        assert_eq!(code_of(bench.commit(peer, &change).await), code::FENCED);
    }
    assert_eq!(code_of(bench.release("t1", 5, (1, 2), 0).await), code::FENCED);
    assert_eq!(code_of(bench.commit("t2", &commit(5, 2, 1, &[])).await), code::LEDGER_CONFLICT, "it has not opened");
    let mut other = fence(5);
    other.id = "another".to_owned();
    let refused = bench.ledger.open(&name("t1"), &late(), Open { fence: other, splits: BTreeMap::new() }).await;
    assert_eq!(code_of(refused), code::NOT_PLACED);
    // Told to end.
    let mut ending = job(5, &[("t1", 2), ("t2", 1)]);
    ending.execution.epoch = 6;
    ending.execution.holds.as_mut().unwrap().phase = Phase::Ending;
    bench.put(&ending).await;
    assert_eq!(code_of(bench.claim("t1", 5, 0, 1).await), code::FENCED);
    assert_eq!(code_of(bench.commit("t1", &commit(5, 0, 1, &[])).await), code::FENCED);
}

#[tokio::test]
async fn what_comes_twice_is_done_once_and_answered_alike() {
    let bench = Bench::placed(5, &[("t1", 2)]).await;
    let opened = bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    assert_eq!(bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap(), opened);
    assert_eq!((opened.left, opened.left_bytes, opened.started, opened.run.len()), (2, Some(20), 1_000_000, 16));
    let claimed = bench.claim("t1", 5, 0, 1).await.unwrap();
    assert_eq!(bench.claim("t1", 5, 0, 1).await.unwrap(), claimed);
    assert_eq!(split_of(&claimed), Some("a"));
    let change = commit(5, 0, 1, &[("a", Position::At(vec![3]))]);
    assert_eq!(bench.commit("t1", &change).await.unwrap(), 1);
    assert_eq!(bench.commit("t1", &change).await.unwrap(), 1);
    assert_eq!(bench.claim("t1", 5, 0, 1).await.unwrap().position, Some(vec![3]));
    let other = commit(5, 0, 1, &[("a", Position::At(vec![4]))]);
    assert_eq!(code_of(bench.commit("t1", &other).await), code::LEDGER_CONFLICT, "another one of the same number");
    for sequence in [0, 3] {
        let change = commit(5, 0, sequence, &[]);
        assert_eq!(code_of(bench.commit("t1", &change).await), code::LEDGER_CONFLICT, "{sequence}");
    }
    assert_eq!(split_of(&bench.claim("t1", 5, 1, 1).await.unwrap()), Some("b"));
    assert_eq!(bench.commit("t1", &commit(5, 1, 1, &[("b", Position::Finished)])).await.unwrap(), 2);
    assert_eq!(bench.claim("t1", 5, 1, 2).await.unwrap().split, None);
    assert_eq!(bench.claim("t1", 5, 1, 2).await.unwrap().split, None);
    let finished = commit(5, 0, 2, &[("a", Position::Finished)]);
    bench.commit("t1", &finished).await.unwrap();
    let opened = bench.open("t1", 5, &[]).await.unwrap();
    assert_eq!((opened.left, opened.commits), (0, 3), "what is finished may be gone");
    assert_eq!(opened.slots, BTreeMap::from([(0, 2), (1, 1)]));
}

#[tokio::test]
async fn nobody_commits_what_is_not_his() {
    let bench = Bench::placed(5, &[("t1", 2)]).await;
    bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    bench.claim("t1", 5, 0, 1).await.unwrap();
    let read = |text| [(text, Position::At(vec![1]))];
    for (slot, text) in [(1, "a"), (0, "b"), (0, "c")] {
        assert_eq!(code_of(bench.commit("t1", &commit(5, slot, 1, &read(text))).await), code::LEDGER_CONFLICT);
    }
    let mut other = commit(5, 0, 1, &read("a"));
    other.splits[0].progress.fingerprint = "g".to_owned();
    assert_eq!(code_of(bench.commit("t1", &other).await), code::LEDGER_CONFLICT);
    for change in [
        (|commit: &mut Commit| commit.outputs[0].epoch = 4) as fn(&mut Commit),
        |commit| commit.outputs[0].slot = 1,
        |commit| commit.outputs[0].sequence = 2,
        |commit| commit.outputs.push(commit.outputs[0].clone()),
        |commit| commit.splits.push(commit.splits[0].clone()),
        |commit| commit.splits[0].progress.position = Position::At(vec![0; 65 << 10]),
    ] {
        let mut malformed = commit(5, 0, 1, &read("a"));
        change(&mut malformed);
        assert_eq!(code_of(bench.commit("t1", &malformed).await), code::PLANE_MESSAGE);
    }
    bench.commit("t1", &commit(5, 0, 1, &[("a", Position::Finished)])).await.unwrap();
    assert_eq!(code_of(bench.commit("t1", &commit(5, 0, 2, &read("a"))).await), code::LEDGER_CONFLICT);
}

#[tokio::test]
async fn all_taskmanagers_see_one_input() {
    let bench = Bench::placed(5, &[("t1", 1), ("t2", 1)]).await;
    bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    assert_eq!(bench.open("t2", 5, &[("c", "f")]).await.unwrap().left, 3, "all that any of them finds");
    assert_eq!(code_of(bench.open("t2", 5, &[("a", "g")]).await), code::INPUT_CHANGED);
    assert_eq!(code_of(bench.open("t2", 5, &[("a", "f"), ("a", "f")]).await), code::PLANE_MESSAGE);
    bench.claim("t1", 5, 0, 1).await.unwrap();
    bench.open("t2", 5, &[]).await.unwrap();
    bench.commit("t1", &commit(5, 0, 1, &[("a", Position::At(vec![1]))])).await.unwrap();
    assert_eq!(code_of(bench.open("t2", 5, &[("b", "f")]).await), code::INPUT_CHANGED, "a is begun and gone");
    let long = "x".repeat(5_000);
    assert_eq!(code_of(bench.open("t2", 5, &[("a", "f"), (&long, "f")]).await), code::PLANE_MESSAGE);
}

#[tokio::test]
async fn what_is_given_back_is_given_to_others_and_no_late_claim_takes_anything() {
    let bench = Bench::placed(5, &[("t1", 1), ("t2", 1)]).await;
    bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    bench.open("t2", 5, &[]).await.unwrap();
    bench.claim("t1", 5, 0, 1).await.unwrap();
    bench.commit("t1", &commit(5, 0, 1, &[("a", Position::At(vec![7]))])).await.unwrap();
    // Claim 2 is still on its way when the executor dies.
    for _ in 0..2 {
        bench.release("t1", 5, (0, 1), 2).await.unwrap();
    }
    for number in [1, 2] {
        assert_eq!(code_of(bench.claim("t1", 5, 0, number).await), code::LEDGER_CONFLICT, "{number}");
    }
    let late = commit(5, 0, 2, &[("a", Position::Finished)]);
    assert_eq!(code_of(bench.commit("t1", &late).await), code::LEDGER_CONFLICT);
    let taken = bench.claim("t2", 5, 1, 1).await.unwrap();
    assert_eq!((split_of(&taken), &taken.position), (Some("a"), &Some(vec![7])));
    assert_eq!(split_of(&bench.claim("t1", 5, 0, 3).await.unwrap()), Some("b"));
    // What was claimed after that stays where it is when the same message comes again.
    bench.release("t1", 5, (0, 1), 2).await.unwrap();
    bench.commit("t1", &commit(5, 0, 2, &[("b", Position::Finished)])).await.unwrap();
}

#[tokio::test]
async fn a_late_claim_of_who_was_told_that_nothing_is_left_takes_nothing() {
    let bench = Bench::placed(5, &[("t1", 1), ("t2", 1)]).await;
    bench.open("t1", 5, &[("a", "f")]).await.unwrap();
    bench.open("t2", 5, &[]).await.unwrap();
    assert_eq!(split_of(&bench.claim("t1", 5, 0, 1).await.unwrap()), Some("a"));
    assert_eq!(bench.claim("t2", 5, 1, 1).await.unwrap().split, None, "the slot ends");
    bench.release("t1", 5, (0, 1), 1).await.unwrap();
    // The same message, sent twice because its first answer was lost, and long on its way.
    assert_eq!(bench.claim("t2", 5, 1, 1).await.unwrap().split, None);
    let left = async || bench.ledger.left(&job(5, &[("t1", 1), ("t2", 1)])).await.unwrap();
    assert_eq!(left().await, Left::Splits(1));
    assert_eq!(split_of(&bench.claim("t1", 5, 0, 2).await.unwrap()), Some("a"), "whoever reads has it");
    bench.commit("t1", &commit(5, 0, 1, &[("a", Position::Finished)])).await.unwrap();
    assert_eq!(left().await, Left::Splits(0));
}

#[tokio::test]
async fn what_is_left_of_a_run_its_record_says() {
    let bench = Bench::placed(5, &[("t1", 2)]).await;
    let left = async |run| {
        let mut of = job(5, &[("t1", 2)]);
        of.execution.run = run;
        bench.ledger.left(&of).await.unwrap()
    };
    assert_eq!(left(1).await, Left::Unopened);
    bench.open("t1", 5, &[("a", "f"), ("b", "f"), ("c", "f")]).await.unwrap();
    bench.claim("t1", 5, 0, 1).await.unwrap();
    bench.claim("t1", 5, 1, 1).await.unwrap();
    let splits = [("a", Position::Finished)];
    bench.commit("t1", &commit(5, 0, 1, &splits)).await.unwrap();
    bench.commit("t1", &commit(5, 1, 1, &[("b", Position::At(vec![1]))])).await.unwrap();
    assert_eq!(left(1).await, Left::Splits(2), "one is begun, one was never claimed");
    bench.release("t1", 5, (0, 2), 1).await.unwrap();
    assert_eq!((left(1).await, left(2).await), (Left::Splits(2), Left::Unopened));
}

#[tokio::test]
async fn outputs_are_told_again_until_somebody_says_that_they_are_published() {
    let bench = Bench::placed(5, &[("t1", 1), ("t2", 1)]).await;
    bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    bench.open("t2", 5, &[]).await.unwrap();
    bench.commit("t1", &commit(5, 0, 1, &[])).await.unwrap();
    bench.commit("t1", &commit(5, 0, 2, &[])).await.unwrap();
    bench.commit("t2", &commit(5, 1, 1, &[])).await.unwrap();
    let told = |opened: Opened| -> Vec<_> {
        opened.unpublished.iter().map(|output| (output.epoch, output.slot, output.sequence)).collect()
    };
    assert_eq!(told(bench.open("t1", 5, &[]).await.unwrap()), [(5, 0, 2), (5, 1, 1)]);
    bench.put(&job(7, &[("t2", 1)])).await;
    assert_eq!(told(bench.open("t2", 7, &[]).await.unwrap()), [(5, 0, 2), (5, 1, 1)]);
    assert_eq!(told(bench.open("t2", 7, &[]).await.unwrap()), [(5, 0, 2), (5, 1, 1)], "nobody has said anything");
    bench.commit("t2", &commit(7, 0, 3, &[])).await.unwrap();
    assert_eq!(told(bench.open("t2", 7, &[]).await.unwrap()), [(7, 0, 3)]);
    bench.put(&job(9, &[("t1", 2)])).await;
    assert_eq!(told(bench.open("t1", 9, &[]).await.unwrap()), [(7, 0, 3)]);
    bench.commit("t1", &commit(9, 1, 2, &[])).await.unwrap();
    assert_eq!(told(bench.open("t1", 9, &[]).await.unwrap()), [(9, 1, 2)]);
}

#[tokio::test]
async fn a_hundred_thousand_splits_are_claimed_in_their_order_without_a_look_at_all_each_time() {
    let bench = Bench::placed(5, &[("t1", 1)]).await;
    let split = |index: usize| Split { name: format!("{index:06}"), size: None, fingerprint: "f".to_owned() };
    let splits: Vec<Split> = (0..100_000).map(split).collect();
    let open = Open { fence: fence(5), splits: BTreeMap::from([(name("in"), splits)]) };
    let opened = bench.ledger.open(&name("t1"), &late(), open).await.unwrap();
    assert_eq!((opened.left, opened.left_bytes), (100_000, None));
    for number in 1..=3_000 {
        let claimed = bench.claim("t1", 5, 0, number).await.unwrap();
        assert_eq!(split_of(&claimed), Some(format!("{:06}", number - 1).as_str()));
    }
    let many = (0..=MAX_SPLITS).map(split).collect();
    let open = Open { fence: fence(5), splits: BTreeMap::from([(name("in"), many)]) };
    assert_eq!(code_of(bench.ledger.open(&name("t1"), &late(), open).await), code::LEDGER_FULL);
}

#[tokio::test]
async fn slots_that_commit_at_once_do_not_meet() {
    let bench = Bench::placed(5, &[("t1", 64)]).await;
    bench.open("t1", 5, &[]).await.unwrap();
    bench.commit("t1", &commit(5, 0, 1, &[])).await.unwrap();
    let before = *bench.records.revision().borrow();
    let all = (1..64).map(|slot| {
        let bench = &bench;
        async move { bench.commit("t1", &commit(5, slot, 1, &[])).await.unwrap() }
    });
    futures_util::future::join_all(all).await;
    // One revision each: none was refused and tried again, and none writes what another one does.
    assert_eq!(*bench.records.revision().borrow(), before + 63);
    assert_eq!(bench.commit("t1", &commit(5, 0, 2, &[])).await.unwrap(), 65);
}

#[tokio::test]
async fn what_is_over_is_removed() {
    let bench = Bench::placed(5, &[("t1", 1)]).await;
    let hour = std::time::Duration::from_secs(3_600);
    let count = async |bench: &Bench| {
        let mut count = 0;
        for prefix in ["runs", "ledger", "drafts"] {
            count += bench.records.keys(&Key::new([prefix]), 10_000).await.unwrap().len();
        }
        count
    };
    let first = bench.open("t1", 5, &[("a", "f")]).await.unwrap();
    bench.claim("t1", 5, 0, 1).await.unwrap();
    let before = count(&bench).await;
    bench.ledger.collect(hour).await.unwrap();
    assert_eq!(count(&bench).await, before, "a run that goes on was touched");
    // The next run begins anew, and the former one goes.
    let mut next = job(7, &[("t1", 1)]);
    next.execution.run = 2;
    bench.put(&next).await;
    let second = bench.open("t1", 7, &[("a", "g")]).await.unwrap();
    assert!(second.run != first.run && second.left == 1);
    bench.ledger.collect(hour).await.unwrap();
    assert_eq!(count(&bench).await, 3, "the second run's head, split and opening");
    let mut change = Change::default();
    change.clear(keys::job(&name("acme"), &name("late")));
    bench.records.commit(change).await.unwrap();
    bench.ledger.collect(hour).await.unwrap();
    assert_eq!(count(&bench).await, 0);
}

/// A store in which somebody else commits something just before the next commit.
struct Meddled {
    store: Arc<Memory>,
    before: std::sync::Mutex<Option<Job>>,
}

impl Store for Meddled {
    async fn get(&self, key: &Key) -> Result<Option<crate::store::Entry>> {
        self.store.get(key).await
    }

    async fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<crate::store::Entry>> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: crate::store::Batch) -> Result<u64> {
        let before = self.before.lock().unwrap().take();
        if let Some(job) = before {
            Bench::over(Arc::clone(&self.store)).put(&job).await;
        }
        self.store.commit(batch).await
    }

    fn revision(&self) -> tokio::sync::watch::Receiver<u64> {
        self.store.revision()
    }

    async fn snapshot(&self) -> Result<crate::store::Snapshot> {
        self.store.snapshot().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[tokio::test]
async fn an_epoch_that_ends_while_a_change_is_on_its_way_refuses_it() {
    let store = Arc::new(Memory::new());
    let bench = Bench::over(Arc::clone(&store));
    bench.put(&job(5, &[("t1", 2)])).await;
    bench.open("t1", 5, &[("a", "f"), ("b", "f")]).await.unwrap();
    bench.claim("t1", 5, 0, 1).await.unwrap();
    let next = job(7, &[("t1", 2)]);
    let meddled = || {
        let before = std::sync::Mutex::new(Some(next.clone()));
        Bench::over(Meddled { store: Arc::clone(&store), before })
    };
    let before = bench.records.keys(&Key::new(["ledger"]), 1_000).await.unwrap();
    let change = commit(5, 0, 1, &[("a", Position::Finished)]);
    assert_eq!(code_of(meddled().commit("t1", &change).await), code::FENCED);
    bench.put(&job(5, &[("t1", 2)])).await;
    assert_eq!(code_of(meddled().claim("t1", 5, 1, 1).await), code::FENCED);
    bench.put(&job(5, &[("t1", 2)])).await;
    assert_eq!(code_of(meddled().release("t1", 5, (0, 1), 1).await), code::FENCED);
    bench.put(&job(5, &[("t1", 2)])).await;
    assert_eq!(code_of(meddled().open("t1", 5, &[("a", "f"), ("b", "f"), ("c", "f")]).await), code::FENCED);
    assert_eq!(bench.records.keys(&Key::new(["ledger"]), 1_000).await.unwrap(), before);
    let opened = bench.open("t1", 7, &[("a", "f"), ("b", "f")]).await.unwrap();
    assert_eq!((opened.left, opened.commits), (2, 0));
}
