//! `_count`: the number of matching events.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    http::{
        Shared, answer,
        operation::{Answer, Operation},
        request,
    },
    wire::CountAnswer,
};

pub(super) fn operations() -> Vec<Operation> {
    let question = Question {
        by_id: Form {
            path: "/api/event_log/{type}/{id}/_count",
            id: "count_by_id",
            summary: "Count the events of a saved object",
        },
        visible: Form {
            path: "/api/event_log/_count",
            id: "count",
            summary: "Count events among all that the caller may see",
        },
        by_ids: Some(Form {
            path: "/api/event_log/{type}/_count",
            id: "count_by_ids",
            summary: "Count the events of several saved objects of one type",
        }),
        details: "",
        tag: "count",
        action: Action::Find,
        parameters: request::SELECTION.to_vec(),
        answer: Answer::json::<CountAnswer>(200, "The number of events"),
    };
    question.operations(count)
}

async fn count(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, headers, scope, deadline, .. } = asked;
    let selection = request::selection(parameters, shared.services.clock.now())?;
    let scope = scope.read(&shared, &caller, &headers, deadline).await?;
    let count = shared.services.reader.count(&caller, scope, &selection, deadline).await?;
    Ok(answer::json(StatusCode::OK, &CountAnswer { count }))
}
