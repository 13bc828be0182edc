//! Queries, each in up to three forms: for a saved object, for several of one type, and for all events that the caller may see.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Version},
    response::Response,
};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{
    access::{Caller, Permission},
    audit::Action,
    error::Failure,
    event::Space,
    http::{
        Shared,
        operation::{Answer, Operation, body_errors, question_errors},
        parameters::{InSpace, Names, Parameter, Parameters},
        request,
    },
    memory_budget::MAX_OTHER_BODY,
    read::RequestedScope,
};

const OBJECT_TYPE: Parameter = Parameter::path("type", "Type of the saved object", "order");
const OBJECT_ID: Parameter = Parameter::path("id", "Id of the saved object", "7");

/// The saved objects to query.
#[derive(ToSchema, Deserialize)]
#[expect(dead_code, reason = "a description; `request::ids` reads it")]
struct IdsBody {
    #[serde(default)]
    #[schema(example = json!(["7", "8"]))]
    ids: Vec<String>,
    /// Earlier ids of the objects. They are treated like `ids`.
    #[serde(default, rename = "legacyIds")]
    legacy_ids: Vec<String>,
}

/// A query, with its route and summary in each form.
pub(super) struct Question {
    pub(super) by_id: Form,
    pub(super) visible: Form,
    /// `None` if several objects are not supported.
    pub(super) by_ids: Option<Form>,
    /// Appended to the description of [`Question::visible`].
    pub(super) details: &'static str,
    pub(super) tag: &'static str,
    pub(super) action: Action,
    pub(super) parameters: Vec<&'static Parameter>,
    pub(super) answer: Answer,
}

pub(super) struct Form {
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
}

/// A request for a query.
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) parameters: Parameters,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) scope: ScopeSource,
    /// For the answer, or for the beginning of a streamed one.
    pub(super) deadline: Instant,
}

/// Where the request specifies its scope.
pub(super) enum ScopeSource {
    Path(RequestedScope),
    /// The objects that a body names.
    Body {
        space: Option<Space>,
        object_type: String,
        body: Body,
    },
}

impl ScopeSource {
    pub(super) async fn read(
        self,
        shared: &Shared,
        caller: &Caller,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<RequestedScope, Failure> {
        let (space, object_type, body) = match self {
            Self::Path(scope) => return Ok(scope),
            Self::Body { space, object_type, body } => (space, object_type, body),
        };
        let sent = shared.other_body(caller, headers, body, MAX_OTHER_BODY, deadline).await?;
        // Parsed ids take several times the memory that was reserved for the body, so few bodies are parsed at a time.
        let parse = move || request::ids(&sent.decode()?.bytes);
        let ids = shared.work(&caller.principal.to_string(), deadline, parse).await??;
        Ok(RequestedScope::Objects { space, object_type, ids })
    }
}

impl Question {
    /// Returns the operations, which all use `answer` as their handler.
    pub(super) fn operations<A, F>(self, answer: A) -> Vec<Operation>
    where
        A: Fn(Arc<Shared>, Asked) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response, Failure>> + Send + 'static,
    {
        let by_path = {
            let answer = answer.clone();
            move |State(shared): State<Arc<Shared>>,
                  caller: Caller,
                  scope: RequestedScope,
                  version: Version,
                  parameters: Parameters,
                  headers: HeaderMap| {
                let (deadline, scope) = (shared.deadline(), ScopeSource::Path(scope));
                answer(shared, Asked { caller, parameters, version, headers, scope, deadline })
            }
        };
        let by_body = move |State(shared): State<Arc<Shared>>,
                            caller: Caller,
                            InSpace(space): InSpace,
                            mut names: Names,
                            version: Version,
                            parameters: Parameters,
                            headers: HeaderMap,
                            body: Body| async move {
            let deadline = shared.deadline();
            let scope = ScopeSource::Body { space, object_type: names.take("type")?, body };
            answer(shared, Asked { caller, parameters, version, headers, scope, deadline }).await
        };
        let described = |operation: Operation, form: &Form| {
            operation
                .in_spaces()
                .tagged(self.tag)
                .summary(form.summary)
                .records(self.action)
                .answers([self.answer.clone()])
                .answers(question_errors())
        };
        let Form { path, id, .. } = self.visible;
        let visible = described(Operation::get(Permission::SearchEvents, path, id, by_path.clone()), &self.visible)
            .description(format!(
                "Under `/s/{{space}}`, only events of that space, otherwise of all spaces.{}{}",
                if self.details.is_empty() { "" } else { " " },
                self.details
            ))
            .parameters(self.parameters.clone());
        let Form { path, id, .. } = self.by_id;
        let by_id = described(Operation::get(Permission::FindByObject, path, id, by_path), &self.by_id)
            .parameters([&OBJECT_TYPE, &OBJECT_ID])
            .parameters(self.parameters.clone());
        let mut operations = vec![visible, by_id];
        if let Some(form) = &self.by_ids {
            let by_ids = described(Operation::post(Permission::FindByObject, form.path, form.id, by_body), form)
                .parameters([&OBJECT_TYPE])
                .parameters(self.parameters)
                .json_body::<IdsBody>(None)
                .answers(body_errors());
            operations.push(by_ids);
        }
        operations
    }
}
