//! `annals values`

use serde_json::Value;

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputFormat},
    selection::SelectionArgs,
    table::{self, Table},
    zone::ZoneArgs,
};
use crate::{
    columns::{Cell, write_csv_line},
    query::MAX_BUCKETS,
    wire::TermsAnswer,
};

/// Counts events by the values of a field, most frequent first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals values --field event.action\n  \
                        annals values --field user.name --start 1d --is event.outcome=failure\n  \
                        annals values order 7 --field event.action --format ndjson")]
pub(super) struct Args {
    /// The field, such as `event.action`, or a label, such as `labels.team`
    #[arg(long, value_name = "FIELD")]
    field: String,
    /// The maximum number of values
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=MAX_BUCKETS as u64))]
    limit: u64,
    /// The output format; by default a table on a terminal, NDJSON elsewhere
    #[arg(long, short, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let SelectionArgs { object_type, ids, .. } = &args.selection;
    let mut parameters = args.selection.parameters(&args.zone)?;
    parameters.extend([("terms", args.field.clone()), ("size", args.limit.to_string())]);
    let values = block_on(async { Ok(api.values(object_type.as_deref(), ids, &parameters).await?) })?;
    let shown = match OutputFormat::or_default(args.format) {
        OutputFormat::Table => render(&values).render(table::terminal_width()).into_bytes(),
        OutputFormat::Ndjson => values.terms.iter().map(output::json_line).collect::<Result<String, _>>()?.into_bytes(),
        OutputFormat::Json => output::json_line(&values)?.into_bytes(),
        OutputFormat::Csv => csv(&values),
    };
    output::print(&shown)?;
    match rest(&args.field, &values) {
        Some(hint) => Ok(output::print_stderr(&hint)?),
        None => Ok(()),
    }
}

fn render(values: &TermsAnswer) -> Table {
    let mut table = Table::new(["events", "value"]);
    for term in &values.terms {
        table.row([term.count.to_string(), cell(&term.value).into_text()]);
    }
    table
}

fn csv(values: &TermsAnswer) -> Vec<u8> {
    let mut lines = Vec::new();
    write_csv_line(["value", "count"].map(|name| Cell::Value(name.to_owned())), &mut lines);
    for term in &values.terms {
        write_csv_line([cell(&term.value), Cell::Value(term.count.to_string())], &mut lines);
    }
    lines
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Value(other.to_string()),
    }
}

/// Returns a note about what the table leaves out.
fn rest(field: &str, values: &TermsAnswer) -> Option<String> {
    let shown = u64::try_from(values.terms.len()).unwrap_or(u64::MAX);
    let more = values.distinct.saturating_sub(shown);
    let parts = [
        (more > 0).then(|| format!("{more} more of {} values; --limit shows more", values.distinct)),
        (values.without > 0).then(|| format!("{} events have no {field}", values.without)),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn csv_has_values_that_no_spreadsheet_takes_for_formulas() {
        let terms = r#"[{"value": "=1+1, \"x\"", "count": 2}, {"value": -7, "count": 1}]"#;
        let values =
            serde_json::from_str(&format!(r#"{{"field": "x", "terms": {terms}, "distinct": 2, "without": 0}}"#))
                .unwrap();
        assert_eq!(csv(&values), b"value,count\r\n\"'=1+1, \"\"x\"\"\",2\r\n-7,1\r\n");
    }

    #[test]
    fn a_note_names_what_is_not_shown() {
        let values = |distinct: u64, without: u64| {
            let terms = r#"[{"value": "ship", "count": 2}, {"value": 7, "count": 1}]"#;
            let text = format!(r#"{{"field": "x", "terms": {terms}, "distinct": {distinct}, "without": {without}}}"#);
            serde_json::from_str::<TermsAnswer>(&text).unwrap()
        };
        assert_eq!(render(&values(2, 0)).render(None), "events  value\n2       ship\n1       7\n");
        assert_eq!(rest("x", &values(2, 0)), None);
        assert_eq!(rest("x", &values(5, 0)).unwrap(), "3 more of 5 values; --limit shows more");
        assert_eq!(rest("x", &values(3, 4)).unwrap(), "1 more of 3 values; --limit shows more; 4 events have no x");
    }
}
