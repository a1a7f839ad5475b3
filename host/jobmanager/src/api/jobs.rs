//! Jobs, and what is asked of them.

use super::answer::{List, made, tagged};
use super::extract::{At, IfMatch, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::model::job::{self, Deployment};
use crate::model::label::Labels;
use crate::model::{Kept, metrics};
use crate::reconcile::Goal;
use crate::service::jobs::{Ask, NewJob, Upgrade};
use crate::service::{Call, Service};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::job_state;
use lockgate_core::placement::Waits;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Job {
    /// Its name, unique within the tenant.
    #[schema(value_type = String)]
    name: Name,
    /// Tells it from an earlier job of the same name.
    id: String,
    /// One of Flink's: `INITIALIZING`, `CREATED`, `RUNNING`, `FAILING`, `FAILED`, `CANCELLING`, `CANCELED`, `FINISHED`,
    /// `RESTARTING`, `SUSPENDED`, `RECONCILING`.
    #[schema(value_type = String)]
    state: job_state::State,
    /// What is asked of it.
    #[schema(inline)]
    goal: JobGoal,
    /// What users find it by.
    labels: Labels,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Who made it.
    created_by: String,
    /// Since when it is in this state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Slots that it would like.
    parallelism: u32,
    /// Fuel a second that each of its slots may use; absent if that is not bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel_per_second: Option<u64>,
    /// How much it counts beside its tenant's other jobs.
    weight: u32,
    /// Slots that it has.
    slots: u32,
    /// What it waits for, if it wants slots and has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    waits_for: Option<WaitsFor>,
    /// How often it failed.
    failures: u64,
    /// What it failed of last.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<JobFailure>,
    /// What it runs.
    deployment: JobDeployment,
    /// What it ran before, the latest first.
    former: Vec<JobDeployment>,
}

/// What is asked of a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobGoal {
    /// To run.
    Run,
    /// To take in nothing more, commit and finish.
    Drain,
    /// To end at once.
    Cancel,
    /// To hold no slots until it is resumed.
    Suspend,
}

/// What a job waits for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WaitsFor {
    /// A TaskManager that offers all volumes that it reads and writes.
    Volumes,
    /// Free slots with enough memory.
    Slots,
    /// Its tenant's quota of slots.
    QuotaSlots,
    /// Its tenant's quota of memory.
    QuotaMemory,
    /// Its tenant's quota of fuel.
    QuotaFuel,
}

impl From<Waits> for WaitsFor {
    fn from(waits: Waits) -> Self {
        match waits {
            Waits::Volumes => Self::Volumes,
            Waits::Slots => Self::Slots,
            Waits::QuotaSlots => Self::QuotaSlots,
            Waits::QuotaMemory => Self::QuotaMemory,
            Waits::QuotaFuel => Self::QuotaFuel,
        }
    }
}

/// Why a job failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JobFailure {
    /// The error's code.
    code: String,
    /// What happened.
    cause: String,
}

/// A version of a job with what was set for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JobDeployment {
    /// The bundle.
    #[schema(value_type = String)]
    bundle: Digest,
    /// The version.
    version: u64,
    /// The digest of what is signed.
    #[schema(value_type = String)]
    payload: Digest,
    /// Values of parameters; absent for who may not see a job's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    parameters: Option<BTreeMap<Name, String>>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Who asked for it.
    by: String,
}

/// What a job is made of. The bundle says what it is called.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CreateJob {
    /// The bundle's digest.
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    bundle: Digest,
    /// Values of parameters, within their signed bounds.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    parameters: BTreeMap<Name, String>,
    /// Slots, within the signed range; the most of it if absent.
    #[serde(default)]
    parallelism: Option<u32>,
    /// Fuel a second that each slot may use. If absent, the tenant's quota of fuel by its quota of slots; not bounded if no
    /// quota of fuel is set.
    #[serde(default)]
    #[schema(minimum = 1)]
    fuel_per_second: Option<u64>,
    /// How much it counts beside its tenant's other jobs, when it waits for slots and for its part of the quota of fuel; 1 if
    /// absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    weight: Option<u32>,
    /// What users find it by.
    #[serde(default)]
    labels: Labels,
}

/// What a job is taken to.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct UpgradeJob {
    /// The bundle of another version; the present one if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^sha256:[0-9a-f]{64}$")]
    bundle: Option<Digest>,
    /// Whether it is an earlier version, which the present one names as a fallback.
    #[serde(default)]
    fallback: bool,
    /// Whether it starts again if it has ended; without it what has ended is not upgraded.
    #[serde(default)]
    restart: bool,
    /// Values of parameters; those of before if absent.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    parameters: Option<BTreeMap<Name, String>>,
    /// Slots; as many as before if absent.
    #[serde(default)]
    parallelism: Option<u32>,
    /// Fuel a second that each slot may use; as much as before if absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    fuel_per_second: Option<u64>,
    /// How much it counts beside its tenant's other jobs; as much as before if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    weight: Option<u32>,
}

/// What changes of a job without any effect on its running.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ChangeJob {
    /// All labels anew.
    labels: Labels,
}

/// A job's graph.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Graph {
    /// The nodes, inputs before those that read them.
    nodes: Vec<GraphNode>,
}

/// A node of a job's graph.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct GraphNode {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// `source`, `function`, `select` or `sink`.
    kind: &'static str,
    /// `node.output` of those that it reads.
    inputs: Vec<String>,
    /// Columns of each output as `name: type`, for who may see a job's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<BTreeMap<String, Vec<String>>>,
}

/// A job's figures.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JobMetrics {
    /// When they were reported; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    reported: Option<Timestamp>,
    /// By operator.
    #[schema(value_type = BTreeMap<String, OperatorMetrics>)]
    operators: BTreeMap<Name, OperatorMetrics>,
}

/// An operator's figures, over all its slots and since the job began.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OperatorMetrics {
    rows_in: u64,
    rows_out: u64,
    dead_letters: u64,
    fuel: u64,
    lag_bytes: u64,
    back_pressure_ms: u64,
    restarts: u64,
}

impl From<metrics::Operator> for OperatorMetrics {
    fn from(operator: metrics::Operator) -> Self {
        let metrics::Operator { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts } =
            operator;
        Self { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts }
    }
}

fn deployment(deployment: Deployment, all: bool) -> JobDeployment {
    let Deployment { bundle, release, parameters, since, by, fallback_of: _ } = deployment;
    let parameters = all.then_some(parameters);
    JobDeployment { bundle, version: release.version, payload: release.digest, parameters, since, by }
}

/// A job as the API shows it; its configuration only if `all`.
fn show(service: &Service, job: job::Job, all: bool) -> Job {
    let waits_for = service.waits_for(&job).map(Into::into);
    let execution = job.execution;
    Job {
        state: execution.state,
        goal: match job.wanted.goal {
            Goal::Run => JobGoal::Run,
            Goal::Drain => JobGoal::Drain,
            Goal::Cancel => JobGoal::Cancel,
            Goal::Suspend => JobGoal::Suspend,
        },
        since: execution.since.into(),
        parallelism: job.wanted.desired,
        fuel_per_second: Some(job.wanted.slot.fuel).filter(|fuel| *fuel > 0),
        weight: job.wanted.weight,
        slots: execution.holds.map_or(0, |holds| holds.placed.parallelism()),
        waits_for,
        failures: execution.history.failures,
        failure: execution.failure.map(|failure| JobFailure { code: failure.code, cause: failure.cause }),
        deployment: deployment(job.deployment, all),
        former: job.former.into_iter().map(|former| deployment(former, all)).collect(),
        name: job.name,
        id: job.id,
        labels: job.labels,
        created: job.created,
        created_by: job.created_by,
    }
}

fn answer(api: &Api, kept: Kept<job::Job>, all: bool) -> Response {
    tagged(StatusCode::OK, kept.revision, show(&api.service, kept.record, all))
}

/// A tenant's jobs.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs", tag = "jobs", params(("tenant" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Job>)))]
pub(super) async fn list_jobs(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Job>>, Problem> {
    let page = api.service.jobs(&call, &tenant, &filter).await?;
    Ok(Json(List::of(page, |kept| show(&api.service, kept.record, false))))
}

/// Creates a job from a bundle.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/jobs", tag = "jobs", request_body = CreateJob,
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again")),
    responses((status = 201, description = "It is created", body = Job), (status = 200, description = "It was created by an earlier request under this key", body = Job)))]
pub(super) async fn create_job(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Input { value, key }: Input<CreateJob>,
) -> Result<Response, Problem> {
    let CreateJob { bundle, parameters, parallelism, fuel_per_second: fuel, weight, labels } = value;
    let new = NewJob { bundle, parameters, parallelism, fuel, weight, labels };
    let job = api.service.create_job(&call, key.as_ref(), &tenant, &new).await?;
    let location = format!("/api/v1/tenants/{tenant}/jobs/{}", job.thing.record.name);
    Ok(made(job.replayed, job.thing.revision, &location, show(&api.service, job.thing.record, true)))
}

/// A job.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path)),
    responses((status = 200, description = "It", body = Job)))]
pub(super) async fn get_job(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
) -> Result<Response, Problem> {
    let (kept, all) = api.service.job(&call, &tenant, &job).await?;
    Ok(answer(&api, kept, all))
}

/// Gives a job other labels.
#[utoipa::path(patch, path = "/api/v1/tenants/{tenant}/jobs/{job}", tag = "jobs", request_body = ChangeJob,
    params(("tenant" = String, Path), ("job" = String, Path), ("If-Match" = String, Header)),
    responses((status = 200, description = "As it is now", body = Job)))]
pub(super) async fn change_job(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<ChangeJob>,
) -> Result<Response, Problem> {
    Ok(answer(&api, api.service.label_job(&call, &tenant, &job, &value.labels, precondition).await?, true))
}

/// Takes a job to another version, other values of its parameters, another parallelism or other fuel a second.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/jobs/{job}/upgrade", tag = "jobs", request_body = UpgradeJob,
    params(("tenant" = String, Path), ("job" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As it is now", body = Job)))]
pub(super) async fn upgrade_job(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<UpgradeJob>,
) -> Result<Response, Problem> {
    let UpgradeJob { bundle, fallback, restart, parameters, parallelism, fuel_per_second: fuel, weight } = value;
    let upgrade = Upgrade { bundle, fallback, restart, parameters, parallelism, fuel, weight };
    Ok(answer(&api, api.service.upgrade_job(&call, &tenant, &job, &upgrade, precondition).await?, true))
}

/// Deletes a job that has ended.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/jobs/{job}", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete_job(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.delete_job(&call, &tenant, &job, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

macro_rules! asks {
    ($($(#[doc = $doc:literal])* $name:ident $path:literal $ask:ident;)*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(post, path = $path, tag = "jobs",
            params(("tenant" = String, Path), ("job" = String, Path), ("If-Match" = Option<String>, Header)),
            responses((status = 200, description = "As it is now", body = Job)))]
        pub(super) async fn $name(
            State(api): State<Api>,
            call: Call,
            At((tenant, job)): At<(Name, Name)>,
            IfMatch(precondition): IfMatch,
        ) -> Result<Response, Problem> {
            let kept = api.service.ask(&call, &tenant, &job, Ask::$ask, precondition).await?;
            Ok(answer(&api, kept, false))
        }
    )*};
}

asks! {
    /// Ends a job at once.
    cancel_job "/api/v1/tenants/{tenant}/jobs/{job}/cancel" Cancel;
    /// Stops a job with drain: it takes in nothing more, commits what is in flight and finishes.
    stop_job "/api/v1/tenants/{tenant}/jobs/{job}/stop" Stop;
    /// Ends a job and starts it again; one that has ended begins a new run.
    restart_job "/api/v1/tenants/{tenant}/jobs/{job}/restart" Restart;
    /// Takes a job's slots away until it is resumed.
    suspend_job "/api/v1/tenants/{tenant}/jobs/{job}/suspend" Suspend;
    /// Lets a suspended job go on.
    resume_job "/api/v1/tenants/{tenant}/jobs/{job}/resume" Resume;
}

/// A job's graph.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/graph", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path)),
    responses((status = 200, description = "It", body = Graph)))]
pub(super) async fn get_graph(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
) -> Result<Json<Graph>, Problem> {
    let (plan, all) = api.service.job_graph(&call, &tenant, &job).await?;
    Ok(Json(graph(&plan, all)))
}

fn graph(plan: &Plan, all: bool) -> Graph {
    let source = |edge: &lockgate_core::plan::Edge| {
        let node = plan.nodes.get(edge.node as usize)?;
        let output = node.outputs.get(edge.output as usize)?;
        Some(format!("{}.{}", node.name, output.name))
    };
    let nodes = plan.nodes.iter().map(|node| GraphNode {
        name: node.name.clone(),
        kind: match node.kind {
            NodeKind::Source(_) => "source",
            NodeKind::Function(_) => "function",
            NodeKind::Select(_) => "select",
            NodeKind::Sink(_) => "sink",
        },
        inputs: node.inputs.iter().filter_map(source).collect(),
        outputs: all.then(|| {
            let columns = |fields: &[lockgate_core::types::Field]| {
                fields.iter().map(|field| format!("{}: {}", field.name, field.data_type)).collect()
            };
            node.outputs.iter().map(|output| (output.name.clone(), columns(&output.fields))).collect()
        }),
    });
    Graph { nodes: nodes.collect() }
}

/// A job's figures.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/metrics", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path)),
    responses((status = 200, description = "As last reported", body = JobMetrics)))]
pub(super) async fn get_metrics(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
) -> Result<Json<JobMetrics>, Problem> {
    let metrics = api.service.job_metrics(&call, &tenant, &job).await?;
    let operators = metrics.operators.into_iter().map(|(name, operator)| (name, operator.into())).collect();
    Ok(Json(JobMetrics { reported: metrics.reported, operators }))
}
