//! `/api/event_log/providers`: the registered providers and their actions.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::json;
use tokio::task;

use crate::{
    access::{Caller, Permission},
    audit::{Action, Record},
    error::{ErrorCode, Failure},
    http::{
        LARGE, Shared, answer,
        body::busy,
        held_body,
        operation::{Answer, Operation, body_errors},
        parameters::{InSpace, Names, Parameter, Parameters},
        request,
    },
    intake::Change,
    wire::{ProviderAnswer, ProvidersAnswer, Registration, UnknownFields},
};

/// Maximum bytes of a registration, enough for the most actions and defaults: parsed, it takes many times its size.
const MAX_BODY: usize = 2 << 20;

/// How often the registrations are in memory while they are listed: as such, as an answer and as its bytes, with escapes.
const COPIES: usize = 6;

const PROVIDER: Parameter = Parameter::path("provider", "`event.provider` of the events", "shop");

pub(super) fn operations() -> Vec<Operation> {
    let list = Operation::get(Permission::ListProviders, "/api/event_log/providers", "list_providers", list)
        .in_spaces()
        .tagged("providers")
        .summary("List the registered providers")
        .description("A writer only sees the providers that it may log as.")
        .answers([Answer::json::<ProvidersAnswer>(200, "All providers by name")]);
    let register = Operation::put(
        Permission::RegisterProviders,
        "/api/event_log/providers/{provider}",
        "register_provider",
        register,
    )
    .in_spaces()
    .tagged("providers")
    .summary("Register a provider's actions")
    .description(
        "Adds the actions to the registered ones. Defaults, if any are given, replace those of the space, and hold there alone; they \
         cannot say who did something, where, how it ended or about which objects.",
    )
    .records(Action::ProviderRegistered)
    .parameters([&PROVIDER])
    .json_body::<Registration>(Some("`actions`, and optionally `defaults` and `unknown_fields`"))
    .answers([
        Answer::json::<ProviderAnswer>(200, "The provider as it is registered now"),
        Answer::error(400, "The request is invalid"),
    ])
    .answers(body_errors())
    .answers([Answer::error(503, "The registration could not be made durable")]);
    let delete = Operation::delete(
        Permission::RegisterProviders,
        "/api/event_log/providers/{provider}",
        "delete_provider",
        delete,
    )
    .tagged("providers")
    .summary("Delete a provider")
    .description(
        "With its actions and its defaults in every space; its events stay. Only callers who may register it in every space may delete it.",
    )
    .records(Action::ProviderDeleted)
    .parameters([&PROVIDER])
    .answers([
        Answer::json::<ProviderAnswer>(200, "The provider as it was registered; its defaults by space"),
        Answer::error(400, "The request is invalid"),
        Answer::error(404, "No provider of this name is registered"),
        Answer::error(409, "The provider belongs to the log or its configuration"),
        Answer::error(503, "The change could not be made durable"),
    ]);
    vec![list, register, delete]
}

async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    parameters: Parameters,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let (name, deadline) = (caller.principal.to_string(), shared.deadline());
    // The registrations, the answer, and its bytes.
    let bytes = COPIES * (shared.services.ingest.registry().bytes() + 1024);
    let memory = shared.services.memory.answers.reserve(&name, bytes, deadline).await.map_err(busy)?;
    let on_thread = Arc::clone(&shared);
    let list = move || {
        let registered = on_thread.services.ingest.registry().list(space.as_ref());
        let is_shown = |name: &String| caller.principal.may_see_provider(name);
        let registered = registered.into_iter().filter(|(name, _)| is_shown(name));
        let providers = registered.map(|(name, provider)| (name, provider.into())).collect();
        serde_json::to_vec(&ProvidersAnswer { providers }).map_err(|error| Failure::internal(error.to_string()))
    };
    let list = if bytes > LARGE { shared.work(&name, deadline, list).await? } else { list() }?;
    Ok(answer::json_bytes(StatusCode::OK, held_body::body(list, memory)))
}

async fn register(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    mut names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let provider = names.take(PROVIDER.name)?;
    if !caller.principal.may_register(&provider, space.as_ref()) {
        return Err(Failure::new(ErrorCode::Forbidden, "the caller may not register this provider in this space"));
    }
    let deadline = shared.deadline();
    let sent = shared.other_body(&caller, &headers, body, MAX_BODY, deadline).await?;
    // Writes to disk, so it runs on a blocking thread, and completes even if the client disconnects.
    let name = caller.principal.to_string();
    let on_thread = Arc::clone(&shared);
    let register = move || {
        let plain = sent.decode()?;
        let registration = read(&plain.bytes)?;
        let record = |Change { before, after }: &Change| {
            let payload = json!({"provider": provider, "before": before, "after": after});
            let message = format!("registered the provider {provider}");
            let record = Record::by(&caller, Action::ProviderRegistered, message, payload);
            on_thread.record_change(Record { space: space.clone(), ..record }, deadline)
        };
        let registry = on_thread.services.ingest.registry();
        registry.register(&provider, space.as_ref(), registration, record)
    };
    let Change { after: registered, .. } = shared.work(&name, deadline, register).await??;
    Ok(answer::json(StatusCode::OK, &ProviderAnswer::from(registered)))
}

fn read(body: &[u8]) -> Result<Registration, Failure> {
    let mut members = request::Members::of_body(body)?;
    let (actions, defaults) = (members.texts("actions")?, members.object("defaults")?);
    let unknown_fields = match members.optional_text("unknown_fields")?.as_deref() {
        None => None,
        Some("refuse") => Some(UnknownFields::Refuse),
        Some("keep") => Some(UnknownFields::Keep),
        Some(other) => {
            return Err(Failure::parameter(
                "unknown_fields",
                format_args!("expected [refuse] or [keep] but got [{other}]"),
            ));
        }
    };
    members.finish()?;
    Ok(Registration { actions, defaults, unknown_fields })
}

async fn delete(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    mut names: Names,
    parameters: Parameters,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let provider = names.take(PROVIDER.name)?;
    if !caller.principal.may_delete_provider(&provider) {
        return Err(Failure::new(ErrorCode::Forbidden, "the caller may not delete this provider"));
    }
    let deadline = shared.deadline();
    let work = task::spawn_blocking(move || {
        let record = |before: &Registration| {
            let payload = json!({"provider": provider, "before": before});
            let message = format!("deleted the provider {provider}");
            shared.record_change(Record::by(&caller, Action::ProviderDeleted, message, payload), deadline)
        };
        shared.services.ingest.registry().delete(&provider, record)
    });
    let deleted = work.await.map_err(|error| Failure::internal(error.to_string()))??;
    Ok(answer::json(StatusCode::OK, &ProviderAnswer::from(deleted)))
}
