//! The operator's own fields, in the words of `mappings/fields.toml`.
//!
//! ```toml
//! [custom]
//! "acme.ticket" = { kind = "keyword", about = "Ticket that asked for it." }
//! ```
//!
//! `mappings/README.md` explains the keys. There are no arrays of objects and no labels among these fields, and they are
//! always the client's.

use std::{collections::BTreeSet, fmt};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Field, Kind, Search, SetBy,
    field::{LONGEST_TERM, LONGEST_TEXT, longest_value},
    fields_of_beginning,
    suggest::{closest, shortened},
    table::FIELDS,
};

/// How many fields and objects an index maps at most: `index.mapping.total_fields.limit` in `mappings/`.
pub const MAX_MAPPED: usize = 4000;

/// Maximum length of a path, in bytes.
const MAX_PATH: usize = 255;

/// The only table of a file.
const SECTION: &str = "custom";

/// The objects that no operator can extend.
const RESERVED: [&str; 3] = ["annals", "ecs", "kibana"];

const KINDS: [(&str, Kind); 13] = [
    ("keyword", Kind::Keyword),
    ("text", Kind::Text),
    ("long", Kind::Long),
    ("long64", Kind::Long64),
    ("float", Kind::Float),
    ("boolean", Kind::Boolean),
    ("date", Kind::Date),
    ("date_range", Kind::DateRange),
    ("ip", Kind::Ip),
    ("geo_point", Kind::GeoPoint),
    ("version", Kind::Version),
    ("flattened", Kind::Flattened),
    ("json", Kind::Json),
];

const KEYS: [&str; 9] = ["kind", "about", "multi", "max_bytes", "index", "also", "one_of", "scalar", "example"];

/// A field that an operator added.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnField {
    pub path: String,
    pub kind: Kind,
    pub multi: bool,
    pub takes_scalars: bool,
    pub max_bytes: u32,
    pub search: Search,
    pub about: String,
    /// The possible values, for clients; other values are accepted too.
    pub one_of: Vec<String>,
    pub example: Option<serde_json::Value>,
}

/// A mistake in a file of own fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    pub line: usize,
    /// Names the field and the key, what was expected and what was found.
    pub what: String,
}

impl OwnField {
    /// The field for the schema, for which the path is leaked.
    pub(super) fn to_field(&self) -> Field {
        let is_searched_by_parts = self.kind == Kind::Text && self.search.by_value();
        Field {
            path: self.path.clone().leak(),
            kind: self.kind,
            multi: self.multi,
            in_objects: false,
            takes_scalars: self.takes_scalars,
            set_by: SetBy::Client,
            max_bytes: self.max_bytes,
            exact: false,
            longest_value: if is_searched_by_parts { LONGEST_TEXT } else { longest_value(self.kind) },
            search: self.search,
        }
    }

    /// What stores keep of a field for ever: its kind, whether it is an array, and how it is indexed.
    pub fn definition(&self) -> String {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| *name);
        let array = if self.multi { "[]" } else { "" };
        let search = match (self.search, self.kind) {
            (Search::Never, _) => " without index",
            (Search::Words, Kind::Keyword) => " by words",
            (Search::ValueAndWords, Kind::Keyword) => " and by words",
            (Search::ValueAndWords, Kind::Text) => " and by value",
            (Search::Value | Search::Words | Search::ValueAndWords, _) => "",
        };
        format!("{kind}{array}{search}")
    }
}

/// Reads the text of a file. Returns all mistakes, in the order of the file, if there are any.
pub fn parse(text: &str) -> Result<Vec<OwnField>, Vec<Mistake>> {
    let line_at = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let parsed = DeTable::parse(text).and_then(|lines| Ok((lines.into_inner(), toml::from_str::<Table>(text)?)));
    let (positions, root) = parsed.map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        vec![Mistake { line, what: format!("not TOML: {}", error.message()) }]
    })?;
    let line_of = |names: &[&str]| line_at(offset_of(&positions, names));
    let mut mistakes = Vec::new();
    let mut found: Vec<(usize, OwnField)> = Vec::new();
    for (name, value) in &root {
        let line = line_of(&[name]);
        match value {
            Value::Table(fields) if name == SECTION => {
                for (path, value) in fields {
                    let line = line_of(&[SECTION, path]);
                    let mut reading = Reading { path, wrong: Vec::new() };
                    found.extend(reading.field(value).map(|field| (line, field)));
                    mistakes.extend(reading.wrong.into_iter().map(|what| Mistake { line, what }));
                }
            }
            _ => mistakes.push(Mistake { line, what: format!("expected only the table [{SECTION}], found {name}") }),
        }
    }
    found.sort_by_key(|(line, field)| (*line, field.path.clone()));
    mistakes.extend(check_together(&found));
    mistakes.sort_by_key(|mistake| mistake.line);
    if mistakes.is_empty() { Ok(found.into_iter().map(|(_, field)| field).collect()) } else { Err(mistakes) }
}

/// Returns the offset of a key.
fn offset_of(root: &DeTable<'_>, names: &[&str]) -> usize {
    let (mut table, mut offset) = (Some(root), 0);
    for name in names {
        let entry = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
        let Some((key, value)) = entry else { break };
        offset = key.span().start;
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    offset
}

/// Checks what no field can tell by itself.
fn check_together(found: &[(usize, OwnField)]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let paths: BTreeSet<&str> = found.iter().map(|(_, field)| field.path.as_str()).collect();
    let mut mapped = mapped_fields();
    for (line, field) in found {
        let around = objects_of(&field.path).find(|object| paths.contains(object));
        if let Some(outer) = around {
            let what = format!("{}: expected a path that is not within another field, found {outer}", field.path);
            mistakes.push(Mistake { line: *line, what });
        }
        mapped.add(field.path.as_str(), field.kind, field.search);
        if mapped.count > MAX_MAPPED && mapped.count - mapped.last <= MAX_MAPPED {
            let what = format!(
                "{}: expected at most {MAX_MAPPED} fields and objects in total, with those of ECS, found more",
                field.path
            );
            mistakes.push(Mistake { line: *line, what });
        }
    }
    mistakes
}

/// Counts fields and objects as the engines do for their limit.
#[derive(Default)]
struct Mapped<'p> {
    objects: BTreeSet<&'p str>,
    count: usize,
    /// By how much the last field increased the count.
    last: usize,
}

impl<'p> Mapped<'p> {
    fn add(&mut self, path: &'p str, kind: Kind, search: Search) {
        let is_array = matches!(kind, Kind::Nested | Kind::Objects);
        let new_objects = objects_of(path).chain(is_array.then_some(path)).filter(|object| self.objects.insert(object));
        let has_second = search == Search::ValueAndWords || search == Search::Words && kind == Kind::Keyword;
        self.last = new_objects.count() + usize::from(!is_array) + usize::from(has_second);
        self.count += self.last;
    }
}

fn mapped_fields() -> Mapped<'static> {
    let mut mapped = Mapped::default();
    FIELDS.iter().for_each(|field| mapped.add(field.path, field.kind, field.search));
    mapped
}

/// Returns `a` and `a.b` for `a.b.c`.
fn objects_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').filter_map(|(at, _)| path.get(..at))
}

/// One entry of a file while it is read.
struct Reading<'a> {
    path: &'a str,
    /// What is wrong with it.
    wrong: Vec<String>,
}

impl Reading<'_> {
    /// Returns `None` if anything is wrong.
    fn field(&mut self, value: &Value) -> Option<OwnField> {
        let Value::Table(keys) = value else {
            self.expected("", "a table such as { kind = \"keyword\", about = \"…\" }", value);
            return None;
        };
        if !keys.is_empty() && keys.values().all(Value::is_table) {
            let inner = keys.keys().next().map_or("", String::as_str);
            let whole = format!("{}.{inner}", self.path);
            self.wrong(format_args!("expected the whole path in quotes, such as {whole:?}, found tables"));
            return None;
        }
        self.check_path();
        for key in keys.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let hint = closest(key, KEYS.into_iter()).map(|near| format!("; did you mean {near}?"));
            let keys = KEYS.join(", ");
            self.wrong(format_args!(
                "expected only the keys {keys}, found {}{}",
                shortened(key),
                hint.unwrap_or_default()
            ));
        }
        let kind = self.kind(keys.get("kind"));
        let about = self.about(keys.get("about"));
        let multi = self.boolean(keys.get("multi"), "multi", false);
        let index = self.boolean(keys.get("index"), "index", true);
        let takes_scalars = self.boolean(keys.get("scalar"), "scalar", false);
        let one_of = self.one_of(keys.get("one_of"));
        let (kind, about) = kind.zip(about)?;
        if multi && matches!(kind, Kind::GeoPoint | Kind::Json) {
            self.wrong("multi: expected false for this kind, found true");
        }
        for (key, is_set) in [("index", !index), ("scalar", takes_scalars), ("one_of", !one_of.is_empty())] {
            if is_set && kind != Kind::Keyword {
                self.wrong(format_args!("{key}: expected only with the kind keyword, found it with another"));
            }
        }
        let search = self.search(kind, index, keys.get("also"));
        let usual = if kind == Kind::Keyword && index { LONGEST_TERM } else { 0 };
        let max_bytes = self.max_bytes(keys.get("max_bytes"), kind, usual);
        let example = keys.get("example").map(json);
        let field = OwnField {
            path: self.path.to_owned(),
            kind,
            multi,
            takes_scalars,
            max_bytes,
            search,
            about,
            one_of,
            example,
        };
        self.wrong.is_empty().then_some(field)
    }

    fn wrong(&mut self, what: impl fmt::Display) {
        self.wrong.push(format!("{}: {what}", shortened(self.path)));
    }

    fn expected(&mut self, key: &str, expected: &str, found: &Value) {
        let found = match found {
            Value::Table(_) => "a table".to_owned(),
            value => shortened(&value.to_string()),
        };
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        self.wrong(format_args!("{key}expected {expected}, found {found}"));
    }

    fn check_path(&mut self) {
        let path = self.path;
        if path.len() > MAX_PATH {
            return self.wrong(format_args!("expected a path of at most {MAX_PATH} bytes, found {}", path.len()));
        }
        if !path.split('.').all(is_name) {
            return self.wrong(
                "expected a path of names that begin with a lower-case letter and go on with lower-case letters, digits and \
                 underscores, joined by dots",
            );
        }
        let first = path.split('.').next().unwrap_or_default();
        if RESERVED.contains(&first) {
            return self.wrong(format_args!("expected a path outside {}, found {first}", RESERVED.join(", ")));
        }
        let known =
            |path: &str| FIELDS.binary_search_by(|field| field.path.cmp(path)).ok().and_then(|at| FIELDS.get(at));
        if known(path).is_some() {
            return self.wrong("expected a path that events do not have, found a field of ECS");
        }
        if !fields_of_beginning(&FIELDS, &format!("{path}.")).is_empty() {
            return self.wrong("expected a path that events do not have, found an object of ECS");
        }
        match objects_of(path).find_map(known) {
            Some(outer) if matches!(outer.kind, Kind::Nested | Kind::Objects) => {
                self.wrong(format_args!("expected a path outside arrays of objects, found it within {}", outer.path));
            }
            Some(outer) => {
                self.wrong(format_args!("expected a path that is not within another field, found {}", outer.path));
            }
            None => {}
        }
    }

    fn kind(&mut self, value: Option<&Value>) -> Option<Kind> {
        let known = || KINDS.map(|(name, _)| name);
        let kind = value.and_then(Value::as_str).and_then(|name| KINDS.iter().find(|(known, _)| *known == name));
        match (kind, value) {
            (Some((_, kind)), _) => return Some(*kind),
            (None, Some(value)) => {
                let near = value.as_str().and_then(|name| closest(name, known().into_iter()));
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let found = shortened(&value.to_string());
                self.wrong(format_args!("kind: expected one of {}, found {found}{hint}", known().join(", ")));
            }
            (None, None) => self.wrong(format_args!("kind: expected one of {}, found nothing", known().join(", "))),
        }
        None
    }

    fn about(&mut self, value: Option<&Value>) -> Option<String> {
        match value {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
            Some(value) => self.expected("about", "a description", value),
            None => self.wrong("about: expected a description, found nothing"),
        }
        None
    }

    fn boolean(&mut self, value: Option<&Value>, key: &str, usual: bool) -> bool {
        match value {
            None => usual,
            Some(Value::Boolean(value)) => *value,
            Some(value) => {
                self.expected(key, "true or false", value);
                usual
            }
        }
    }

    fn one_of(&mut self, value: Option<&Value>) -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        let texts = value.as_array().map(|values| values.iter().map(|value| value.as_str().map(str::to_owned)));
        match texts.and_then(Iterator::collect::<Option<Vec<_>>>) {
            Some(texts) if !texts.is_empty() => texts,
            Some(_) | None => {
                self.expected("one_of", "a list of texts", value);
                Vec::new()
            }
        }
    }

    fn search(&mut self, kind: Kind, index: bool, also: Option<&Value>) -> Search {
        let other = match kind {
            Kind::Keyword => Some("text"),
            Kind::Text => Some("keyword"),
            _ => None,
        };
        match (also, other) {
            (Some(value), None) => self.expected("also", "it only with the kinds keyword and text", value),
            (Some(value), Some(other)) if value.as_str() != Some(other) => {
                self.expected("also", &format!("{other:?}"), value);
            }
            (Some(_) | None, _) => {}
        }
        match (kind, index, also.is_some()) {
            (Kind::Text, _, false) | (Kind::Keyword, false, true) => Search::Words,
            (Kind::Keyword, false, false) => Search::Never,
            (Kind::Json, ..) | (Kind::Text | Kind::Keyword, _, true) => Search::ValueAndWords,
            _ => Search::Value,
        }
    }

    fn max_bytes(&mut self, value: Option<&Value>, kind: Kind, usual: u32) -> u32 {
        let Some(value) = value else { return usual };
        if !matches!(kind, Kind::Keyword | Kind::Text) {
            self.expected("max_bytes", "it only with the kinds keyword and text", value);
            return usual;
        }
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| *number <= LONGEST_TERM) {
            Some(number) => number,
            None => {
                self.expected("max_bytes", &format!("an integer from 0 to {LONGEST_TERM}"), value);
                usual
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Datetime(date) => date.to_string().into(),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Table(members) => members.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

#[cfg(test)]
mod tests;
