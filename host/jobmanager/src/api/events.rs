//! What happens to a job: page by page, or as it comes, by server-sent events with resume (WHATWG HTML, section 9.2).

use super::answer::List;
use super::extract::{At, ListParams, Narrowed, pairs, unknown};
use super::{Api, Problem};
use crate::model::{event, exception};
use crate::service::Call;
use crate::service::events::{Followed, Follower};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _, stream};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Timestamp};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a stream lasts at most. A client then comes back with its credential, which may have been revoked.
const MAX_AGE: Duration = Duration::from_secs(900);
/// How often a stream that has nothing to say shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Something that happened to a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Event {
    /// Counts from 1 for the life of the job.
    sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// `state`, `request`, `log` or `exception`.
    kind: &'static str,
    /// In words.
    text: String,
    /// The operator that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    operator: Option<Name>,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
}

impl From<event::Event> for Event {
    fn from(event: event::Event) -> Self {
        let event::Event { sequence, time, kind, text, operator, principal } = event;
        Self { sequence, time, kind: kind.as_str(), text, operator, principal }
    }
}

/// An event of the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written field by field")]
pub(super) struct Streamed {
    /// The event's number; absent for `gap` and `gone`.
    id: Option<String>,
    /// Its kind, or `gap` or `gone`.
    event: String,
    /// An event as JSON; how many are missing for `gap`.
    data: Option<String>,
}

/// Something that failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Exception {
    /// Counts from 1 for the life of the job.
    sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// The error's code.
    code: String,
    /// What happened.
    cause: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    operator: Option<Name>,
    /// The TaskManager on which it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_manager: Option<String>,
    /// Records that failed; absent for who may not see data.
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<Vec<Sample>>,
}

/// A record that failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Sample {
    /// The split that it came from.
    split: String,
    /// Its number there.
    record: u64,
    /// Why it failed.
    message: String,
    /// The record, cut to a bounded length.
    value: String,
}

fn show(exception: exception::Exception, samples: bool) -> Exception {
    let exception::Exception { sequence, time, code, cause, operator, task_manager, samples: records } = exception;
    let sample = |sample: exception::Sample| {
        let exception::Sample { split, record, message, value } = sample;
        Sample { split, record, message, value }
    };
    let samples = samples.then(|| records.into_iter().map(sample).collect());
    Exception { sequence, time, code, cause, operator, task_manager, samples }
}

/// A job's events, oldest first. `state` is compared with their kind, `name` with their operator.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/events", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Event>)))]
pub(super) async fn list_events(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Event>>, Problem> {
    let page = api.service.job_events(&call, &tenant, &job, &filter).await?;
    Ok(Json(List::of(page, |kept| kept.record.into())))
}

/// What a job's functions wrote, oldest first.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/logs", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path), ListParams),
    responses((status = 200, description = "A page of it", body = List<Event>)))]
pub(super) async fn list_logs(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Event>>, Problem> {
    let page = api.service.job_logs(&call, &tenant, &job, &filter).await?;
    Ok(Json(List::of(page, |kept| kept.record.into())))
}

/// A job's exceptions, oldest first, with samples of the records that failed for who may see data.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/exceptions", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Exception>)))]
pub(super) async fn list_exceptions(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Exception>>, Problem> {
    let (page, samples) = api.service.job_exceptions(&call, &tenant, &job, &filter).await?;
    Ok(Json(List::of(page, |kept| show(kept.record, samples))))
}

/// A job's events as they come. `Last-Event-ID` says which was the last that the client has; an event `gap` tells how many
/// behind it are kept no longer. The stream ends after `seconds`, 900 if not said, or with an event `gone` when the job is
/// deleted.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/jobs/{job}/events/stream", tag = "jobs",
    params(("tenant" = String, Path), ("job" = String, Path), ("Last-Event-ID" = Option<u64>, Header),
        ("seconds" = Option<u16>, Query, minimum = 1, maximum = 900)),
    responses((status = 200, description = "The stream, as the fields of each of its events", body = Streamed,
        content_type = "text/event-stream")))]
pub(super) async fn follow_events(
    State(api): State<Api>,
    call: Call,
    At((tenant, job)): At<(Name, Name)>,
    request: Request,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let parts = request.into_parts().0;
    let mut age = MAX_AGE;
    for (key, value) in pairs(&parts)? {
        let seconds = value.parse().ok().filter(|seconds| (1..=MAX_AGE.as_secs()).contains(seconds));
        age = match (key.as_str(), seconds) {
            ("seconds", Some(seconds)) => Duration::from_secs(seconds),
            ("seconds", None) => {
                let cause = format!("`seconds` is not a number from 1 to {}", MAX_AGE.as_secs());
                return Err(Error::new(code::MALFORMED_REQUEST, cause).into());
            }
            _ => return Err(unknown(&key).into()),
        };
    }
    let last = parts.headers.get("last-event-id").map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    let malformed = || Error::new(code::MALFORMED_REQUEST, "`Last-Event-ID` is not the number of an event");
    let after: u64 = last.map_or(Ok(0), |last: Option<u64>| last.ok_or_else(malformed))?;
    let follower = api.service.follow(&call, &tenant, &job, after).await?;
    let end = tokio::time::Instant::now() + age;
    let pages = stream::unfold(Some((api, follower)), move |state| next(state, end));
    Ok(Sse::new(pages.flat_map(stream::iter)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

type Following = Option<(Api, Follower)>;

async fn next(state: Following, end: tokio::time::Instant) -> Option<(Vec<Result<Sent, Infallible>>, Following)> {
    let (api, mut follower) = state?;
    let service = Arc::clone(&api.service);
    let followed = tokio::time::timeout_at(end, service.followed(&mut follower)).await.ok()?;
    match followed {
        Ok(Followed::Events(events, missed)) => {
            let gap = (missed > 0).then(|| Ok(Sent::default().event("gap").data(missed.to_string())));
            let sent = events.into_iter().map(|event| {
                let event = Event::from(event);
                let frame = Sent::default().id(event.sequence.to_string()).event(event.kind);
                Ok(frame.data(serde_json::to_string(&event).unwrap_or_default()))
            });
            Some((gap.into_iter().chain(sent).collect(), Some((api, follower))))
        }
        Ok(Followed::Gone) => Some((vec![Ok(Sent::default().event("gone").data(""))], None)),
        Err(error) => {
            tracing::warn!(%error, "a stream of events ends");
            None
        }
    }
}
