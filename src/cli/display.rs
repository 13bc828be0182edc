//! The flags by which a command is told what to show of events, and events shown so, one after another.

use serde_json::Value;

use super::{
    Failure,
    output::Format,
    table::{self, Table},
    zone::Zone,
};
use crate::{
    columns::{self, Cell, Columns},
    schema::{self, Kind},
};

/// The columns of a table where none are named: what a person looks for.
const USUAL: [(&str, &str); 8] = [
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
pub(super) struct Shape {
    /// What comes back of each event: paths with commas between them, `*` for anything; an object stands for all in it
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    fields: Vec<String>,
    /// The columns of a table or of CSV: paths with commas between them; without it --fields, or what is usual
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    columns: Vec<String>,
    /// How to print; without it for people on a terminal, and one JSON object a line elsewhere
    #[arg(long, short, value_enum)]
    output: Option<Format>,
}

impl Shape {
    /// What was asked for, else what is usual.
    pub(super) fn format(&self, usual: Format) -> Result<Format, Failure> {
        let format = self.output.unwrap_or(usual);
        let has_columns = matches!(format, Format::Table | Format::Csv);
        if !has_columns && !self.columns.is_empty() {
            return Err(Failure::typed("--columns belongs to --output table and csv; --fields is for the others"));
        }
        if has_columns && self.named().iter().any(|path| path.contains('*')) {
            return Err(Failure::typed("a column is one path; `*` is for --output ndjson and json"));
        }
        Ok(format)
    }

    /// What the server is asked for: no more than is shown.
    pub(super) fn parameter(&self, format: Format) -> Option<(&'static str, String)> {
        let paths = match format {
            _ if !self.fields.is_empty() => self.fields.clone(),
            Format::Table | Format::Csv => self.paths(format),
            Format::Ndjson | Format::Json => return None,
        };
        Some(("fields", paths.join(",")))
    }

    /// For all formats but JSON, which is one whole.
    pub(super) fn printer<'a>(&self, format: Format, zone: &'a Zone) -> Printer<'a> {
        let columns = || Columns::new(self.paths(format));
        match format {
            Format::Table => {
                Printer::Table(Lines { table: self.table(), paths: self.paths(format), columns: columns(), zone })
            }
            Format::Csv => Printer::Csv { columns: columns(), has_header: false },
            Format::Ndjson | Format::Json => Printer::Ndjson,
        }
    }

    /// The columns that were asked for, if any.
    fn named(&self) -> &[String] {
        if self.columns.is_empty() { &self.fields } else { &self.columns }
    }

    fn paths(&self, format: Format) -> Vec<String> {
        match format {
            _ if !self.named().is_empty() => self.named().to_vec(),
            Format::Csv => columns::USUAL.map(str::to_owned).to_vec(),
            Format::Table | Format::Ndjson | Format::Json => USUAL.map(|(_, path)| path.to_owned()).to_vec(),
        }
    }

    fn table(&self) -> Table {
        match self.named() {
            [] => Table::new(USUAL.map(|(heading, _)| heading)),
            paths => Table::new(paths.iter().map(String::as_str)),
        }
    }
}

/// Makes the lines of events that come one after another.
pub(super) enum Printer<'a> {
    Table(Lines<'a>),
    Csv { columns: Columns, has_header: bool },
    Ndjson,
}

pub(super) struct Lines<'a> {
    table: Table,
    paths: Vec<String>,
    columns: Columns,
    zone: &'a Zone,
}

impl Printer<'_> {
    /// The lines of the next events; those before them also have the headings.
    pub(super) fn lines<'a>(&mut self, documents: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, Failure> {
        let mut lines = Vec::new();
        match self {
            Self::Table(shown) => {
                for document in documents {
                    shown.add(document).map_err(Failure::local)?;
                }
                lines = shown.table.render(table::terminal_width()).into_bytes();
            }
            Self::Csv { columns, has_header } => {
                if !std::mem::replace(has_header, true) {
                    columns.write_csv_header(&mut lines);
                }
                for document in documents {
                    columns.write_csv_row(document.as_bytes(), &mut lines).map_err(Failure::local)?;
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

impl Lines<'_> {
    fn add(&mut self, document: &str) -> Result<(), serde_json::Error> {
        let cells = self.columns.cells(document.as_bytes())?;
        let texts = self.paths.iter().zip(cells).map(|(path, cell)| text(path, cell, self.zone));
        self.table.row(texts);
        Ok(())
    }
}

/// What people read in place of what is stored.
fn text(path: &str, cell: Cell, zone: &Zone) -> String {
    let text = cell.into_text();
    if path == OBJECTS {
        return objects(&text);
    }
    let is_date = schema::field(path).is_some_and(|field| field.kind == Kind::Date);
    if is_date { zone.show(&text) } else { text }
}

/// The primary ones; the others do not bring the event here.
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
        shape: Shape,
        #[command(flatten)]
        zone: Zone,
    }

    fn lines(arguments: &[&str], format: Format, document: &str) -> String {
        let Typed { shape, zone } = Typed::try_parse_from([&["x"], arguments].concat()).unwrap();
        let lines = shape.printer(shape.format(format).unwrap(), &zone).lines([document]).unwrap();
        String::from_utf8(lines).unwrap()
    }

    const DOCUMENT: &str = r#"{"@timestamp":"2026-07-01T10:20:30.456Z","message":"=order 7 shipped",
        "event":{"provider":"shop","action":"ship","outcome":"success","duration":"-5"},"annals":{"severity":"informational"},
        "user":{"name":"ann"},"kibana":{"saved_objects":[
            {"rel":"primary","type":"order","id":"7"},{"type":"truck","id":"1"},{"rel":"primary","type":"user","id":"9"}]}}"#;

    #[test]
    fn a_row_has_what_a_person_looks_for() {
        let table = lines(&["--tz=UTC"], Format::Table, DOCUMENT);
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
        assert_eq!(lines(&columns, Format::Table, DOCUMENT), table);
        let csv = "@timestamp,event.duration,user.id,message\r\n2026-07-01T10:20:30.456Z,-5,,'=order 7 shipped\r\n";
        assert_eq!(lines(&columns, Format::Csv, DOCUMENT), csv);
        assert_eq!(lines(&["--fields=user.name"], Format::Table, DOCUMENT), "user.name\nann\n");
        let format = |argument: &str, format| Typed::try_parse_from(["x", argument]).unwrap().shape.format(format);
        assert!(
            format("--columns=message", Format::Ndjson).is_err() && format("--fields=user.*", Format::Csv).is_err()
        );
        assert_eq!(format("--fields=user.*", Format::Ndjson).ok(), Some(Format::Ndjson));
    }
}
