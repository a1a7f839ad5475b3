//! What the service promises: what is refused, and that every change is one commit with its event.

mod bundles;
mod jobs;
mod lists;
mod members;
mod tenants;
mod trust;

use crate::audit::{Outcome, Record};
use crate::world::World;

/// Every event of the audit log as `action resource outcome`.
pub(super) async fn audited(world: &World) -> Vec<String> {
    let (lines, _) = world.service.records().audit(0, 1_000).await.unwrap();
    let records = lines.iter().filter_map(|line| Record::parse(line).ok());
    let show = |record: Record| {
        let outcome = match record.event.outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Denied(code) => code,
        };
        format!("{} {} {outcome}", record.event.action, record.event.resource)
    };
    records.map(show).collect()
}
