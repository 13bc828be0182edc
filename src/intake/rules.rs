//! Rules for single values beyond their types, of events and of the defaults of providers.

use super::{
    Violation,
    builder::EventBuilder,
    canonical::abbreviate,
    defaults::{Defaults, NO_DEFAULTS},
    known::KnownFields,
};
use crate::event::Severity;

pub(super) fn violation(builder: &mut EventBuilder, path: &str, expected: impl Into<String>, found: impl Into<String>) {
    builder.violations.add(|| Violation { path: path.to_owned(), expected: expected.into(), found: found.into() });
}

pub(super) fn unquoted(value: &[u8]) -> &[u8] {
    value.get(1..value.len().saturating_sub(1)).unwrap_or_default()
}

/// Checks the values of provider defaults by the rules for those of events.
pub(super) fn check_values(builder: &mut EventBuilder, input: &[u8]) {
    check_outcome(builder, input, &NO_DEFAULTS);
    check_code(builder, input, &NO_DEFAULTS);
    severity(builder, input, &NO_DEFAULTS);
}

pub(super) fn check_outcome(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults) {
    let outcome = KnownFields::get().outcome;
    let Some(value) = builder.value(outcome, input, defaults) else { return };
    if !matches!(value, b"\"success\"" | b"\"failure\"" | b"\"unknown\"") {
        let found = abbreviate(value);
        violation(builder, outcome.field().path, "success, failure or unknown", found);
    }
}

pub(super) fn check_code(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults) {
    let code = KnownFields::get().code;
    let Some(value) = builder.value(code, input, defaults) else { return };
    let fits = std::str::from_utf8(value).is_ok_and(|text| text.parse::<i16>().is_ok());
    if !fits {
        let found = abbreviate(value);
        violation(builder, code.field().path, "a whole number from -32768 to 32767", found);
    }
}

/// Returns `annals.severity`, or else derives it from `log.level`, or else from `event.outcome`: a failure is a
/// warning, anything else informational.
pub(super) fn severity(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults) -> Option<Severity> {
    let known = KnownFields::get();
    if let Some(value) = builder.value(known.severity, input, defaults) {
        let named = std::str::from_utf8(unquoted(value)).ok().and_then(Severity::parse);
        if named.is_none() {
            let found = abbreviate(value);
            let expected = "debug, informational, warning, error, critical or fatal";
            violation(builder, known.severity.field().path, expected, found);
        }
        return named;
    }
    let level = builder.value(known.level, input, defaults).map(|level| severity_of_level(unquoted(level)));
    builder.is_severity_guessed = level == Some(None);
    let failed = builder.value(known.outcome, input, defaults) == Some(b"\"failure\"");
    Some(level.flatten().unwrap_or(if failed { Severity::Warning } else { Severity::Informational }))
}

/// The usual names of log levels, in any case.
fn severity_of_level(level: &[u8]) -> Option<Severity> {
    const LEVELS: [(Severity, &[&str]); 6] = [
        (Severity::Debug, &["debug", "trace", "verbose", "fine", "finer", "finest"]),
        (Severity::Informational, &["info", "informational", "information", "notice"]),
        (Severity::Warning, &["warn", "warning"]),
        (Severity::Error, &["error", "err", "severe"]),
        (Severity::Critical, &["critical", "crit", "alert"]),
        (Severity::Fatal, &["fatal", "emergency", "emerg", "panic"]),
    ];
    let is_level = |name: &&str| name.as_bytes().eq_ignore_ascii_case(level);
    LEVELS.into_iter().find(|(_, names)| names.iter().any(is_level)).map(|(severity, _)| severity)
}
