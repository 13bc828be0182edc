//! `/openapi.json` and `/api/event_log/schema`: the API document, and the JSON Schema of an event.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use bytes::Bytes;

use crate::{
    access::Permission,
    error::Failure,
    http::{
        Shared, answer,
        operation::{Answer, Operation},
    },
};

pub(super) fn operations() -> Vec<Operation> {
    let document = Operation::get(Permission::ReadDescription, "/openapi.json", "openapi", document)
        .tagged("operation")
        .summary("The description of this interface")
        .answers([Answer::any_json(200, "An OpenAPI 3.1 document")]);
    let schema = Operation::get(Permission::ReadDescription, "/api/event_log/schema", "event_schema", event_schema)
        .tagged("operation")
        .summary("The JSON Schema of an event")
        .description("docs/event.schema.json, with the fields of `events.fields_file`.")
        .answers([Answer::any_json(200, "A JSON Schema (2020-12)")]);
    vec![document, schema]
}

async fn document(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    json(&shared.description)
}

async fn event_schema(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    json(&shared.event_schema)
}

fn json(text: &Result<Bytes, String>) -> Result<Response, Failure> {
    match text {
        Ok(text) => Ok(answer::json_bytes(StatusCode::OK, text.clone())),
        Err(error) => Err(Failure::internal(error)),
    }
}
