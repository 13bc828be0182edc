//! Parameters that several routes describe alike; `request` reads them.

use utoipa::IntoParams;

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
