//! Builds the API document from the table of operations.

pub(super) mod examples;

use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, Ref, RefOr, ResponseBuilder, Server, ServerBuilder, ServerVariableBuilder,
        path::Operation as Described,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use self::examples::Examples;
use super::{
    answer::ErrorAnswer,
    operation::{Operation, with_event_schema},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Annals",
        description = "A tamper-evident event log. Every error answer has the fields `statusCode`, `error` and \
                       `message`, and its code in the header `annals-error`; docs/errors.md explains each."
    ),
    components(schemas(ErrorAnswer)),
    security(("api_key" = []), ("bearer" = [])),
)]
struct Api;

/// Returns the document as indented JSON with a newline at the end.
pub(super) fn document(operations: &[Operation]) -> serde_json::Result<String> {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_with(Components::new);
    add_security(components);
    for operation in operations {
        let mut described = operation.describe(components);
        if !operation.is_open() {
            add_unauthenticated(&mut described);
        }
        document.paths.add_path_operation(operation.path, vec![operation.method.clone()], described);
    }
    document.servers = Some(servers());
    Examples::read()?.add_to(&mut document);
    let mut text = with_event_schema(&document.to_pretty_json()?)?;
    text.push('\n');
    Ok(text)
}

fn servers() -> Vec<Server> {
    vec![
        ServerBuilder::new().url("/").description(Some("The default space")).build(),
        ServerBuilder::new()
            .url("/s/{space}")
            .description(Some("Another space; for the paths under /api"))
            .parameter("space", ServerVariableBuilder::new().default_value("default"))
            .build(),
    ]
}

fn add_security(components: &mut Components) {
    let description = "`ApiKey <key>`";
    let api_key = ApiKey::Header(ApiKeyValue::with_description("authorization", description));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(api_key));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The same key")).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
}

fn add_unauthenticated(operation: &mut Described) {
    let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorAnswer"))));
    for (status, description) in [
        ("401", "The request has no valid credentials"),
        ("403", "The caller is known, but does not have permission"),
        (
            "429",
            "Too many attempts to authenticate failed, the journal is full, or too many exports or tails are running",
        ),
    ] {
        let response =
            ResponseBuilder::new().description(description).content("application/json", body.clone()).build();
        operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
    }
}
