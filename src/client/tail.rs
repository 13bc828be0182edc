//! A tail: new events, as server-sent events.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use reqwest::header;

use super::{
    api::ApiError,
    streams::{Frame, ResponseStream},
};

pub(super) const CONTENT_TYPE: &str = "text/event-stream";

/// The server sends something at least every 15 seconds.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Longer than any event that a server accepts.
const MAX_LINE_BYTES: usize = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailItem {
    /// An event, or something else according to its kind.
    Message(Message),
    /// The id to resume from, without a message.
    Position(String),
    /// A note for people.
    Comment(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Empty for an event.
    pub kind: String,
    /// The id to resume from after it.
    pub id: Option<String>,
    pub data: String,
}

/// A tail in progress.
#[derive(Debug)]
pub struct Tail {
    stream: ResponseStream,
    parser: MessageParser,
}

impl Tail {
    pub(super) fn new(stream: ResponseStream) -> Result<Self, ApiError> {
        let kind = stream.head().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(CONTENT_TYPE) {
            return Err(stream.unexpected(format!("no {CONTENT_TYPE}")));
        }
        Ok(Self { stream, parser: MessageParser::default() })
    }

    /// Returns the next items, at least one; none at the end, after which the tail can be resumed from the last id.
    pub async fn next(&mut self) -> Result<Vec<TailItem>, ApiError> {
        loop {
            match self.stream.next().await? {
                None => return Ok(Vec::new()),
                Some(Frame::Trailers(_)) => {}
                Some(Frame::Data(bytes)) => {
                    let items = self.parser.read(&bytes).map_err(|reason| self.stream.unexpected(reason))?;
                    if !items.is_empty() {
                        return Ok(items);
                    }
                }
            }
        }
    }

    /// How long to wait before reconnecting, if the server says so.
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry
    }
}

/// Parses server-sent events from chunks of any size.
#[derive(Debug, Default)]
struct MessageParser {
    rest: BytesMut,
    message: Message,
    retry: Option<Duration>,
}

impl MessageParser {
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<TailItem>, String> {
        let mut items = Vec::new();
        let mut searched = self.rest.len();
        self.rest.extend_from_slice(bytes);
        while let Some(at) = memchr::memchr(b'\n', self.rest.get(searched..).unwrap_or_default()) {
            let line = self.rest.split_to(searched + at);
            self.rest.advance(1);
            searched = 0;
            let line = std::str::from_utf8(&line).map_err(|error| format!("not UTF-8: {error}"))?;
            items.extend(self.line(line.strip_suffix('\r').unwrap_or(line)));
        }
        if self.rest.len() > MAX_LINE_BYTES {
            return Err(format!("a line is longer than {MAX_LINE_BYTES} bytes"));
        }
        Ok(items)
    }

    /// A blank line ends a message; an unfinished message is discarded.
    fn line(&mut self, line: &str) -> Option<TailItem> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return match (message.data.is_empty(), message.id) {
                (true, id) => id.map(TailItem::Position),
                (false, id) => Some(TailItem::Message(Message { id, ..message })),
            };
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if value.trim().is_empty() => return None,
            "" => return Some(TailItem::Comment(value.trim().to_owned())),
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
            TailItem::Message(Message { kind: kind.to_owned(), id: Some(id.to_owned()), data: data.to_owned() })
        };
        let expected = [
            TailItem::Position("a".to_owned()),
            message("", "b", r#"{"x":"ü: 1"}"#),
            TailItem::Comment("the store sleeps".to_owned()),
            message("gap", "c", "1\n2"),
        ];
        for length in [1, 2, 3, 7, 1000] {
            let mut parser = MessageParser::default();
            let items: Vec<_> = text.as_bytes().chunks(length).flat_map(|bytes| parser.read(bytes).unwrap()).collect();
            assert_eq!(items, expected);
            assert_eq!(parser.retry, Some(Duration::from_secs(1)));
        }
    }
}
