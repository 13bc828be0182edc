//! `/openapi.json`: this interface, described for programs.

use std::sync::LazyLock;

use axum::{http::StatusCode, response::Response};

use crate::{
    error::Failure,
    http::{answer, openapi},
};

static DOCUMENT: LazyLock<Result<String, String>> = LazyLock::new(|| openapi().map_err(|error| error.to_string()));

/// The description of this interface
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "operation",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value))
)]
pub(in crate::http) async fn document() -> Result<Response, Failure> {
    match &*DOCUMENT {
        Ok(text) => Ok(answer::json_bytes(StatusCode::OK, text.clone().into_bytes())),
        Err(error) => Err(Failure::internal(error)),
    }
}
