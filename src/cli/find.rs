//! `annals find`

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format},
    selection::Selection,
    table::{self, Table},
};
use crate::client::api::FoundPage;

/// Finds events, by the saved objects that they refer to or by a filter
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  annals find order 7\n  annals find order 7 8 --start 24h --sort @timestamp:desc --per-page 50\n  \
                        annals find order 7 --output ndjson | jq .message\n  \
                        annals find --kql 'event.outcome:failure and not user.name:ann' --start 1d"
)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// The page, from 1
    #[arg(long, default_value_t = 1)]
    page: u64,
    /// How many events a page has
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    per_page: u64,
    /// The field to sort by; may be repeated
    #[arg(long, value_name = "FIELD[:asc|desc]", value_parser = sort)]
    sort: Vec<Sort>,
    /// How to print; without it a table on a terminal, NDJSON elsewhere
    #[arg(long, short, value_enum)]
    output: Option<Format>,
    /// The time zone of the table: `local`, `UTC`, a name such as Europe/Helsinki, or an offset such as +02:00
    #[arg(long, default_value = "local", value_parser = time_zone, allow_hyphen_values = true)]
    tz: TimeZone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Sort {
    sort_field: String,
    sort_order: &'static str,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let Selection { object_type, ids, .. } = &args.selection;
    let found = block_on(async { Ok(api.find(object_type.as_deref(), ids, &args.parameters()?).await?) })?;
    let shown = match Format::or_usual(args.output) {
        Format::Table if found.data.is_empty() => String::new(),
        Format::Table => render(&found, &args.tz).render(table::terminal_width()),
        Format::Ndjson => found.data.iter().map(|document| format!("{}\n", document.get())).collect(),
        Format::Json => serde_json::to_string(&found).map_err(Failure::local)? + "\n",
    };
    output::print(shown.as_bytes())?;
    args.explain(&found)
}

impl Args {
    fn parameters(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut parameters = vec![("page", self.page.to_string()), ("per_page", self.per_page.to_string())];
        match self.sort.as_slice() {
            [] => {}
            [only] => {
                parameters.push(("sort_field", only.sort_field.clone()));
                parameters.push(("sort_order", only.sort_order.to_owned()));
            }
            several => parameters.push(("sort", serde_json::to_string(several).map_err(Failure::local)?)),
        }
        parameters.extend(self.selection.parameters()?);
        Ok(parameters)
    }

    /// What the page does not show by itself, on standard error: why it is empty, or that there is more.
    fn explain(&self, found: &FoundPage) -> Result<(), Failure> {
        let FoundPage { page, per_page, total, .. } = *found;
        let shown = u64::try_from(found.data.len()).unwrap_or(u64::MAX);
        let before = page.saturating_sub(1).saturating_mul(per_page);
        let hint = if total == 0 {
            self.explain_nothing()
        } else if per_page == 0 {
            format!("{total} in all")
        } else if shown == 0 {
            format!("no events on page {page}; the last of {total} is on page {}", total.div_ceil(per_page))
        } else if before + shown < total {
            format!("events {} to {} of {total}; --page {} has the next", before + 1, before + shown, page + 1)
        } else {
            return Ok(());
        };
        Ok(output::complain(&hint)?)
    }
}

impl Args {
    fn explain_nothing(&self) -> String {
        let wider = if self.selection.is_narrowed() { " a wider time or filter, or" } else { "" };
        match &self.selection.object_type {
            None => format!("no events\nadvice: try{wider} another --space, or a key that may see more"),
            Some(object_type) => {
                let space = self.connection.space.as_deref().unwrap_or("default");
                format!(
                    "no events of {object_type} {} in the space {space}\nadvice: try{wider} another --space; only events that \
                     name the object as primary are found by it",
                    self.selection.ids.join(", ")
                )
            }
        }
    }
}

fn render(found: &FoundPage, tz: &TimeZone) -> Table {
    let mut table = Table::new(&["time", "severity", "provider", "action", "outcome", "user", "objects", "message"]);
    for document in &found.data {
        let document: Value = serde_json::from_str(document.get()).unwrap_or_default();
        let text = |place: &str| document.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
        table.row([
            time(&text("/@timestamp"), tz),
            text("/annals/severity"),
            text("/event/provider"),
            text("/event/action"),
            text("/event/outcome"),
            text("/user/name"),
            objects(&document),
            text("/message"),
        ]);
    }
    table
}

/// In the zone asked for, with its offset, for a local time alone may mean two moments.
fn time(text: &str, tz: &TimeZone) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    time.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string()
}

/// The primary ones; the others do not bring the event here.
fn objects(document: &Value) -> String {
    let objects = document.pointer("/kibana/saved_objects").and_then(Value::as_array);
    let primary = objects.into_iter().flatten().filter(|object| object.get("rel").is_some_and(|rel| rel == "primary"));
    let name = |object: &Value| {
        let part = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{}:{}", part("type"), part("id"))
    };
    primary.map(name).collect::<Vec<_>>().join(" ")
}

fn sort(text: &str) -> Result<Sort, String> {
    let (field, order) = match text.rsplit_once(':') {
        None => (text, "asc"),
        Some((field, "asc")) => (field, "asc"),
        Some((field, "desc")) => (field, "desc"),
        Some(_) => return Err("expected FIELD, FIELD:asc or FIELD:desc".to_owned()),
    };
    if field.is_empty() {
        return Err("expected the name of a field".to_owned());
    }
    Ok(Sort { sort_field: field.to_owned(), sort_order: order })
}

fn time_zone(text: &str) -> Result<TimeZone, String> {
    let expected =
        || format!("expected local, UTC, a name such as Europe/Helsinki or an offset such as +02:00, found {text:?}");
    match text {
        "local" => Ok(TimeZone::system()),
        "UTC" | "utc" | "Z" => Ok(TimeZone::UTC),
        _ if text.starts_with(['+', '-']) => {
            let read = |form| jiff::fmt::strtime::parse(form, text).ok()?.offset();
            read("%:z").or_else(|| read("%z")).map(TimeZone::fixed).ok_or_else(expected)
        }
        name => TimeZone::get(name).map_err(|_| expected()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn times_are_shown_in_the_zone_asked_for_with_its_offset() {
        let shown = |zone: &str| time("2026-07-01T10:20:30.4Z", &time_zone(zone).unwrap());
        assert_eq!(shown("UTC"), "2026-07-01 10:20:30.400+00:00");
        assert_eq!(shown("+05:30"), "2026-07-01 15:50:30.400+05:30");
        assert_eq!(shown("-0700"), "2026-07-01 03:20:30.400-07:00");
        assert_eq!(time("yesterday", &TimeZone::UTC), "yesterday");
        assert!(time_zone("Mars/Olympus").is_err() && time_zone("+99:99").is_err());
    }

    #[test]
    fn a_row_has_what_a_person_looks_for() {
        let document = r#"{"@timestamp":"2026-07-01T10:20:30.456Z","message":"order 7 shipped",
            "event":{"provider":"shop","action":"ship","outcome":"success"},"annals":{"severity":"informational"},
            "user":{"name":"ann"},"kibana":{"saved_objects":[
                {"rel":"primary","type":"order","id":"7"},{"type":"truck","id":"1"},{"rel":"primary","type":"user","id":"9"}]}}"#;
        let data = vec![serde_json::from_str(document).unwrap()];
        let table = render(&FoundPage { page: 1, per_page: 10, total: 1, data }, &TimeZone::UTC).render(None);
        let row = table.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let expected = [
            "2026-07-01 10:20:30.456+00:00",
            "informational",
            "shop",
            "ship",
            "success",
            "ann",
            "order:7 user:9",
            "order 7 shipped",
        ];
        assert_eq!(row.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sort_keys_ascend_unless_told_otherwise() {
        let key = |field: &str, order| Sort { sort_field: field.to_owned(), sort_order: order };
        assert_eq!(sort("@timestamp"), Ok(key("@timestamp", "asc")));
        assert_eq!(sort("event.start:desc"), Ok(key("event.start", "desc")));
        assert!(sort("event.start:down").is_err() && sort(":asc").is_err());
    }
}
