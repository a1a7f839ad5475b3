//! Executors as a TaskManager has them: how many slots, how they end.

use crate::harness::{self, Home, Run};
use crate::hostile::attack;
use lockgate_core::Name;
use lockgate_core::error::code;
use lockgate_executor::jail::Policy;
use lockgate_executor::{ExecutorOptions, Executors, MAX_SLOTS, testing};
use std::sync::Arc;
use std::time::Duration;

fn options(slots: u32) -> ExecutorOptions {
    ExecutorOptions { program: Some(testing::program()), slots, memory: 1 << 30, nice: 0, jail: Policy::Required }
}

#[test]
fn an_executor_has_as_many_slots_as_it_may_and_no_more() {
    let executor = testing::executors(MAX_SLOTS).of(&Name::new("acme").unwrap()).unwrap();
    let slots: Vec<_> = (0..MAX_SLOTS).map(|_| executor.slot(Duration::from_secs(60)).unwrap()).collect();
    assert_eq!(executor.slot(Duration::from_secs(60)).err().unwrap().code(), code::EXECUTOR_FULL);
    drop(slots);
    for slots in [0, MAX_SLOTS + 1] {
        assert_eq!(Executors::new(options(slots)).err().unwrap().code(), code::EXECUTOR_START);
    }
}

#[test]
fn jobs_of_a_tenant_share_its_executor_and_tenants_share_none() {
    let executors = testing::executors(1);
    let pid = |tenant: &str| executors.of(&Name::new(tenant).unwrap()).unwrap().pid();
    assert_eq!(pid("acme"), pid("acme"));
    assert_ne!(pid("acme"), pid("other"));
}

#[test]
fn a_program_that_is_no_executor_is_not_waited_for_for_ever() {
    for program in ["/bin/true", "/nowhere"] {
        let executors = Executors::new(ExecutorOptions { program: Some(program.into()), ..options(1) }).unwrap();
        let refused = executors.of(&Name::new("acme").unwrap()).err().unwrap();
        assert!([code::EXECUTOR_START, code::EXECUTOR_NOT_STARTED].contains(&refused.code()), "{refused}");
    }
}

#[test]
fn the_same_executor_runs_one_job_after_the_other() {
    let executors = Arc::new(testing::executors(1));
    let text = attack::manifest("honest", attack::OnError::Fail, "", "");
    let job = harness::prepare(&text, &[("guest", harness::part("hostile"))]).unwrap();
    let acme = Name::new("mallory").unwrap();
    let pid = executors.of(&acme).unwrap().pid();
    for _ in 0..3 {
        let home = Home::with_rows(0..10);
        let ran = home.run_as(&job, Run { executors: Some(Arc::clone(&executors)), ..Run::default() });
        assert!(ran.report().finished);
        assert_eq!(home.rows("good").len(), 10);
    }
    assert_eq!(executors.of(&acme).unwrap().pid(), pid, "it died on the way");
}
