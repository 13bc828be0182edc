//! `/api/event_log/providers`: who may log which actions.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::task;

use super::described::BodyErrors;

use crate::{
    access::Caller,
    error::{ErrorCode, Failure},
    http::{
        MAX_QUERY_BYTES, Shared,
        answer::{self, ErrorAnswer},
        body::Expected,
        parameters::{InSpace, Names, Parameters},
    },
    wire::{ProviderAnswer, ProvidersAnswer, Registration},
};

const JSON: Expected = Expected { content_types: &["application/json"], limit: MAX_QUERY_BYTES };

/// List the registered providers
///
/// A writer sees those that it may log as.
#[utoipa::path(
    get,
    path = "/api/event_log/providers",
    operation_id = "list_providers",
    tag = "providers",
    responses((status = 200, description = "All providers by name", body = ProvidersAnswer))
)]
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    parameters: Parameters,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let registered = shared.services.intake.registry().list();
    let is_shown = |name: &String| caller.principal.may_see_provider(name);
    let registered = registered.into_iter().filter(|(name, _)| is_shown(name));
    let providers = registered.map(|(name, provider)| (name, provider.into())).collect();
    Ok(answer::json(StatusCode::OK, &ProvidersAnswer { providers }))
}

/// Register a provider's actions
///
/// Adds the actions to those that are there. Defaults, if any are given, take the place of those that are there.
#[utoipa::path(
    put,
    path = "/api/event_log/providers/{provider}",
    operation_id = "register_provider",
    tag = "providers",
    params(("provider" = String, Path, description = "`event.provider` of the events", example = "shop")),
    request_body(
        description = "`actions`, and optionally `defaults`",
        content((Registration = "application/json"))
    ),
    responses(
        (status = 200, description = "What is registered of the provider now", body = ProviderAnswer),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
        BodyErrors,
        (status = 503, description = "The registration could not be made durable", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn register(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    mut names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let provider = names.take("provider")?;
    if !caller.principal.may_register(&provider) {
        return Err(Failure::new(ErrorCode::Forbidden, "the caller may not register this provider"));
    }
    let sent = shared.other_bodies.read(&headers, body, JSON, shared.deadline()).await?;
    // It is written to disk: on a thread that may block, and to its end even if the client goes away.
    let work = task::spawn_blocking(move || {
        let plain = sent.decode()?;
        let registration: Registration = serde_json::from_slice(&plain.bytes)
            .map_err(|error| Failure::invalid(format!("[request body]: {error}")))?;
        Ok::<_, Failure>(shared.services.intake.registry().register(&provider, registration)?)
    });
    let registered = work.await.map_err(|error| Failure::internal(error.to_string()))??;
    Ok(answer::json(StatusCode::OK, &ProviderAnswer::from(registered)))
}
