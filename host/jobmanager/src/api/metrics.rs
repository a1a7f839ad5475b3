//! Figures for Prometheus, in the OpenMetrics text format: of the API since it began, and of jobs and quotas as they are
//! kept at the moment of asking. A tenant's people get those of their tenant.

use super::{Api, Problem};
use crate::service::Call;
use crate::service::figures::Figures;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::plane::OperatorUsage;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Counted {
    method: String,
    route: String,
    status: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Refused {
    code: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfJob {
    tenant: String,
    job: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfOperator {
    tenant: String,
    job: String,
    operator: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfQuota {
    tenant: String,
    quota: &'static str,
}

/// What is counted of the API itself.
pub struct Measured {
    requests: Family<Counted, Counter>,
    refusals: Family<Refused, Counter>,
    seconds: Histogram,
}

impl Default for Measured {
    fn default() -> Self {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self { requests: Family::default(), refusals: Family::default(), seconds: Histogram::new(bounds) }
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured")
    }
}

/// A request that is to be counted. Routes are counted as they are written, so that no request makes up a label.
pub(super) struct Counting {
    begun: Instant,
    method: String,
    route: String,
}

impl Counting {
    /// From now on.
    pub fn of(request: &Request) -> Self {
        let method = match request.method().as_str() {
            method @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => method.to_owned(),
            _ => "other".to_owned(),
        };
        let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
        Self { begun: Instant::now(), method, route }
    }

    /// Its answer begins.
    pub fn end(self, measured: &Measured, response: &Response) {
        let Self { begun, method, route } = self;
        let status = u32::from(response.status().as_u16());
        measured.requests.get_or_create(&Counted { method, route, status }).inc();
        if let Some(Problem(error)) = response.extensions().get::<Problem>() {
            measured.refusals.get_or_create(&Refused { code: error.code().to_string() }).inc();
        }
        measured.seconds.observe(begun.elapsed().as_secs_f64());
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(api): State<Api>, call: Call) -> Result<Response, Problem> {
    let figures = api.service.figures(&call).await?;
    let mut registry = Registry::with_prefix("lockgate");
    if call.caller.tenant.is_none() {
        let measured = &api.measured;
        registry.register("requests", "Requests by route and status", measured.requests.clone());
        registry.register("refusals", "Requests that were refused, by code", measured.refusals.clone());
        let seconds = measured.seconds.clone();
        registry.register_with_unit("request_duration", "Time to the head of the answer", Unit::Seconds, seconds);
    }
    register(&mut registry, &figures);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Error::new(code::INTERNAL, format!("figures: {error}")))?;
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
    Ok(response)
}

type Level = Family<OfOperator, Gauge<u64, AtomicU64>>;

fn register(registry: &mut Registry, figures: &Figures) {
    let (jobs, failures) = (Family::<OfJob, Gauge>::default(), Family::<OfJob, Counter>::default());
    for (job, _) in &figures.jobs {
        let (tenant, name, state) = (job.tenant.to_string(), job.name.to_string(), job.state().as_str());
        let of = OfJob { tenant, job: name, state };
        jobs.get_or_create(&of).set(1);
        failures.get_or_create(&of).inc_by(job.execution.history.failures);
    }
    for (name, help, figure) in OperatorUsage::COUNTERS {
        let family = Family::<OfOperator, Counter>::default();
        operators(figures, |of, usage| {
            family.get_or_create(&of).inc_by(figure(usage));
        });
        registry.register(name, help, family);
    }
    for (name, help, figure) in OperatorUsage::LEVELS {
        let family = Level::default();
        operators(figures, |of, usage| {
            family.get_or_create(&of).set(figure(usage));
        });
        registry.register(name, help, family);
    }
    registry.register("job", "Jobs with their state", jobs);
    registry.register("job_failures", "Failures of jobs", failures);
    let (allowed, used) =
        (Family::<OfQuota, Gauge<u64, AtomicU64>>::default(), Family::<OfQuota, Gauge<u64, AtomicU64>>::default());
    for (tenant, kind, quota, usage) in &figures.quotas {
        let of = OfQuota { tenant: tenant.to_string(), quota: kind.as_str() };
        allowed.get_or_create(&of).set(*quota);
        used.get_or_create(&of).set(*usage);
    }
    registry.register("quota", "Quotas", allowed);
    registry.register("quota_used", "What is taken up of quotas", used);
}

fn operators(figures: &Figures, mut each: impl FnMut(OfOperator, &OperatorUsage)) {
    for (job, metrics) in &figures.jobs {
        let (tenant, name) = (job.tenant.to_string(), job.name.to_string());
        for (operator, figures) in &metrics.operators {
            let of = OfOperator { tenant: tenant.clone(), job: name.clone(), operator: operator.to_string() };
            each(of, &OperatorUsage::from(*figures));
        }
    }
}
