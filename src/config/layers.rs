//! Reads the layers, from the weakest to the strongest: file, environment, flags. Each value remembers where it came from.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    Problem,
    keys::{Key, Kind, PREFIX},
    places::{self, KeyPath, Place},
};

/// What a configuration is made of, as the process was given it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file to read; it must exist.
    pub file: Option<PathBuf>,
    /// The file to read if it exists, where none is named.
    pub usual_file: Option<PathBuf>,
    /// Environment variables; only those that begin with `ANNALS_` are looked at.
    pub environment: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

/// A key set on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// What the user typed, such as `--listen`.
    pub name: String,
    pub key: String,
    pub value: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment { variable: String },
    Flag { name: String },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// A value of a known key.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) path: KeyPath,
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The values of all layers, the weakest first, and whatever could not be read.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) given: Vec<Given>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    pub(super) fn read(sources: &Sources) -> Self {
        let mut layers = Self::default();
        if let Some(path) = &sources.file {
            layers.read_file(path, Absence::IsProblem);
        } else if let Some(path) = &sources.usual_file {
            layers.read_file(path, Absence::IsFine);
        }
        layers.read_environment(&sources.environment);
        for flag in &sources.flags {
            layers.read_flag(flag);
        }
        layers
    }

    fn read_file(&mut self, path: &Path, absence: Absence) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && absence == Absence::IsFine => return,
            Err(error) => {
                let reason = format!("the file cannot be read: {error}");
                return self.problems.push(Problem::File { path: path.to_owned(), reason });
            }
        };
        let file = File { path, text: &text };
        match DeTable::parse(&text) {
            Ok(table) => self.take_table(&file, &KeyPath::root(), table.get_ref()),
            Err(error) => {
                let line = error.span().map_or(1, |span| file.line(span.start));
                let reason = format!("line {line}: not TOML: {}", error.message());
                self.problems.push(Problem::File { path: path.to_owned(), reason });
            }
        }
    }

    fn take_table(&mut self, file: &File<'_>, path: &KeyPath, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let origin = file.origin(name.span().start);
            self.take_entry(file, &path.child(name.get_ref()), value, origin);
        }
    }

    fn take_entry(&mut self, file: &File<'_>, path: &KeyPath, value: &Spanned<DeValue<'_>>, origin: Origin) {
        match (places::look_up(path), value.get_ref()) {
            (Place::Key(key), DeValue::Table(table)) if key.kind != Kind::Object => {
                let inside = table.keys().next().map(|name| path.child(name.get_ref()));
                self.problems.push(Problem::wrong(path, key.kind.to_string(), &found_table(inside), &origin));
            }
            (Place::Key(key), value) => {
                self.given.push(Given { path: path.clone(), key, value: json(value), origin });
            }
            (Place::Section, DeValue::Table(table)) => self.take_table(file, path, table),
            (Place::Section, other) => {
                let found = format!("{} {}", article(other.type_str()), other.type_str());
                self.problems.push(Problem::wrong(path, "a table".to_owned(), &found, &origin));
            }
            (Place::Unknown, DeValue::Table(table)) if !table.is_empty() => self.take_table(file, path, table),
            (Place::Unknown, _) => self.problems.push(Problem::unknown(path, &origin)),
        }
    }

    /// A variable is a key's if it has the separator `__`, or is or resembles a key. Others with our prefix are let be, for
    /// our tools and Kubernetes (`ANNALS_PORT` beside a service named annals) make such.
    fn read_environment(&mut self, environment: &[(String, String)]) {
        let mut variables: Vec<_> = environment.iter().collect();
        variables.sort();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let path = KeyPath(name.split("__").map(str::to_lowercase).collect());
            let origin = Origin::Environment { variable: variable.clone() };
            let ours = name.contains("__") || places::suggest(&path).is_some();
            if ours {
                self.take_text(path, text, origin);
            }
        }
    }

    fn read_flag(&mut self, flag: &Flag) {
        let origin = Origin::Flag { name: flag.name.clone() };
        match dotted_key(&flag.key) {
            Some(path) => self.take_text(path, &flag.value, origin),
            None => self.problems.push(Problem::unknown(&KeyPath(vec![flag.key.clone()]), &origin)),
        }
    }

    fn take_text(&mut self, path: KeyPath, text: &str, origin: Origin) {
        match places::look_up(&path) {
            Place::Key(key) => {
                let value = key.kind.value_of(text);
                self.given.push(Given { path, key, value, origin });
            }
            Place::Section => {
                let expected = format!("one of the keys below it, such as {path}.…");
                self.problems.push(Problem::wrong(&path, expected, "a value for the whole section", &origin));
            }
            Place::Unknown => self.problems.push(Problem::unknown(&path, &origin)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    IsFine,
    IsProblem,
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, offset: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.line(offset) }
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn found_table(inside: Option<KeyPath>) -> String {
    inside.map_or_else(|| "a table".to_owned(), |key| format!("a table (with {key})"))
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'i']) { "an" } else { "a" }
}

/// A key as it is typed in TOML, with quotes where a name has dots: `providers."Admin.EventLog".actions`.
fn dotted_key(text: &str) -> Option<KeyPath> {
    if text.contains(['\n', '=', '#']) {
        return None;
    }
    let line = format!("{text} = 0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = KeyPath::root();
    let mut level = table.get_ref();
    loop {
        let (name, value) = level.iter().next()?;
        path = path.child(name.get_ref());
        match value.get_ref() {
            DeValue::Table(below) => level = below,
            _ => return Some(path),
        }
    }
}

/// The JSON value of a TOML one; what JSON lacks (dates, numbers that are not numbers) becomes its text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => integer(number.as_str(), number.radix()),
        DeValue::Float(number) => {
            let exact = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            exact.map_or_else(|| Value::from(number.as_str()), Value::Number)
        }
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            Value::Object(table.iter().map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref()))).collect())
        }
    }
}

fn integer(digits: &str, radix: u32) -> Value {
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    i64::from_str_radix(digits, radix).map_or_else(|_| Value::from(digits), Value::from)
}
