//! What each kind of key accepts, and how its values are written.

use std::{fmt, net::SocketAddr};

use serde_json::Value;

use super::keys::Kind;
use crate::{
    store::elastic::NodeUrl,
    units::{self, ByteSize, Network},
};

impl Kind {
    /// The value that a text from the environment or a flag stands for. A text that stands for none stays a text, which
    /// [`Kind::check`] then refuses as such.
    pub(super) fn value_of(self, text: &str) -> Value {
        match self {
            Self::Integer { .. } => text.trim().parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
            Self::Boolean => text.trim().parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
            Self::TextList | Self::UrlList | Self::NetworkList | Self::ChoiceList(_)
                if !text.trim_start().starts_with('[') =>
            {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
            }
            Self::TextList | Self::UrlList | Self::NetworkList | Self::ChoiceList(_) | Self::Object => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
            }
            Self::Text | Self::Path | Self::Address | Self::Duration | Self::Size | Self::Choice(_) | Self::Secret => {
                Value::from(text)
            }
        }
    }

    /// What is expected in place of the value, if it will not do.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        let fits = match self {
            Self::Text | Self::Path | Self::Secret => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Address => value.as_str().is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
            Self::Integer { least, most } => value.as_u64().is_some_and(|number| (least..=most).contains(&number)),
            Self::Boolean => value.is_boolean(),
            Self::Duration => value.as_str().is_some_and(|text| units::parse_duration(text).is_ok()),
            Self::Size => value.as_str().is_some_and(|text| text.parse::<ByteSize>().is_ok()),
            Self::Choice(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Self::ChoiceList(names) => is_list(value, |text| names.contains(&text)),
            Self::TextList => is_list(value, |text| !text.is_empty()),
            Self::UrlList => is_list(value, |text| text.parse::<NodeUrl>().is_ok()),
            Self::NetworkList => is_list(value, |text| text.parse::<Network>().is_ok()),
            Self::Object => value.is_object(),
        };
        if fits { Ok(()) } else { Err(self.to_string()) }
    }

    /// The value as an error may quote it.
    pub(super) fn quote(self, value: &Value) -> String {
        if self == Self::Secret {
            return REDACTED.to_owned();
        }
        let text = without_credentials(&value.to_string());
        match value {
            Value::String(_) => format!("the text {text}"),
            Value::Number(_) => format!("the number {text}"),
            Value::Array(_) => format!("the list {text}"),
            Value::Null | Value::Bool(_) | Value::Object(_) => text,
        }
    }

    /// The value as the effective configuration shows it: TOML, secrets left out.
    pub(super) fn show(self, value: &Value) -> String {
        if self == Self::Secret {
            return format!("{REDACTED:?}");
        }
        without_credentials(&toml_text(value))
    }
}

const REDACTED: &str = "[redacted]";

fn is_list(value: &Value, fits: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(|item| item.as_str().is_some_and(&fits)))
}

/// Cuts out all from the first `//` to the last `@`: somebody may write a password into an address all the same.
fn without_credentials(text: &str) -> String {
    let cut = text.split_once("//").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)));
    cut.map_or_else(|| text.to_owned(), |(scheme, host)| format!("{scheme}//{REDACTED}@{host}"))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn toml_text(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries: Vec<_> = entries.iter().map(|(k, v)| format!("{} = {}", toml_name(k), toml_text(v))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn toml_name(name: &str) -> String {
    super::places::KeyPath(vec![name.to_owned()]).to_string()
}

impl fmt::Display for Kind {
    /// What is expected, as in "expected …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text | Self::Secret => f.write_str("a text that is not empty"),
            Self::Path => f.write_str("a path"),
            Self::Address => f.write_str("an IP address and port such as \"127.0.0.1:6780\""),
            Self::Integer { least, most } => write!(f, "an integer from {least} to {most}"),
            Self::Boolean => f.write_str("true or false"),
            Self::Duration => f.write_str("a duration above zero with its unit, such as \"30s\" (ms, s, m, h, d)"),
            Self::Size => f.write_str("a size above zero with its unit, such as \"64mb\" (b, kb, mb, gb, tb)"),
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
