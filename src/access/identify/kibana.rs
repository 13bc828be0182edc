//! Kibana's users, by session or credentials: `GET internal/security/me` with the caller's credentials.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::access::{
    Credentials,
    remote::{Remote, Request, Unavailable},
};

/// Kibana answers its internal routes only to requests with this header.
pub(in crate::access) const INTERNAL_ORIGIN: (&str, &str) = ("x-elastic-internal-origin", "annals");

/// The cookie for Kibana; `None` without a session.
pub(in crate::access) fn cookie(credentials: &Credentials, name: &str) -> Option<String> {
    credentials.session().map(|session| format!("{name}={session}"))
}

/// Kibana's description of the caller; `None` if it does not know them.
pub(super) async fn ask(remote: &Remote, name: &str, credentials: &Credentials) -> Result<Option<Value>, Unavailable> {
    let cookie = cookie(credentials, name);
    let mut headers = vec![INTERNAL_ORIGIN];
    match (credentials.authorization(), &cookie) {
        (Some(authorization), _) => headers.push(("authorization", authorization)),
        (None, Some(cookie)) => headers.push(("cookie", cookie)),
        (None, None) => return Ok(None),
    }
    let request = Request { method: Method::GET, path: "internal/security/me", headers, body: None };
    let answer = remote.ask(&request).await?;
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body).map(Some).map_err(|error| answer.unexpected(error)),
        // A redirect leads to the login page.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::FOUND | StatusCode::SEE_OTHER => Ok(None),
        _ => Err(answer.unexpected("expected the identity of the caller")),
    }
}
