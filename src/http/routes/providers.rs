//! `/api/event_log/providers`: the registered providers and their actions.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::task;

use crate::{
    access::{Caller, Permission},
    error::{ErrorCode, Failure},
    http::{
        MAX_QUERY_BYTES, Shared, answer,
        body::Expected,
        operation::{Answer, Operation, body_errors},
        parameters::{InSpace, Names, Parameter, Parameters},
    },
    wire::{ProviderAnswer, ProvidersAnswer, Registration},
};

const JSON: Expected = Expected { content_types: &["application/json"], limit: MAX_QUERY_BYTES };

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
    .description("Adds the actions to the registered ones. Defaults, if any are given, replace the registered ones.")
    .parameters([&PROVIDER])
    .json_body::<Registration>(Some("`actions`, and optionally `defaults`"))
    .answers([
        Answer::json::<ProviderAnswer>(200, "The provider as it is registered now"),
        Answer::error(400, "The request is invalid"),
    ])
    .answers(body_errors())
    .answers([Answer::error(503, "The registration could not be made durable")]);
    vec![list, register]
}

async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    parameters: Parameters,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let registered = shared.services.ingest.registry().list();
    let is_shown = |name: &String| caller.principal.may_see_provider(name);
    let registered = registered.into_iter().filter(|(name, _)| is_shown(name));
    let providers = registered.map(|(name, provider)| (name, provider.into())).collect();
    Ok(answer::json(StatusCode::OK, &ProvidersAnswer { providers }))
}

async fn register(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    mut names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let provider = names.take(PROVIDER.name)?;
    if !caller.principal.may_register(&provider) {
        return Err(Failure::new(ErrorCode::Forbidden, "the caller may not register this provider"));
    }
    let sent = shared.other_bodies.read(&headers, body, JSON, shared.deadline()).await?;
    // Writes to disk, so it runs on a blocking thread, and completes even if the client disconnects.
    let work = task::spawn_blocking(move || {
        let plain = sent.decode()?;
        let registration: Registration = serde_json::from_slice(&plain.bytes)
            .map_err(|error| Failure::invalid(format!("[request body]: {error}")))?;
        Ok::<_, Failure>(shared.services.ingest.registry().register(&provider, registration)?)
    });
    let registered = work.await.map_err(|error| Failure::internal(error.to_string()))??;
    Ok(answer::json(StatusCode::OK, &ProviderAnswer::from(registered)))
}
