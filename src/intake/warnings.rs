//! What will surprise about events that are accepted: at most one warning of each kind for a body.

use super::{
    builder::EventBuilder, canonical::abbreviate, complete::text_of, defaults::Defaults, known::KnownFields,
    rules::unquoted,
};
pub use crate::wire::Warning;
use crate::{event::UnixMillis, time::format_millis, wire::WarningCode};

/// How far the time of an event may be before and after that of the request.
const MAX_AGE_MS: i64 = 24 * 60 * 60 * 1000;
const MAX_AHEAD_MS: i64 = 5 * 60 * 1000;

/// The warnings about the events of a body.
pub(super) struct Warnings {
    noted: Vec<Warning>,
    /// Times in canonical form, between which nothing surprises.
    earliest: [u8; 24],
    latest: [u8; 24],
}

impl Warnings {
    /// For a body that came at this time.
    pub(super) fn new(now: UnixMillis) -> Self {
        let at = |difference: i64| format_millis(UnixMillis(now.0.saturating_add(difference)));
        Self { noted: Vec::new(), earliest: at(-MAX_AGE_MS), latest: at(MAX_AHEAD_MS) }
    }

    /// Looks for what will surprise about an accepted event, the one with this index in the body.
    pub(super) fn look_at(&mut self, index: usize, builder: &EventBuilder, input: &[u8], defaults: &Defaults) {
        let known = KnownFields::get();
        let value = |field| builder.value(field, input, defaults);
        if !builder.has(known.objects) {
            self.note(WarningCode::NoPrimaryObject, index, || {
                let path = known.saved_objects.field().path.to_owned();
                (path, "the event has no primary object, so it cannot be found by one".to_owned())
            });
        }
        // Texts of one form are in the order of their times.
        let time = value(known.timestamp).map(unquoted).unwrap_or_default();
        if time < self.earliest.as_slice() || time > self.latest.as_slice() {
            self.note(WarningCode::DistantTime, index, || {
                let time = String::from_utf8_lossy(time);
                let message = format!("{time} is far from the time of the request; are clock and time zone right?");
                (known.timestamp.field().path.to_owned(), message)
            });
        }
        if builder.is_severity_guessed {
            self.note(WarningCode::UnknownLevel, index, || {
                let level = value(known.level).map(abbreviate).unwrap_or_default();
                let severity = value(known.severity).map(text_of).unwrap_or_default();
                let message = format!("{level} is no level that the log knows, so the severity is {severity}");
                (known.level.field().path.to_owned(), message)
            });
        }
        if let Some(unmapped) = value(known.unmapped) {
            self.note(WarningCode::UnmappedFields, index, || {
                let message = "the log does not know the field: it is kept in annals.unmapped, and cannot be searched";
                (first_text(unmapped), message.to_owned())
            });
        }
        if let Some(repaired) = value(known.repaired) {
            self.note(WarningCode::RepairedTexts, index, || {
                let message = "a text of the field was repaired: annals.repaired names all such fields of the event, \
                               annals.originals has what was cut off";
                (first_text(repaired), message.to_owned())
            });
        }
    }

    fn note(&mut self, code: WarningCode, index: usize, describe: impl FnOnce() -> (String, String)) {
        if let Some(noted) = self.noted.iter_mut().find(|noted| noted.code == code) {
            noted.events += 1;
            return;
        }
        let (path, message) = describe();
        self.noted.push(Warning { code, events: 1, first: index as u64, path, message });
    }

    pub(super) fn take(self) -> Vec<Warning> {
        self.noted
    }
}

/// Returns the first text of a canonical array, or the first name of an object, for a message.
fn first_text(value: &[u8]) -> String {
    let first = value.get(2..).and_then(|rest| rest.split(|byte| *byte == b'"').next());
    abbreviate(first.unwrap_or_default())
}
