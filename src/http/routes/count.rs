//! `_count`: how many events match.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    described::{BodyErrors, IdsBody, ObjectPath, QuestionErrors, SelectionParameters, TypePath},
    find::whose_ids,
};
use crate::{
    access,
    audit::Action,
    error::Failure,
    http::{
        Shared, answer,
        ask::{self, Whose},
        guard::Caller,
        parameters::{InSpace, Names, Parameters},
        request::Selection,
    },
};

#[derive(Serialize, ToSchema)]
struct CountAnswer {
    /// How many events match, exactly.
    #[schema(example = 2)]
    count: u64,
}

/// Count the events of a saved object
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_count",
    operation_id = "count_by_id",
    tag = "count",
    params(
        ObjectPath,
        SelectionParameters,
    ),
    responses(
        (status = 200, description = "The number of events", body = CountAnswer),
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
    count(&shared, &caller, &selection(&shared, parameters)?, whose, deadline).await
}

/// Count among all events that the caller may see
///
/// Under `/s/{space}` those of that space, else those of every space.
#[utoipa::path(
    get,
    path = "/api/event_log/_count",
    operation_id = "count",
    tag = "count",
    params(SelectionParameters),
    responses(
        (status = 200, description = "The number of events", body = CountAnswer),
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
    count(&shared, &caller, &selection(&shared, parameters)?, whose, deadline).await
}

/// Count the events of several saved objects of one type
#[utoipa::path(
    post,
    path = "/api/event_log/{type}/_count",
    operation_id = "count_by_ids",
    tag = "count",
    params(TypePath, SelectionParameters),
    request_body(content((IdsBody = "application/json"))),
    responses(
        (status = 200, description = "The number of events", body = CountAnswer),
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
    let selection = selection(&shared, parameters)?;
    let whose = whose_ids(&shared, space, names, &headers, body, deadline).await?;
    count(&shared, &caller, &selection, whose, deadline).await
}

fn selection(shared: &Shared, mut parameters: Parameters) -> Result<Selection, Failure> {
    let selection = Selection::take(&mut parameters, shared.services.clock.now())?;
    parameters.finish()?;
    Ok(selection)
}

async fn count(
    shared: &Shared,
    caller: &Caller,
    selection: &Selection,
    whose: Whose,
    deadline: Instant,
) -> Result<Response, Failure> {
    let mut count = 0;
    if !whose.is_nobody() {
        let permit = whose.permit(shared, caller, deadline, Action::Find).await?;
        let query = access::scope(permit, |scope| selection.query(scope, Vec::new()));
        count = ask::answered(deadline, shared.services.query_store.find(&query)).await?.total;
    }
    Ok(answer::json(StatusCode::OK, &CountAnswer { count }))
}
