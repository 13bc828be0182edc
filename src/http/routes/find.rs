//! `/api/event_log/{type}/…/_find`: events by the saved objects that they are about, as in Kibana.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    task,
    time::{Instant, timeout_at},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    access::{self, Denied, Permit, Unavailable},
    audit::{Action, Record},
    error::{ErrorCode, Failure},
    http::{
        MAX_QUERY_BYTES, Shared,
        answer::{self, ErrorAnswer},
        body::Expected,
        guard::{self, Caller},
        parameters::{InSpace, Names, Parameters},
        request::{self, FindRequest},
    },
    query::ObjectScope,
    store::Page,
};

/// An event tells of so many ids that were asked for.
const RECORDED_IDS: usize = 20;

const JSON: Expected = Expected { content_types: &["application/json"], limit: MAX_QUERY_BYTES };

/// The parameters of a find; `request.rs` reads them, this describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
struct FindParameters {
    /// From 1. The pages of one query reach to the 10,000th event.
    #[param(minimum = 1, default = 1)]
    page: Option<u64>,
    /// 0 returns the total alone.
    #[param(minimum = 0, maximum = 10_000, default = 10)]
    per_page: Option<u64>,
    /// One of `@timestamp`, `event.start`, `event.end`, `event.provider`, `event.duration`, `event.action`, `message`,
    /// `event.sequence`, `kibana.alert.rule.gap.status`, `kibana.alert.rule.gap.total_gap_duration_ms`.
    #[param(default = "@timestamp")]
    sort_field: Option<String>,
    /// `asc` or `desc`.
    #[param(default = "asc")]
    sort_order: Option<String>,
    /// Several sort keys, instead of the two above: a JSON array of `{"sort_field", "sort_order"}`, or the parameter
    /// repeated with one such object each.
    sort: Option<String>,
    /// The earliest `@timestamp`, inclusive: a date, a date and time, a duration before now, or date math.
    #[param(example = "2021-03-02")]
    start: Option<String>,
    /// The latest `@timestamp`, inclusive. A date alone is all of its day.
    #[param(example = "1h")]
    end: Option<String>,
    /// Not yet supported.
    filter: Option<String>,
}

/// The saved objects in question.
#[derive(ToSchema, Deserialize)]
#[expect(dead_code, reason = "a description; `request.rs` reads it")]
struct IdsBody {
    #[serde(default)]
    ids: Vec<String>,
}

/// One page of what was found. [`write`] makes its bytes.
#[derive(ToSchema, Deserialize)]
#[expect(dead_code, reason = "a description")]
struct FindAnswer {
    page: u64,
    per_page: u64,
    /// How many events match in all, exactly.
    total: u64,
    /// The events, as they were stored.
    #[schema(value_type = Vec<Object>)]
    data: Vec<serde_json::Value>,
}

/// Find events by saved object
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_find",
    operation_id = "find_by_id",
    tag = "find",
    params(
        ("type" = String, Path, description = "Type of the saved object"),
        ("id" = String, Path, description = "Id of the saved object"),
        FindParameters,
    ),
    responses(
        (status = 200, description = "A page of events", body = FindAnswer),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
        (status = 404, description = "No such space, or nothing that the caller may see", body = ErrorAnswer),
        (status = 503, description = "The store does not answer", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    mut names: Names,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = FindRequest::parse(parameters, shared.services.clock.now())?;
    let objects = ObjectScope { space, object_type: names.take("type")?, ids: vec![names.take("id")?] };
    find(&shared, &caller, &request, objects, deadline).await
}

/// Find events by several saved objects of one type
#[utoipa::path(
    post,
    path = "/api/event_log/{type}/_find",
    operation_id = "find_by_ids",
    tag = "find",
    params(("type" = String, Path, description = "Type of the saved objects"), FindParameters),
    request_body(content((IdsBody = "application/json"))),
    responses(
        (status = 200, description = "A page of events", body = FindAnswer),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
        (status = 404, description = "No such space, or nothing that the caller may see", body = ErrorAnswer),
        (status = 413, description = "The body is too large", body = ErrorAnswer),
        (status = 415, description = "The content type or encoding is not accepted", body = ErrorAnswer),
        (status = 503, description = "The store does not answer", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn by_ids(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    mut names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = FindRequest::parse(parameters, shared.services.clock.now())?;
    let sent = shared.bodies.read(&headers, body, JSON, deadline).await?;
    let ids = task::spawn_blocking(move || request::ids(&sent.decode()?.bytes))
        .await
        .map_err(|error| Failure::internal(error.to_string()))??;
    let objects = ObjectScope { space, object_type: names.take("type")?, ids };
    find(&shared, &caller, &request, objects, deadline).await
}

async fn find(
    shared: &Shared,
    caller: &Caller,
    request: &FindRequest,
    objects: ObjectScope,
    deadline: Instant,
) -> Result<Response, Failure> {
    if objects.ids.is_empty() {
        return Ok(answer::json_bytes(StatusCode::OK, write(request, &Page::default())));
    }
    let record = record(caller, &objects);
    let permit = allow(shared, caller, objects, deadline).await?;
    let record = (permit.is_by_role() && shared.services.access.logs_finds()).then_some(record);
    let query = access::scope(permit, |scope| request.query(scope));
    let page = timeout_at(deadline, shared.services.query_store.find(&query))
        .await
        .map_err(|_| Failure::new(ErrorCode::StoreTimeout, "the store did not answer in time"))??;
    if let Some(record) = record {
        shared.services.audit.record(record);
    }
    Ok(answer::json_bytes(StatusCode::OK, write(request, &page)))
}

async fn allow(shared: &Shared, caller: &Caller, objects: ObjectScope, deadline: Instant) -> Result<Permit, Failure> {
    let asked = shared.services.access.permit(&caller.principal, &caller.presented, objects);
    let in_time = timeout_at(deadline, asked).await;
    in_time.unwrap_or_else(|_| Err(Unavailable("it took too long".to_owned()).into())).map_err(|denied| match denied {
        Denied::Refused => guard::absent(),
        Denied::Unavailable(error) => error.into(),
    })
}

/// What is recorded of a find by somebody who may read everything.
fn record(caller: &Caller, objects: &ObjectScope) -> Record {
    let ObjectScope { space, object_type, ids } = objects;
    let shown: Vec<_> = ids.iter().take(RECORDED_IDS).collect();
    let payload = json!({"type": object_type, "ids": shown, "ids_count": ids.len()});
    let object = ids.first().map_or("", String::as_str);
    let message: String = format!("found events of {object_type} {object}").chars().take(256).collect();
    Record { space: space.clone(), ..caller.did(Action::Find, message, payload) }
}

/// The answer's bytes: the documents are put in as they are.
fn write(request: &FindRequest, page: &Page) -> Vec<u8> {
    let head = format!(r#"{{"page":{},"per_page":{},"total":{},"data":["#, request.page, request.per_page, page.total);
    let documents: usize = page.documents.iter().map(|document| document.len() + 1).sum();
    let mut body = Vec::with_capacity(head.len() + documents + 2);
    body.extend_from_slice(head.as_bytes());
    for (index, document) in page.documents.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(document);
    }
    body.extend_from_slice(b"]}");
    body
}
