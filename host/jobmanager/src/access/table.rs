//! Who may do what: one row a right, one column a role. Read it as it stands; nothing else grants anything.

use lockgate_core::Error;
use lockgate_core::error::code;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a principal is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the cluster: tenants, quotas, TaskManagers. Sees no tenant's data.
    Operator,
    /// Runs a tenant: members, tokens, trust documents.
    TenantAdmin,
    /// Uploads bundles and manages jobs.
    Deployer,
    /// Looks at jobs.
    Viewer,
    /// Reads the audit log: of his tenant, or of all if he is of the operator's people.
    Auditor,
}

/// How far a right reaches, in rising order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Nowhere.
    No,
    /// To what is the caller's own.
    Mine,
    /// To the cluster's own things, to no tenant's.
    Cluster,
    /// To all below where the role is held: one tenant, or for the operator's people the cluster and every tenant.
    Home,
}

macro_rules! table {
    ($($(#[doc = $doc:literal])* $action:ident $text:literal, seen by $sight:ident:
        $operator:ident $admin:ident $deployer:ident $viewer:ident $auditor:ident;)*) => {
        /// What can be asked for: one for each right that can be had or lacked on its own.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Action {
            $($(#[doc = $doc])* $action,)*
        }

        impl Action {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$action),*];

            /// As scopes and audit events write it: `read-jobs`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$action => $text,)* }
            }
        }

        /// How far `role` reaches with `action`.
        pub const fn reach(action: Action, role: Role) -> Reach {
            match (action, role) {
                $(
                    (Action::$action, Role::Operator) => Reach::$operator,
                    (Action::$action, Role::TenantAdmin) => Reach::$admin,
                    (Action::$action, Role::Deployer) => Reach::$deployer,
                    (Action::$action, Role::Viewer) => Reach::$viewer,
                    (Action::$action, Role::Auditor) => Reach::$auditor,
                )*
            }
        }

        /// The right by which what `action` touches is seen at all. Whoever lacks it is told that there is nothing.
        pub const fn sight(action: Action) -> Action {
            match action { $(Action::$action => Action::$sight,)* }
        }
    };
}

table! {
    //                                                    operator admin deployer viewer auditor

    /// Who one is, the version, the description of the API.
    Describe "describe", seen by Describe:                    Home    Home   Home    Home   Home;
    /// See tenants: their names and whether they are suspended.
    ReadTenants "read-tenants", seen by ReadTenants:          Home    Home   Home    Home   Home;
    /// Create, suspend and delete tenants.
    ManageTenants "manage-tenants", seen by ReadTenants:      Home    No     No      No     No;

    /// See trust documents and their history.
    ReadTrust "read-trust", seen by ReadTrust:                Home    Home   Home    Home   Home;
    /// Upload what the operator signs: operator root, tenant policies, the operator's status.
    WriteOperatorTrust "write-operator-trust", seen by ReadTrust: Home No    No      No     No;
    /// Upload a tenant root.
    WriteTenantTrust "write-tenant-trust", seen by ReadTrust: No      Home   No      No     No;
    /// Upload a tenant status: every new version of a job comes with one.
    WriteTenantStatus "write-tenant-status", seen by ReadTrust: No    Home   Home    No     No;

    /// See members and their roles.
    ReadMembers "read-members", seen by ReadMembers:          Home    Home   No      No     Home;
    /// Add members, give and take roles. An operator does so among the operator's people.
    ManageMembers "manage-members", seen by ReadMembers:      Cluster Home   No      No     No;
    /// Appoint a tenant's administrators: how a tenant gets its first. A right of its own, so that its use stands out.
    AppointAdmins "appoint-admins", seen by ReadMembers:      Home    No     No      No     No;

    /// See the tokens of others: id, principal, scopes, expiry, last use.
    ReadTokens "read-tokens", seen by ReadTokens:             Home    Home   No      No     Home;
    /// Make tokens for others.
    ManageTokens "manage-tokens", seen by ReadTokens:         Cluster Home   No      No     No;
    /// Revoke the tokens of others, also when a tenant's are found on the street.
    RevokeTokens "revoke-tokens", seen by ReadTokens:         Home    Home   No      No     No;
    /// See, make and revoke one's own tokens, never wider than the credential that does it.
    OwnTokens "own-tokens", seen by OwnTokens:                Mine    Mine   Mine    Mine   Mine;

    /// Say whose client certificates are. The names in them are the operator's to give, and of one tenant no other's; to take
    /// one away takes the right to revoke tokens.
    MapCertificates "map-certificates", seen by ReadMembers:  Home    No     No      No     No;

    /// See quotas and their use.
    ReadQuotas "read-quotas", seen by ReadQuotas:             Home    Home   Home    Home   Home;
    /// Set quotas.
    WriteQuotas "write-quotas", seen by ReadQuotas:           Home    No     No      No     No;

    /// See bundles: digests, versions, what they touch.
    ReadBundles "read-bundles", seen by ReadBundles:          No      Home   Home    Home   No;
    /// Fetch a bundle's content.
    DownloadBundles "download-bundles", seen by ReadBundles:  No      Home   Home    No     No;
    /// Upload bundles.
    UploadBundles "upload-bundles", seen by ReadBundles:      No      Home   Home    No     No;
    /// Delete bundles.
    DeleteBundles "delete-bundles", seen by ReadBundles:      No      Home   Home    No     No;

    /// See jobs, their states, graphs, events and figures, without a word of their data.
    ReadJobs "read-jobs", seen by ReadJobs:                   Home    Home   Home    Home   No;
    /// See a job's configuration: parameters and settings may hold what is not for every viewer.
    ReadJobConfiguration "read-job-configuration", seen by ReadJobs: No Home Home    No     No;
    /// See a job's logs: functions write what they like, data included.
    ReadJobLogs "read-job-logs", seen by ReadJobs:            No      Home   Home    No     No;
    /// See samples of records that failed: data.
    ReadDeadLetters "read-dead-letters", seen by ReadJobs:    No      Home   No      No     No;
    /// Create jobs.
    CreateJobs "create-jobs", seen by ReadJobs:               No      Home   Home    No     No;
    /// Take a job to another version or other parameters.
    UpgradeJobs "upgrade-jobs", seen by ReadJobs:             No      Home   Home    No     No;
    /// Restart, suspend and resume jobs.
    RestartJobs "restart-jobs", seen by ReadJobs:             No      Home   Home    No     No;
    /// Cancel jobs and stop them with drain; the operator too, whose cluster it is.
    StopJobs "stop-jobs", seen by ReadJobs:                   Home    Home   Home    No     No;
    /// Delete jobs that have ended.
    DeleteJobs "delete-jobs", seen by ReadJobs:               No      Home   Home    No     No;

    /// See TaskManagers and their slots.
    ReadTaskManagers "read-task-managers", seen by ReadTaskManagers: Cluster No No   No     No;
    /// Admit, drain and remove TaskManagers.
    ManageTaskManagers "manage-task-managers", seen by ReadTaskManagers: Cluster No No No   No;

    /// Read figures for Prometheus.
    ReadMetrics "read-metrics", seen by ReadMetrics:          Home    Home   Home    Home   No;
    /// Read the audit log.
    ReadAudit "read-audit", seen by ReadAudit:                Home    Home   No      No     Home;
    /// Back up the store and look after it.
    ManageStore "manage-store", seen by ManageStore:          Cluster No     No      No     No;
}

impl Action {
    /// Whether a suspended tenant's own people may still do it: see that the tenant is suspended, and why. Who they are
    /// takes no right at all.
    pub const fn while_suspended(self) -> bool {
        matches!(self, Self::Describe | Self::ReadTenants | Self::ReadQuotas | Self::ReadAudit)
    }
}

impl Role {
    /// All of them, in the order of the columns.
    pub const ALL: &[Self] = &[Self::Operator, Self::TenantAdmin, Self::Deployer, Self::Viewer, Self::Auditor];

    /// As configuration and the API write it: `tenant-admin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::TenantAdmin => "tenant-admin",
            Self::Deployer => "deployer",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    /// # Errors
    /// `LG0109`.
    fn from_str(text: &str) -> Result<Self, Error> {
        find(Self::ALL, text, "role", Self::as_str)
    }
}

impl FromStr for Action {
    type Err = Error;

    /// # Errors
    /// `LG0109`.
    fn from_str(text: &str) -> Result<Self, Error> {
        find(Self::ALL, text, "right", Self::as_str)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn find<T: Copy>(all: &[T], text: &str, what: &str, name: fn(T) -> &'static str) -> Result<T, Error> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let known: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        Error::new(code::UNKNOWN_CHOICE, format!("{shown:?} is no {what}"))
            .help(format!("it is one of {}", known.join(", ")))
    })
}
