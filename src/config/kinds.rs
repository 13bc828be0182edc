//! What each kind of key accepts, and how its values are parsed and shown.

use std::{fmt, net::SocketAddr, time::Duration};

use config::{Value, ValueKind};

use super::setting::SettingKind;
use crate::{
    store::elastic::NodeUrl,
    units::{self, ByteSize, Network},
};

impl SettingKind {
    /// Parses a text from the environment or a flag. A text that does not parse stays a text, which
    /// [`SettingKind::check`] refuses.
    pub(super) fn value_of(self, text: &str) -> ValueKind {
        match self {
            Self::Integer { .. } => text.trim().parse::<i64>().map_or_else(|_| text.into(), Into::into),
            Self::Boolean => text.trim().parse::<bool>().map_or_else(|_| text.into(), Into::into),
            Self::TextList | Self::UrlList | Self::NetworkList | Self::ChoiceList(_)
                if !text.trim_start().starts_with('[') =>
            {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
            }
            Self::TextList | Self::UrlList | Self::NetworkList | Self::ChoiceList(_) | Self::Object => {
                serde_json::from_str::<Value>(text).map_or_else(|_| text.into(), |value| value.kind)
            }
            Self::Text
            | Self::Path
            | Self::Address
            | Self::Duration
            | Self::ShortDuration { .. }
            | Self::Size
            | Self::SizeOrZero
            | Self::Choice(_)
            | Self::Secret => text.into(),
        }
    }

    /// Checks a value; the error is what was expected instead.
    pub(super) fn check(self, value: &ValueKind) -> Result<(), String> {
        let fits = match (self, value) {
            (Self::Text | Self::Path | Self::Secret, ValueKind::String(text)) => !text.is_empty(),
            (Self::Address, ValueKind::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Self::Integer { min, max }, ValueKind::I64(it)) => {
                u64::try_from(*it).is_ok_and(|number| (min..=max).contains(&number))
            }
            (Self::Duration, ValueKind::String(text)) => units::parse_duration(text).is_ok(),
            (Self::ShortDuration { max_seconds }, ValueKind::String(text)) => {
                units::parse_duration_or_zero(text).is_ok_and(|duration| duration <= Duration::from_secs(max_seconds))
            }
            (Self::Size, ValueKind::String(text)) => text.parse::<ByteSize>().is_ok(),
            (Self::SizeOrZero, ValueKind::String(text)) => units::parse_size_or_zero(text).is_ok(),
            (Self::SizeOrZero, ValueKind::I64(0)) => true,
            (Self::Choice(names), ValueKind::String(text)) => names.contains(&text.as_str()),
            (Self::ChoiceList(names), _) => is_list(value, |text| names.contains(&text)),
            (Self::TextList, _) => is_list(value, |text| !text.is_empty()),
            (Self::UrlList, _) => is_list(value, |text| text.parse::<NodeUrl>().is_ok()),
            (Self::NetworkList, _) => is_list(value, |text| text.parse::<Network>().is_ok()),
            (Self::Boolean, ValueKind::Boolean(_)) | (Self::Object, ValueKind::Table(_)) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.to_string()) }
    }

    /// Formats a value for an error message.
    pub(super) fn quote(self, value: &Value) -> String {
        if self == Self::Secret {
            return REDACTED.to_owned();
        }
        let json = value.clone().try_deserialize::<serde_json::Value>().unwrap_or_default();
        let text = without_credentials(&json.to_string());
        match &value.kind {
            ValueKind::String(_) => format!("the text {text}"),
            ValueKind::Array(_) => format!("the list {text}"),
            ValueKind::Nil | ValueKind::Boolean(_) | ValueKind::Table(_) => text,
            number => format!("the number {number}"),
        }
    }

    /// Formats a value for the effective configuration: TOML, secrets redacted.
    pub(super) fn show(self, value: &Value) -> String {
        if self == Self::Secret {
            return format!("{REDACTED:?}");
        }
        let toml = value.clone().try_deserialize::<toml::Value>();
        without_credentials(&toml.map_or_else(|_| value.to_string(), |toml| toml.to_string()))
    }
}

const REDACTED: &str = "[redacted]";

fn is_list(value: &ValueKind, fits: impl Fn(&str) -> bool) -> bool {
    let ValueKind::Array(items) = value else { return false };
    !items.is_empty() && items.iter().all(|item| matches!(&item.kind, ValueKind::String(text) if fits(text)))
}

/// Cuts out everything from the first `//` to the last `@`, in case an address contains a password, and what follows a
/// `?` in an address, which may be a token.
fn without_credentials(text: &str) -> String {
    let cut = text.split_once("//").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    let text = cut.map_or_else(|| text.to_owned(), |(scheme, host)| format!("{scheme}//{REDACTED}@{host}"));
    let is_address = |part: &str| part.contains("//") && part.contains('?');
    let shown = |part: &str| match part.split_once('?') {
        Some((address, _)) if is_address(part) => format!("{address}?{REDACTED}"),
        _ => part.to_owned(),
    };
    // The parts between quotation marks.
    text.split('"').map(shown).collect::<Vec<_>>().join("\"")
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for SettingKind {
    /// Writes what is expected, as in "expected …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text | Self::Secret => f.write_str("a non-empty text"),
            Self::Path => f.write_str("a path"),
            Self::Address => f.write_str("an IP address and port such as \"127.0.0.1:6780\""),
            Self::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Self::Boolean => f.write_str("true or false"),
            Self::Duration => f.write_str(units::DURATION),
            Self::ShortDuration { max_seconds } => {
                write!(f, "a duration from 0s to {max_seconds}s with its unit, such as \"500ms\"")
            }
            Self::Size => f.write_str(units::SIZE),
            Self::SizeOrZero => write!(f, "{}, or 0", units::SIZE),
            Self::Choice(names) => {
                write!(f, "one of {}", quoted(names))
            }
            Self::ChoiceList(names) => write!(f, "a list of some of {}", quoted(names)),
            Self::TextList => f.write_str("a list of texts"),
            Self::UrlList => f.write_str("a list of http or https addresses without user or password"),
            Self::NetworkList => f.write_str("a list of addresses, or networks such as \"10.0.0.0/8\""),
            Self::Object => f.write_str("a table"),
        }
    }
}
