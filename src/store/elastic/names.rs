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

use crate::event::Stream;

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
        if !fits(prefix) || prefix == "." || prefix.starts_with(['-', '_']) {
            let rest = ", the first of which is not a hyphen or underscore";
            return Err(BadName { key: "index_prefix", rest, found: prefix.to_owned() });
        }
        Ok(Self { prefix: prefix.to_owned(), version })
    }

    /// Returns the write alias of a stream.
    pub(super) fn alias(&self, stream: &Stream) -> String {
        format!("{}-event-log-{}-{stream}", self.prefix, self.version)
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

/// Returns the private alias of an index. The template defines it, so that an append never creates an index.
pub(super) fn writer(index: &str) -> String {
    format!("{index}-writer")
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
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let names = IndexNames::new(".annals", "1.0.0-SNAPSHOT").unwrap();
        let alias = names.alias(&Stream::general());
        assert_eq!(alias, ".annals-event-log-1.0.0-snapshot-general");
        assert_eq!(index(&alias, 1), ".annals-event-log-1.0.0-snapshot-general-000001");
        assert_eq!(alias_of(&index(&alias, 7)), Some((alias.as_str(), 7)));
        assert_eq!(alias_of(&alias), None);
        assert_eq!(names.policy(), "annals-event-log-policy");
        assert_eq!(names.pattern(), ".annals-event-log-*");
    }

    #[test]
    fn names_that_an_engine_would_refuse_are_refused_here() {
        for prefix in ["", ".", "-a", "_a", "A", "a*", "a,b", "a/b", &"a".repeat(65)] {
            assert_eq!(IndexNames::new(prefix, "1").unwrap_err().key, "index_prefix", "{prefix}");
        }
        for version in ["", "1 0", "1/0", "*"] {
            assert_eq!(IndexNames::new("a", version).unwrap_err().key, "version", "{version}");
        }
    }
}
