//! Reads the layers, from the weakest to the strongest: file, environment, flags.
//!
//! The crate `config` parses TOML and merges; values are checked here, while their layer is still known.

use std::{
    fs,
    path::{Path, PathBuf},
};

use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::{
    Problem,
    paths::{self, KeyPath, Lookup},
    setting::{PREFIX, Setting, SettingKind},
};

/// The inputs of the configuration, as given to the process.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file to read; it must exist.
    pub file: Option<PathBuf>,
    /// The file to read if it exists, unless `file` is given.
    pub usual_file: Option<PathBuf>,
    /// Environment variables; only those that begin with `ANNALS_` are considered.
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

/// A known key with a value; [`Value::origin`] names its origin. Each one is a source of its own to the crate.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub(super) path: KeyPath,
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
}

impl Assignment {
    pub(super) fn new(path: KeyPath, setting: &'static Setting, value: ValueKind, origin: &String) -> Self {
        Self { path, setting, value: Value::new(Some(origin), value) }
    }
}

impl Source for Assignment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut root = Value::default();
        self.collect_to(&mut root)?;
        root.into_table()
    }

    /// Descends name by name, because keys in the crate's own syntax cannot have names with dots, and replaces whole
    /// tables, which the crate would merge with those of weaker layers.
    fn collect_to(&self, root: &mut Value) -> Result<(), ConfigError> {
        let mut place = root;
        for name in &self.path.0 {
            if !matches!(place.kind, ValueKind::Table(_)) {
                place.kind = Map::<String, Value>::new().into();
            }
            let ValueKind::Table(entries) = &mut place.kind else { return Ok(()) };
            place = entries.entry(name.clone()).or_default();
        }
        *place = self.value.clone();
        Ok(())
    }
}

/// The values of all layers, weakest first, and the problems found while reading them.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) values: Vec<Assignment>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    pub(super) fn read(sources: &Sources) -> Self {
        let mut layers = Self::default();
        if let Some(path) = sources.file.as_ref().or(sources.usual_file.as_ref()) {
            match fs::read_to_string(path) {
                Ok(text) => layers.read_file(path, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => {}
                Err(error) => layers.refuse_file(path, format!("the file cannot be read: {error}")),
            }
        }
        layers.read_environment(&sources.environment);
        for flag in &sources.flags {
            layers.read_flag(flag);
        }
        layers
    }

    fn read_file(&mut self, path: &Path, text: &str) {
        let line_at = |offset| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        let document = match DeTable::parse(text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_at(span.start));
                return self.refuse_file(path, format!("line {line}: not TOML: {}", error.message()));
            }
        };
        match File::from_str(text, FileFormat::Toml).collect() {
            Ok(table) => self.take_table(&TomlFile { path, document: &document, line_at: &line_at }, &[], table),
            Err(error) => {
                let line = too_large(&document).map(|offset| format!("line {}: ", line_at(offset)));
                self.refuse_file(path, format!("{}{error}", line.unwrap_or_default()));
            }
        }
    }

    fn refuse_file(&mut self, path: &Path, reason: String) {
        self.problems.push(Problem::File { path: path.to_owned(), reason });
    }

    fn take_table(&mut self, file: &TomlFile<'_>, above: &[String], table: Map<String, Value>) {
        let located = table.into_iter().map(|(name, value)| {
            let path = KeyPath([above, &[name]].concat());
            (file.find(&path), path, value.kind)
        });
        let mut entries: Vec<_> = located.collect();
        entries.sort_by_key(|((offset, _), ..)| *offset);
        for ((offset, noun), path, value) in entries {
            let origin = format!("{} line {}", file.path.display(), (file.line_at)(offset));
            match (paths::look_up(&path), value) {
                (Lookup::Setting(setting), ValueKind::Table(entries)) if setting.kind != SettingKind::Object => {
                    let inside = entries.keys().min().map(|name| format!(" (with {})", path.child(name)));
                    let found = format!("a table{}", inside.unwrap_or_default());
                    self.problems.push(Problem::wrong(&path, setting.kind.to_string(), &found, &origin));
                }
                (Lookup::Setting(setting), value) => self.values.push(Assignment::new(path, setting, value, &origin)),
                (Lookup::Section, ValueKind::Table(entries)) => self.take_table(file, &path.0, entries),
                (Lookup::Section, _) => {
                    let found = format!("{} {noun}", article(noun));
                    self.problems.push(Problem::wrong(&path, "a table", &found, &origin));
                }
                (Lookup::NotFound, ValueKind::Table(entries)) if !entries.is_empty() => {
                    self.take_table(file, &path.0, entries);
                }
                (Lookup::NotFound, _) => self.problems.push(Problem::unknown(&path, &origin)),
            }
        }
    }

    /// Reads variables that have the separator `__`, or that are or resemble a key. Others with our prefix are ignored:
    /// our tools use some, and Kubernetes sets some (`ANNALS_PORT` beside a service named annals).
    fn read_environment(&mut self, environment: &[(String, String)]) {
        let mut variables: Vec<_> = environment.iter().collect();
        variables.sort();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let path = KeyPath(name.split("__").map(str::to_lowercase).collect());
            if name.contains("__") || paths::suggest(&path).is_some() {
                self.take_text(path, text, &format!("environment {variable}"));
            }
        }
    }

    fn read_flag(&mut self, flag: &Flag) {
        let origin = format!("flag {}", flag.name);
        match dotted_key(&flag.key) {
            Some(path) => self.take_text(path, &flag.value, &origin),
            None => self.problems.push(Problem::unknown(&KeyPath(vec![flag.key.clone()]), &origin)),
        }
    }

    fn take_text(&mut self, path: KeyPath, text: &str, origin: &String) {
        match paths::look_up(&path) {
            Lookup::Setting(setting) => {
                let value = setting.kind.value_of(text);
                self.values.push(Assignment::new(path, setting, value, origin));
            }
            Lookup::Section => {
                let expected = format!("one of the keys below it, such as {path}.…");
                self.problems.push(Problem::wrong(&path, expected, "a value for the whole section", origin));
            }
            Lookup::NotFound => self.problems.push(Problem::unknown(&path, origin)),
        }
    }
}

/// A parsed file, to find the positions of values, which the crate does not report.
struct TomlFile<'a> {
    path: &'a Path,
    document: &'a DeTable<'a>,
    line_at: &'a dyn Fn(usize) -> usize,
}

impl TomlFile<'_> {
    /// Returns the offset of the key and the type of its value.
    fn find(&self, path: &KeyPath) -> (usize, &'static str) {
        let (mut table, mut offset, mut noun) = (Some(self.document), 0, "table");
        for name in &path.0 {
            let entry = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
            let Some((key, value)) = entry else { break };
            (offset, noun, table) = (key.span().start, value.get_ref().type_str(), value.get_ref().as_table());
        }
        (offset, noun)
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'i']) { "an" } else { "a" }
}

/// Returns the position of an integer beyond 64 bits, because of which the crate would reject the whole file.
fn too_large(table: &DeTable<'_>) -> Option<usize> {
    table.iter().find_map(|(name, value)| match value.get_ref() {
        DeValue::Table(below) => too_large(below),
        DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix()).is_err().then_some(name.span().start),
        _ => None,
    })
}

/// Parses a key as written in TOML, with quotes around names with dots: `providers."Admin.EventLog".actions`.
fn dotted_key(text: &str) -> Option<KeyPath> {
    if text.contains(['\n', '=', '#']) {
        return None;
    }
    let mut level = File::from_str(&format!("{text} = 0"), FileFormat::Toml).collect().ok()?;
    let mut names = Vec::new();
    loop {
        let (name, value) = level.into_iter().next()?;
        names.push(name);
        match value.kind {
            ValueKind::Table(below) => level = below,
            _ => return Some(KeyPath(names)),
        }
    }
}
