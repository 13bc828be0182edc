//! What events are filtered, sorted and counted by.

use serde_json::Value;

use crate::schema::{self, Field};

/// The path of the field that holds labels.
const LABELS: &str = "labels";

/// A field, or a single label.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// In filters, `labels` has the values of all labels.
    Field(&'static Field),
    Label(Label),
}

/// The label of one name, whose value is a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    field: &'static Field,
    name: String,
}

impl Subject {
    /// The field with this path, or else the label: its name is everything after `labels.`, whatever that is.
    pub fn at(path: &str) -> Option<Self> {
        if let Some(field) = schema::field(path) {
            return Some(Self::Field(field));
        }
        let name = path.strip_prefix(LABELS)?.strip_prefix('.').filter(|name| !name.is_empty())?;
        Some(Self::Label(Label { field: Self::labels()?, name: name.to_owned() }))
    }

    /// The field that holds labels.
    pub fn labels() -> Option<&'static Field> {
        schema::field(LABELS)
    }

    /// The field that has the values: `labels` for a label.
    pub fn field(&self) -> &'static Field {
        match self {
            Self::Field(field) => field,
            Self::Label(label) => label.field,
        }
    }

    /// The path, as [`Self::at`] takes it.
    pub fn path(&self) -> String {
        match self {
            Self::Field(field) => field.path.to_owned(),
            Self::Label(label) => label.path(),
        }
    }

    /// The value in a document, through objects only.
    pub(crate) fn value_in<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Field(field) => value_at(document, field.path),
            Self::Label(label) => value_at(document, label.field.path)?.get(&label.name),
        }
    }
}

impl From<&'static Field> for Subject {
    fn from(field: &'static Field) -> Self {
        Self::Field(field)
    }
}

impl Label {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field that holds labels.
    pub fn field(&self) -> &'static Field {
        self.field
    }

    /// The path, as [`Subject::at`] takes it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.field.path, self.name)
    }
}

/// The value at a dotted path, through objects only.
pub(crate) fn value_at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| value.get(name))
}
