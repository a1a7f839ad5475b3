//! What a tenant takes up, and what it may: counted in the same commit as what takes it, so that no two requests at once
//! pass a quota together.

use super::Record;
use super::job::Job;
use crate::fair_use::{Kind, Quota, Usage};
use lockgate_core::Timestamp;
use serde::{Deserialize, Serialize};

/// What a tenant takes up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    /// Jobs, slots, memory, bytes of bundles.
    #[serde(default)]
    used: Usage,
    /// Bytes uploaded within this hour.
    #[serde(default)]
    hour: Window,
    /// Bytes uploaded within this day.
    #[serde(default)]
    day: Window,
}

/// An amount within a span of time that begins at full hours or days.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Window {
    number: i64,
    amount: u64,
}

impl Window {
    fn at(self, now: Timestamp, seconds: i64) -> u64 {
        if self.number == now.seconds() / seconds { self.amount } else { 0 }
    }

    fn add(&mut self, now: Timestamp, seconds: i64, amount: u64) {
        *self = Self { number: now.seconds() / seconds, amount: self.at(now, seconds).saturating_add(amount) };
    }
}

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

impl Taken {
    /// What is used at this time, by kind.
    pub fn used(&self, now: Timestamp) -> Usage {
        let hour = self.hour.at(now, HOUR);
        self.used.clone().with(Kind::UploadBytesPerHour, hour).with(Kind::UploadBytesPerDay, self.day.at(now, DAY))
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> u64 {
        self.used.get(Kind::Jobs)
    }

    /// Counts a new job.
    pub fn add_job(&mut self, job: &Job) {
        self.used.add(Kind::Jobs, 1);
        self.occupy(job);
    }

    /// Counts a job that is deleted.
    pub fn remove_job(&mut self, job: &Job) {
        self.used.subtract(Kind::Jobs, 1);
        self.vacate(job);
    }

    /// Counts what a job takes up until it has ended.
    pub fn occupy(&mut self, job: &Job) {
        for (kind, amount) in demand(job) {
            self.used.add(kind, amount);
        }
    }

    /// Counts what a job no longer takes up.
    pub fn vacate(&mut self, job: &Job) {
        for (kind, amount) in demand(job) {
            self.used.subtract(kind, amount);
        }
    }

    /// Counts a bundle.
    pub fn add_bundle(&mut self, now: Timestamp, bytes: u64) {
        self.used.add(Kind::BundleBytes, bytes);
        self.hour.add(now, HOUR, bytes);
        self.day.add(now, DAY, bytes);
    }

    /// Counts a bundle that is deleted.
    pub fn remove_bundle(&mut self, bytes: u64) {
        self.used.subtract(Kind::BundleBytes, bytes);
    }
}

/// What a job takes up as it is now.
pub fn demand(job: &Job) -> Vec<(Kind, u64)> {
    if !job.counts() {
        return Vec::new();
    }
    let slots = u64::from(job.wanted.desired);
    let each = job.wanted.slot;
    vec![
        (Kind::Slots, slots),
        (Kind::Memory, slots.saturating_mul(each.memory)),
        (Kind::FuelPerSecond, slots.saturating_mul(each.fuel)),
    ]
}

impl Record for Taken {
    const NAME: &'static str = "what a tenant takes up";
}

impl Record for Quota {
    const NAME: &'static str = "a quota";
}
