//! Errors of routes: [`crate::server`] makes the answers, so that they are the same before and behind the routes; here they
//! get their place in the description.

use crate::server::{self, PROBLEM};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// An error that ends a request.
pub use crate::server::Refusal as Problem;

/// Adds to every route how it answers when something is wrong, and that it takes a credential.
pub(super) fn describe(document: &mut OpenApi) {
    use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new().description("What went wrong").content(PROBLEM, content).build();
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".into(), <server::Problem<'_> as utoipa::PartialSchema>::schema());
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
