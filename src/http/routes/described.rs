//! What several routes describe alike: parameters and bodies, which `request` reads, and why there is no answer.

use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::http::answer::ErrorAnswer;

/// One object.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct ObjectPath {
    /// Type of the saved object
    #[param(rename = "type", example = "order")]
    object_type: String,
    /// Id of the saved object
    #[param(example = "7")]
    id: String,
}

/// Objects of one type.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "a description")]
pub(super) struct TypePath {
    /// Type of the saved objects
    #[param(rename = "type", example = "order")]
    object_type: String,
}

/// The saved objects in question.
#[derive(ToSchema, Deserialize)]
#[expect(dead_code, reason = "a description; `request` reads it")]
pub(super) struct IdsBody {
    #[serde(default)]
    #[schema(example = json!(["7", "8"]))]
    ids: Vec<String>,
    /// Ids that the objects had before. They count exactly like `ids`.
    #[serde(default, rename = "legacyIds")]
    legacy_ids: Vec<String>,
}

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct SelectionParameters {
    /// The earliest `@timestamp`, inclusive: a date, a date and time, a duration before now, or date math.
    #[param(example = "2021-03-02")]
    start: Option<String>,
    /// The latest `@timestamp`, inclusive. A date alone is all of its day.
    #[param(example = "1h")]
    end: Option<String>,
    /// KQL: only events that match it.
    #[param(example = "event.outcome:failure")]
    filter: Option<String>,
}

/// In which order.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct SortParameters {
    /// Any field of a single value that is indexed.
    #[param(default = "@timestamp", example = "event.action")]
    sort_field: Option<String>,
    /// `asc` or `desc`.
    #[param(default = "asc")]
    sort_order: Option<String>,
    /// Several sort keys, instead of the two above: a JSON array of `{"sort_field", "sort_order"}`, or the parameter
    /// repeated with one such object each.
    sort: Option<String>,
}

/// What to show.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
pub(super) struct FieldsParameter {
    /// What to return of each event: paths separated by commas, with `*` for anything; an object stands for all that is in it.
    #[param(example = "@timestamp,event.action,user")]
    fields: Option<String>,
}

/// Why a question has no answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description")]
pub(super) enum QuestionErrors {
    /// The request is invalid
    #[response(status = 400)]
    Invalid(ErrorAnswer<'static>),
    /// No such space, or nothing that the caller may see
    #[response(status = 404)]
    Absent(ErrorAnswer<'static>),
    /// The store does not answer
    #[response(status = 503)]
    Store(ErrorAnswer<'static>),
}

/// Why a body is not read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description")]
pub(super) enum BodyErrors {
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorAnswer<'static>),
    /// The content type or encoding is not accepted
    #[response(status = 415)]
    Unsupported(ErrorAnswer<'static>),
}
