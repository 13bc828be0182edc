//! An operation of the interface: its route, the permission it requires, its parameters, body and answers, the action that is
//! audited, and its handler. The routes, their guards and the API document are all built from it.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, Object, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
        extensions::ExtensionsBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, SchemaFormat},
        security::SecurityRequirement,
    },
};

use super::{
    Shared,
    answer::ErrorAnswer,
    event_schema, guard,
    parameters::{Kind, Location, MAX_SAFE, Parameter},
};
use crate::{access::Permission, audit::Action, schema};

pub(super) struct Operation {
    pub(super) path: &'static str,
    /// Whether it also exists under `/s/{space}`.
    pub(super) is_in_spaces: bool,
    id: &'static str,
    pub(super) method: HttpMethod,
    tag: &'static str,
    summary: &'static str,
    description: Option<String>,
    access: Access,
    action: Option<Action>,
    parameters: Vec<&'static Parameter>,
    body: Option<BodyDescription>,
    answers: Vec<Answer>,
    handler: MethodRouter<Arc<Shared>>,
}

/// Who may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Callers with this permission.
    Needs(Permission),
    /// Everyone.
    Open,
    /// Everyone; callers with credentials may get a fuller answer.
    OpenWithCredentials,
}

impl From<Permission> for Access {
    fn from(permission: Permission) -> Self {
        Self::Needs(permission)
    }
}

/// The description of a request body.
struct BodyDescription {
    description: Option<&'static str>,
    contents: Vec<(&'static str, SchemaOf)>,
}

/// The description of a possible answer.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    description: &'static str,
    contents: Vec<(&'static str, SchemaOf)>,
}

/// The schema of a content, including the schemas that it refers to.
#[derive(Clone, Copy)]
enum SchemaOf {
    Type {
        name: fn() -> String,
        schema: fn() -> RefOr<Schema>,
        others: fn(&mut Vec<(String, RefOr<Schema>)>),
    },
    /// An event or an array of events, by the JSON Schema in `docs/event.schema.json`.
    Event,
    Text,
    /// Any JSON.
    Json,
}

/// Returns a placeholder for the schema of an event, which uses keywords that utoipa cannot express.
fn event_placeholder() -> Object {
    ObjectBuilder::new().schema_type(Type::Object).description(Some("docs/event.schema.json")).build()
}

/// Replaces the placeholder in the API document by the schema of an event.
pub(super) fn with_event_schema(document: &str) -> serde_json::Result<String> {
    const INDENT: &str = "\n      ";
    let placeholder = serde_json::to_string_pretty(&event_placeholder())?.replace('\n', INDENT);
    let schema = event_schema::text(schema::own_fields())?.trim_end().replace('\n', INDENT);
    Ok(document.replacen(&placeholder, &schema, 1))
}

impl SchemaOf {
    fn of<T: ToSchema>() -> Self {
        Self::Type { name: || T::name().into_owned(), schema: T::schema, others: T::schemas }
    }

    fn content(self) -> Content {
        Content::new(Some(match self {
            Self::Type { name, .. } => RefOr::Ref(Ref::from_schema_name(name())),
            Self::Event => {
                let event = || RefOr::<Schema>::Ref(Ref::from_schema_name(EVENT));
                let events = ArrayBuilder::new().items(event());
                AnyOfBuilder::new().item(event()).item(events).into()
            }
            Self::Text => String::schema(),
            Self::Json => serde_json::Value::schema(),
        }))
    }

    fn add_to(self, components: &mut Components) {
        match self {
            Self::Type { name, schema, others } => {
                components.schemas.insert(name(), schema());
                let mut schemas = Vec::new();
                others(&mut schemas);
                components.schemas.extend(schemas);
            }
            Self::Event => {
                components.schemas.insert(EVENT.to_owned(), Schema::from(event_placeholder()).into());
            }
            Self::Text | Self::Json => {}
        }
    }
}

const JSON: &str = "application/json";
const EVENT: &str = "Event";

/// Returns the description of the parameter for the API document.
fn describe(parameter: &Parameter) -> utoipa::openapi::path::Parameter {
    let schema = match &parameter.kind {
        Kind::Text { default } => {
            ObjectBuilder::new().schema_type(Type::String).default(default.map(serde_json::Value::from))
        }
        Kind::Number { range, maximum } => {
            let maximum = maximum.or((range.max < MAX_SAFE).then_some(range.max));
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .default(Some(range.default.into()))
                .minimum(Some(range.min))
                .maximum(maximum)
        }
    };
    let (location, required) = match parameter.location {
        Location::Path => (ParameterIn::Path, Required::True),
        Location::Query => (ParameterIn::Query, Required::False),
    };
    ParameterBuilder::new()
        .name(parameter.name)
        .parameter_in(location)
        .required(required)
        .description(Some(parameter.doc))
        .schema(Some(schema.build()))
        .example(parameter.example.map(serde_json::Value::from))
        .build()
}

impl Answer {
    pub(super) fn json<T: ToSchema>(status: u16, description: &'static str) -> Self {
        Self { status, description, contents: vec![(JSON, SchemaOf::of::<T>())] }
    }

    pub(super) fn any_json(status: u16, description: &'static str) -> Self {
        Self { status, description, contents: vec![(JSON, SchemaOf::Json)] }
    }

    pub(super) fn text(status: u16, description: &'static str, content_type: &'static str) -> Self {
        Self { status, description, contents: vec![(content_type, SchemaOf::Text)] }
    }

    pub(super) fn or_text(mut self, content_type: &'static str) -> Self {
        self.contents.push((content_type, SchemaOf::Text));
        self
    }

    pub(super) fn or_json(mut self) -> Self {
        self.contents.push((JSON, SchemaOf::Json));
        self
    }

    pub(super) fn error(status: u16, description: &'static str) -> Self {
        Self::json::<ErrorAnswer<'static>>(status, description)
    }
}

/// Returns the errors of all queries.
pub(super) fn question_errors() -> [Answer; 3] {
    [
        Answer::error(400, "The request is invalid"),
        Answer::error(404, "There is no such space, or nothing that the caller may see"),
        Answer::error(503, "The store does not answer"),
    ]
}

/// Returns the errors of all operations with a body.
pub(super) fn body_errors() -> [Answer; 2] {
    [Answer::error(413, "The body is too large"), Answer::error(415, "The content type or encoding is not accepted")]
}

impl Operation {
    fn new<H: Handler<T, Arc<Shared>>, T: 'static>(
        (method, filter): (HttpMethod, MethodFilter),
        access: impl Into<Access>,
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self {
            path,
            is_in_spaces: false,
            id,
            method,
            tag: "",
            summary: "",
            description: None,
            access: access.into(),
            action: None,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            handler: on(filter, handler),
        }
    }

    pub(super) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(
        access: impl Into<Access>,
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new((HttpMethod::Get, MethodFilter::GET), access, path, id, handler)
    }

    pub(super) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(
        access: impl Into<Access>,
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new((HttpMethod::Post, MethodFilter::POST), access, path, id, handler)
    }

    pub(super) fn put<H: Handler<T, Arc<Shared>>, T: 'static>(
        access: impl Into<Access>,
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new((HttpMethod::Put, MethodFilter::PUT), access, path, id, handler)
    }

    pub(super) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(
        access: impl Into<Access>,
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new((HttpMethod::Delete, MethodFilter::DELETE), access, path, id, handler)
    }

    pub(super) fn tagged(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    pub(super) fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(super) fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Adds the operation under `/s/{space}`, too.
    pub(super) fn in_spaces(mut self) -> Self {
        self.is_in_spaces = true;
        self
    }

    /// Sets the action that is audited, for the API document.
    pub(super) fn records(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    pub(super) fn parameters(mut self, parameters: impl IntoIterator<Item = &'static Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    pub(super) fn json_body<T: ToSchema>(mut self, description: Option<&'static str>) -> Self {
        self.body = Some(BodyDescription { description, contents: vec![(JSON, SchemaOf::of::<T>())] });
        self
    }

    /// Sets a body of events: a single event, an array, or NDJSON.
    pub(super) fn events_body(mut self, description: &'static str) -> Self {
        let contents = vec![(JSON, SchemaOf::Event), ("application/x-ndjson", SchemaOf::Text)];
        self.body = Some(BodyDescription { description: Some(description), contents });
        self
    }

    pub(super) fn answers(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.answers.extend(answers);
        self
    }

    /// Whether it can be called without credentials.
    pub(super) fn is_open(&self) -> bool {
        match self.access {
            Access::Needs(_) => false,
            Access::Open | Access::OpenWithCredentials => true,
        }
    }

    /// Adds the route, guarded by a check of the required permission.
    pub(super) fn route(&self, router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
        let handler = self.handler.clone();
        let guarded = match self.access {
            Access::Needs(permission) => handler.route_layer(from_fn_with_state(permission, guard::check)),
            Access::Open | Access::OpenWithCredentials => handler,
        };
        router.route(self.path, guarded)
    }

    /// Returns the description for the API document; adds the schemas that it refers to to the components.
    pub(super) fn describe(&self, components: &mut Components) -> utoipa::openapi::path::Operation {
        let mut described = OperationBuilder::new()
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(self.description.as_deref())
            .operation_id(Some(self.id));
        for parameter in &self.parameters {
            described = described.parameter(describe(parameter));
        }
        if let Some(body) = &self.body {
            let mut built = RequestBodyBuilder::new().description(body.description).required(Some(Required::True));
            for (content_type, schema) in &body.contents {
                schema.add_to(components);
                built = built.content(*content_type, schema.content());
            }
            described = described.request_body(Some(built.build()));
        }
        for answer in &self.answers {
            let mut built = ResponseBuilder::new().description(answer.description);
            for (content_type, schema) in &answer.contents {
                schema.add_to(components);
                built = built.content(*content_type, schema.content());
            }
            described = described.response(answer.status.to_string(), built.build());
        }
        let security: &[SecurityRequirement] = match self.access {
            Access::Needs(_) => &[],
            Access::Open => &[SecurityRequirement::default()],
            Access::OpenWithCredentials => {
                &[SecurityRequirement::default(), SecurityRequirement::new::<_, [&str; 0], &str>("api_key", [])]
            }
        };
        for requirement in security {
            described = described.security(requirement.clone());
        }
        if let Some(action) = self.action {
            described =
                described.extensions(Some(ExtensionsBuilder::new().add("x-annals-records", action.as_str()).build()));
        }
        described.build()
    }
}
