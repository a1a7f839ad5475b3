//! Jobs: what may be created and asked for, and what is followed of them.

use super::audited;
use crate::access::{Action, Role};
use crate::fair_use::Kind as QuotaKind;
use crate::model::exception::{Exception, Sample};
use crate::reconcile::{Failure, Goal};
use crate::service::changes::Precondition;
use crate::service::events::Followed;
use crate::service::jobs::{Ask, NewJob, Upgrade};
use crate::service::tenants::TenantChange;
use crate::service::{Filter, IdempotencyKey};
use crate::world::{World, admin, call, caller, deployer, name, new_job, operator, package, viewer};
use lockgate_core::error::code;
use lockgate_core::job_state::State;
use lockgate_core::{Digest, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;

async fn state(world: &World, job: &str, to: State) {
    let kept = world.service.job(&viewer("acme"), &name("acme"), &name(job)).await.unwrap().0;
    let mut execution = kept.record.execution;
    (execution.state, execution.run) = (to, kept.record.wanted.run);
    world.service.write_execution(&name("acme"), &name(job), kept.revision, execution).await.unwrap();
}

async fn ask(world: &World, ask: Ask) -> Result<Goal, lockgate_core::Code> {
    let (acme, late) = (name("acme"), name("late"));
    let result = world.service.ask(&deployer("acme"), &acme, &late, ask, Precondition::Unstated).await;
    result.map(|kept| kept.record.wanted.goal).map_err(|error| error.code())
}

async fn used(world: &World, kind: QuotaKind) -> u64 {
    world.service.quota(&viewer("acme"), &name("acme")).await.unwrap().usage.get(kind)
}

#[tokio::test]
async fn a_job_is_created_once_and_waits() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    let new = new_job(world.upload("acme", "late", &package).await);
    let key = IdempotencyKey::new("k", "POST /jobs", b"").unwrap();
    let (call, acme) = (deployer("acme"), name("acme"));
    let create = || world.service.create_job(&call, Some(&key), &acme, &new);
    let first = create().await.unwrap();
    let second = create().await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.thing, second.thing);
    assert_eq!(first.thing.record.state(), State::Created);
    let twice = world.service.create_job(&deployer("acme"), None, &name("acme"), &new).await;
    assert_eq!(twice.unwrap_err().code(), code::ALREADY_EXISTS);
    assert_eq!((used(&world, QuotaKind::Jobs).await, used(&world, QuotaKind::Slots).await), (1, 4));
    assert!(audited(&world).await.contains(&"create-jobs job/late done".to_owned()));
}

#[tokio::test]
async fn settings_are_held_to_what_is_signed() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    let bundle = world.upload("acme", "late", &package).await;
    let with = |weight: &str| BTreeMap::from([(name("weight"), weight.to_owned())]);
    for (new, expected) in [
        (NewJob { parameters: with("1.01"), ..new_job(bundle) }, code::PARAMETER_REFUSED),
        (NewJob { parameters: with("x"), ..new_job(bundle) }, code::PARAMETER_REFUSED),
        (
            NewJob { parameters: BTreeMap::from([(name("other"), "1".to_owned())]), ..new_job(bundle) },
            code::UNKNOWN_PARAMETER,
        ),
        (NewJob { parallelism: Some(5), ..new_job(bundle) }, code::PARAMETER_REFUSED),
        (NewJob { parallelism: Some(0), ..new_job(bundle) }, code::PARAMETER_REFUSED),
        (NewJob { labels: BTreeMap::from([("A".into(), String::new())]), ..new_job(bundle) }, code::INVALID_LABEL),
        (new_job(Digest::of(b"none")), code::NOT_FOUND),
    ] {
        let result = world.service.create_job(&deployer("acme"), None, &name("acme"), &new).await;
        assert_eq!(result.unwrap_err().code(), expected, "{new:?}");
    }
    assert_eq!(used(&world, QuotaKind::Jobs).await, 0);
    let good = NewJob { parameters: with("0.5"), parallelism: Some(2), ..new_job(bundle) };
    world.service.create_job(&deployer("acme"), None, &name("acme"), &good).await.unwrap();
    let (kept, all) = world.service.job(&deployer("acme"), &name("acme"), &name("late")).await.unwrap();
    assert!(all && kept.record.deployment.parameters == with("0.5"));
    assert!(!world.service.job(&viewer("acme"), &name("acme"), &name("late")).await.unwrap().1);
}

#[tokio::test]
async fn no_two_requests_pass_a_quota_together() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (acme, mut bundles, mut releases) = (name("acme"), Vec::new(), BTreeMap::new());
    let packages: Vec<_> = (0..6).map(|n| package("acme", &format!("job-{n}"), 1, None, world.now())).collect();
    for (n, package) in packages.iter().enumerate() {
        releases.insert(name(&format!("job-{n}")), package.release().unwrap());
    }
    world.status("acme", releases).await;
    for package in &packages {
        bundles.push(new_job(world.upload_bytes("acme", package.to_bytes().unwrap()).await.unwrap()));
    }
    let values = BTreeMap::from([(QuotaKind::Slots, 9)]);
    world.service.set_quota(&operator(), &acme, &values, Precondition::Unstated).await.unwrap();
    let caller = deployer("acme");
    let all = bundles.iter().map(|new| world.service.create_job(&caller, None, &acme, new));
    let made = futures_util::future::join_all(all).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 2, "four slots each, nine allowed");
    assert!(made.iter().flat_map(|made| made.as_ref().err()).all(|error| error.code() == code::QUOTA_EXCEEDED));
    assert_eq!((used(&world, QuotaKind::Jobs).await, used(&world, QuotaKind::Slots).await), (2, 8));
}

#[tokio::test]
async fn no_two_upgrades_pass_a_quota_together() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (acme, caller) = (name("acme"), deployer("acme"));
    for job in ["first", "second"] {
        let bundle = world.upload("acme", job, &package("acme", job, 1, None, world.now())).await;
        let new = NewJob { parallelism: Some(1), ..new_job(bundle) };
        world.service.create_job(&caller, None, &acme, &new).await.unwrap();
    }
    let values = BTreeMap::from([(QuotaKind::Slots, 5)]);
    world.service.set_quota(&operator(), &acme, &values, Precondition::Unstated).await.unwrap();
    let to = Upgrade {
        bundle: None,
        fallback: false,
        restart: false,
        parameters: None,
        parallelism: Some(4),
        fuel: None,
        weight: None,
    };
    let (first, second) = (name("first"), name("second"));
    let take = |job| world.service.upgrade_job(&caller, &acme, job, &to, Precondition::Unstated);
    let (first, second) = tokio::join!(take(&first), take(&second));
    let refused: Vec<_> = [first, second].into_iter().filter_map(Result::err).map(|error| error.code()).collect();
    assert_eq!(refused, [code::QUOTA_EXCEEDED], "one and four slots each, five allowed");
    assert_eq!(used(&world, QuotaKind::Slots).await, 5);
}

#[tokio::test]
async fn a_job_counts_as_it_was_submitted_and_stays_so() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let bundle = world.upload("acme", "late", &package("acme", "late", 1, None, world.now())).await;
    let (acme, late, caller) = (name("acme"), name("late"), deployer("acme"));
    let create = async |weight| {
        let new = NewJob { weight, ..new_job(bundle) };
        world.service.create_job(&caller, None, &acme, &new).await.map(|made| made.thing.record.wanted.weight)
    };
    for wrong in [0, 1_001, u32::MAX] {
        assert_eq!(create(Some(wrong)).await.unwrap_err().code(), code::MALFORMED_REQUEST, "{wrong}");
    }
    assert_eq!(create(Some(3)).await.unwrap(), 3);
    let take = async |weight, parallelism| {
        let (fallback, restart) = (false, false);
        let to = Upgrade { bundle: None, fallback, restart, parameters: None, parallelism, fuel: None, weight };
        let taken = world.service.upgrade_job(&caller, &acme, &late, &to, Precondition::Unstated).await;
        taken.map(|kept| (kept.record.wanted.weight, kept.record.wanted.restarts))
    };
    assert_eq!(take(None, Some(2)).await.unwrap(), (3, 0));
    assert_eq!(take(Some(5), None).await.unwrap(), (5, 0), "without a restart");
    assert_eq!(take(Some(0), None).await.unwrap_err().code(), code::MALFORMED_REQUEST);
}

async fn fuel_quota(world: &World, values: &[(QuotaKind, u64)]) {
    let values = values.iter().copied().collect();
    let before = world.service.quota(&operator(), &name("acme")).await.unwrap().revision;
    let precondition = if before == 0 { Precondition::Unstated } else { Precondition::Revision(before) };
    world.service.set_quota(&operator(), &name("acme"), &values, precondition).await.unwrap();
}

#[tokio::test]
async fn fuel_is_what_was_asked_for_and_held_to_the_quota() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    let bundle = world.upload("acme", "late", &package).await;
    let (acme, late, caller) = (name("acme"), name("late"), deployer("acme"));
    fuel_quota(&world, &[(QuotaKind::FuelPerSecond, 1_000)]).await;
    let create = async |fuel| {
        let new = NewJob { fuel, ..new_job(bundle) };
        world.service.create_job(&caller, None, &acme, &new).await.map(|made| made.thing.record)
    };
    assert_eq!(create(Some(0)).await.unwrap_err().code(), code::MALFORMED_REQUEST);
    for too_much in [251, u64::MAX] {
        let refused = create(Some(too_much)).await.unwrap_err();
        assert_eq!(refused.code(), code::QUOTA_EXCEEDED);
        assert!(refused.cause().starts_with("quota fuel-per-second is 1,000, 0 are used and "), "{refused}");
    }
    let job = create(Some(200)).await.unwrap();
    assert_eq!((job.wanted.slot.fuel, used(&world, QuotaKind::FuelPerSecond).await), (200, 800));
    let take = async |fuel, parallelism| {
        let to = Upgrade {
            bundle: None,
            fallback: false,
            restart: false,
            parameters: None,
            parallelism,
            fuel,
            weight: None,
        };
        world.service.upgrade_job(&caller, &acme, &late, &to, Precondition::Unstated).await.map(|kept| kept.record)
    };
    let refused = take(Some(300), None).await.unwrap_err();
    assert_eq!(refused.code(), code::QUOTA_EXCEEDED);
    assert!(refused.cause().starts_with("quota fuel-per-second is 1,000"), "{refused}");
    assert_eq!(take(Some(0), None).await.unwrap_err().code(), code::MALFORMED_REQUEST);
    let changed = take(Some(250), None).await.unwrap();
    assert_eq!((changed.wanted.slot.fuel, changed.wanted.restarts), (250, 0), "no restart for that");
    assert_eq!(take(None, Some(2)).await.unwrap().wanted.slot.fuel, 250, "as much as before");
    assert_eq!(used(&world, QuotaKind::FuelPerSecond).await, 500);
    state(&world, "late", State::Canceled).await;
    assert_eq!(used(&world, QuotaKind::FuelPerSecond).await, 0);
}

#[tokio::test]
async fn fuel_that_nobody_asked_for_is_a_share_of_the_quota() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (acme, late, caller) = (name("acme"), name("late"), deployer("acme"));
    world.job("acme", "late").await;
    let fuel = async || world.service.job(&viewer("acme"), &acme, &late).await.unwrap().0.record.wanted.slot.fuel;
    assert_eq!((fuel().await, used(&world, QuotaKind::FuelPerSecond).await), (0, 0), "no quota is set: no bound");
    fuel_quota(&world, &[(QuotaKind::FuelPerSecond, 1_000), (QuotaKind::Slots, 8)]).await;
    assert_eq!(world.service.fuel_share(&acme).await.unwrap(), 125);
    assert_eq!(fuel().await, 0, "a job that is there goes on as it is");
    let to = Upgrade {
        bundle: None,
        fallback: false,
        restart: false,
        parameters: None,
        parallelism: Some(3),
        fuel: None,
        weight: None,
    };
    world.service.upgrade_job(&caller, &acme, &late, &to, Precondition::Unstated).await.unwrap();
    assert_eq!((fuel().await, used(&world, QuotaKind::FuelPerSecond).await), (125, 375), "until it is changed");
    // A share is never nothing, which would be no bound.
    fuel_quota(&world, &[(QuotaKind::FuelPerSecond, 3), (QuotaKind::Slots, 8)]).await;
    assert_eq!(world.service.fuel_share(&acme).await.unwrap(), 1);
    fuel_quota(&world, &[(QuotaKind::FuelPerSecond, 0)]).await;
    assert_eq!(world.service.fuel_share(&acme).await.unwrap(), 1);
    let other = package("acme", "other", 1, None, world.now());
    let new = new_job(world.upload("acme", "other", &other).await);
    let refused = world.service.create_job(&caller, None, &acme, &new).await.unwrap_err();
    assert_eq!(refused.code(), code::QUOTA_EXCEEDED);
    assert!(refused.cause().contains("quota fuel-per-second is 0, 375 are used and 4 more"), "{refused}");
}

#[tokio::test]
async fn what_is_asked_fits_the_state() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    assert_eq!(ask(&world, Ask::Suspend).await, Ok(Goal::Suspend));
    assert_eq!(ask(&world, Ask::Resume).await, Ok(Goal::Run));
    assert_eq!(ask(&world, Ask::Restart).await, Ok(Goal::Run));
    assert_eq!(ask(&world, Ask::Stop).await, Ok(Goal::Drain));
    assert_eq!(ask(&world, Ask::Restart).await, Err(code::WRONG_STATE));
    assert_eq!(ask(&world, Ask::Cancel).await, Ok(Goal::Cancel));
    for refused in [Ask::Stop, Ask::Suspend, Ask::Resume, Ask::Restart] {
        assert_eq!(ask(&world, refused).await, Err(code::WRONG_STATE), "{refused:?}");
    }
    let delete =
        world.service.delete_job(&deployer("acme"), &name("acme"), &name("late"), Precondition::Unstated).await;
    assert_eq!(delete.unwrap_err().code(), code::WRONG_STATE);
    state(&world, "late", State::Canceled).await;
    assert_eq!(used(&world, QuotaKind::Slots).await, 0);
    assert_eq!(ask(&world, Ask::Cancel).await, Err(code::WRONG_STATE));
    assert_eq!(ask(&world, Ask::Restart).await, Ok(Goal::Run), "a new run");
    assert_eq!(used(&world, QuotaKind::Slots).await, 4);
    state(&world, "late", State::Finished).await;
    world.service.delete_job(&deployer("acme"), &name("acme"), &name("late"), Precondition::Unstated).await.unwrap();
    assert_eq!((used(&world, QuotaKind::Jobs).await, used(&world, QuotaKind::Slots).await), (0, 0));
    let events = crate::model::keys::events(&name("acme"), "");
    assert!(!world.service.records().any(&events).await.unwrap());
}

#[tokio::test]
async fn an_upgrade_goes_forward() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let first = world.job("acme", "late").await;
    let old = Digest::of(&first.to_bytes().unwrap());
    let second = package("acme", "late", 2, Some(&first), world.now());
    let new = world.upload("acme", "late", &second).await;
    let upgrade = |bundle, weight: Option<&str>| Upgrade {
        bundle,
        fallback: false,
        restart: false,
        parameters: weight.map(|weight| BTreeMap::from([(name("weight"), weight.to_owned())])),
        parallelism: None,
        fuel: None,
        weight: None,
    };
    let take = |to: Upgrade| {
        let world = &world;
        async move {
            let (acme, late) = (name("acme"), name("late"));
            world.service.upgrade_job(&deployer("acme"), &acme, &late, &to, Precondition::Unstated).await
        }
    };
    let job = take(upgrade(Some(new), None)).await.unwrap().record;
    assert_eq!((job.wanted.release.version, job.former.len()), (2, 1));
    assert!(take(upgrade(Some(old), None)).await.is_err(), "back without a fallback");
    let refused = take(upgrade(None, Some("2"))).await.unwrap_err();
    assert_eq!(refused.code(), code::PARAMETER_REFUSED);
    let job = take(upgrade(None, Some("0.9"))).await.unwrap().record;
    assert_eq!(job.wanted.restarts, 1, "values take effect by a restart");
    let other = package("acme", "other", 1, None, world.now());
    let other = world.upload("acme", "other", &other).await;
    assert_eq!(take(upgrade(Some(other), None)).await.unwrap_err().code(), code::NOT_A_JOB);
    state(&world, "late", State::Failed).await;
    assert_eq!(take(upgrade(Some(new), None)).await.unwrap_err().code(), code::WRONG_STATE);
    let again = |bundle| Upgrade { restart: true, ..upgrade(bundle, None) };
    assert!(take(again(Some(old))).await.is_err(), "what is refused starts nothing");
    let there = world.service.job(&deployer("acme"), &name("acme"), &name("late")).await.unwrap().0.record;
    assert!(!there.counts());
    let formerly = there.former.len();
    let started = take(again(None)).await.unwrap().record;
    assert_eq!((started.wanted.run, started.former.len()), (started.execution.run + 1, formerly));
}

#[tokio::test]
async fn events_are_followed_and_resumed() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let (acme, late) = (name("acme"), name("late"));
    let mut follower = world.service.follow(&viewer("acme"), &acme, &late, 0).await.unwrap();
    let Followed::Events(events, 0) = world.service.followed(&mut follower).await.unwrap() else { panic!() };
    assert_eq!(events.len(), 1);
    // Waits until something happens.
    let (next, ()) = tokio::join!(world.service.followed(&mut follower), async {
        world.service.write_logs(&acme, &late, &[(Some(name("score")), "a secret".into())]).await.unwrap();
        state(&world, "late", State::Running).await;
    });
    let Followed::Events(events, 0) = next.unwrap() else { panic!() };
    assert!(events.iter().all(|event| event.kind != crate::model::event::Kind::Log), "a viewer sees no logs");
    let mut resumed = world.service.follow(&deployer("acme"), &acme, &late, 1).await.unwrap();
    let Followed::Events(events, 0) = world.service.followed(&mut resumed).await.unwrap() else { panic!() };
    assert_eq!(events.first().unwrap().text, "a secret");
    let third = world.service.follow(&deployer("acme"), &acme, &late, 1).await;
    assert_eq!(third.err().unwrap().code(), code::TOO_MANY_FOLLOWERS);
    drop(resumed);
    assert!(world.service.follow(&deployer("acme"), &acme, &late, 1).await.is_ok());
    state(&world, "late", State::Canceled).await;
    world.service.delete_job(&deployer("acme"), &acme, &late, Precondition::Unstated).await.unwrap();
    loop {
        if world.service.followed(&mut follower).await.unwrap() == Followed::Gone {
            break;
        }
    }
}

#[tokio::test]
async fn the_history_is_bounded_and_says_so() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let (acme, late) = (name("acme"), name("late"));
    let lines: Vec<_> = (0..100).map(|n| (None, format!("line {n}"))).collect();
    for _ in 0..11 {
        world.service.write_logs(&acme, &late, &lines).await.unwrap();
    }
    let mut follower = world.service.follow(&deployer("acme"), &acme, &late, 1).await.unwrap();
    let Followed::Events(events, missed) = world.service.followed(&mut follower).await.unwrap() else { panic!() };
    assert_eq!((missed, events.first().unwrap().sequence), (100, 102));
    let page = world.service.job_logs(&deployer("acme"), &acme, &late, &Filter::all()).await.unwrap();
    assert_eq!(page.items.len(), 200);
    assert_eq!(
        world.service.job_logs(&viewer("acme"), &acme, &late, &Filter::all()).await.unwrap_err().code(),
        code::FORBIDDEN
    );
}

#[tokio::test]
async fn samples_of_failed_records_are_a_right_of_their_own() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let (acme, late) = (name("acme"), name("late"));
    let sample = Sample { split: "a".into(), record: 3, message: "no".into(), value: "marker-77".into() };
    let exception = Exception {
        sequence: 0,
        time: world.now(),
        code: "LG0650".into(),
        cause: "refused".into(),
        operator: Some(name("score")),
        task_manager: None,
        samples: vec![sample; 20],
    };
    world.service.write_exception(&acme, &late, &exception).await.unwrap();
    for (call, samples) in [(admin("acme"), 10), (deployer("acme"), 0), (viewer("acme"), 0)] {
        let (page, _) = world.service.job_exceptions(&call, &acme, &late, &Filter::all()).await.unwrap();
        assert_eq!(page.items.first().unwrap().record.samples.len(), samples, "{}", call.caller.principal);
    }
}

#[tokio::test]
async fn what_a_job_has_come_to_is_written_once() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let (acme, late) = (name("acme"), name("late"));
    let kept = world.service.job(&viewer("acme"), &acme, &late).await.unwrap().0;
    let mut execution = kept.record.execution.clone();
    execution.state = State::Failed;
    execution.failure = Some(Failure::new(code::ROW_REFUSED, "no", true, UnixMillis(1)));
    world.service.write_execution(&acme, &late, kept.revision, execution.clone()).await.unwrap();
    let stale = world.service.write_execution(&acme, &late, kept.revision, execution).await;
    assert_eq!(stale.unwrap_err().code(), code::CONFLICT);
    let page = world.service.job_events(&viewer("acme"), &acme, &late, &Filter::all()).await.unwrap();
    let texts: Vec<&str> = page.items.iter().map(|event| event.record.text.as_str()).collect();
    assert_eq!(texts.get(1..).unwrap(), ["LG0650: no", "the job is FAILED, it was CREATED"]);
}

#[tokio::test]
async fn scopes_narrow_what_roles_allow() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let mut narrowed = caller("user:ci", Some("acme"), &[Role::Deployer]);
    narrowed.scopes = Some([Action::ReadJobs].into());
    let narrowed = call(narrowed);
    assert!(world.service.job(&narrowed, &name("acme"), &name("late")).await.is_ok());
    let cancel = world.service.ask(&narrowed, &name("acme"), &name("late"), Ask::Cancel, Precondition::Unstated).await;
    assert_eq!(cancel.unwrap_err().code(), code::FORBIDDEN);
}

#[tokio::test]
async fn what_is_asked_comes_about_without_any_task_manager() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.job("acme", "late").await;
    let settle = async |world: &World| {
        for _ in 0..5 {
            crate::control::Keeper::new(Arc::clone(&world.service)).round().await.unwrap();
        }
        world.service.job(&operator(), &name("acme"), &name("late")).await.unwrap().0.record.state()
    };
    assert_eq!(settle(&world).await, State::Created, "it waits for a slot");
    ask(&world, Ask::Suspend).await.unwrap();
    assert_eq!(settle(&world).await, State::Suspended);
    ask(&world, Ask::Resume).await.unwrap();
    assert_eq!(settle(&world).await, State::Created);
    for (suspended, state) in [(true, State::Suspended), (false, State::Created)] {
        let change = TenantChange { suspended: Some(suspended), labels: None };
        let any = Precondition::Unstated;
        world.service.change_tenant(&operator(), &name("acme"), &change, &any).await.unwrap();
        assert_eq!(settle(&world).await, state, "as its tenant");
    }
    ask(&world, Ask::Cancel).await.unwrap();
    assert_eq!(settle(&world).await, State::Canceled);
    assert_eq!(used(&world, QuotaKind::Slots).await, 0);
    ask(&world, Ask::Restart).await.unwrap();
    assert_eq!(settle(&world).await, State::Created, "a new run");
    ask(&world, Ask::Stop).await.unwrap();
    assert_eq!(settle(&world).await, State::Finished);
    let page = world.service.job_events(&viewer("acme"), &name("acme"), &name("late"), &Filter::all()).await.unwrap();
    assert!(page.items.iter().any(|event| event.record.text == "the job is CANCELLING, it was CREATED"));
}
