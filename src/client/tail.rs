//! A tail: events as they come, as server-sent events.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use reqwest::header;

use super::{
    api::ApiError,
    streams::{Part, Stream},
};

pub(super) const CONTENT_TYPE: &str = "text/event-stream";

/// A tail that lives says something every 15 seconds.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(45);

/// No event that any server would take makes a longer line.
const LONGEST_LINE: usize = 64 << 20;

/// What a tail tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An event, or something else that its kind says.
    Message(Message),
    /// Nothing but how far the tail has come.
    Place(String),
    /// What a person may want to know.
    Comment(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Empty for an event.
    pub kind: String,
    /// Where to go on behind it.
    pub id: Option<String>,
    pub data: String,
}

/// A tail that is under way.
#[derive(Debug)]
pub struct Tail {
    stream: Stream,
    reader: Reader,
}

impl Tail {
    pub(super) fn new(stream: Stream) -> Result<Self, ApiError> {
        let kind = stream.head().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(CONTENT_TYPE) {
            return Err(stream.strange(format!("no {CONTENT_TYPE}")));
        }
        Ok(Self { stream, reader: Reader::default() })
    }

    /// What is told next, at least one thing; empty at the end, after which one comes back with the last id.
    pub async fn next(&mut self) -> Result<Vec<Told>, ApiError> {
        loop {
            match self.stream.next().await? {
                None => return Ok(Vec::new()),
                Some(Part::Trailers(_)) => {}
                Some(Part::Bytes(bytes)) => {
                    let told = self.reader.read(&bytes).map_err(|reason| self.stream.strange(reason))?;
                    if !told.is_empty() {
                        return Ok(told);
                    }
                }
            }
        }
    }

    /// How long the server wants to be left alone before one comes back.
    pub fn retry(&self) -> Option<Duration> {
        self.reader.retry
    }
}

/// Reads server-sent events, however their bytes are cut.
#[derive(Debug, Default)]
struct Reader {
    rest: BytesMut,
    message: Message,
    retry: Option<Duration>,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<Told>, String> {
        let mut told = Vec::new();
        let mut looked = self.rest.len();
        self.rest.extend_from_slice(bytes);
        while let Some(at) = memchr::memchr(b'\n', self.rest.get(looked..).unwrap_or_default()) {
            let line = self.rest.split_to(looked + at);
            self.rest.advance(1);
            looked = 0;
            let line = std::str::from_utf8(&line).map_err(|error| format!("not UTF-8: {error}"))?;
            told.extend(self.line(line.strip_suffix('\r').unwrap_or(line)));
        }
        if self.rest.len() > LONGEST_LINE {
            return Err(format!("a line is longer than {LONGEST_LINE} bytes"));
        }
        Ok(told)
    }

    /// A blank line ends a message; one that was not ended was never sent.
    fn line(&mut self, line: &str) -> Option<Told> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return match (message.data.is_empty(), message.id) {
                (true, id) => id.map(Told::Place),
                (false, id) => Some(Told::Message(Message { id, ..message })),
            };
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if value.trim().is_empty() => return None,
            "" => return Some(Told::Comment(value.trim().to_owned())),
            "event" => value.clone_into(&mut self.message.kind),
            "id" => self.message.id = Some(value.to_owned()),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_however_their_bytes_are_cut_and_none_that_is_cut_off() {
        let text = "retry: 1000\nid: a\n\n:\n\nid: b\ndata: {\"x\":\"ü: 1\"}\n\n: the store sleeps\n\n\
                    event: gap\r\nid:c\r\ndata: 1\r\ndata: 2\r\n\r\nother\n\nid: d\ndata: torn\n";
        let message = |kind: &str, id: &str, data: &str| {
            Told::Message(Message { kind: kind.to_owned(), id: Some(id.to_owned()), data: data.to_owned() })
        };
        let expected = [
            Told::Place("a".to_owned()),
            message("", "b", r#"{"x":"ü: 1"}"#),
            Told::Comment("the store sleeps".to_owned()),
            message("gap", "c", "1\n2"),
        ];
        for length in [1, 2, 3, 7, 1000] {
            let mut reader = Reader::default();
            let told: Vec<_> = text.as_bytes().chunks(length).flat_map(|bytes| reader.read(bytes).unwrap()).collect();
            assert_eq!(told, expected);
            assert_eq!(reader.retry, Some(Duration::from_secs(1)));
        }
    }
}
