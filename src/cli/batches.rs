//! Batches lines, without holding them back when the input pauses.

use std::{
    io::{self, BufRead, Read as _},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};

use crate::client::new_id;

/// A batch is complete at this many events, at this many bytes, or this long after its first line.
const BATCH_EVENTS: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// Longer than any event that a server accepts.
pub(super) const MAX_LINE_BYTES: u64 = 64 << 20;

/// Bytes of an id as a member, and of a line break.
const ID_BYTES: usize = 52;

/// One event and its line number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Without the line break.
    pub(super) text: Bytes,
    /// The id that the event is sent with, if it has none.
    id: Option<String>,
}

impl Line {
    fn new(number: u64, text: Bytes) -> Self {
        Self { number, text, id: None }
    }

    /// Gives an event without an id one, so that it can be sent again without being logged twice.
    fn identify(&mut self) {
        #[derive(Deserialize)]
        struct Event {
            event: Option<Fields>,
            #[serde(rename = "event.id")]
            id: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Fields {
            id: Option<IgnoredAny>,
        }
        if self.text.starts_with(b"{")
            && let Ok(Event { event: None | Some(Fields { id: None }), id: None }) = serde_json::from_slice(&self.text)
        {
            self.id.get_or_insert_with(new_id);
        }
    }

    /// The event as it is sent.
    fn put(&self, body: &mut BytesMut) {
        match (&self.id, self.text.split_at_checked(1)) {
            (Some(id), Some((brace, members))) => {
                let separator = if members.trim_ascii_start().starts_with(b"}") { "" } else { "," };
                body.extend_from_slice(brace);
                body.extend_from_slice(format!("\"event.id\":\"{id}\"{separator}").as_bytes());
                body.extend_from_slice(members);
            }
            (None, _) | (_, None) => body.extend_from_slice(&self.text),
        }
    }
}

/// What comes next in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Batch(Batch),
    /// A line of more than [`MAX_LINE_BYTES`], which is not kept.
    TooLong {
        number: u64,
        bytes: u64,
    },
}

/// The events of one request; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    lines: Vec<Line>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Arguments,
    Input,
}

impl Batch {
    /// One event that was not read from a line.
    pub(super) fn from_arguments(text: Bytes) -> Self {
        Self { lines: vec![Line::new(1, text)], origin: Origin::Arguments }
    }

    fn from_input(lines: Vec<Line>) -> Self {
        Self { lines, origin: Origin::Input }
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Gives each event without an id one.
    pub(super) fn identify(&mut self) {
        self.lines.iter_mut().for_each(Line::identify);
    }

    pub(super) fn body(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(self.lines.iter().map(|line| line.text.len() + ID_BYTES).sum());
        for line in &self.lines {
            line.put(&mut body);
            body.extend_from_slice(b"\n");
        }
        body.freeze()
    }

    /// Returns both halves in order; `None` for a single event.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let (first, second) = self.lines.split_at(self.lines.len() / 2);
        let half = |lines: &[Line]| Self { lines: lines.to_vec(), origin: self.origin };
        (!first.is_empty()).then(|| [half(first), half(second)])
    }

    /// Returns the line of the input that is the only event, if so.
    pub(super) fn only_line(&self) -> Option<&Line> {
        match (self.origin, self.lines.as_slice()) {
            (Origin::Input, [only]) => Some(only),
            (Origin::Input | Origin::Arguments, _) => None,
        }
    }

    /// Returns "the event", "line 7" or "lines 1 to 500".
    pub(super) fn location(&self) -> String {
        match (self.origin, self.lines.first(), self.lines.last()) {
            (Origin::Input, Some(first), Some(last)) if first != last => {
                format!("lines {} to {}", first.number, last.number)
            }
            (Origin::Input, Some(only), _) => format!("line {}", only.number),
            (Origin::Arguments, ..) | (Origin::Input, None, _) => "the event".to_owned(),
        }
    }
}

/// A line that was read, or the number and bytes of one that is too long.
enum Read {
    Line(Line),
    TooLong { number: u64, bytes: u64 },
}

pub(super) struct Batches {
    lines: Receiver<io::Result<Read>>,
    /// Already read, but not part of this batch.
    held: Option<io::Result<Read>>,
}

impl Batches {
    /// Reads in a separate thread, so that a pausing input does not hold back earlier lines.
    pub(super) fn read(input: impl BufRead + Send + 'static) -> Self {
        let (sender, lines) = sync_channel(2 * BATCH_EVENTS);
        thread::spawn(move || {
            let mut input = input;
            let mut number = 0;
            while let Some(line) = next_line(&mut input, &mut number).transpose() {
                let failed = line.is_err();
                if sender.send(line).is_err() || failed {
                    return;
                }
            }
        });
        Self { lines, held: None }
    }

    /// Returns the lines read before an error first, then the error.
    pub(super) fn next(&mut self) -> io::Result<Option<Next>> {
        let Some(read) = self.held.take().or_else(|| self.lines.recv().ok()) else { return Ok(None) };
        let first = match read? {
            Read::Line(line) => line,
            Read::TooLong { number, bytes } => return Ok(Some(Next::TooLong { number, bytes })),
        };
        let deadline = Instant::now() + LINGER;
        let mut bytes = first.text.len();
        let mut batch = vec![first];
        while batch.len() < BATCH_EVENTS {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(Read::Line(line))) if bytes + line.text.len() < BATCH_BYTES => {
                    bytes += line.text.len();
                    batch.push(line);
                }
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(Some(Next::Batch(Batch::from_input(batch))))
    }
}

/// Returns the next line that is not blank. Blank lines count for line numbers.
fn next_line(input: &mut impl BufRead, number: &mut u64) -> io::Result<Option<Read>> {
    loop {
        let mut text = Vec::new();
        let mut bytes = input.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut text)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        *number += 1;
        if bytes > MAX_LINE_BYTES {
            if !text.ends_with(b"\n") {
                bytes += input.skip_until(b'\n')? as u64;
            }
            return Ok(Some(Read::TooLong { number: *number, bytes }));
        }
        let trimmed = text.trim_ascii();
        if !trimmed.is_empty() {
            return Ok(Some(Read::Line(Line::new(*number, Bytes::copy_from_slice(trimmed)))));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::io::Cursor;

    use super::*;

    fn all(input: impl BufRead + Send + 'static) -> Vec<Next> {
        let mut batches = Batches::read(input);
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    fn batches(input: &[u8]) -> Vec<Batch> {
        let is_batch = |next| match next {
            Next::Batch(batch) => Some(batch),
            Next::TooLong { .. } => None,
        };
        all(Cursor::new(input.to_vec())).into_iter().map(|next| is_batch(next).unwrap()).collect()
    }

    fn batch(lines: &[(u64, &'static str)]) -> Batch {
        Batch::from_input(lines.iter().map(|(number, text)| Line::new(*number, Bytes::from(*text))).collect())
    }

    #[test]
    fn an_event_without_an_id_gets_one_that_it_keeps() {
        let texts = [
            r#"{}"#,
            r#"{ "event": {"action":"a"}, "x": 1}"#,
            r#"{"event":{"id":"a"}}"#,
            r#"{"event.id":"b"}"#,
            "{x",
            "7",
        ];
        let lines: Vec<_> = texts.iter().map(|text| (1, *text)).collect();
        let mut batch = batch(&lines);
        batch.identify();
        let sent = batch.body();
        batch.identify();
        assert_eq!(batch.body(), sent);
        let sent: Vec<&str> = std::str::from_utf8(&sent).unwrap().lines().collect();
        assert_eq!(sent[2..], texts[2..]);
        for (sent, text) in sent.iter().zip(&texts[..2]) {
            let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(sent).unwrap();
            assert_eq!(event.remove("event.id").unwrap().as_str().unwrap().len(), 36);
            assert_eq!(event, serde_json::from_str(text).unwrap());
        }
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        let lines: Vec<_> = batches(b"{}\r\n\n  \n{\"a\":1}\n{}").into_iter().flat_map(|batch| batch.lines).collect();
        assert_eq!(lines, batch(&[(1, "{}"), (4, "{\"a\":1}"), (5, "{}")]).lines);
    }

    #[test]
    fn batches_are_bounded_in_events_and_bytes_and_lose_nothing() {
        let many = "{}\n".repeat(1_201);
        let sizes: Vec<_> = batches(many.as_bytes()).iter().map(|batch| batch.lines().len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 1_201);
        assert!(sizes.iter().all(|size| *size <= BATCH_EVENTS), "{sizes:?}");

        let large = format!("{}\n", "x".repeat(3 << 20)).repeat(3);
        assert_eq!(batches(large.as_bytes()).iter().map(|batch| batch.lines().len()).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn a_pausing_input_does_not_hold_back_earlier_lines() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut batches = Batches::read(io::BufReader::new(reader));
        io::Write::write_all(&mut writer, b"{}\n").unwrap();
        assert_eq!(batches.next().unwrap(), Some(Next::Batch(batch(&[(1, "{}")]))));
        drop(writer);
        assert_eq!(batches.next().unwrap(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_rest_is_read() {
        let long = io::repeat(b'x').take(MAX_LINE_BYTES + 9);
        let input = Cursor::new("{}\n").chain(long).chain(Cursor::new("\n{\"a\":1}\n"));
        let long = Next::TooLong { number: 2, bytes: MAX_LINE_BYTES + 10 };
        let rest = [Next::Batch(batch(&[(1, "{}")])), long, Next::Batch(batch(&[(3, "{\"a\":1}")]))];
        assert_eq!(all(io::BufReader::new(input)), rest);
    }

    #[test]
    fn halves_keep_the_order_and_a_single_event_has_none() {
        let [first, second] = batch(&[(1, "1"), (2, "2"), (3, "3")]).halves().unwrap();
        assert_eq!((first.body(), second.body()), (Bytes::from("1\n"), Bytes::from("2\n3\n")));
        assert_eq!((first.location(), second.location()), ("line 1".to_owned(), "lines 2 to 3".to_owned()));
        assert_eq!(first.halves(), None);
    }
}
