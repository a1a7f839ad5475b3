//! How much fuel a second each slot of a job may use: a tenant's quota shared out over the slots that its jobs hold.
//!
//! By weight: a slot of a job of weight 2 may use twice what one of weight 1 may. What a job takes less of, because it said so
//! when it was submitted, the tenant's others have: weighted max-min.

use crate::model::job::Job;
use crate::reconcile::Phase;
use lockgate_core::Name;
use lockgate_core::placement::JobId;
use std::collections::BTreeMap;

/// Fuel a second for each slot, by job. `quotas` are those that are set; a job of another tenant has what it asked for, and no
/// bound if that is nothing.
pub(super) fn share(jobs: &BTreeMap<&Name, Vec<&Job>>, quotas: &BTreeMap<Name, u64>) -> BTreeMap<JobId, u64> {
    let mut shares = BTreeMap::new();
    for (tenant, jobs) in jobs {
        let holding = jobs.iter().filter_map(|job| {
            let live = job.execution.holds.as_ref().filter(|holding| holding.phase == Phase::Live)?;
            Some(Claim {
                job,
                slots: live.placed.parallelism().into(),
                weight: job.wanted.weight.max(1).into(),
                most: Some(job.wanted.slot.fuel).filter(|fuel| *fuel > 0),
            })
        });
        let claims: Vec<Claim<'_>> = holding.collect();
        let quota = quotas.get(*tenant).copied();
        for (claim, fuel) in each(&claims, quota) {
            let id = JobId { tenant: claim.job.tenant.clone(), name: claim.job.name.clone() };
            shares.extend(fuel.map(|fuel| (id, fuel.max(1))));
        }
    }
    shares
}

/// What a job holds and asks for.
struct Claim<'a> {
    job: &'a Job,
    slots: u64,
    weight: u64,
    /// The most that each slot may use, if anything was said.
    most: Option<u64>,
}

/// What each slot of each of these gets.
fn each<'a, 'b>(claims: &'a [Claim<'b>], quota: Option<u64>) -> Vec<(&'a Claim<'b>, Option<u64>)> {
    let Some(quota) = quota else { return claims.iter().map(|claim| (claim, claim.most)).collect() };
    let mut order: Vec<&Claim<'_>> = claims.iter().collect();
    // Who wants least for its weight is served first: what it leaves the others have.
    order.sort_by_key(|claim| claim.most.map_or(u64::MAX, |most| most / claim.weight));
    let (mut left, mut weights) =
        (quota, claims.iter().fold(0_u64, |sum, one| sum.saturating_add(one.weight.saturating_mul(one.slots))));
    let mut shares = Vec::with_capacity(order.len());
    for claim in order {
        let fair = (u128::from(left) * u128::from(claim.weight)).checked_div(weights.into()).unwrap_or_default();
        let fair = u64::try_from(fair).unwrap_or(u64::MAX);
        let given = claim.most.map_or(fair, |most| most.min(fair));
        left = left.saturating_sub(given.saturating_mul(claim.slots));
        weights = weights.saturating_sub(claim.weight.saturating_mul(claim.slots));
        shares.push((claim, Some(given)));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::Job;
    use crate::world::{World, name, viewer};

    async fn job() -> Job {
        let world = World::empty().await;
        world.tenant("acme").await;
        world.job("acme", "late").await;
        world.service.job(&viewer("acme"), &name("acme"), &name("late")).await.unwrap().0.record
    }

    #[tokio::test]
    async fn a_quota_is_shared_by_weight_and_what_one_leaves_the_others_have() {
        let job = job().await;
        let claim = |slots, weight, most| Claim { job: &job, slots, weight, most };
        let given = |claims: &[Claim<'_>], quota| -> Vec<Option<u64>> {
            let mut given: Vec<_> = each(claims, quota).into_iter().map(|(claim, fuel)| (claim.weight, fuel)).collect();
            given.sort_unstable();
            given.into_iter().map(|(_, fuel)| fuel).collect()
        };
        assert_eq!(given(&[claim(2, 1, None), claim(1, 2, None)], Some(400)), [Some(100), Some(200)]);
        assert_eq!(given(&[claim(2, 1, Some(50)), claim(1, 2, None)], Some(400)), [Some(50), Some(300)]);
        assert_eq!(given(&[claim(2, 1, None), claim(1, 2, Some(1_000))], Some(400)), [Some(100), Some(200)]);
        assert_eq!(given(&[claim(2, 1, None), claim(1, 2, Some(7))], None), [None, Some(7)]);
        assert_eq!(given(&[claim(u64::MAX, 1, None), claim(1, u64::MAX, None)], Some(u64::MAX)).len(), 2);
        for quota in 0..200 {
            let claims = [claim(3, 1, Some(20)), claim(2, 2, None), claim(1, 3, Some(5))];
            let sum: u64 = each(&claims, Some(quota)).iter().map(|(claim, fuel)| fuel.unwrap() * claim.slots).sum();
            assert!(sum <= quota, "{sum} of {quota} are given");
        }
    }
}
