//! The flags that control how events are displayed, and the printer for events.

use serde_json::Value;

use super::{
    CliError,
    output::OutputFormat,
    table::{self, Table},
    zone::ZoneArgs,
};
use crate::{
    columns::{self, Cell, Columns},
    schema::{self, Kind},
};

/// The default columns of a table.
const DEFAULT_COLUMNS: [(&str, &str); 8] = [
    ("time", "@timestamp"),
    ("severity", "annals.severity"),
    ("provider", "event.provider"),
    ("action", "event.action"),
    ("outcome", "event.outcome"),
    ("user", "user.name"),
    ("objects", OBJECTS),
    ("message", "message"),
];

const OBJECTS: &str = "kibana.saved_objects";

#[derive(Debug, clap::Args)]
pub(super) struct DisplayArgs {
    /// The fields to return of each event: paths separated by commas, `*` for anything; an object includes all its
    /// members
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    fields: Vec<String>,
    /// The columns of a table or of CSV: paths separated by commas; by default those of --fields, or the usual ones
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    columns: Vec<String>,
    /// The output format; by default for people on a terminal, and one JSON object per line elsewhere
    #[arg(long, short, value_enum)]
    format: Option<OutputFormat>,
}

impl DisplayArgs {
    /// Returns the requested format, or the default.
    pub(super) fn format(&self, usual: OutputFormat) -> Result<OutputFormat, CliError> {
        let format = self.format.unwrap_or(usual);
        let has_columns = matches!(format, OutputFormat::Table | OutputFormat::Csv);
        if !has_columns && !self.columns.is_empty() {
            return Err(CliError::usage("--columns belongs to --format table and csv; --fields is for the others"));
        }
        if has_columns && self.named().iter().any(|path| path.contains('*')) {
            return Err(CliError::usage("a column is one path; `*` is for --format ndjson and json"));
        }
        Ok(format)
    }

    /// Returns the parameter that limits the answer to the fields that are shown.
    pub(super) fn parameter(&self, format: OutputFormat) -> Option<(&'static str, String)> {
        let paths = match format {
            _ if !self.fields.is_empty() => self.fields.clone(),
            OutputFormat::Table | OutputFormat::Csv => self.paths(format),
            OutputFormat::Ndjson | OutputFormat::Json => return None,
        };
        Some(("fields", paths.join(",")))
    }

    /// Returns the printer for all formats but JSON, which is a single document.
    pub(super) fn printer<'a>(&self, format: OutputFormat, zone: &'a ZoneArgs) -> Printer<'a> {
        let columns = || Columns::new(self.paths(format));
        match format {
            OutputFormat::Table => {
                Printer::Table(TableLines { table: self.table(), paths: self.paths(format), columns: columns(), zone })
            }
            OutputFormat::Csv => Printer::Csv { columns: columns(), has_header: false },
            OutputFormat::Ndjson | OutputFormat::Json => Printer::Ndjson,
        }
    }

    /// Returns the columns that the user named, if any.
    fn named(&self) -> &[String] {
        if self.columns.is_empty() { &self.fields } else { &self.columns }
    }

    fn paths(&self, format: OutputFormat) -> Vec<String> {
        match format {
            _ if !self.named().is_empty() => self.named().to_vec(),
            OutputFormat::Csv => columns::DEFAULT_CSV_COLUMNS.map(str::to_owned).to_vec(),
            OutputFormat::Table | OutputFormat::Ndjson | OutputFormat::Json => {
                DEFAULT_COLUMNS.map(|(_, path)| path.to_owned()).to_vec()
            }
        }
    }

    fn table(&self) -> Table {
        match self.named() {
            [] => Table::new(DEFAULT_COLUMNS.map(|(heading, _)| heading)),
            paths => Table::new(paths.iter().map(String::as_str)),
        }
    }
}

/// Formats events, page by page.
pub(super) enum Printer<'a> {
    Table(TableLines<'a>),
    Csv { columns: Columns, has_header: bool },
    Ndjson,
}

pub(super) struct TableLines<'a> {
    table: Table,
    paths: Vec<String>,
    columns: Columns,
    zone: &'a ZoneArgs,
}

impl Printer<'_> {
    /// Formats the next events as lines, with the headings before the first ones.
    pub(super) fn lines<'a>(&mut self, documents: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, CliError> {
        let mut lines = Vec::new();
        match self {
            Self::Table(shown) => {
                for document in documents {
                    shown.add(document).map_err(CliError::local)?;
                }
                lines = shown.table.render(table::terminal_width()).into_bytes();
            }
            Self::Csv { columns, has_header } => {
                if !std::mem::replace(has_header, true) {
                    columns.write_csv_header(&mut lines);
                }
                for document in documents {
                    columns.write_csv_row(document.as_bytes(), &mut lines).map_err(CliError::local)?;
                }
            }
            Self::Ndjson => {
                for document in documents {
                    lines.extend_from_slice(document.as_bytes());
                    lines.push(b'\n');
                }
            }
        }
        Ok(lines)
    }
}

impl TableLines<'_> {
    fn add(&mut self, document: &str) -> Result<(), serde_json::Error> {
        let cells = self.columns.cells(document.as_bytes())?;
        let texts = self.paths.iter().zip(cells).map(|(path, cell)| text(path, cell, self.zone));
        self.table.row(texts);
        Ok(())
    }
}

/// Formats a stored value for people.
fn text(path: &str, cell: Cell, zone: &ZoneArgs) -> String {
    let text = cell.into_text();
    if path == OBJECTS {
        return objects(&text);
    }
    let is_date = schema::field(path).is_some_and(|field| field.kind == Kind::Date);
    if is_date { zone.show(&text) } else { text }
}

/// Formats the primary objects, by which an event is found.
fn objects(json: &str) -> String {
    let objects: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let primary = objects.iter().filter(|object| object.get("rel").is_some_and(|rel| rel == "primary"));
    let name = |object: &Value| {
        let part = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{}:{}", part("type"), part("id"))
    };
    primary.map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        display: DisplayArgs,
        #[command(flatten)]
        zone: ZoneArgs,
    }

    fn lines(arguments: &[&str], format: OutputFormat, document: &str) -> String {
        let Typed { display, zone } = Typed::try_parse_from([&["x"], arguments].concat()).unwrap();
        let lines = display.printer(display.format(format).unwrap(), &zone).lines([document]).unwrap();
        String::from_utf8(lines).unwrap()
    }

    const DOCUMENT: &str = r#"{"@timestamp":"2026-07-01T10:20:30.456Z","message":"=order 7 shipped",
        "event":{"provider":"shop","action":"ship","outcome":"success","duration":"-5"},"annals":{"severity":"informational"},
        "user":{"name":"ann"},"kibana":{"saved_objects":[
            {"rel":"primary","type":"order","id":"7"},{"type":"truck","id":"1"},{"rel":"primary","type":"user","id":"9"}]}}"#;

    #[test]
    fn a_row_shows_the_columns_for_people() {
        let table = lines(&["--tz=UTC"], OutputFormat::Table, DOCUMENT);
        let row = table.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let expected = [
            "2026-07-01 10:20:30.456+00:00",
            "informational",
            "shop",
            "ship",
            "success",
            "ann",
            "order:7 user:9",
            "=order 7 shipped",
        ];
        assert_eq!(row.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn columns_are_shown_as_they_are_named_and_csv_has_what_is_stored() {
        let columns = ["--columns=@timestamp,event.duration,user.id,message", "--tz=+02:00"];
        let table = "@timestamp                     event.duration  user.id  message\n\
                     2026-07-01 12:20:30.456+02:00  -5                       =order 7 shipped\n";
        assert_eq!(lines(&columns, OutputFormat::Table, DOCUMENT), table);
        let csv = "@timestamp,event.duration,user.id,message\r\n2026-07-01T10:20:30.456Z,-5,,'=order 7 shipped\r\n";
        assert_eq!(lines(&columns, OutputFormat::Csv, DOCUMENT), csv);
        assert_eq!(lines(&["--fields=user.name"], OutputFormat::Table, DOCUMENT), "user.name\nann\n");
        let format = |argument: &str, format| Typed::try_parse_from(["x", argument]).unwrap().display.format(format);
        assert!(
            format("--columns=message", OutputFormat::Ndjson).is_err()
                && format("--fields=user.*", OutputFormat::Csv).is_err()
        );
        assert_eq!(format("--fields=user.*", OutputFormat::Ndjson).ok(), Some(OutputFormat::Ndjson));
    }
}
