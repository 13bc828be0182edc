//! `/api/event_log/events/{id}`: one event by its id.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode},
    response::Response,
};

use crate::{
    access::{Caller, Permission},
    audit::Action,
    error::Failure,
    http::{
        Shared, answer, held_body,
        operation::{Answer, Operation},
        parameters::{Names, Parameter, Parameters},
        request,
    },
    read::{EventRequest, FoundEvent, RequestedScope},
};

const ID: Parameter = Parameter::path("id", "`event.id`", "7-paid");

pub(super) fn operations() -> Vec<Operation> {
    let get = Operation::get(Permission::SearchEvents, "/api/event_log/events/{id}", "get_event", get)
        .in_spaces()
        .tagged("find")
        .summary("Get one event by its id")
        .description(
            "Looks for the `event.id` among the events that the caller may see. Programs may give several events the same id; the one \
             that was received first is returned, and the header `annals-count` says how many there are. A find with \
             `filter=event.id:…` returns all of them.",
        )
        .records(Action::Find)
        .parameters([&ID, &request::FIELDS])
        .answers([
            Answer::any_json(200, "The event, as it was stored"),
            Answer::error(400, "The request is invalid"),
            Answer::error(404, "There is no such event, or none that the caller may see"),
            Answer::error(503, "The store does not answer"),
        ]);
    vec![get]
}

async fn get(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    scope: RequestedScope,
    mut names: Names,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let request = EventRequest { projection: request::projection(parameters)?, id: names.take("id")? };
    let found = shared.services.reader.event(&caller, scope, request, shared.deadline()).await?;
    let FoundEvent { document, count, memory } = found;
    let mut response = answer::json_bytes(StatusCode::OK, held_body::body(document.into(), memory));
    response.headers_mut().insert("annals-count", HeaderValue::from(count));
    Ok(response)
}
