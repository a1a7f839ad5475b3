//! A cluster in memory: a store with revisions, TaskManagers that obey orders and leases, and a network that delays and
//! loses. What TaskManagers do here is what the reconciler's documentation says that they do.

use super::super::*;
use lockgate_core::Digest;
use lockgate_core::job_state::Trigger;
use lockgate_core::placement::{Availability, Quota};
use std::collections::VecDeque;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn id(text: &str) -> JobId {
    let (tenant, job) = text.split_once('/').unwrap();
    JobId { tenant: name(tenant), name: name(job) }
}

pub fn release(version: u64) -> Release {
    Release { version, digest: Digest::of(&version.to_be_bytes()) }
}

pub fn wanted(slots: u32) -> Wanted {
    Wanted {
        goal: Goal::Run,
        release: release(1),
        run: 1,
        restarts: 0,
        parallelism: Parallelism { min: 1, max: slots },
        desired: slots,
        weight: 1,
        slot: SlotCost { memory: 1, fuel: 1 },
        volumes: BTreeSet::new(),
        restart: RestartStrategy::FixedDelay { attempts: 2, delay_ms: 2_000 },
    }
}

/// A TaskManager as it really is.
#[derive(Clone, Default)]
pub struct Machine {
    pub tasks: BTreeMap<JobId, Task>,
    pub inbox: VecDeque<Vec<Order>>,
    pub cut: bool,
    /// How often its process has started anew.
    pub starts: u32,
}

/// What a process calls itself that has started anew so often.
fn session(starts: u32) -> String {
    format!("{starts:032x}")
}

impl Machine {
    /// Its process dies and starts: it knows nothing of what it was told.
    pub fn crash(&mut self) {
        self.tasks.clear();
        self.inbox.clear();
        self.starts += 1;
    }
}

#[derive(Clone)]
pub struct World {
    pub jobs: BTreeMap<JobId, Job>,
    pub machines: BTreeMap<Name, Machine>,
    pub facts: Facts,
    pub quotas: BTreeMap<Name, Quota>,
    pub settings: Settings,
    pub now: UnixMillis,
}

impl World {
    pub fn new(jobs: &[(&str, u32)], machines: &[(&str, u32)]) -> Self {
        let now = UnixMillis(1_000_000);
        let job = |(text, slots): &(&str, u32)| {
            let wanted = wanted(*slots);
            let execution = Execution::admitted(wanted.release, 0, now);
            (id(text), Job { id: id(text), wanted, execution, revision: 1 })
        };
        let seen = |(text, slots): &(&str, u32)| {
            let offer = TaskManager {
                name: name(text),
                state: Availability::Active,
                slots: *slots,
                memory: 100,
                volumes: BTreeSet::new(),
            };
            (name(text), Observed { offer, heard: now, told: now, tasks: Vec::new(), session: session(0) })
        };
        let mut settings = Settings::default();
        settings.rules.patience = Duration::from_secs(36_000);
        Self {
            jobs: jobs.iter().map(job).collect(),
            machines: machines.iter().map(|(text, _)| (name(text), Machine::default())).collect(),
            facts: Facts {
                taskmanagers: machines.iter().map(seen).collect(),
                started: now,
                refused: BTreeMap::new(),
                left: jobs.iter().map(|(text, _)| (id(text), Left::Splits(0))).collect(),
            },
            quotas: BTreeMap::new(),
            settings,
            now,
        }
    }

    pub fn job(&mut self, text: &str) -> &mut Job {
        self.jobs.get_mut(&id(text)).unwrap()
    }

    pub fn state(&self, text: &str) -> State {
        self.jobs[&id(text)].execution.state
    }

    /// The API changes what is wanted.
    pub fn want(&mut self, text: &str, change: impl FnOnce(&mut Wanted)) {
        let job = self.job(text);
        change(&mut job.wanted);
        job.revision += 1;
    }

    pub fn steps(&self) -> Vec<Step> {
        let jobs: Vec<Job> = self.jobs.values().cloned().collect();
        reconcile(&jobs, &self.facts, &self.quotas, &self.settings, self.now)
    }

    /// Carries a step out as the adapter does.
    pub fn execute(&mut self, step: Step) {
        match step {
            Step::Commit { job, revision, execution } => {
                let record = self.jobs.get_mut(&job).unwrap();
                if record.revision == revision {
                    check_change(&record.execution, &execution);
                    record.execution = *execution;
                    record.revision += 1;
                }
            }
            Step::Tell { taskmanager, orders } => {
                self.facts.taskmanagers.get_mut(&taskmanager).unwrap().told = self.now;
                let machine = self.machines.get_mut(&taskmanager).unwrap();
                if !machine.cut {
                    machine.inbox.push_back(orders);
                }
            }
        }
        self.check();
    }

    /// A round of which only so many steps come to pass.
    pub fn round(&mut self, budget: usize) -> usize {
        let steps = self.steps();
        let count = steps.len().min(budget);
        steps.into_iter().take(budget).for_each(|step| self.execute(step));
        count
    }

    /// The JobManager's clock, which was ahead, is set back by so much, and it starts anew. TaskManagers go by their own.
    pub fn set_back(&mut self, by: Duration) {
        let back =
            |time: &mut UnixMillis| *time = UnixMillis(time.since(UnixMillis::default().plus(by)).as_millis() as u64);
        back(&mut self.now);
        for machine in self.machines.values_mut() {
            machine.tasks.values_mut().for_each(|task| back(&mut task.lease.until));
            machine.inbox.iter_mut().flatten().for_each(|order| back(&mut order.lease.until));
        }
        self.restart_jobmanager();
    }

    /// The JobManager dies and starts: it knows what is stored, and nothing of any TaskManager.
    pub fn restart_jobmanager(&mut self) {
        self.facts.started = self.now;
        for seen in self.facts.taskmanagers.values_mut() {
            (seen.heard, seen.told, seen.tasks) = (self.now, self.now, Vec::new());
        }
        // Connections die with it, and what was on them.
        self.machines.values_mut().for_each(|machine| machine.inbox.clear());
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        for machine in self.machines.values_mut() {
            // A task ends with its lease, and its TaskManager goes on saying that it has.
            for task in machine.tasks.values_mut().filter(|task| is_live(task) && task.lease.until <= self.now) {
                task.status = Status::Ended;
            }
        }
        self.check();
    }

    pub fn deliver(&mut self, machine: &Name) {
        let Some(orders) = self.machines.get_mut(machine).and_then(|machine| machine.inbox.pop_front()) else { return };
        let machine = self.machines.get_mut(machine).unwrap();
        machine.tasks.retain(|job, _| orders.iter().any(|order| order.job == *job));
        for Order { job, lease, slots, release, drain } in orders {
            let known = machine.tasks.get(&job).map_or(0, |task| task.lease.epoch);
            match machine.tasks.get_mut(&job) {
                _ if lease.epoch < known => {}
                Some(task) if lease.epoch == known => {
                    task.lease.until = task.lease.until.max(lease.until);
                    task.draining |= drain;
                }
                _ => {
                    let status = if slots == 0 { Status::Ended } else { Status::Starting };
                    let task = Task { job: job.clone(), lease, slots, release, draining: drain, status };
                    machine.tasks.insert(job, task);
                }
            }
        }
        self.pass(Duration::ZERO);
    }

    pub fn heartbeat(&mut self, name: &Name) {
        let machine = &self.machines[name];
        if !machine.cut {
            let seen = self.facts.taskmanagers.get_mut(name).unwrap();
            (seen.heard, seen.tasks) = (self.now, machine.tasks.values().cloned().collect());
            seen.session = session(machine.starts);
        }
    }

    /// Tasks that were being prepared run; those that drain are through.
    pub fn work(&mut self, machine: &Name) {
        for task in self.machines.get_mut(machine).unwrap().tasks.values_mut() {
            match task.status {
                Status::Running if task.draining => task.status = Status::Finished,
                Status::Starting => task.status = Status::Running,
                _ => {}
            }
        }
    }

    /// All goes well for so many seconds.
    pub fn settle(&mut self, seconds: usize) {
        let names: Vec<Name> = self.machines.keys().cloned().collect();
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            for name in &names {
                while !self.machines[name].inbox.is_empty() {
                    self.deliver(name);
                }
                self.work(name);
                self.heartbeat(name);
            }
            self.round(usize::MAX);
        }
    }

    /// Everything that runs, without epochs.
    pub fn running(&self) -> Vec<(Name, JobId, u32, u64)> {
        let tasks = self.machines.iter().flat_map(|(name, machine)| machine.tasks.values().map(move |t| (name, t)));
        let live = tasks.filter(|(_, task)| is_live(task));
        live.map(|(name, task)| (name.clone(), task.job.clone(), task.slots, task.release.version)).collect()
    }

    /// No job ever runs under two epochs, or under one that was not given to it, or on more slots than there are.
    fn check(&self) {
        let mut epochs: BTreeMap<&JobId, BTreeSet<u64>> = BTreeMap::new();
        for machine in self.machines.values() {
            for task in machine.tasks.values().filter(|task| is_live(task)) {
                epochs.entry(&task.job).or_default().insert(task.lease.epoch);
                assert!(task.lease.epoch <= self.jobs[&task.job].execution.epoch, "{} runs ahead", task.job);
            }
        }
        for (job, epochs) in epochs {
            assert!(epochs.len() == 1, "{job} runs under epochs {epochs:?}");
        }
        for (name, machine) in &self.machines {
            let slots: u32 = machine.tasks.values().filter(|task| is_live(task)).map(|task| task.slots).sum();
            let most = self.facts.taskmanagers[name].offer.slots;
            assert!(slots <= most, "{slots} of {most} slots run on {name}");
        }
    }
}

fn is_live(task: &Task) -> bool {
    matches!(task.status, Status::Starting | Status::Running)
}

/// One change of a record: epochs rise, states follow on one another.
fn check_change(before: &Execution, after: &Execution) {
    assert!(after.epoch >= before.epoch, "the epoch falls");
    let next = |trigger: &Trigger| before.state.next(*trigger).ok() == Some(after.state);
    let again = before.state.is_terminal() && after.state == State::Created && after.run > before.run;
    let same = after.state == before.state;
    assert!(same || again || Trigger::ALL.iter().any(next), "{} became {}", before.state, after.state);
    if let (Some(old), Some(new)) = (&before.holds, &after.holds) {
        assert!(old.placed == new.placed, "slots change without an end between");
    }
}
