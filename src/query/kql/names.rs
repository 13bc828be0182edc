//! Resolves names to fields.

use super::{
    error::SpannedError,
    syntax::{Literal, pieces},
};
use crate::{
    query::{Pattern, Subject},
    schema::{
        self, Field, Kind, Search, closest, fields_beginning, fields_within, nearest, nested_around, nested_fields,
    },
};

/// The fields that identify somebody or something. A value without a field is looked up in these and in the words of
/// [`TEXTS`].
pub(super) const IDENTIFYING: [&str; 33] = [
    "annals.refers_to",
    "error.code",
    "error.id",
    "error.type",
    "event.action",
    "event.code",
    "event.id",
    "event.provider",
    "event.reason",
    "host.id",
    "host.name",
    "kibana.action.id",
    "kibana.action.name",
    "kibana.alert.rule.execution.uuid",
    "kibana.alert.uuid",
    "kibana.alerting.instance_id",
    "kibana.saved_objects.id",
    "kibana.server_uuid",
    "kibana.space_ids",
    "kibana.task.id",
    "rule.id",
    "rule.name",
    "rule.uuid",
    "service.id",
    "service.name",
    "source.address",
    "source.ip",
    "tags",
    "trace.id",
    "transaction.id",
    "user.email",
    "user.id",
    "user.name",
];

/// The texts whose words are searched for a value without a field.
pub(super) const TEXTS: [&str; 2] = ["message", "error.message"];

/// A subject, and the index to search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) subject: Subject,
    pub(super) field: &'static Field,
    pub(super) index: IndexChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexChoice {
    /// The field's default index.
    Default(IndexKind),
    /// An index with a name of its own, such as `message.keyword`. It may lack a value where the field has one.
    Named(IndexKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexKind {
    Value,
    Words,
}

impl IndexChoice {
    pub(super) fn kind(self) -> IndexKind {
        match self {
            Self::Default(kind) | Self::Named(kind) => kind,
        }
    }
}

/// The fields that a name denotes.
#[derive(Debug, PartialEq)]
pub(super) enum ResolvedName {
    One(Target),
    /// For a name with wildcards, or no name: those that can have the value are searched.
    Several(Vec<Target>),
    /// An object with these fields, which has no value itself.
    Object(Vec<Target>),
}

impl Target {
    pub(super) fn of(field: &'static Field) -> Self {
        let is_text = matches!(field.kind, Kind::Text | Kind::Json) || field.search == Search::Words;
        let kind = if is_text { IndexKind::Words } else { IndexKind::Value };
        Self { subject: Subject::Field(field), field, index: IndexChoice::Default(kind) }
    }

    /// Returns the nested field that contains this one.
    pub(super) fn nested(&self) -> Option<&'static Field> {
        nested_around(self.field.path)
    }
}

fn is_within(field: &Field, outer: &Field) -> bool {
    field.path.strip_prefix(outer.path).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the searchable ones of these fields.
fn searchable(fields: &'static [Field]) -> impl Iterator<Item = &'static Field> {
    let is_array = |field: &Field| matches!(field.kind, Kind::Nested | Kind::Objects);
    fields.iter().filter(move |field| field.search != Search::Never && !is_array(field))
}

/// Returns the fields that are searched for a value without a field.
pub(super) fn without_field(group: Option<&'static Field>) -> ResolvedName {
    ResolvedName::Several(match group {
        Some(group) => searchable(fields_within(group.path)).map(Target::of).collect(),
        None => {
            let mut usual: Vec<_> =
                IDENTIFYING.iter().chain(&TEXTS).filter_map(|path| schema::field_id(path)).collect();
            usual.sort();
            usual.into_iter().map(|field| Target::of(field.field())).collect()
        }
    })
}

/// Resolves a name. In a group, it is relative to the group or begins with the group's path.
pub(super) fn resolve(name: &Literal, group: Option<&'static Field>) -> Result<ResolvedName, SpannedError> {
    let Some(text) = name.text() else { return resolve_pattern(name, group) };
    let Some(group) = group else { return resolve_path(&text, name) };
    let relative = format!("{}.{text}", group.path);
    let path = if schema::field(&relative).is_none() && text.starts_with(group.path) { text } else { relative };
    match schema::field(&path) {
        Some(field) if is_within(field, group) => Ok(ResolvedName::One(Target::of(field))),
        Some(_) | None => {
            let members =
                || searchable(fields_within(group.path)).filter_map(|field| field.path.get(group.path.len() + 1..));
            let shown = name.shown();
            let hint = match closest(&shown, members()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", first_of(members())),
            };
            Err(SpannedError::new(name.span, format!("{} has no field {shown:?}; {hint}", group.path)))
        }
    }
}

fn resolve_path(path: &str, name: &Literal) -> Result<ResolvedName, SpannedError> {
    if let Some(known) = known(path) {
        return Ok(known);
    }
    let shown: String = name.shown().chars().take(80).collect();
    Err(SpannedError::new(name.span, format!("There is no field {shown:?}{}", hint(path))))
}

/// Whether a filter can test this path, or the fields in it.
pub(super) fn is_known(path: &str) -> bool {
    known(path).is_some()
}

fn known(path: &str) -> Option<ResolvedName> {
    match Subject::at(path) {
        Some(Subject::Field(field)) if field.kind != Kind::Objects => {
            return Some(ResolvedName::One(Target::of(field)));
        }
        Some(subject @ Subject::Label(_)) => {
            let (field, index) = (subject.field(), IndexChoice::Default(IndexKind::Value));
            return Some(ResolvedName::One(Target { subject, field, index }));
        }
        Some(Subject::Field(_)) | None => {}
    }
    if let Some(target) = named_index(path) {
        return Some(ResolvedName::One(target));
    }
    let members: Vec<Target> = searchable(fields_within(path)).map(Target::of).collect();
    if members.is_empty() { None } else { Some(ResolvedName::Object(members)) }
}

fn hint(path: &str) -> String {
    match path.rsplit_once(char::is_whitespace) {
        Some((_, last)) if is_known(last) => "; between conditions there must be AND or OR".to_owned(),
        _ => suggestion(path).map(|near| format!("; did you mean {near}?")).unwrap_or_default(),
    }
}

/// Resolves the engines' second index of a field: `message.keyword`, `user.name.text`.
fn named_index(path: &str) -> Option<Target> {
    let (owner, kind) = match path.strip_suffix(".keyword") {
        Some(owner) => (owner, IndexKind::Value),
        None => (path.strip_suffix(".text")?, IndexKind::Words),
    };
    let target = Target::of(schema::field(owner)?);
    let other = match target.index.kind() {
        IndexKind::Value => IndexKind::Words,
        IndexKind::Words => IndexKind::Value,
    };
    let is_only_words = target.field.search == Search::Words && kind == IndexKind::Words;
    let has_it = target.field.search == Search::ValueAndWords && kind == other || is_only_words;
    has_it.then_some(Target { index: IndexChoice::Named(kind), ..target })
}

/// Suggests the path without the name of an index that the field does not have, the path in its own case, a similar path,
/// or one whose last part is the name.
pub(super) fn suggestion(path: &str) -> Option<String> {
    let owner = [".keyword", ".text"].into_iter().find_map(|index| path.strip_suffix(index));
    if let Some(owner) = owner {
        return if is_known(owner) { Some(owner.to_owned()) } else { suggestion(owner) };
    }
    nearest(path).map(str::to_owned)
}

fn resolve_pattern(name: &Literal, group: Option<&'static Field>) -> Result<ResolvedName, SpannedError> {
    let pattern = Pattern::new(pieces(&name.symbols));
    let labels = pattern.pieces().first().filter(|first| first.starts_with("labels."));
    if let Some(first) = labels {
        if name.shown() == "labels.*" && group.is_none() {
            return Ok(ResolvedName::Several(Subject::labels().map(Target::of).into_iter().collect()));
        }
        let message =
            format!("Labels cannot be selected by a part of their name ({first}*); labels.* selects all of them");
        return Err(SpannedError::new(name.span, message));
    }
    let is_meant = |field: &&'static Field| {
        let member = group.and_then(|outer| field.path.get(outer.path.len() + 1..));
        pattern.matches(field.path) || member.is_some_and(|member| pattern.matches(member))
    };
    let beginning = pattern.pieces().first().map_or("", String::as_str);
    let among = group.map_or_else(|| fields_beginning(beginning), |group| fields_within(group.path));
    let fields: Vec<Target> = searchable(among).filter(is_meant).map(Target::of).collect();
    if fields.is_empty() {
        let shown: String = name.shown().chars().take(80).collect();
        return Err(SpannedError::new(name.span, format!("There is no field like {shown:?}")));
    }
    Ok(ResolvedName::Several(fields))
}

/// Returns the first names, for a message.
fn first_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|name| (!name.starts_with("kibana."), name.matches('.').count(), *name));
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…");
    }
    names.join(", ")
}

/// Resolves the name before `{` to a nested field.
pub(super) fn group(name: &Literal, outer: Option<&'static Field>) -> Result<&'static Field, SpannedError> {
    let Some(text) = name.text() else {
        return Err(SpannedError::new(name.span, "The name before \"{\" takes no wildcard"));
    };
    let path = outer.map_or_else(|| text.clone(), |outer| format!("{}.{text}", outer.path));
    let nested = || nested_fields().map(|field| field.path);
    match schema::field(&path) {
        Some(field) if field.kind == Kind::Nested => Ok(field),
        Some(field) if field.kind == Kind::Objects => {
            let message =
                format!("The objects of {path:?} are not told apart; write the name of a field of them in full");
            Err(SpannedError::new(name.span, message))
        }
        found => {
            let what = if found.is_some() || !fields_within(&path).is_empty() {
                format!("{path:?} is not an array of objects")
            } else {
                format!("There is no field {path:?}")
            };
            let hint = closest(&path, nested()).map_or_else(
                || format!("{{ }} is for the fields of one object of {}", first_of(nested())),
                |near| format!("did you mean {near}?"),
            );
            Err(SpannedError::new(name.span, format!("{what}; {hint}")))
        }
    }
}
