//! The description of the interface, made of what stands beside each handler.

pub(super) mod examples;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components, Content, OpenApi as Document, Ref, RefOr, ResponseBuilder, ServerBuilder, ServerVariableBuilder,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use self::examples::Examples;
use super::{answer::ErrorAnswer, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Annals",
        description = "A tamper-evident event log. Every error answer has the fields `statusCode`, `error` and \
                       `message`, and its code in the header `annals-error`; docs/errors.md explains each."
    ),
    paths(
        routes::events::log,
        routes::providers::list,
        routes::providers::register,
        routes::dead_letters::list,
        routes::dead_letters::replay,
        routes::keys::list,
        routes::keys::create,
        routes::keys::revoke,
        routes::health::live,
        routes::health::ready,
        routes::metrics::scrape,
        routes::openapi::document,
    ),
    components(schemas(ErrorAnswer)),
    security(("api_key" = []), ("bearer" = [])),
)]
struct Api;

/// The document, as JSON for people: indented, with a line break at its end.
pub fn document() -> serde_json::Result<String> {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_with(Components::new);
    for operation in routes::operations() {
        let described = operation.describe(components);
        document.paths.add_path_operation(operation.path, vec![operation.method.clone()], described);
    }
    Common.modify(&mut document);
    Examples::read()?.add_to(&mut document);
    let mut text = document.to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

/// What holds for every operation.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        add_security(document.components.get_or_insert_with(Components::new));
        document.servers = Some(vec![
            ServerBuilder::new().url("/").description(Some("The default space")).build(),
            ServerBuilder::new()
                .url("/s/{space}")
                .description(Some("Another space; for the paths under /api"))
                .parameter("space", ServerVariableBuilder::new().default_value("default"))
                .build(),
        ]);
        for path in document.paths.paths.values_mut() {
            operations(path).for_each(add_unauthenticated);
        }
    }
}

fn add_security(components: &mut Components) {
    let description = "`ApiKey <key>`";
    let api_key = ApiKey::Header(ApiKeyValue::with_description("authorization", description));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(api_key));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The same key")).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
}

/// An operation that says nothing of its own about security needs a key.
fn add_unauthenticated(operation: &mut Operation) {
    if operation.security.is_none() {
        let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorAnswer"))));
        for (status, description) in [
            ("401", "The request has no credentials, or none that are known"),
            ("403", "The caller is known, and may not do this"),
            (
                "429",
                "Too many attempts to authenticate failed, the journal is full, or as many exports or tails are running as may",
            ),
        ] {
            let response =
                ResponseBuilder::new().description(description).content("application/json", body.clone()).build();
            operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
        }
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().filter_map(Option::as_mut)
}
