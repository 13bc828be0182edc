//! The names of Annals' resources in an engine.
//!
//! | resource | name |
//! | --- | --- |
//! | write alias of a stream | `{prefix}-event-log-{version}-{stream}` |
//! | its indices | the alias, a hyphen, and six digits: `…-000001` |
//! | the private alias of an index | the index and `-writer` |
//! | its index template | the alias and `-template` |
//! | lifecycle policy | `{prefix without its leading dot}-event-log-policy` |
//! | searched | `{prefix}-event-log-*` |
//!
//! No name may be read as another one: a prefix with `-event-log` in it would put indices into the searches of a shorter
//! prefix, and a stream such as `general-000001` would have an alias that is an index of `general`. Both are refused.

use crate::{event::Stream, store::StoreError};

#[derive(Clone, Debug)]
pub(super) struct IndexNames {
    prefix: String,
    version: String,
}

/// A prefix or version that the engines would not accept in a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected 1 to 64 lower-case letters, digits, dots, hyphens and underscores{rest}, found {found:?}")]
pub struct BadName {
    key: &'static str,
    rest: &'static str,
    found: String,
}

impl IndexNames {
    pub(super) fn new(prefix: &str, version: &str) -> Result<Self, BadName> {
        let fits = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        };
        let version = version.to_lowercase();
        if !fits(&version) {
            return Err(BadName { key: "version", rest: "", found: version });
        }
        let holds_another = format!("{prefix}-").contains("-event-log-");
        if !fits(prefix) || prefix == "." || prefix.starts_with(['-', '_']) || holds_another {
            let rest = ", the first of which is not a hyphen or underscore, without the part \"-event-log\"";
            return Err(BadName { key: "index_prefix", rest, found: prefix.to_owned() });
        }
        Ok(Self { prefix: prefix.to_owned(), version })
    }

    /// Returns the write alias of a stream.
    pub(super) fn alias(&self, stream: &Stream) -> Result<String, StoreError> {
        let alias = format!("{}-event-log-{}-{stream}", self.prefix, self.version);
        if alias_of(alias.strip_suffix(WRITER).unwrap_or(&alias)).is_some() {
            let reason =
                format!("the stream {stream} cannot be stored here: its alias {alias} would be an index of another");
            return Err(StoreError::Refused { reason });
        }
        Ok(alias)
    }

    pub(super) fn policy(&self) -> String {
        format!("{}-event-log-policy", self.prefix.strip_prefix('.').unwrap_or(&self.prefix))
    }

    /// Returns the pattern of all indices, of all streams and versions.
    pub(super) fn pattern(&self) -> String {
        format!("{}-event-log-*", self.prefix)
    }
}

pub(super) fn template(alias: &str) -> String {
    format!("{alias}-template")
}

const WRITER: &str = "-writer";

/// Returns the private alias of an index. The template defines it, so that an append never creates an index.
pub(super) fn writer(index: &str) -> String {
    format!("{index}{WRITER}")
}

/// Returns the index with this number in the alias's series.
pub(super) fn index(alias: &str, number: u32) -> String {
    format!("{alias}-{number:06}")
}

/// Returns the alias of an index, and its number in the series.
pub(super) fn alias_of(index: &str) -> Option<(&str, u32)> {
    let (alias, number) = index.rsplit_once('-')?;
    let is_number = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    Some((alias, number.parse().ok().filter(|_| is_number)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of a few parts that could be taken for others.
    fn parts(least: usize) -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec!["a", "1", "general", "event-log", "event", "log", "000001", "writer"]);
        let joint = prop::sample::select(vec!["-", ".", ""]);
        prop::collection::vec((part, joint), least..4)
            .prop_map(|parts| parts.into_iter().map(|(part, joint)| format!("{part}{joint}")).collect())
    }

    fn is_in(pattern: &str, index: &str) -> bool {
        index.starts_with(pattern.strip_suffix('*').unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_name_is_read_as_another(
            (one, other) in ((parts(1), parts(1)), (parts(1), parts(1))),
            (stream, other_stream) in (parts(1), parts(1)),
        ) {
            let named = |(prefix, version): (String, String)| IndexNames::new(&prefix, &version).ok();
            let (Some(one), Some(other)) = (named(one), named(other)) else { return Ok(()) };
            let is_same_prefix = one.prefix == other.prefix;
            // With the stream that there is, and in one configuration with any.
            for (other, streams) in [(&other, ["general".to_owned(), "general".to_owned()]), (&one, [stream, other_stream])] {
                let [Ok(stream), Ok(other_stream)] = streams.map(|stream| stream.parse::<Stream>()) else { continue };
                let (Ok(alias), Ok(other_alias)) = (one.alias(&stream), other.alias(&other_stream)) else { continue };
                let is_same = other.prefix == one.prefix && other.version == one.version && stream == other_stream;
                prop_assert_eq!(alias == other_alias, is_same, "{} {}", &alias, &other_alias);
                let found = index(&alias, 1);
                prop_assert!(other_alias != found && other_alias != writer(&found), "{}", &found);
                prop_assert_eq!(is_in(&other.pattern(), &found), other.prefix == one.prefix);
                // Of two templates that match, the one with the longer pattern wins.
                let takes_it = is_in(&format!("{other_alias}-*"), &found);
                prop_assert!(is_same || !takes_it || other_alias.len() < alias.len(), "{}", &other_alias);
            }
            prop_assert_eq!(is_in(&one.pattern(), &index(&other.alias(&Stream::general()).unwrap(), 1)), is_same_prefix);
        }
    }

    #[test]
    fn a_stream_whose_alias_would_be_an_index_is_refused() {
        let names = IndexNames::new("a", "1").unwrap();
        for stream in ["general-000001", "general-000001-writer", "0000001"] {
            let StoreError::Refused { reason } = names.alias(&stream.parse().unwrap()).unwrap_err() else { panic!() };
            assert!(reason.starts_with(&format!("the stream {stream} cannot be stored here")), "{reason}");
        }
        for stream in ["general-1", "general-writer", "writer", "general-00001"] {
            names.alias(&stream.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn names_are_as_documented() {
        let names = IndexNames::new(".annals", "1.0.0-SNAPSHOT").unwrap();
        let alias = names.alias(&Stream::general()).unwrap();
        assert_eq!(alias, ".annals-event-log-1.0.0-snapshot-general");
        assert_eq!(index(&alias, 1), ".annals-event-log-1.0.0-snapshot-general-000001");
        assert_eq!(alias_of(&index(&alias, 7)), Some((alias.as_str(), 7)));
        assert_eq!(alias_of(&alias), None);
        assert_eq!(names.policy(), "annals-event-log-policy");
        assert_eq!(names.pattern(), ".annals-event-log-*");
    }

    #[test]
    fn names_that_an_engine_would_refuse_are_refused_here() {
        for prefix in ["", ".", "-a", "_a", "A", "a*", "a,b", "a/b", &"a".repeat(65), "a-event-log", "a-event-log-b"] {
            assert_eq!(IndexNames::new(prefix, "1").unwrap_err().key, "index_prefix", "{prefix}");
        }
        for version in ["", "1 0", "1/0", "*"] {
            assert_eq!(IndexNames::new("a", version).unwrap_err().key, "version", "{version}");
        }
    }
}
