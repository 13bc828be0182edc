//! `/api/event_log/events/{id}`: one event by its id.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    access,
    audit::Action,
    error::Failure,
    http::{
        Shared,
        answer::{self, ErrorAnswer},
        ask::Whose,
        guard::{self, Caller},
        pages,
        parameters::{Names, Parameters},
        request::EventRequest,
    },
};

/// Get one event by its id
///
/// By `event.id`, among those that the caller may see. Programs may give an id to several events; the first of them in time is
/// the answer.
#[utoipa::path(
    get,
    path = "/api/event_log/events/{id}",
    operation_id = "get_event",
    tag = "find",
    params(
        ("id" = String, Path, description = "`event.id`", example = "7-paid"),
        ("fields" = Option<String>, Query, description = "What to return of it, as in a find"),
    ),
    responses(
        (status = 200, description = "The event, as it was stored", body = serde_json::Value),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
        (status = 404, description = "There is no such event, or none that the caller may see", body = ErrorAnswer),
        (status = 503, description = "The store does not answer", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn get(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    mut names: Names,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = EventRequest::parse(parameters, names.take("id")?)?;
    let permit = whose.permit(&shared, &caller, deadline, Action::Find).await?;
    let query = access::scope(permit, |scope| request.query(scope));
    let (page, place) = shared.pages.find(shared.services.query_store.as_ref(), &query, deadline).await?;
    let document = page.documents.into_iter().next().ok_or_else(guard::absent)?;
    let document = request.projection.apply(document).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(answer::json_bytes(StatusCode::OK, pages::body(document.into(), place)))
}
