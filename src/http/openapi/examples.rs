//! An example of each request and answer body. The tests in `src/http/tests/examples.rs` record them from a running log; with
//! `UPDATE_GOLDEN=1` they rewrite `examples.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::{
    Content, OpenApi as Document, RefOr,
    path::{Operation, PathItem},
};

/// Content type to body: JSON as it is, other content as a string.
pub(in crate::http) type Bodies = BTreeMap<String, Value>;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::http) struct Examples {
    /// Answers that are the same for every operation, by status.
    pub(in crate::http) common: BTreeMap<String, Bodies>,
    pub(in crate::http) operations: BTreeMap<String, Exchanges>,
}

/// The request to one operation, and its answers by status.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::http) struct Exchanges {
    #[serde(default, skip_serializing_if = "Bodies::is_empty")]
    pub(in crate::http) request: Bodies,
    #[serde(default)]
    pub(in crate::http) answers: BTreeMap<String, Bodies>,
}

impl Examples {
    pub(in crate::http) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("examples.json"))
    }

    pub(super) fn add_to(&self, document: &mut Document) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            let exchanges = operation.operation_id.as_ref().and_then(|id| self.operations.get(id));
            self.add_answers(operation, exchanges);
            if let (Some(RefOr::T(body)), Some(exchanges)) = (&mut operation.request_body, exchanges) {
                show(body.content.iter_mut(), &exchanges.request);
            }
        }
    }

    fn add_answers(&self, operation: &mut Operation, exchanges: Option<&Exchanges>) {
        for (status, response) in &mut operation.responses.responses {
            let own = exchanges.and_then(|exchanges| exchanges.answers.get(status));
            if let (RefOr::T(response), Some(bodies)) = (response, own.or_else(|| self.common.get(status))) {
                show(response.content.iter_mut(), bodies);
            }
        }
    }
}

fn show<'a>(contents: impl Iterator<Item = (&'a String, &'a mut RefOr<Content>)>, bodies: &Bodies) {
    for (kind, content) in contents {
        if let RefOr::T(content) = content {
            content.example = bodies.get(kind).cloned();
        }
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().filter_map(Option::as_mut)
}
