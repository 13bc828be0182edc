//! What an event says about itself, if it is broken or cut off as well.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// Maximum bytes of a text. Texts come from outside; longer ones are cut.
const MAX_TEXT: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) provider: Option<String>,
    pub(super) action: Option<String>,
    pub(super) event_id: Option<String>,
}

impl Labels {
    /// Reads the labels of an event, of the first event of an array, or of the first line, up to the first error.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut labels = Self::default();
        // What was read before an error is what there is.
        let _ = Members { labels: &mut labels, path: "" }.deserialize(&mut serde_json::Deserializer::from_slice(text));
        labels
    }

    fn at(&mut self, path: &str) -> Option<&mut Option<String>> {
        match path {
            "event.provider" => Some(&mut self.provider),
            "event.action" => Some(&mut self.action),
            "event.id" => Some(&mut self.event_id),
            _ => None,
        }
    }
}

/// The members of the object at a path, whose names may be paths themselves.
struct Members<'a> {
    labels: &'a mut Labels,
    path: &'static str,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
            if path == "event" {
                map.next_value_seed(Members { labels: self.labels, path: "event" })?;
            } else if let Some(label) = self.labels.at(&path) {
                if let Value::String(text) = map.next_value()? {
                    *label = Some(cut(text, MAX_TEXT));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        seq.next_element_seed(self).map(|_| ())
    }
}

/// Cuts a text to a number of bytes.
pub(super) fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, provider: Option<&str>, action: Option<&str>, event_id: Option<&str>) {
        let texts = [provider, action, event_id].map(|text| text.map(str::to_owned));
        let [provider, action, event_id] = texts;
        assert_eq!(Labels::read(text.as_bytes()), Labels { provider, action, event_id }, "{text}");
    }

    #[test]
    fn labels_are_read_from_whatever_comes_before_an_error() {
        let all = (Some("p"), Some("a"), Some("i"));
        check(r#"{"x":[{}],"event":{"provider":"p","id":"i","action":"a"}}"#, all.0, all.1, all.2);
        check(r#"{"event.provider":"p","event":{"action":"a"},"event.id":"i"}"#, all.0, all.1, all.2);
        check(r#" [{"event":{"provider":"p","action":"a","id":"i"}},{"event":{"provider":"q"}}]"#, all.0, all.1, all.2);
        check("{\"event\":{\"provider\":\"p\",\"action\":\"a\"}}\n{\"event\":{\"id\":\"i\"}}", all.0, all.1, None);
        check(r#"{"event":{"provider":"p","action":"a"#, all.0, None, None);
        check(r#"{"event":{"provider":5,"action":["a"],"id":"i"},}"#, None, None, all.2);
        check(r#"{"event":"p"}"#, None, None, None);
        check(r#"[1,{"event":{"provider":"p"}}]"#, None, None, None);
        check("", None, None, None);
        let long = "é".repeat(200);
        check(&format!("{{\"event.provider\":\"{long}\"}}"), Some(&"é".repeat(128)), None, None);
    }
}
