//! Rules beyond grammar and types: a registered provider and action, valid references, and the fields that the log
//! sets.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{event::Space, schema::FieldId};

use super::{
    Limits, Violation,
    builder::EventBuilder,
    canonical::{self, CanonicalError, abbreviate, put_text},
    defaults::{Defaults, NO_DEFAULTS},
    known::KnownFields,
    names::tell_apart,
    objects::put_flat_objects,
    registry::Registered,
    rules::{check_code, check_outcome, severity, unquoted, violation},
    scan::{Scanner, Token, decode},
    sender::Sender,
    unknown::{UnknownFields, UnknownMember},
};

/// The context shared by all events of a request.
pub(super) struct Context<'a> {
    pub(super) space: Option<&'a Space>,
    pub(super) sender: &'a Sender,
    /// `kibana.space_ids` of an event of the request, in canonical form.
    pub(super) space_ids: &'a [u8],
    pub(super) registered: &'a Registered,
    /// The time of the request, quoted and in canonical form.
    pub(super) now: &'a [u8],
    /// The fields that are the same in all events of a writer.
    pub(super) fixed: &'a Defaults,
    /// What is done with unknown fields, unless the provider says.
    pub(super) unknown_fields: UnknownFields,
    pub(super) limits: &'a Limits,
}

/// Checks the rules, merges the defaults and sets the log's own fields. Adds violations to the builder; returns `None`
/// if there are any.
pub(super) fn complete<'a>(builder: &mut EventBuilder, input: &[u8], context: &Context<'a>) -> Option<&'a Defaults> {
    let known = KnownFields::get();
    if !builder.unknown.is_empty() {
        complete_unknown(builder, unknown_fields(builder, input, context), context.limits);
    }
    let defaults = if may_log(builder, input, context) { registered_defaults(builder, input, context) } else { None };
    if let Some(defaults) = defaults {
        merge_labels(builder, input, defaults);
        builder.merge_defaults(defaults);
    }
    let defaults = defaults.unwrap_or(&NO_DEFAULTS);
    check_outcome(builder, input, defaults);
    check_code(builder, input, defaults);
    complete_references(builder, input, defaults, context);
    complete_spaces(builder, input, defaults, context);
    put_flat_objects(builder, input, defaults);
    if let Some(severity) = severity(builder, input, defaults) {
        builder.put_name(known.severity, severity.as_str().as_bytes());
        builder.put(known.severity_number, itoa::Buffer::new().format(severity.number()).as_bytes());
    }
    if !builder.has(known.timestamp) {
        builder.put(known.timestamp, context.now);
    }
    builder.put(known.principal_name, &context.sender.name);
    builder.put(known.principal_realm, &context.sender.realm);
    builder.violations.is_empty().then_some(defaults)
}

fn unknown_fields(builder: &EventBuilder, input: &[u8], context: &Context<'_>) -> UnknownFields {
    let name = given_name(builder, KnownFields::get().provider, input);
    let provider = name.and_then(|name| context.registered.provider(name));
    provider.and_then(|provider| provider.unknown_fields(context.space)).unwrap_or(context.unknown_fields)
}

/// Puts the collected unknown members into `annals.unmapped`, or reports them.
fn complete_unknown(builder: &mut EventBuilder, policy: UnknownFields, limits: &Limits) {
    let (count, members) = builder.unknown.take();
    let limit = limits.max_array_length;
    match policy {
        UnknownFields::Refuse => {
            for UnknownMember { object, name, path, .. } in members {
                builder.refuse_unknown(object, &name, || path);
            }
        }
        UnknownFields::Keep if count > limit => builder.violations.add(|| Violation {
            path: String::new(),
            expected: format!("at most {limit} unknown fields"),
            found: format!("{count} unknown fields"),
        }),
        UnknownFields::Keep => {
            let unmapped = KnownFields::get().unmapped;
            let repaired: Vec<_> =
                members.iter().enumerate().filter(|(_, member)| member.is_repaired).map(|(index, _)| index).collect();
            let mut members: Vec<_> = members.into_iter().map(|member| (member.path, member.value)).collect();
            tell_apart(&mut members, &repaired, usize::MAX);
            let mut text = Vec::new();
            match canonical::put_members(members, &"", &mut text) {
                Ok(()) => {
                    builder.put(unmapped, &text);
                    builder.unknown.kept = count as u64;
                }
                Err(CanonicalError::Violation(violation)) => builder.violations.add(|| violation),
                // Nothing is read.
                Err(CanonicalError::Syntax(_)) => {}
            }
        }
    }
}

/// Whether the sender may log as this provider. Checked before the registry, so that a sender without the right learns
/// nothing about registrations.
fn may_log(builder: &mut EventBuilder, input: &[u8], context: &Context<'_>) -> bool {
    let field = KnownFields::get().provider;
    let Some(provider) = given_name(builder, field, input) else { return true };
    let may = context.sender.may_log_in(provider, context.space);
    if !may {
        let found = abbreviate(provider);
        violation(builder, field.field().path, "a provider that the sender may log as in this space", found);
    }
    may
}

fn registered_defaults<'a>(builder: &mut EventBuilder, input: &[u8], context: &Context<'a>) -> Option<&'a Defaults> {
    let known = KnownFields::get();
    let provider = given_name(builder, known.provider, input).and_then(|name| context.registered.provider(name));
    let defaults = provider.map(|provider| provider.defaults(context.space));
    let action = given_name(builder, known.action, input);
    if let Some(provider) = provider {
        let is_registered = match action {
            Some(action) => provider.actions.contains(action),
            None => !builder.has(known.action) && defaults.is_some_and(|defaults| defaults.contains(known.action)),
        };
        if is_registered {
            return defaults;
        }
    }
    refuse_names(builder, input, provider.is_some());
    defaults
}

/// Returns the quoted value of a name, if present and not empty.
fn given_name<'a>(builder: &'a EventBuilder, field: FieldId, input: &'a [u8]) -> Option<&'a [u8]> {
    builder.given(field, input).filter(|name| *name != b"\"\"")
}

/// Reports a provider and an action that are not registered together.
fn refuse_names(builder: &mut EventBuilder, input: &[u8], is_provider_registered: bool) {
    let known = KnownFields::get();
    let provider = given_name(builder, known.provider, input).map(abbreviate);
    let registered = match &provider {
        Some(provider) => format!("an action registered for provider {provider}"),
        None => "an action of its provider".to_owned(),
    };
    for (field, is_registered, registered) in [
        (known.provider, is_provider_registered, "a registered provider".to_owned()),
        // Without its provider, an action can only be checked for presence.
        (known.action, !is_provider_registered, registered),
    ] {
        let path = field.field().path;
        match builder.given(field, input).map(<[u8]>::to_vec) {
            Some(name) if name == b"\"\"" => violation(builder, path, "a non-empty text", "\"\""),
            Some(_) if is_registered => {}
            Some(name) => violation(builder, path, registered, abbreviate(&name)),
            // A value of the wrong type has been reported already.
            None if builder.violations.contains_path(path) => {}
            None => violation(builder, path, "a non-empty text", "nothing"),
        }
    }
}

/// Labels are merged by name, as the fields of objects are.
fn merge_labels(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults) {
    let labels = KnownFields::get().labels;
    let Some(under) = defaults.get(labels) else { return };
    let Some(over) = builder.given(labels, input) else { return };
    let mut members = members(over);
    for (name, value) in self::members(under) {
        if !members.iter().any(|(given, _)| *given == name) {
            members.push((name, value));
        }
    }
    let mut merged = Vec::new();
    // The names are distinct, so nothing is refused.
    if canonical::put_members(members, &"labels", &mut merged).is_ok() {
        builder.put(labels, &merged);
    }
}

/// Returns the members of a canonical object whose values contain no objects.
fn members(object: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut scanner = Scanner::new(object, 0);
    let mut members = Vec::new();
    if !scanner.take(b'{') {
        return members;
    }
    while let Ok(name) = canonical::member_name(&mut scanner, &"") {
        let mut value = Vec::new();
        let Ok(token) = scanner.value() else { break };
        if canonical::put_value(&mut scanner, token, &"", canonical::Form::document(2), &mut value).is_err() {
            break;
        }
        members.push((name, value));
        if !scanner.take(b',') {
            break;
        }
    }
    members
}

/// Returns the objects of a canonical array.
fn elements(array: &[u8]) -> Vec<Vec<(String, Vec<u8>)>> {
    let mut scanner = Scanner::new(array, 1);
    let mut elements = Vec::new();
    while let Ok(Token::Object) = scanner.value() {
        elements.push(members(array.get(scanner.offset() - 1..).unwrap_or_default()));
        if scanner.skip(Token::Object, 2).is_err() || !scanner.take(b',') {
            break;
        }
    }
    elements
}

/// A reference's `rel` is `primary` or absent. Its `namespace` is absent for the default space; in a request to another
/// space it is that space's, and is filled in where it is absent. In no case is it one where the sender may not log.
fn complete_references(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults, context: &Context<'_>) {
    let Context { space, sender, .. } = *context;
    let known = KnownFields::get();
    let field = known.saved_objects;
    let Some(value) = builder.value(field, input, defaults) else { return };
    // In the usual case nothing changes: no reference names a space, and there is none to fill in.
    if space.is_none() && !needs_validation(value) {
        return;
    }
    let provider = given_name(builder, known.provider, input).unwrap_or_default();
    let path = field.field().path;
    let mut violations = Vec::new();
    let mut text = vec![b'['];
    for (index, mut element) in elements(value).into_iter().enumerate() {
        let violate = |name: &str, expected: String, found: &[u8]| Violation {
            path: format!("{path}[{index}].{name}"),
            expected,
            found: abbreviate(found),
        };
        if let Some((_, rel)) = element.iter().find(|(name, _)| name == "rel")
            && rel != b"\"primary\""
        {
            violations.push(violate("rel", "primary, or nothing".to_owned(), rel));
        }
        element.retain(|(name, value)| name != "namespace" || value != b"\"default\"");
        let is_everywhere = element.iter().any(|(name, value)| name == "space_agnostic" && value == b"true");
        let namespace = element.iter().find(|(name, _)| name == "namespace").map(|(_, value)| value.clone());
        if is_everywhere && !sender.may_log_everywhere(provider) {
            let expected = "false, because the sender may not log in every space".to_owned();
            violations.push(violate("space_agnostic", expected, b"true"));
        }
        match (space, namespace) {
            (None, None) => {}
            (None, Some(given)) => {
                let named = Space::parse(&text_of(&given)).ok();
                let may = named
                    .map_or(sender.may_log_everywhere(provider), |named| sender.may_log_in(provider, named.as_ref()));
                if !may {
                    violations.push(violate("namespace", "a space in which the sender may log".to_owned(), &given));
                }
            }
            (Some(_), None) if is_everywhere => {}
            (Some(space), None) => element.push(("namespace".to_owned(), quote(space.as_str()))),
            (Some(space), Some(given)) if given == quote(space.as_str()) => {}
            (Some(space), Some(given)) => {
                let expected = format!("\"{}\", the space of the request, or nothing", space.as_str());
                violations.push(violate("namespace", expected, &given));
            }
        }
        if index > 0 {
            text.push(b',');
        }
        // The names come from an object without duplicates, so this cannot fail.
        let _ = canonical::put_members(element, &path, &mut text);
    }
    text.push(b']');
    builder.put(field, &text);
    violations.into_iter().for_each(|violation| builder.violations.add(|| violation));
}

static NAMESPACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"namespace\":"));

/// Whether some reference names a space or belongs to every space, or has a `rel` other than `primary`. A text cannot
/// contain the patterns, as its quotes are escaped.
fn needs_validation(references: &[u8]) -> bool {
    static REL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"rel\":"));
    static EVERYWHERE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"space_agnostic\":true"));
    let is_primary = |at: usize| references.get(at..).is_some_and(|rest| rest.starts_with(b"\"rel\":\"primary\""));
    let names_a_space = NAMESPACE.find(references).is_some() || EVERYWHERE.find(references).is_some();
    names_a_space || !REL.find_iter(references).all(is_primary)
}

/// In a request to a named space, `kibana.space_ids` must be that space. In a request to the default space, it may name
/// others if the sender may log in them. If absent, it becomes the space of the request or, in one to the default space,
/// those of the event's primary objects.
fn complete_spaces(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults, context: &Context<'_>) {
    let field = KnownFields::get().space_ids;
    match builder.value(field, input, defaults) {
        None | Some(b"[]") => {
            let of_objects = if context.space.is_none() { spaces_of_objects(builder, input, defaults) } else { None };
            builder.put(field, of_objects.as_deref().unwrap_or(context.space_ids));
        }
        Some(given) if context.space.is_some() && given != context.space_ids => {
            let found = abbreviate(given);
            let own = String::from_utf8_lossy(context.space_ids);
            violation(builder, field.field().path, format!("{own}, the space of the request, or nothing"), found);
        }
        Some(given) if given != context.space_ids && !may_log_in_all(builder, input, given, context.sender) => {
            let found = abbreviate(given);
            violation(builder, field.field().path, "spaces in which the sender may log", found);
        }
        Some(_) => {}
    }
}

/// Returns the spaces of the primary references as `kibana.space_ids`; `None` if they are only in the default space.
fn spaces_of_objects(builder: &EventBuilder, input: &[u8], defaults: &Defaults) -> Option<Vec<u8>> {
    let references = builder.value(KnownFields::get().saved_objects, input, defaults)?;
    NAMESPACE.find(references)?;
    let mut spaces: Vec<Vec<u8>> = Vec::new();
    for reference in elements(references) {
        let member = |name: &str| reference.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice());
        if member("rel").is_none() || member("space_agnostic") == Some(b"true") {
            continue;
        }
        let space = member("namespace").map_or_else(|| quote(Space::DEFAULT), <[u8]>::to_vec);
        if Space::parse(&text_of(&space)).is_ok() && !spaces.contains(&space) {
            spaces.push(space);
        }
    }
    (!spaces.is_empty()).then(|| [b"[".as_slice(), &spaces.join(b",".as_slice()), b"]"].concat())
}

/// Whether the sender may log in each of these spaces. A name that is no space, such as `*`, needs the right to all.
fn may_log_in_all(builder: &EventBuilder, input: &[u8], space_ids: &[u8], sender: &Sender) -> bool {
    let provider = given_name(builder, KnownFields::get().provider, input).unwrap_or_default();
    let Ok(names) = serde_json::from_slice::<Vec<String>>(space_ids) else { return false };
    names.iter().all(|name| match Space::parse(name) {
        Ok(space) => sender.may_log_in(provider, space.as_ref()),
        Err(_) => sender.may_log_everywhere(provider),
    })
}

/// Returns the `kibana.space_ids` of an event that has none.
pub(super) fn space_ids(space: Option<&Space>) -> Vec<u8> {
    [b"[".as_slice(), &quote(space.map_or("default", Space::as_str)), b"]"].concat()
}

fn quote(text: &str) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    put_text(text, &mut quoted);
    quoted
}

/// Returns the text of a quoted value.
pub(super) fn text_of(value: &[u8]) -> String {
    if value.contains(&b'\\') {
        decode(value).map(|decoded| decoded.text).unwrap_or_default()
    } else {
        std::str::from_utf8(unquoted(value)).unwrap_or_default().to_owned()
    }
}
