//! Elasticsearch's own users: `GET _security/_authenticate` with the caller's credentials.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::access::{
    Credentials,
    remote::{Remote, Request, Unavailable},
};

/// Elasticsearch's description of the caller; `None` if it does not know them.
pub(super) async fn ask(remote: &Remote, credentials: &Credentials) -> Result<Option<Value>, Unavailable> {
    let Some(authorization) = credentials.authorization() else { return Ok(None) };
    let request = Request {
        method: Method::GET,
        path: "_security/_authenticate",
        headers: vec![("authorization", authorization)],
        body: None,
    };
    let answer = remote.ask(&request).await?;
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body).map(Some).map_err(|error| answer.unexpected(error)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
        _ => Err(answer.unexpected("expected the identity of the caller")),
    }
}
