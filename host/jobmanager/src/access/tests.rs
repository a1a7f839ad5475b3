//! The decision over every caller, right and resource that differ.

use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn caller(tenant: Option<&str>, roles: &[Role]) -> Caller {
    Caller {
        principal: "user:ana".into(),
        credential: "t1".into(),
        tenant: tenant.map(name),
        roles: roles.iter().copied().collect(),
        scopes: None,
    }
}

fn job(tenant: &str) -> Resource {
    Resource::of(name(tenant), "job").named("late-flights")
}

/// What each role has, written out once more and in another order than the table: a right that slips in shows here.
#[test]
fn each_role_has_these_rights_and_no_others() {
    let expected: &[(Role, Option<&str>, &str)] = &[
        (
            Role::Operator,
            None,
            "describe read-tenants manage-tenants read-trust write-operator-trust read-members appoint-admins read-tokens \
             revoke-tokens map-certificates read-quotas write-quotas read-jobs stop-jobs read-metrics read-audit",
        ),
        (
            Role::TenantAdmin,
            Some("acme"),
            "describe read-tenants read-trust write-tenant-trust write-tenant-status read-members manage-members \
             read-tokens manage-tokens revoke-tokens read-quotas read-bundles download-bundles upload-bundles \
             delete-bundles read-jobs read-job-configuration read-job-logs read-dead-letters create-jobs upgrade-jobs \
             restart-jobs stop-jobs delete-jobs read-metrics read-audit",
        ),
        (
            Role::Deployer,
            Some("acme"),
            "describe read-tenants read-trust write-tenant-status read-quotas read-bundles download-bundles \
             upload-bundles delete-bundles read-jobs read-job-configuration read-job-logs create-jobs upgrade-jobs \
             restart-jobs stop-jobs delete-jobs read-metrics",
        ),
        (
            Role::Viewer,
            Some("acme"),
            "describe read-tenants read-trust read-quotas read-bundles read-jobs read-metrics",
        ),
        (
            Role::Auditor,
            Some("acme"),
            "describe read-tenants read-trust read-members read-tokens read-quotas read-audit",
        ),
        (Role::Auditor, None, "describe read-tenants read-trust read-members read-tokens read-quotas read-audit"),
    ];
    for (role, tenant, rights) in expected {
        let caller = caller(*tenant, &[*role]);
        let within = Resource::of(name("acme"), "thing");
        let has: Vec<&str> = Action::ALL
            .iter()
            .filter(|action| authorize(&caller, **action, &within).is_ok())
            .map(|action| action.as_str())
            .collect();
        assert_eq!(has.join(" "), *rights, "{role} in {tenant:?}");
    }
    let operator = caller(None, &[Role::Operator]);
    let of_cluster: Vec<&str> = Action::ALL
        .iter()
        .filter(|action| realm(&operator, **action) == Some(Realm::Cluster))
        .map(|action| action.as_str())
        .collect();
    assert_eq!(
        of_cluster.join(" "),
        "manage-members manage-tokens read-task-managers manage-task-managers manage-store"
    );
}

#[test]
fn what_may_not_be_seen_is_missing_and_the_rest_forbidden() {
    let viewer = caller(Some("acme"), &[Role::Viewer]);
    let forbidden = authorize(&viewer, Action::StopJobs, &job("acme")).unwrap_err();
    assert!(!forbidden.hidden && forbidden.error.code() == code::FORBIDDEN, "{forbidden:?}");
    let hidden = authorize(&viewer, Action::StopJobs, &job("umbrella")).unwrap_err();
    assert!(hidden.hidden, "{hidden:?}");
    assert_eq!(hidden.error, not_found(&job("acme")), "another tenant's job and a missing one of mine differ");
    assert!(authorize(&viewer, Action::ReadTaskManagers, &Resource::cluster("task-manager")).unwrap_err().hidden);
    // The operator sees that there is a job, and nothing in it.
    let operator = caller(None, &[Role::Operator]);
    for action in [Action::ReadJobConfiguration, Action::ReadJobLogs, Action::ReadDeadLetters, Action::CreateJobs] {
        assert!(!authorize(&operator, action, &job("acme")).unwrap_err().hidden, "{action}");
    }
    assert!(authorize(&operator, Action::ReadBundles, &Resource::of(name("acme"), "bundle")).unwrap_err().hidden);
}

#[test]
fn configuration_logs_and_dead_letters_are_rights_of_their_own() {
    for action in [Action::ReadJobConfiguration, Action::ReadJobLogs, Action::ReadDeadLetters] {
        let viewer = caller(Some("acme"), &[Role::Viewer]);
        assert!(authorize(&viewer, action, &job("acme")).is_err(), "{action}");
        let mut narrowed = caller(Some("acme"), &[Role::TenantAdmin]);
        assert!(authorize(&narrowed, action, &job("acme")).is_ok(), "{action}");
        narrowed.scopes = Some([Action::ReadJobs].into());
        assert!(authorize(&narrowed, action, &job("acme")).is_err(), "{action}");
    }
    let deployer = caller(Some("acme"), &[Role::Deployer]);
    assert!(authorize(&deployer, Action::ReadDeadLetters, &job("acme")).is_err());
}

#[test]
fn own_tokens_are_ones_own() {
    let ana = caller(Some("acme"), &[Role::Viewer]);
    let token = |tenant: &str, owner: &str| Resource::of(name(tenant), "token").named("t9").owned_by(owner);
    assert!(authorize(&ana, Action::OwnTokens, &token("acme", "user:ana")).is_ok());
    assert!(authorize(&ana, Action::OwnTokens, &token("acme", "user:eve")).unwrap_err().hidden);
    assert!(authorize(&ana, Action::OwnTokens, &token("umbrella", "user:ana")).unwrap_err().hidden);
    assert!(authorize(&ana, Action::OwnTokens, &Resource::of(name("acme"), "token")).unwrap_err().hidden);
    assert_eq!(realm(&ana, Action::OwnTokens), Some(Realm::Mine));
}

#[test]
fn names_parse_back_and_agree_with_what_is_stored() {
    for action in Action::ALL {
        assert_eq!(action.to_string().parse::<Action>().unwrap(), *action);
        assert_eq!(serde_json::to_string(action).unwrap(), format!("\"{action}\""));
        assert_eq!(sight(sight(*action)), sight(*action), "{action}: what is seen is seen by itself");
    }
    for role in Role::ALL {
        assert_eq!(role.to_string().parse::<Role>().unwrap(), *role);
        assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{role}\""));
    }
    assert_eq!("root".parse::<Role>().unwrap_err().code(), code::UNKNOWN_CHOICE);
    assert_eq!("read".parse::<Action>().unwrap_err().code(), code::UNKNOWN_CHOICE);
}

proptest! {
    /// Nobody of a tenant ever reaches another tenant or the cluster, whatever roles a mistake gives him.
    #[test]
    fn nobody_leaves_his_tenant(roles in prop::collection::btree_set(prop::sample::select(Role::ALL), 0..=5),
                                action in prop::sample::select(Action::ALL), mine: bool) {
        let ana = caller(Some("acme"), &roles.into_iter().collect::<Vec<_>>());
        for mut foreign in [job("umbrella"), Resource::cluster("thing").named("x")] {
            if mine {
                foreign = foreign.owned_by("user:ana");
            }
            prop_assert!(authorize(&ana, action, &foreign).unwrap_err().hidden);
        }
    }

    /// Scopes only ever take away, and a role more never does.
    #[test]
    fn scopes_narrow_and_roles_widen(tenant: bool, roles in prop::collection::btree_set(prop::sample::select(Role::ALL), 0..=5),
                                     scopes in prop::collection::btree_set(prop::sample::select(Action::ALL), 0..8),
                                     more in prop::sample::select(Role::ALL), action in prop::sample::select(Action::ALL)) {
        let whole = caller(tenant.then_some("acme"), &roles.into_iter().collect::<Vec<_>>());
        let narrowed = Caller { scopes: Some(scopes.clone()), ..whole.clone() };
        let mut widened = whole.clone();
        widened.roles.insert(more);
        for resource in [job("acme"), Resource::cluster("thing")] {
            let allowed = authorize(&whole, action, &resource).is_ok();
            prop_assert_eq!(authorize(&narrowed, action, &resource).is_ok(), allowed && scopes.contains(&action));
            prop_assert!(!allowed || authorize(&widened, action, &resource).is_ok());
        }
    }

    /// A list shows what could be asked for one by one, and nothing else.
    #[test]
    fn lists_and_single_things_agree(tenant: bool, roles in prop::collection::btree_set(prop::sample::select(Role::ALL), 0..=5),
                                     action in prop::sample::select(Action::ALL)) {
        let caller = caller(tenant.then_some("acme"), &roles.into_iter().collect::<Vec<_>>());
        let [own, other, cluster] = [job("acme"), job("umbrella"), Resource::cluster("thing")]
            .map(|resource| authorize(&caller, action, &resource).is_ok());
        let expected = match realm(&caller, action) {
            None | Some(Realm::Mine) => [false; 3],
            Some(Realm::Everything) => [true; 3],
            Some(Realm::Cluster) => [false, false, true],
            Some(Realm::Tenant(_)) => [true, false, false],
        };
        prop_assert_eq!([own, other, cluster], expected);
    }
}
