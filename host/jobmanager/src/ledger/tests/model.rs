//! Random interleavings against what a run is: units of input that are each to be committed once.
//!
//! TaskManagers read splits of a few units, commit how far they came with an output, and publish outputs once they may.
//! Answers are lost, and then asked for again; executors die; jobs are placed anew under a higher epoch; the JobManager
//! forgets all but its store; and whoever is of another epoch goes on asking.

use super::*;
use proptest::prelude::*;

/// Units of a split.
const UNITS: u8 = 3;
const SPLITS: [&str; 5] = ["a", "b", "c", "d", "e"];
const PEERS: [&str; 2] = ["t1", "t2"];

#[derive(Clone, Debug)]
enum Step {
    /// The job is placed anew, with so many slots on each TaskManager.
    Place([u32; 2]),
    /// A TaskManager opens the run; whether it hears the answer.
    Open(usize, bool),
    /// A slot claims; whether it hears the answer.
    Claim(u32, bool),
    /// A slot commits some units; whether it hears the answer.
    Commit(u32, u8, bool),
    /// A TaskManager publishes what it may.
    Publish(usize),
    /// A TaskManager's executor dies.
    Die(usize),
    /// The JobManager starts anew.
    Restart,
    /// One of another epoch asks for everything.
    Late(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let heard = || prop::bool::weighted(0.8);
    let step = prop_oneof![
        1 => [0..3_u32, 0..3_u32].prop_map(Step::Place),
        3 => (0..2_usize, heard()).prop_map(|(peer, heard)| Step::Open(peer, heard)),
        8 => (0..4_u32, heard()).prop_map(|(slot, heard)| Step::Claim(slot, heard)),
        12 => (0..4_u32, 0..=UNITS, heard()).prop_map(|(slot, units, heard)| Step::Commit(slot, units, heard)),
        6 => (0..2_usize).prop_map(Step::Publish),
        1 => (0..2_usize).prop_map(Step::Die),
        1 => Just(Step::Restart),
        2 => (0..4_u32).prop_map(Step::Late),
    ];
    prop::collection::vec(step, 1..150)
}

/// What a slot knows.
#[derive(Clone, Default, Debug)]
struct Slot {
    /// The number of its last claim.
    claims: u64,
    /// Whether the answer to that is still to come.
    asked: bool,
    /// The split that it reads, and from which unit on.
    reads: Option<(String, u8)>,
    sequence: u64,
    /// A commit whose answer is to come.
    pending: Option<Commit>,
    /// Its last output, until it is published.
    unpublished: Option<Output>,
}

/// What a TaskManager knows under the present epoch.
#[derive(Clone, Default, Debug)]
struct Peer {
    slots: BTreeMap<u32, Slot>,
    /// Whether the answer to an opening was heard.
    open: bool,
    /// What it was told to publish.
    told: Vec<Output>,
}

struct World {
    store: Arc<Memory>,
    bench: Bench,
    epoch: u64,
    peers: [Peer; 2],
    /// Units of each split that are committed.
    committed: BTreeMap<String, u8>,
    outputs: BTreeSet<Output>,
    published: BTreeSet<Output>,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(Memory::new());
        let bench = Bench::over(Arc::clone(&store));
        let (peers, committed) = (<[Peer; 2]>::default(), BTreeMap::new());
        let (outputs, published) = (BTreeSet::new(), BTreeSet::new());
        let mut world = Self { store, bench, epoch: 0, peers, committed, outputs, published };
        world.place([1, 1]).await;
        world
    }

    /// Every TaskManager forgets what it did.
    async fn place(&mut self, slots: [u32; 2]) {
        let slots = if slots == [0, 0] { [1, 1] } else { slots };
        self.epoch += 2;
        self.bench.put(&job(self.epoch, &[(PEERS[0], slots[0]), (PEERS[1], slots[1])])).await;
        self.peers = Default::default();
        self.peers[0].slots = (0..slots[0]).map(|slot| (slot, Slot::default())).collect();
        self.peers[1].slots = (slots[0]..slots[0] + slots[1]).map(|slot| (slot, Slot::default())).collect();
    }

    /// Whose a slot is, if that one has opened the run.
    fn of(&self, slot: u32) -> Option<usize> {
        self.peers.iter().position(|peer| peer.open && peer.slots.contains_key(&slot))
    }

    async fn open(&mut self, index: usize, heard: bool) {
        let splits: Vec<(&str, &str)> = SPLITS.iter().map(|split| (*split, "f")).collect();
        if self.peers[index].slots.is_empty() || self.peers[index].open {
            return;
        }
        let opened = self.bench.open(PEERS[index], self.epoch, &splits).await.unwrap();
        assert_eq!(opened.commits, opened.slots.values().sum::<u64>());
        assert_eq!(opened.commits, self.outputs.len() as u64);
        let unfinished = SPLITS.iter().filter(|split| self.committed.get(**split).is_none_or(|units| *units < UNITS));
        assert_eq!(opened.left, unfinished.count() as u64);
        let told: BTreeSet<Output> = opened.unpublished.iter().cloned().collect();
        let mut missing = self.outputs.difference(&self.published).filter(|output| !told.contains(output));
        assert_eq!(missing.next(), None, "an output is forgotten that is not published");
        if heard {
            let peer = &mut self.peers[index];
            (peer.open, peer.told) = (true, opened.unpublished);
            for (slot, state) in &mut peer.slots {
                state.sequence = opened.slots.get(slot).copied().unwrap_or_default();
            }
        }
    }

    async fn claim(&mut self, slot: u32, heard: bool) {
        let Some(index) = self.of(slot) else { return };
        let state = self.peers[index].slots.get_mut(&slot).unwrap();
        if state.reads.is_some() || state.pending.is_some() {
            return;
        }
        if !state.asked {
            (state.claims, state.asked) = (state.claims + 1, true);
        }
        let claimed = self.bench.claim(PEERS[index], self.epoch, slot, state.claims).await.unwrap();
        let Some((_, split)) = claimed.split else {
            state.asked &= !heard;
            return;
        };
        let from = claimed.position.map_or(0, |position| position[0]);
        let committed = self.committed.get(&split.name).copied().unwrap_or_default();
        assert_eq!(from, committed, "{} goes on elsewhere", split.name);
        if heard {
            (state.asked, state.reads) = (false, Some((split.name, from)));
        }
    }

    async fn commit(&mut self, slot: u32, units: u8, heard: bool) {
        let Some(index) = self.of(slot) else { return };
        let peer = &self.peers[index];
        let state = &peer.slots[&slot];
        let commit = match (&state.pending, &state.reads) {
            (Some(pending), _) => pending.clone(),
            // It commits nothing before all is published that has to be.
            (None, Some((split, from))) if peer.told.is_empty() && state.unpublished.is_none() => {
                let to = (*from + units).min(UNITS);
                let position = if to == UNITS { Position::Finished } else { Position::At(vec![to]) };
                super::commit(self.epoch, slot, state.sequence + 1, &[(split, position)])
            }
            _ => return,
        };
        let is_new = !self.outputs.contains(&commit.outputs[0]);
        let commits = self.bench.commit(PEERS[index], &commit).await.unwrap();
        let state = self.peers[index].slots.get_mut(&slot).unwrap();
        let to = match &commit.splits[0].progress.position {
            Position::At(position) => position[0],
            Position::Finished => UNITS,
        };
        if is_new {
            let (split, from) = state.reads.clone().unwrap();
            let before = self.committed.insert(split.clone(), to).unwrap_or_default();
            assert_eq!(before, from, "units of {split} are committed twice or left out");
            self.outputs.insert(commit.outputs[0].clone());
        }
        assert_eq!(commits, self.outputs.len() as u64);
        if heard {
            (state.sequence, state.pending) = (state.sequence + 1, None);
            state.unpublished = Some(commit.outputs[0].clone());
            state.reads = state.reads.take().map(|(split, _)| (split, to)).filter(|_| to < UNITS);
        } else {
            state.pending = Some(commit);
        }
    }

    fn publish(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let own = peer.slots.values_mut().filter_map(|slot| slot.unpublished.take());
        for output in peer.told.drain(..).chain(own) {
            assert!(self.outputs.contains(&output), "{output:?} does not count");
            self.published.insert(output);
        }
    }

    async fn die(&mut self, index: usize) {
        if !self.peers[index].open {
            return;
        }
        // A TaskManager waits for the answers of commits, whatever becomes of its executor.
        let slots: Vec<u32> = self.peers[index].slots.keys().copied().collect();
        for slot in &slots {
            if self.peers[index].slots[slot].pending.is_some() {
                self.commit(*slot, 0, true).await;
            }
        }
        let peer = &mut self.peers[index];
        let claims = peer.slots.values().map(|slot| slot.claims).max().unwrap_or_default();
        for slot in peer.slots.values_mut() {
            (slot.claims, slot.asked, slot.reads) = (claims, false, None);
        }
        let range = (slots[0], u32::try_from(slots.len()).unwrap());
        self.bench.release(PEERS[index], self.epoch, range, claims).await.unwrap();
    }

    async fn late(&self, slot: u32) {
        for peer in PEERS {
            for epoch in [self.epoch - 1, self.epoch + 1] {
                let refused = |code| [code::FENCED, code::NOT_PLACED].contains(&code);
                assert!(refused(code_of(self.bench.claim(peer, epoch, slot, 99).await)));
                let change = super::commit(epoch, slot, 1, &[("a", Position::Finished)]);
                assert!(refused(code_of(self.bench.commit(peer, &change).await)));
                assert!(refused(code_of(self.bench.release(peer, epoch, (slot, 1), 0).await)));
                assert!(refused(code_of(self.bench.open(peer, epoch, &[("late", "f")]).await)));
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Place(slots) => self.place(slots).await,
            Step::Open(peer, heard) => self.open(peer, heard).await,
            Step::Claim(slot, heard) => self.claim(slot, heard).await,
            Step::Commit(slot, units, heard) => self.commit(slot, units, heard).await,
            Step::Publish(peer) => self.publish(peer),
            Step::Die(peer) => self.die(peer).await,
            Step::Restart => self.bench = Bench::over(Arc::clone(&self.store)),
            Step::Late(slot) => self.late(slot).await,
        }
    }

    /// All goes well from now on: it comes to its end, and nothing was lost or doubled.
    async fn end(&mut self) {
        for _ in 0..SPLITS.len() + 2 {
            for index in 0..2 {
                self.open(index, true).await;
                self.publish(index);
            }
            for slot in 0..4 {
                self.commit(slot, UNITS, true).await;
                self.publish(0);
                self.publish(1);
                self.claim(slot, true).await;
                self.commit(slot, UNITS, true).await;
            }
        }
        let all: BTreeMap<String, u8> = SPLITS.iter().map(|split| ((*split).to_owned(), UNITS)).collect();
        assert_eq!(self.committed, all, "something is never read");
        self.place([1, 0]).await;
        self.open(0, true).await;
        self.publish(0);
        assert_eq!(self.published, self.outputs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled_whatever_happens(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
            }
            world.end().await;
        });
    }
}
