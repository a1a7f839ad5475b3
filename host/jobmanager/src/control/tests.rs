//! Jobs are driven by what is stored alone: by their tenant's documents, by what was asked for, by a keeper that is new at
//! every step.

use super::Keeper;
use crate::model::trust::Kind;
use crate::reconcile::Observed;
use crate::service::changes::Precondition;
use crate::service::jobs::{Ask, NewJob, Upgrade};
use crate::store::{Batch, Store as _};
use crate::world::{World, admin, deployer, draft, keys, name, new_job, operator, package, viewer};
use lockgate_core::Digest;
use lockgate_core::job_state::State;
use lockgate_core::placement::{Availability, TaskManager, Waits};
use lockgate_core::trust::{TenantStatus, create};
use std::sync::Arc;

/// What the tenant's status says with this changed.
async fn say(world: &World, jobs: &[(&str, &lockgate_core::bundle::Package)], change: impl FnOnce(&mut TenantStatus)) {
    let acme = name("acme");
    let jobs = jobs.iter().map(|(job, package)| (name(job), package.release().unwrap())).collect();
    let mut status = world.tenant_status(&acme, jobs);
    change(&mut status);
    let status = create(&status, &[&keys(&acme).tenant_status]).unwrap();
    world.service.upload_trust(&admin("acme"), Some(&acme), Kind::Status, &status).await.unwrap();
}

async fn job(world: &World, job: &str) -> crate::model::job::Job {
    world.service.job(&viewer("acme"), &name("acme"), &name(job)).await.unwrap().0.record
}

async fn rounds(keeper: &mut Keeper) {
    for _ in 0..4 {
        keeper.round().await.unwrap();
    }
}

async fn audited(world: &World) -> Vec<crate::audit::Event> {
    let (lines, _) = world.service.records().audit(0, 10_000).await.unwrap();
    lines.iter().filter_map(|line| crate::audit::Record::parse(line).ok()).map(|record| record.event).collect()
}

#[tokio::test]
async fn what_is_revoked_stops_at_the_next_look_and_does_not_come_back() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (late, early) = (world.job("acme", "late").await, world.job("acme", "early").await);
    let current = [("late", &late), ("early", &early)];
    say(&world, &current, |_| {}).await;
    let mut keeper = Keeper::new(Arc::clone(&world.service));
    rounds(&mut keeper).await;
    assert_eq!(
        (job(&world, "late").await.state(), job(&world, "early").await.state()),
        (State::Created, State::Created)
    );
    // A digest. No time passes: the document itself is what is noticed.
    let digest = late.envelope.payload_digest();
    say(&world, &current, |status| status.revoked_digests = vec![digest]).await;
    rounds(&mut keeper).await;
    let stopped = job(&world, "late").await;
    assert_eq!((stopped.state(), job(&world, "early").await.state()), (State::Failed, State::Created));
    assert_eq!(stopped.execution.failure.unwrap().code, "LG0419");
    // Asked for again it is looked at again, though no document is new.
    let (acme, any) = (name("acme"), Precondition::Unstated);
    world.service.ask(&deployer("acme"), &acme, &name("late"), Ask::Restart, any).await.unwrap();
    rounds(&mut keeper).await;
    let again = job(&world, "late").await;
    assert_eq!((again.state(), again.execution.run), (State::Failed, 2));
    // The key that signed both.
    let signer = keys(&acme).signer.public();
    say(&world, &current, |status| status.revoked_keys = vec![signer]).await;
    rounds(&mut keeper).await;
    assert_eq!(job(&world, "early").await.state(), State::Failed);
    let events = audited(&world).await;
    let failed = |event: &&crate::audit::Event| {
        event.action == "drive-job" && event.details.get("failure").is_some_and(|code| code == "LG0419")
    };
    assert!(events.iter().filter(failed).count() >= 3);
    assert!(
        events.iter().filter(failed).all(|event| event.principal == "system" && event.tenant == Some(name("acme")))
    );
}

#[tokio::test]
async fn a_job_says_what_it_waits_for() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    assert_eq!(world.service.waits_for(&job(&world, "late").await), None, "nobody has looked yet");
    let mut keeper = Keeper::new(Arc::clone(&world.service));
    keeper.round().await.unwrap();
    assert_eq!(world.service.waits_for(&job(&world, "late").await), Some(Waits::Slots));
    let offer = TaskManager {
        name: name("t1"),
        state: Availability::Active,
        slots: 8,
        memory: 64 << 30,
        volumes: [name("flights")].into(),
    };
    let at = world.now().into();
    let mut observed = Observed { offer, heard: at, told: at, tasks: Vec::new(), session: String::new() };
    world.service.fleet().update(&name("t1"), |seen| *seen = Some(observed.clone()));
    keeper.round().await.unwrap();
    assert_eq!(world.service.waits_for(&job(&world, "late").await), Some(Waits::Volumes));
    observed.offer.volumes.insert(name("results"));
    world.service.fleet().update(&name("t1"), |seen| *seen = Some(observed));
    let none = [(crate::fair_use::Kind::Slots, 0)].into();
    world.service.set_quota(&operator(), &name("acme"), &none, Precondition::Unstated).await.unwrap();
    keeper.round().await.unwrap();
    assert_eq!(world.service.waits_for(&job(&world, "late").await), Some(Waits::QuotaSlots));
    let (acme, any) = (name("acme"), Precondition::Unstated);
    world.service.ask(&deployer("acme"), &acme, &name("late"), Ask::Cancel, any).await.unwrap();
    rounds(&mut keeper).await;
    assert_eq!(world.service.waits_for(&job(&world, "late").await), None);
}

#[tokio::test]
async fn a_job_waits_for_its_tenants_quota_of_fuel() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    let new = NewJob { fuel: Some(100), ..new_job(world.upload("acme", "late", &package).await) };
    world.service.create_job(&deployer("acme"), None, &name("acme"), &new).await.unwrap();
    let offer = TaskManager {
        name: name("t1"),
        state: Availability::Active,
        slots: 8,
        memory: 64 << 30,
        volumes: [name("flights"), name("results")].into(),
    };
    let mut keeper = Keeper::new(Arc::clone(&world.service));
    let at = world.now().into();
    let observed = Observed { offer, heard: at, told: at, tasks: Vec::new(), session: String::new() };
    world.service.fleet().update(&name("t1"), |seen| *seen = Some(observed));
    let set = async |fuel, precondition| {
        let values = [(crate::fair_use::Kind::FuelPerSecond, fuel)].into();
        world.service.set_quota(&operator(), &name("acme"), &values, precondition).await.unwrap();
    };
    set(99, Precondition::Unstated).await;
    keeper.round().await.unwrap();
    assert_eq!(world.service.waits_for(&job(&world, "late").await), Some(Waits::QuotaFuel));
    set(250, Precondition::Any).await;
    rounds(&mut keeper).await;
    let holds = job(&world, "late").await.execution.holds.unwrap();
    assert_eq!(holds.placed.parallelism(), 2, "as many slots as the quota has fuel for");
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_the_others_go_on() {
    let world = World::empty().await;
    for tenant in ["acme", "bolt", "core"] {
        world.tenant(tenant).await;
    }
    for (tenant, job) in [("acme", "early"), ("acme", "late"), ("bolt", "late"), ("core", "late")] {
        world.job(tenant, job).await;
        let (tenant, any) = (name(tenant), Precondition::Unstated);
        world.service.ask(&deployer(&tenant), &tenant, &name(job), Ask::Cancel, any).await.unwrap();
    }
    // A job of a program that is newer than this one, and a quota that is damaged.
    let newer = Batch::default()
        .put(crate::model::keys::job(&name("acme"), &name("early")), br#"{"v":999,"record":{}}"#.to_vec())
        .put(crate::model::keys::quota(&name("bolt")), b"{".to_vec());
    world.store.commit(newer).await.unwrap();
    let mut keeper = Keeper::new(Arc::clone(&world.service));
    rounds(&mut keeper).await;
    let state = async |tenant: &str| {
        world.service.job(&operator(), &name(tenant), &name("late")).await.unwrap().0.record.state()
    };
    assert_eq!([state("acme").await, state("core").await], [State::Canceled, State::Canceled]);
    assert_eq!(state("bolt").await, State::Created, "nothing is done by a quota that is not known");
    assert_eq!(keeper.reported.iter().collect::<Vec<_>>(), ["jobs/acme/early", "tenant bolt"]);
    assert!(world.reopened().await.own_request_rate(&name("bolt")).is_none(), "and it starts");
}

/// The keeper remembers nothing that counts: one that is new at every look comes to the same end, and then does nothing.
#[tokio::test]
async fn a_new_keeper_at_every_look_comes_to_the_same_end() {
    let world = World::empty().await;
    world.tenant("acme").await;
    for job in ["a", "b", "c", "d"] {
        world.job("acme", job).await;
    }
    let (acme, any) = (name("acme"), Precondition::Unstated);
    for (job, ask) in [("a", Ask::Cancel), ("b", Ask::Stop), ("c", Ask::Suspend)] {
        world.service.ask(&deployer("acme"), &acme, &name(job), ask, any).await.unwrap();
    }
    for _ in 0..6 {
        let service = Arc::new(world.reopened().await);
        Keeper::new(service).round().await.unwrap();
    }
    let mut states = Vec::new();
    for name in ["a", "b", "c", "d"] {
        states.push(job(&world, name).await.state());
    }
    assert_eq!(states, [State::Canceled, State::Finished, State::Suspended, State::Created]);
    let before = audited(&world).await.len();
    rounds(&mut Keeper::new(Arc::new(world.reopened().await))).await;
    assert_eq!(audited(&world).await.len(), before, "a look at what is as it should be changes nothing");
    for job in ["a", "b"] {
        world.service.delete_job(&deployer("acme"), &acme, &name(job), any).await.unwrap();
    }
    assert!(world.service.delete_job(&deployer("acme"), &acme, &name("c"), any).await.is_err());
}

#[tokio::test]
async fn what_an_upgrade_newly_touches_is_audited_and_followed() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let first = world.job("acme", "late").await;
    let mut next = draft("acme", "late", 2, world.now());
    next.manifest.sink.get_mut("late").unwrap().path = Some("later".into());
    let mut second = next.package(Some(&first)).unwrap();
    second.envelope.sign(&keys(&name("acme")).signer).unwrap();
    let bundle = world.upload("acme", "late", &second).await;
    let (acme, late) = (name("acme"), name("late"));
    let upgrade = Upgrade {
        bundle: Some(bundle),
        fallback: false,
        restart: false,
        parameters: None,
        parallelism: None,
        fuel: None,
        weight: None,
    };
    world.service.upgrade_job(&deployer("acme"), &acme, &late, &upgrade, Precondition::Unstated).await.unwrap();
    let events = audited(&world).await;
    let upgraded = events.iter().find(|event| event.action == "upgrade-jobs").unwrap();
    assert!(upgraded.details["newly-touches"].contains("results"), "{:?}", upgraded.details);
    rounds(&mut Keeper::new(Arc::clone(&world.service))).await;
    assert_eq!(job(&world, "late").await.execution.release.version, 2);
}

#[tokio::test]
async fn back_goes_only_what_the_version_in_place_names_as_a_fallback() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let first = world.job("acme", "late").await;
    let signed = |mut package: lockgate_core::bundle::Package| {
        package.envelope.sign(&keys(&name("acme")).signer).unwrap();
        package
    };
    let mut draft = draft("acme", "late", 2, world.now());
    draft.fallback = vec![first.release().unwrap()];
    let second = signed(draft.package(Some(&first)).unwrap());
    let (old, new) = (Digest::of(&first.to_bytes().unwrap()), world.upload("acme", "late", &second).await);
    let take = |bundle, fallback| {
        let upgrade = Upgrade {
            bundle: Some(bundle),
            fallback,
            restart: false,
            parameters: None,
            parallelism: None,
            fuel: None,
            weight: None,
        };
        let (acme, late, world) = (name("acme"), name("late"), &world);
        async move {
            let any = Precondition::Unstated;
            world
                .service
                .upgrade_job(&deployer("acme"), &acme, &late, &upgrade, any)
                .await
                .map_err(|error| error.code())
        }
    };
    let mut keeper = Keeper::new(Arc::clone(&world.service));
    assert!(take(new, false).await.is_ok());
    assert!(take(old, false).await.is_err(), "back, and not as a fallback");
    assert_eq!(take(old, true).await.unwrap().record.wanted.release.version, 1);
    rounds(&mut keeper).await;
    let job = job(&world, "late").await;
    assert_eq!((job.execution.release.version, job.state()), (1, State::Created), "{:?}", job.execution.failure);
    assert!(take(new, true).await.is_err(), "version 1 names no fallback");
    assert!(take(new, false).await.is_ok(), "forward again");
}
