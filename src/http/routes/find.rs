//! `_find`: pages of events, by the saved objects that they are about, as in Kibana, or of all that the caller may see.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use tokio::{task, time::Instant};
use utoipa::{IntoParams, ToSchema};

use super::described::{
    BodyErrors, FieldsParameter, IdsBody, ObjectPath, QuestionErrors, SelectionParameters, SortParameters, TypePath,
};
use crate::{
    access,
    audit::Action,
    error::{ErrorCode, Failure},
    event::Space,
    http::{
        MAX_QUERY_BYTES, Shared, answer,
        ask::Whose,
        body::Expected,
        guard::Caller,
        pages,
        parameters::{InSpace, Names, Parameters},
        request::{self, FindRequest, Paging},
    },
    query::{ObjectScope, PAGE_BYTES, ScopedQuery},
    store::Page,
};

const JSON: Expected = Expected { content_types: &["application/json"], limit: MAX_QUERY_BYTES };

/// The parameters of a find; `request` reads them, this describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
struct FindParameters {
    /// From 1. The pages of one query reach to the 10,000th event; `after` goes on.
    #[param(minimum = 1, default = 1)]
    page: Option<u64>,
    /// 0 returns the total alone. A page of more than 64 MiB of events is refused.
    #[param(minimum = 0, maximum = 10_000, default = 10)]
    per_page: Option<u64>,
    /// Instead of `page`: empty for the first events, then the `next` of each answer, which is null at the end and there only: a page of 64 MiB ends before it
    /// has `per_page` events. Everything but `per_page` and `fields` must stay as it was.
    #[param(example = "")]
    after: Option<String>,
}

/// One page of what was found. [`write`] makes its bytes.
#[derive(ToSchema, Deserialize)]
#[expect(dead_code, reason = "a description")]
struct FindAnswer {
    /// Absent where `after` was given.
    page: Option<u64>,
    per_page: u64,
    /// How many events match in all, exactly.
    total: u64,
    /// The events, as they were stored; of each what `fields` chooses.
    #[schema(value_type = Vec<Object>)]
    data: Vec<serde_json::Value>,
    /// For `after`; null at the end. Absent where `after` was not given.
    next: Option<String>,
}

/// Find events by saved object
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_find",
    operation_id = "find_by_id",
    tag = "find",
    params(
        ObjectPath,
        FindParameters,
        FieldsParameter,
        SortParameters,
        SelectionParameters,
    ),
    responses(
        (status = 200, description = "A page of events", body = FindAnswer),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = FindRequest::parse(parameters, shared.services.clock.now())?;
    find(&shared, &caller, request, whose, deadline).await
}

/// Find among all events that the caller may see
///
/// Under `/s/{space}` those of that space, else those of every space.
#[utoipa::path(
    get,
    path = "/api/event_log/_find",
    operation_id = "find",
    tag = "find",
    params(FindParameters, FieldsParameter, SortParameters, SelectionParameters),
    responses(
        (status = 200, description = "A page of events", body = FindAnswer),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn visible(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = FindRequest::parse(parameters, shared.services.clock.now())?;
    find(&shared, &caller, request, whose, deadline).await
}

/// Find events by several saved objects of one type
#[utoipa::path(
    post,
    path = "/api/event_log/{type}/_find",
    operation_id = "find_by_ids",
    tag = "find",
    params(
        TypePath,
        FindParameters,
        FieldsParameter,
        SortParameters,
        SelectionParameters,
    ),
    request_body(content((IdsBody = "application/json"))),
    responses(
        (status = 200, description = "A page of events", body = FindAnswer),
        QuestionErrors,
        BodyErrors,
    )
)]
pub(in crate::http) async fn by_ids(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = FindRequest::parse(parameters, shared.services.clock.now())?;
    let whose = whose_ids(&shared, space, names, &headers, body, deadline).await?;
    find(&shared, &caller, request, whose, deadline).await
}

/// The objects of a type that a body names.
pub(super) async fn whose_ids(
    shared: &Shared,
    space: Option<Space>,
    mut names: Names,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<Whose, Failure> {
    let sent = shared.other_bodies.read(headers, body, JSON, deadline).await?;
    // Many ids take some times the room that was set aside for their text, so there are few such bodies at a time.
    let _turn = shared.checking.acquire().await;
    let ids = task::spawn_blocking(move || request::ids(&sent.decode()?.bytes))
        .await
        .map_err(|error| Failure::internal(error.to_string()))??;
    Ok(Whose::Objects(ObjectScope { space, object_type: names.take("type")?, ids }))
}

async fn find(
    shared: &Shared,
    caller: &Caller,
    request: FindRequest,
    whose: Whose,
    deadline: Instant,
) -> Result<Response, Failure> {
    if whose.is_nobody() {
        return Ok(answer::json_bytes(StatusCode::OK, write(&request, None, Page::default())?));
    }
    let permit = whose.permit(shared, caller, deadline, Action::Find).await?;
    let after = request.after(permit.events())?;
    let query = access::scope(permit, |scope| request.query(scope, after));
    let (page, place) = shared.pages.find(shared.services.query_store.as_ref(), &query, deadline).await?;
    if page.is_cut && !request.paging.may_be_short() {
        return Err(too_large());
    }
    let body = if request.projection.is_whole() {
        write(&request, Some(&query), page)?
    } else {
        task::spawn_blocking(move || write(&request, Some(&query), page))
            .await
            .map_err(|error| Failure::internal(error.to_string()))??
    };
    Ok(answer::json_bytes(StatusCode::OK, pages::body(body, place)))
}

/// What is left out of a page would never be seen.
fn too_large() -> Failure {
    let message = format!(
        "the page would have more than {} MiB of events: ask for fewer with [per_page], or with an empty [after], whose pages end where \
         they are full, or for all with _export",
        PAGE_BYTES >> 20
    );
    Failure::new(ErrorCode::PageTooLarge, message)
}

/// The answer's bytes. Whole documents are put in as they are.
fn write(request: &FindRequest, query: Option<&ScopedQuery>, page: Page) -> Result<Vec<u8>, Failure> {
    let next = next(request, query, &page)?;
    let head = match request.paging {
        Paging::Page { page: number, per_page } => {
            format!(r#"{{"page":{number},"per_page":{per_page},"total":{},"data":["#, page.total)
        }
        Paging::Cursor { per_page, .. } => format!(r#"{{"per_page":{per_page},"total":{},"data":["#, page.total),
    };
    let documents: usize = page.documents.iter().map(|document| document.len() + 1).sum();
    let mut body = Vec::with_capacity(head.len() + documents + 2);
    body.extend_from_slice(head.as_bytes());
    for (index, document) in page.documents.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&project(request, document)?);
    }
    body.push(b']');
    body.extend_from_slice(next.as_bytes());
    body.push(b'}');
    Ok(body)
}

fn project(request: &FindRequest, document: Bytes) -> Result<Bytes, Failure> {
    request.projection.apply(document).map_err(|error| Failure::internal(format!("a stored document: {error}")))
}

/// The member that goes on from a page; nothing where no cursor was asked for.
fn next(request: &FindRequest, query: Option<&ScopedQuery>, page: &Page) -> Result<String, Failure> {
    let Paging::Cursor { per_page, .. } = request.paging else {
        return Ok(String::new());
    };
    let is_full = page.is_cut || page.documents.len() as u64 >= per_page;
    match (query, page.documents.last()) {
        (Some(query), Some(last)) if is_full => {
            Ok(format!(r#","next":"{}""#, request.cursor_behind(last, &query.query().scope)?))
        }
        (Some(_) | None, _) => Ok(r#","next":null"#.to_owned()),
    }
}
