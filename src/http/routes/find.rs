//! `_find`: pages of events, by saved object as in Kibana, or of all events that the caller may see.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use bytes::Bytes;
use tokio::task;

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    http::{
        LARGE, Shared, answer, held_body,
        operation::{Answer, Operation},
        request,
    },
    read::{Found, ReadError},
    wire::FindAnswer,
};

pub(super) fn operations() -> Vec<Operation> {
    let question = Question {
        by_id: Form {
            path: "/api/event_log/{type}/{id}/_find",
            id: "find_by_id",
            summary: "Find events by saved object",
        },
        visible: Form {
            path: "/api/event_log/_find",
            id: "find",
            summary: "Find events among all that the caller may see",
        },
        by_ids: Some(Form {
            path: "/api/event_log/{type}/_find",
            id: "find_by_ids",
            summary: "Find events by several saved objects of one type",
        }),
        details: "",
        tag: "find",
        action: Action::Find,
        parameters: [&request::PAGING[..], &[&request::FIELDS], &request::SORT, &request::SELECTION].concat(),
        answer: Answer::json::<FindAnswer>(200, "A page of events"),
    };
    question.operations(find)
}

async fn find(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, headers, scope, deadline, .. } = asked;
    let request = request::find(parameters, shared.services.clock.now())?;
    let (page, per_page) = (request.paging.number(), request.paging.per_page());
    let scope = scope.read(&shared, &caller, &headers, deadline).await?;
    let found = shared.services.reader.find(&caller, scope, request, deadline).await;
    let mut found = found.map_err(failure)?;
    let memory = found.memory.take();
    let bytes: usize = found.documents.iter().map(Bytes::len).sum();
    let write = move || write(page, per_page, found);
    let body = if bytes > LARGE {
        task::spawn_blocking(write).await.map_err(|error| Failure::internal(error.to_string()))?
    } else {
        write()
    };
    Ok(match memory {
        Some(memory) => answer::json_bytes(StatusCode::OK, held_body::body(body, memory)),
        None => answer::json_bytes(StatusCode::OK, body),
    })
}

fn failure(error: ReadError) -> Failure {
    let is_too_large = matches!(error, ReadError::PageTooLarge);
    let mut failure = Failure::from(error);
    if is_too_large {
        failure.message += ": request fewer with [per_page], use an empty [after], whose pages end when they are full, or get all with \
                            _export";
    }
    failure
}

/// Writes a [`FindAnswer`]. Documents are copied as they are. `page` is `None` if the request has a cursor.
fn write(page: Option<u64>, per_page: u64, Found { total, documents, next, .. }: Found) -> Vec<u8> {
    let head = match page {
        Some(page) => format!(r#"{{"page":{page},"per_page":{per_page},"total":{total},"data":["#),
        None => format!(r#"{{"per_page":{per_page},"total":{total},"data":["#),
    };
    let bytes: usize = documents.iter().map(|document| document.len() + 1).sum();
    let mut body = Vec::with_capacity(head.len() + bytes + 2);
    body.extend_from_slice(head.as_bytes());
    for (index, document) in documents.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&document);
    }
    body.push(b']');
    if page.is_none() {
        let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        body.extend_from_slice(format!(",\"next\":{next}").as_bytes());
    }
    body.push(b'}');
    body
}
