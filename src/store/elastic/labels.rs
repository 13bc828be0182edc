//! Labels in the engines' terms.
//!
//! Elasticsearch tells the name and the value of a label apart, and takes `labels.team` for a keyword, but for composite
//! aggregations: in 9.5 they count the terms of other labels if all documents match, and fail or lose values once few
//! are left.
//!
//! OpenSearch indexes a label as the one term `name=value`, so that `a` = `b=c` and `a=b` = `c` are the same to it, and
//! neither sorts nor counts by the label of one name. Where it matters, the documents themselves are read, by scripts
//! that get names as parameters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::query::{Key, Label, Order};

/// What an engine indexes of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelTerms {
    /// Name and value, told apart.
    Exact,
    /// The text `name=value`.
    Joined,
}

/// The field that [`exact_labels`] defines.
pub(super) const EXACT_LABELS: &str = "annals_labels";

/// Emits labels from the source: the length of the name, the name and the value.
const EXACT_LABELS_SCRIPT: &str = "def labels = params._source.labels; if (labels instanceof Map) { \
    for (def name : params.names) { def value = labels.get(name); \
    if (value != null) { emit(name.length() + ':' + name + '=' + value) } } }";

/// Returns a label from the source.
const LABEL_SCRIPT: &str = "def labels = params._source.labels; if (labels instanceof Map) { \
    def value = labels.get(params.name); \
    if (value instanceof String && value.length() <= params.longest) { return params.present + value } } \
    return params.missing";

/// Returns the definition of a field for the exact labels of these names, where terms are joined.
pub(super) fn exact_labels(names: &BTreeSet<&str>) -> Value {
    let script = json!({"source": EXACT_LABELS_SCRIPT, "params": {"names": names}});
    json!({EXACT_LABELS: {"type": "keyword", "script": script}})
}

/// Returns the script for the value of a label.
pub(super) fn value_script(label: &Label) -> Value {
    script(label, "", &Value::Null)
}

/// Returns the sort key of a label, where terms are joined.
pub(super) fn sort_key(label: &Label, order: Order) -> Value {
    let (present, missing) = beginnings(order);
    let (script, order) = (script(label, present, &json!(missing)), direction(order));
    json!({"_script": {"type": "string", "order": order, "script": script}})
}

/// Returns the value of that sort key.
pub(super) fn sort_value(key: Option<&Key>, order: Order) -> Value {
    let (present, missing) = beginnings(order);
    match key {
        Some(Key::Text(text)) => format!("{present}{text}").into(),
        Some(Key::Integer(_) | Key::Number(_)) | None => missing.into(),
    }
}

/// What the sort key of an event with the label begins with, and that of one without, which comes last.
const fn beginnings(order: Order) -> (&'static str, &'static str) {
    match order {
        Order::Ascending => ("0", "1"),
        Order::Descending => ("1", "0"),
    }
}

/// Returns the engines' name of a direction.
pub(super) const fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    }
}

fn script(label: &Label, present: &str, missing: &Value) -> Value {
    let longest = label.field().longest_value;
    let params = json!({"name": label.name(), "longest": longest, "present": present, "missing": missing});
    json!({"source": LABEL_SCRIPT, "params": params})
}
