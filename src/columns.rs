//! Events as columns, and as comma-separated values (RFC 4180): a header line, then one line per event; lines end in CR
//! LF.
//!
//! A text is shown as is, a number or a boolean as in JSON, an array or an object as its JSON, and an absent value as
//! nothing. A column inside the elements of an array, such as `kibana.saved_objects.id`, is the JSON array of the
//! elements' values. **A text that a spreadsheet would take for a formula**, because it begins with `=`, `+`, `-`, `@`,
//! their full-width forms, a tab, a carriage return or a line feed, is prefixed with an apostrophe in CSV; numbers are not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    document::Members,
    schema::{self, Kind},
};

/// The default columns of CSV.
pub(crate) const DEFAULT_CSV_COLUMNS: [&str; 12] = [
    "@timestamp",
    "annals.severity",
    "event.provider",
    "event.action",
    "event.outcome",
    "user.name",
    "message",
    "kibana.saved_objects",
    "kibana.space_ids",
    "event.id",
    "annals.chain",
    "annals.sequence",
];

/// Columns, given by dotted paths.
#[derive(Debug)]
pub struct Columns {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    path: String,
    /// Whether its texts are numbers.
    is_number: bool,
}

/// The values of an event in one column.
#[derive(Default)]
struct ColumnValues<'a> {
    values: Vec<&'a RawValue>,
    is_in_array: bool,
}

/// The content of one cell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Text from the event, to be checked for formulas.
    Text(String),
    /// A number, a boolean, the JSON of an array or an object, or nothing.
    Value(String),
}

impl Cell {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Value(text) => text,
        }
    }
}

impl Columns {
    pub(crate) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let column = |path: String| {
            let is_number = schema::field(&path).is_some_and(|field| field.kind == Kind::Long64);
            Column { path, is_number }
        };
        Self { columns: paths.into_iter().map(column).collect() }
    }

    /// Returns one cell per column.
    pub(crate) fn cells(&self, document: &[u8]) -> Result<Vec<Cell>, serde_json::Error> {
        let mut found: Vec<ColumnValues<'_>> = self.columns.iter().map(|_| ColumnValues::default()).collect();
        let root: &RawValue = serde_json::from_slice(document)?;
        self.collect(root, "", false, &mut found)?;
        self.columns.iter().zip(&found).map(|(column, found)| column.cell(found)).collect()
    }

    pub(crate) fn write_csv_header(&self, line: &mut Vec<u8>) {
        write_csv_line(self.columns.iter().map(|column| Cell::Value(column.path.clone())), line);
    }

    pub(crate) fn write_csv_row(&self, document: &[u8], line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        write_csv_line(self.cells(document)?, line);
        Ok(())
    }

    /// Adds the values at and below this path to their columns.
    fn collect<'a>(
        &self,
        value: &'a RawValue,
        path: &str,
        is_in_array: bool,
        found: &mut [ColumnValues<'a>],
    ) -> Result<(), serde_json::Error> {
        match value.get().as_bytes().first() {
            Some(b'{') => {
                for (name, member) in serde_json::from_str::<Members<'a>>(value.get())?.0 {
                    let below = if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") };
                    self.put(member, &below, is_in_array, found);
                    if self.columns.iter().any(|column| is_below(&column.path, &below)) {
                        self.collect(member, &below, is_in_array, found)?;
                    }
                }
            }
            Some(b'[') => {
                for element in serde_json::from_str::<Vec<&'a RawValue>>(value.get())? {
                    self.collect(element, path, true, found)?;
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn put<'a>(&self, value: &'a RawValue, path: &str, is_in_array: bool, found: &mut [ColumnValues<'a>]) {
        let own = self.columns.iter().zip(found).filter(|(column, _)| column.path == path);
        for (_, found) in own {
            found.values.push(value);
            found.is_in_array = is_in_array;
        }
    }
}

impl Column {
    fn cell(&self, found: &ColumnValues<'_>) -> Result<Cell, serde_json::Error> {
        match found.values.as_slice() {
            [] => Ok(Cell::Value(String::new())),
            [value] if !found.is_in_array => self.value(value.get()),
            values => {
                let texts: Vec<_> = values.iter().map(|value| value.get()).collect();
                Ok(Cell::Value(format!("[{}]", texts.join(","))))
            }
        }
    }

    fn value(&self, json: &str) -> Result<Cell, serde_json::Error> {
        if !json.starts_with('"') {
            return Ok(Cell::Value(json.to_owned()));
        }
        let text = serde_json::from_str(json)?;
        Ok(if self.is_number { Cell::Value(text) } else { Cell::Text(text) })
    }
}

fn is_below(path: &str, object: &str) -> bool {
    path.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'))
}

pub(crate) fn write_csv_line(cells: impl IntoIterator<Item = Cell>, line: &mut Vec<u8>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        match cell {
            Cell::Text(text) => write_quoted(&without_formulas(&text), line),
            Cell::Value(text) => write_quoted(&text, line),
        }
    }
    line.extend_from_slice(b"\r\n");
}

/// Prefixes what a spreadsheet would take for a formula with an apostrophe: at the beginning, and after a character that
/// separates cells or lines, if not in this format, then in the one that the spreadsheet assumes.
fn without_formulas(text: &str) -> Cow<'_, str> {
    let begins_formula =
        |character: char| matches!(character, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let separates = |character: char| matches!(character, ';' | '；' | '|' | '\t' | '\r' | '\n');
    let mut safe = String::new();
    let mut copied = 0;
    let mut is_start = true;
    for (at, character) in text.char_indices() {
        if is_start && begins_formula(character) {
            safe.push_str(text.get(copied..at).unwrap_or_default());
            safe.push('\'');
            copied = at;
        }
        is_start = separates(character);
    }
    if copied == 0 && safe.is_empty() {
        return Cow::Borrowed(text);
    }
    safe.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(safe)
}

fn write_quoted(cell: &str, line: &mut Vec<u8>) {
    if !cell.contains(['"', ',', '\r', '\n']) {
        line.extend_from_slice(cell.as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
    line.push(b'"');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn row(columns: &[&str], document: &str) -> String {
        let columns = Columns::new(columns.iter().map(|column| (*column).to_owned()));
        let mut line = Vec::new();
        columns.write_csv_row(document.as_bytes(), &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn values_are_shown_as_they_are() {
        let document = r#"{"@timestamp":"2021","event":{"duration":"-5","severity":-3,"risk_score":1.50},"kibana":{"saved_objects":[{"id":"1","type":"t"},{"id":"2"}]},"labels":{"a.b":"x"},"tags":["one","two"],"message":"a\n\"b\", c"}"#;
        for (column, expected) in [
            ("@timestamp", "2021"),
            ("event.duration", "-5"),
            ("event.severity", "-3"),
            ("event.risk_score", "1.50"),
            ("event.action", ""),
            ("labels.a.b", "x"),
            ("message", "\"a\n\"\"b\"\", c\""),
            ("tags", r#""[""one"",""two""]""#),
            ("kibana.saved_objects.id", r#""[""1"",""2""]""#),
            ("kibana.saved_objects.type", r#""[""t""]""#),
            ("event", r#""{""duration"":""-5"",""severity"":-3,""risk_score"":1.50}""#),
        ] {
            assert_eq!(row(&[column], document), format!("{expected}\r\n"), "{column}");
        }
        assert_eq!(row(&["tags", "@timestamp", "tags"], r#"{"@timestamp":"t","tags":[]}"#), "[],t,[]\r\n");
    }

    #[test]
    fn a_text_that_looks_like_a_formula_is_escaped() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\\t=1", "'\t'=1"),
            ("\\r=1", "\"'\r'=1\""),
            ("\\n=1", "\"'\n'=1\""),
            ("＝1+1", "'＝1+1"),
            ("a;=1;-2;b", "a;'=1;'-2;b"),
            ("a；＠SUM(A1)", "a；'＠SUM(A1)"),
            ("a\\tb=1\\t+1", "a\tb=1\t'+1"),
            ("a;b=1", "a;b=1"),
            ("1-1", "1-1"),
            ("'=1", "'=1"),
            (" =1", " =1"),
        ] {
            assert_eq!(row(&["message"], &format!(r#"{{"message":"{text}"}}"#)), format!("{expected}\r\n"), "{text}");
        }
        assert_eq!(row(&["tags"], r#"{"tags":["=1"]}"#), "\"[\"\"=1\"\"]\"\r\n");
    }
}
