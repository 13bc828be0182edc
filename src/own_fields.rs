//! The operator's own fields: the file that lists them, and the record of how they were defined.
//!
//! Engines keep for ever how they index a field, and PostgreSQL keeps its values in a form that depends on it. So a
//! definition can be removed and come back, but not change; the record outlives the lines of the file.
//!
//! # Format 1 of the record
//!
//! `{"format": 1, "fields": {"<path>": "<definition>"}}`, with definitions by [`OwnField::definition`].

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    files,
    schema::{self, Mistake, OwnField},
};

/// The name of the record in the data folder.
pub const RECORD: &str = "fields.json";

const FORMAT: u32 = 1;

/// Why these fields cannot be used in this data folder.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record of own fields, {}, cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the record of own fields, {}, is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "events.fields_file: {field}: expected {before}, as it was before ({}), found {now}: stores keep how a field is \
         indexed, so define it as before, or choose another path",
        path.display()
    )]
    Changed { path: PathBuf, field: String, before: String, now: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    fields: BTreeMap<String, String>,
}

/// Reads the file with the fields, or returns the mistakes in it.
pub fn read(path: &Path) -> io::Result<Result<Vec<OwnField>, Vec<Mistake>>> {
    Ok(schema::parse_own(&std::fs::read_to_string(path)?))
}

/// Adds the definitions to the record, durably, unless one of them has changed.
pub fn record(path: PathBuf, own: &[OwnField]) -> Result<(), RecordError> {
    let mut fields = recorded(&path)?;
    let known = fields.len();
    for field in own {
        let now = field.definition();
        let before = fields.entry(field.path.clone()).or_insert_with(|| now.clone());
        if *before != now {
            return Err(RecordError::Changed { path, field: field.path.clone(), before: before.clone(), now });
        }
    }
    if fields.len() == known {
        return Ok(());
    }
    let bytes = serde_json::to_vec_pretty(&Record { format: FORMAT, fields });
    let written = bytes.map_err(io::Error::from).and_then(|bytes| files::replace(&path, &bytes));
    written.map_err(|source| RecordError::Io { path, source })
}

fn recorded(path: &Path) -> Result<BTreeMap<String, String>, RecordError> {
    let bytes = files::read_if_exists(path).map_err(|source| RecordError::Io { path: path.to_owned(), source })?;
    let Some(bytes) = bytes else { return Ok(BTreeMap::new()) };
    let damaged = |reason: String| RecordError::Damaged { path: path.to_owned(), reason };
    let Record { format, fields } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if format == FORMAT {
        Ok(fields)
    } else {
        Err(damaged(format!("it has format {format}, but this program only supports {FORMAT}: use a newer program")))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn own(text: &str) -> Vec<OwnField> {
        schema::parse_own(&format!("[custom]\n{text}")).unwrap()
    }

    #[test]
    fn a_field_may_go_and_come_back_but_not_be_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORD);
        let record = |text: &str| record(path.clone(), &own(text)).map_err(|error| error.to_string());
        record("").unwrap();
        assert!(!path.exists(), "nothing to record");
        let ticket = "\"acme.ticket\" = { kind = \"keyword\", about = \"x\" }\n";
        record(ticket).unwrap();
        record("").unwrap();
        record("\"acme.n\" = { kind = \"long\", multi = true, about = \"x\" }").unwrap();
        record(&ticket.replace("\"x\"", "\"y\", max_bytes = 10, example = 1, one_of = [\"a\"]")).unwrap();
        for (changed, now) in [
            ("kind = \"long\"", "long"),
            ("kind = \"keyword\", multi = true", "keyword[]"),
            ("kind = \"keyword\", index = false", "keyword without index"),
            ("kind = \"keyword\", index = false, also = \"text\"", "keyword by words"),
            ("kind = \"keyword\", also = \"text\"", "keyword and by words"),
            ("kind = \"text\", also = \"keyword\"", "text and by value"),
        ] {
            let expected = format!(
                "events.fields_file: acme.ticket: expected keyword, as it was before ({}), found {now}: stores keep how a \
                 field is indexed, so define it as before, or choose another path",
                path.display()
            );
            assert_eq!(record(&ticket.replace("kind = \"keyword\"", changed)), Err(expected));
        }
    }

    #[test]
    fn a_record_that_cannot_be_understood_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORD);
        for text in ["{", r#"{"format":2,"fields":{}}"#] {
            std::fs::write(&path, text).unwrap();
            let error = record(path.clone(), &own("\"a\" = { kind = \"long\", about = \"x\" }")).unwrap_err();
            assert!(error.to_string().contains("is damaged: "), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
