//! Any text is a filter, or an error with a place in it; and a filter finds an event, or its negation does.

#![no_main]

use std::sync::LazyLock;

use annals::{event::UnixMillis, query::kql};
use libfuzzer_sys::fuzz_target;

static EVENT: LazyLock<serde_json::Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../golden/events/every-field.json")).expect("the example is JSON")
});

fuzz_target!(|text: &str| {
    match kql::parse(text, UnixMillis(1_614_686_400_000)) {
        Ok(filter) => {
            let found = filter.matches(&EVENT);
            assert_ne!(filter.negated().matches(&EVENT), found);
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.position.offset));
            assert_eq!(error.pointed().lines().count(), 3);
        }
    }
});
