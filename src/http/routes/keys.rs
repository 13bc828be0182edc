//! `/api/access/keys`: the log's own API keys.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::{json, value::RawValue};
use tokio::task;

use crate::{
    access::{Caller, Grant, GrantText, KeyInfo, NewKey, Permission, Role},
    audit::{Action, Record},
    error::Failure,
    event::UnixMillis,
    http::{
        Shared, answer,
        operation::{Answer, Operation, body_errors},
        parameters::{Names, Parameter, Parameters},
        request::Members,
    },
    time::format_time,
    units::parse_duration,
    wire::{GrantAnswer, KeyAnswer, KeysAnswer, NewKeyAnswer, NewKeyRequest},
};

/// Maximum bytes of the description of a key: parsed, it takes many times its size.
const MAX_BODY: usize = 256 << 10;

const NAME: Parameter = Parameter::path("name", "Name of the key", "shop");

pub(super) fn operations() -> Vec<Operation> {
    let list = Operation::get(Permission::ListKeys, "/api/access/keys", "list_keys", list)
        .tagged("access")
        .summary("List the API keys")
        .answers([Answer::json::<KeysAnswer>(200, "All keys, without their texts")]);
    let create = Operation::post(Permission::ChangeKeys, "/api/access/keys", "create_key", create)
        .tagged("access")
        .summary("Create an API key")
        .description("The text of the key is only shown in this answer. The key is valid immediately.")
        .records(Action::KeyCreated)
        .json_body::<NewKeyRequest>(None)
        .answers([
            Answer::json::<NewKeyAnswer>(201, "The key"),
            Answer::error(400, "The request is invalid"),
            Answer::error(409, "A key with this name already exists"),
        ])
        .answers(body_errors())
        .answers([Answer::error(503, "The key could not be made durable")]);
    let revoke = Operation::delete(Permission::ChangeKeys, "/api/access/keys/{name}", "revoke_key", revoke)
        .tagged("access")
        .summary("Revoke an API key")
        .description("Takes effect with the next request. The last admin key without expiry cannot be revoked.")
        .records(Action::KeyRevoked)
        .parameters([&NAME])
        .answers([
            Answer::json::<KeyAnswer>(200, "The key that was revoked"),
            Answer::error(400, "The request is invalid"),
            Answer::error(404, "No key has this name"),
            Answer::error(409, "It is the last admin key without expiry"),
            Answer::error(503, "The change could not be made durable"),
        ]);
    vec![list, create, revoke]
}

fn show(info: KeyInfo, now: UnixMillis) -> KeyAnswer {
    let expired = info.is_expired(now);
    let KeyInfo { name, created, created_by, expires, grants } = info;
    let grants = grants.iter().map(Grant::text).map(show_grant).collect();
    KeyAnswer { name, created, created_by, expires: expires.map(format_time), expired, grants }
}

fn show_grant(GrantText { role, spaces, providers }: GrantText) -> GrantAnswer {
    GrantAnswer { role: role.as_str().to_owned(), spaces, providers }
}

async fn list(State(shared): State<Arc<Shared>>, parameters: Parameters) -> Result<Response, Failure> {
    parameters.finish()?;
    let now = shared.services.clock.now();
    let keys = shared.services.access.keys().list().into_iter().map(|info| show(info, now)).collect();
    Ok(answer::json(StatusCode::OK, &KeysAnswer { keys }))
}

async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let deadline = shared.deadline();
    let sent = shared.other_body(&caller, &headers, body, MAX_BODY, deadline).await?;
    // Writes to disk, so it runs on a blocking thread, and completes even if the client disconnects.
    let work = task::spawn_blocking(move || {
        let now = shared.services.clock.now();
        let new = read(&sent.decode()?.bytes, now)?;
        let record = |info: &KeyInfo| {
            let about = json!({"key": info.name, "grants": show(info.clone(), now).grants});
            let message = format!("created the API key {}", info.name);
            shared.record_change(Record::by(&caller, Action::KeyCreated, message, about), deadline)
        };
        let created = shared.services.access.keys().create(new, &caller.principal, now, record);
        let (info, text) = created?;
        let answer = NewKeyAnswer { key: text, about: show(info, now) };
        Ok::<_, Failure>(answer::json(StatusCode::CREATED, &answer))
    });
    work.await.map_err(|error| Failure::internal(error.to_string()))?
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    mut names: Names,
    parameters: Parameters,
) -> Result<Response, Failure> {
    parameters.finish()?;
    let name = names.take(NAME.name)?;
    let deadline = shared.deadline();
    let work = task::spawn_blocking(move || {
        let record = |info: &KeyInfo| {
            let message = format!("revoked the API key {}", info.name);
            let record = Record::by(&caller, Action::KeyRevoked, message, json!({"key": info.name}));
            shared.record_change(record, deadline)
        };
        let info = shared.services.access.keys().revoke(&name, record)?;
        let answer = show(info, shared.services.clock.now());
        Ok::<_, Failure>(answer::json(StatusCode::OK, &answer))
    });
    work.await.map_err(|error| Failure::internal(error.to_string()))?
}

fn read(body: &[u8], now: UnixMillis) -> Result<NewKey, Failure> {
    let mut members = Members::of_body(body)?;
    let (name, grants, expires) = (members.text("name")?, members.array("grants")?, members.optional_text("expires")?);
    members.finish()?;
    let grants = grants.into_iter().map(|(place, grant)| read_grant(&place, grant)).collect::<Result<_, _>>()?;
    let expires = expires.as_deref().map(|text| read_expiry(text, now)).transpose()?;
    Ok(NewKey { name, grants, expires })
}

fn read_grant(place: &str, grant: &RawValue) -> Result<Grant, Failure> {
    let wrong = |reason: String| Failure::invalid(format!("[{place}]: {reason}"));
    let mut members = Members::of(place, grant)?;
    let (role, spaces, providers) =
        (members.text("role")?, members.optional_texts("spaces")?, members.optional_texts("providers")?);
    members.finish()?;
    let role = Role::parse(&role)
        .ok_or_else(|| wrong(format!("role: expected one of {}, found {role:?}", Role::NAMES.join(", "))))?;
    Grant::read(&GrantText { role, spaces, providers }).map_err(|error| wrong(error.to_string()))
}

fn read_expiry(text: &str, now: UnixMillis) -> Result<UnixMillis, Failure> {
    if let Ok(from_now) = parse_duration(text) {
        let millis = i64::try_from(from_now.as_millis()).unwrap_or(i64::MAX);
        return Ok(UnixMillis(now.0.saturating_add(millis)));
    }
    UnixMillis::parse(text).ok_or_else(|| {
        let expected = "expected a time such as 2030-01-31T00:00:00Z, or a duration from now such as 90d";
        Failure::invalid(format!("[request body.expires]: {expected}; found {text:?}"))
    })
}
