//! An error as an answer: `application/problem+json` (RFC 9457) with the `LG` code, what to do, and the request's id.

use crate::server::{self, RequestId};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lockgate_core::error::code;
use lockgate_core::{Code, Error};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// The media type.
const PROBLEM: &str = "application/problem+json";

/// An error that ends a request.
#[derive(Clone, Debug)]
pub struct Problem(pub Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// The page of the error.
    r#type: String,
    /// What the code means, in a few words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What happened, in one sentence.
    detail: &'a str,
    /// The stable code.
    code: String,
    /// What to do, if there is more to say than on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    /// The request's id, to be found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
}

impl Problem {
    fn answer(&self, request: Option<&str>) -> Response {
        let error = &self.0;
        let status = status(error.code());
        // What went wrong inside is for the log.
        let own = status == StatusCode::INTERNAL_SERVER_ERROR;
        if own {
            tracing::error!(%error, request, "a request failed");
        }
        let body = Body {
            r#type: format!("https://lockgate.dev/errors#{}", error.code().to_string().to_lowercase()),
            title: error.code().title(),
            status: status.as_u16(),
            detail: if own { "something went wrong in the JobManager; its log has the details" } else { error.cause() },
            code: error.code().to_string(),
            help: error.help_text().filter(|_| !own),
            request,
        };
        let mut response = (status, serde_json::to_vec(&body).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Written once more with the request's id, where that is known.
        let mut response = self.answer(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts the request's id into errors and headers of answers.
pub(crate) async fn name(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let Some(id) = id else { return response };
    if let Some(problem) = response.extensions().get::<Problem>().cloned() {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = problem.answer(Some(id.as_str()));
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(value) = HeaderValue::try_from(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The status of an error.
pub fn status(code: Code) -> StatusCode {
    match code {
        code::MALFORMED_REQUEST
        | code::INVALID_CURSOR
        | code::INVALID_IDEMPOTENCY_KEY
        | code::INVALID_LABEL
        | code::INVALID_NAME
        | code::INVALID_DIGEST
        | code::UNKNOWN_STATE => StatusCode::BAD_REQUEST,
        code::UNSUPPORTED_MEDIA => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::METHOD_NOT_ALLOWED => StatusCode::METHOD_NOT_ALLOWED,
        code::PRECONDITION_FAILED => StatusCode::PRECONDITION_FAILED,
        code::PRECONDITION_REQUIRED => StatusCode::PRECONDITION_REQUIRED,
        code::ALREADY_EXISTS
        | code::WRONG_STATE
        | code::NO_TRUST
        | code::BUNDLE_IN_USE
        | code::CONFLICT
        | code::JOB_ENDED
        | code::JOB_TRANSITION => StatusCode::CONFLICT,
        code::PLANE_VERSION => StatusCode::UPGRADE_REQUIRED,
        code::JOIN_TOKEN => StatusCode::UNAUTHORIZED,
        code::PLANE_REFUSED => StatusCode::FORBIDDEN,
        code::CERTIFICATE_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        code::NO_TASKMANAGER => StatusCode::NOT_FOUND,
        code::PLANE_MESSAGE => StatusCode::BAD_REQUEST,
        code::NAME_TAKEN | code::NO_PLANE => StatusCode::CONFLICT,
        code::TENANT_INACTIVE => StatusCode::FORBIDDEN,
        code::BUNDLE_TOO_LARGE | code::STORE_LIMIT => StatusCode::PAYLOAD_TOO_LARGE,
        code::IDEMPOTENCY_MISMATCH | code::UNNAMED_DOCUMENT | code::NOT_A_JOB => StatusCode::UNPROCESSABLE_ENTITY,
        code::STORE_FULL => StatusCode::INSUFFICIENT_STORAGE,
        code::CONTENDED
        | code::TOO_MANY_FOLLOWERS
        | code::STORE_FAILED
        | code::STORE_UNCERTAIN
        | code::STORE_CLOSED => StatusCode::SERVICE_UNAVAILABLE,
        other => match server::status(other) {
            // What verification and planning refuse.
            StatusCode::INTERNAL_SERVER_ERROR if (100..600).contains(&other.number()) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            status => status,
        },
    }
}

/// Adds to every route how it answers when something is wrong, and that it takes a credential.
pub(super) fn describe(document: &mut OpenApi) {
    use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new().description("What went wrong").content(PROBLEM, content).build();
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".into(), <Body<'_> as utoipa::PartialSchema>::schema());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("bearer".into(), bearer);
    let mutual = SecurityScheme::MutualTls { description: Some("A client certificate".into()), extensions: None };
    components.security_schemes.insert("certificate".into(), mutual);
    document.security = Some(vec![
        SecurityRequirement::new("bearer", Vec::<String>::new()),
        SecurityRequirement::new("certificate", Vec::<String>::new()),
    ]);
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".into(), RefOr::T(problem.clone()));
        }
    }
}
