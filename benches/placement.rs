//! `placement/*`: a cluster of 1,000 TaskManagers with 10,000 jobs of 100 tenants, placed by the code that the
//! JobManager runs.
//!
//! Everything comes from a seed. Time stands still within a figure, so that what is measured is one decision; what is
//! decided is applied before the next.

use crate::Result;
use crate::figure::{Figure, Report, median, rounded};
use crate::sample::cpu;
use lockgate_core::manifest::Parallelism;
use lockgate_core::placement::{Availability, Job, JobId, Placement, Quota, Rules, SlotCost, TaskManager, place};
use lockgate_core::{Name, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const JOBS: usize = 10_000;
const TASKMANAGERS: usize = 1_000;
const TENANTS: usize = 100;
/// Decisions that count.
const SAMPLES: usize = 15;
/// Slots of a TaskManager when there is room for all, and when there is not: the jobs would like about 25,000.
const AMPLE: u32 = 32;
const SCARCE: u32 = 16;

/// Measures the rows.
///
/// # Errors
/// None in practice.
pub fn measure(report: &Report) -> Result<()> {
    if !["fresh", "10000x1000", "lost", "scarce"].iter().any(|row| report.wants(&format!("placement/{row}"))) {
        return Ok(());
    }
    let show = |name: &'static str, times: Vec<f64>, moves: Option<f64>| {
        if !report.wants(name) {
            return Ok(());
        }
        report.show(&Figure { name, ns: Some(rounded(median(times))), moves: moves.map(rounded), ..Figure::default() })
    };
    let mut world = World::new(AMPLE)?;
    let fresh = (0..SAMPLES).map(|_| world.decide().1).collect();
    show("placement/fresh", fresh, None)?;
    world.round();
    let steady = (0..SAMPLES).map(|_| world.decide().1).collect();
    show("placement/10000x1000", steady, None)?;

    let (mut times, mut moves) = (Vec::new(), 0.0);
    for sample in 0..SAMPLES {
        world.now = world.now.plus(Duration::from_secs(60));
        let at = sample * 61;
        if let Some(lost) = world.taskmanagers.get_mut(at) {
            lost.state = Availability::Lost;
        }
        let (placement, time) = world.decide();
        times.push(time);
        moves += placement.moved as f64;
        world.apply(placement);
    }
    show("placement/lost", times, Some(moves / SAMPLES as f64))?;

    let mut world = World::new(SCARCE)?;
    world.round();
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        world.now = world.now.plus(Duration::from_secs(60));
        times.push(world.round());
    }
    show("placement/scarce", times, None)
}

struct World {
    jobs: Vec<Job>,
    taskmanagers: Vec<TaskManager>,
    quotas: BTreeMap<Name, Quota>,
    rules: Rules,
    now: UnixMillis,
}

impl World {
    fn new(slots: u32) -> Result<Self> {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            // Numerical Recipes' generator; its high bits are good enough to make a cluster of.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let volumes = [Name::new("events")?, Name::new("results")?, Name::new("archive")?];
        let now = UnixMillis(1_000_000_000);
        let mut jobs = Vec::with_capacity(JOBS);
        for index in 0..JOBS {
            let max = 1 + random(4) as u32;
            jobs.push(Job {
                id: JobId {
                    tenant: Name::new(&format!("t{}", random(TENANTS as u64)))?,
                    name: Name::new(&format!("j{index}"))?,
                },
                parallelism: Parallelism { min: 1 + random(u64::from(max)) as u32, max },
                desired: max,
                weight: 1,
                slot: SlotCost { memory: (64 + 64 * random(4)) << 20, fuel: 1_000 },
                // One in ten needs what every other TaskManager has.
                volumes: volumes.iter().take(if random(10) == 0 { 3 } else { 2 }).cloned().collect(),
                since: now,
                last_ran: None,
                epoch: 0,
                current: None,
            });
        }
        let taskmanager = |index: usize| -> Result<TaskManager> {
            let offered: BTreeSet<Name> = volumes.iter().take(2 + index % 2).cloned().collect();
            let name = Name::new(&format!("m{index}"))?;
            let (state, memory) = (Availability::Active, u64::from(slots) * (256 << 20));
            Ok(TaskManager { name, state, slots, memory, volumes: offered })
        };
        let taskmanagers = (0..TASKMANAGERS).map(taskmanager).collect::<Result<_>>()?;
        let quota = |tenant: usize| -> Result<(Name, Quota)> {
            Ok((Name::new(&format!("t{tenant}"))?, Quota { weight: 1 + tenant as u32 % 3, ..Quota::default() }))
        };
        let quotas = (0..TENANTS).map(quota).collect::<Result<_>>()?;
        Ok(Self { jobs, taskmanagers, quotas, rules: Rules::default(), now })
    }

    /// A decision, and how many nanoseconds of CPU time it took.
    fn decide(&self) -> (Placement, f64) {
        let begun = cpu();
        let placement = place(&self.jobs, &self.taskmanagers, &self.quotas, &self.rules, self.now);
        (placement, cpu().saturating_sub(begun).as_nanos() as f64)
    }

    fn round(&mut self) -> f64 {
        let (placement, time) = self.decide();
        self.apply(placement);
        time
    }

    fn apply(&mut self, mut placement: Placement) {
        for job in &mut self.jobs {
            let placed = placement.placed.remove(&job.id);
            let same = placed.as_ref().map(|placed| &placed.slots) == job.current.as_ref().map(|placed| &placed.slots);
            if !same {
                job.since = self.now;
                job.last_ran = Some(self.now).filter(|_| placed.is_none());
            }
            job.epoch = placed.as_ref().map_or(job.epoch, |placed| placed.lease.epoch);
            job.current = placed;
        }
    }
}
