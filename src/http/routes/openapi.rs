//! `/openapi.json`: the API document.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};

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
    vec![document]
}

async fn document(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    match &shared.description {
        Ok(text) => Ok(answer::json_bytes(StatusCode::OK, text.clone())),
        Err(error) => Err(Failure::internal(error)),
    }
}
