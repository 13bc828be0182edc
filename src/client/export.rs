//! An export, which succeeds only if it is complete.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};

use super::{
    api::ApiError,
    streams::{Frame, ResponseStream},
};
use crate::event::Hex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One event per line.
    NdJson,
    /// `{"data":[…],"count":…,"digest":"…","complete":true}`
    Json,
    Csv,
}

impl ExportFormat {
    pub const fn name(self) -> &'static str {
        match self {
            Self::NdJson => "ndjson",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// An export in progress.
#[derive(Debug)]
pub struct Export {
    stream: ResponseStream,
    received: Decoder,
    trailer: Option<Trailer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    pub events: u64,
    /// `sha-256=` and the SHA-256 of the bytes before compression, in hexadecimal.
    pub digest: String,
}

/// What the server declares in the trailers.
#[derive(Debug)]
struct Trailer {
    summary: ExportSummary,
    is_complete: bool,
}

impl Export {
    pub(super) fn new(stream: ResponseStream, format: ExportFormat, is_compressed: bool) -> Self {
        let plain = Received { digest: Sha256::new(), counter: EventCounter::new(format) };
        let received =
            if is_compressed { Decoder::Gzip(Box::new(GzDecoder::new(plain))) } else { Decoder::Plain(plain) };
        Self { stream, received, trailer: None }
    }

    /// The next bytes, as they were sent; `None` at the end, which [`Self::finish`] then checks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match self.stream.next().await? {
                None => return Ok(None),
                Some(Frame::Trailers(trailers)) => {
                    let text = |name: &str| trailers.get(name)?.to_str().ok();
                    let summary = || {
                        Some(ExportSummary {
                            events: text("annals-count")?.parse().ok()?,
                            digest: text("annals-digest")?.to_owned(),
                        })
                    };
                    let is_complete = text("annals-complete") == Some("true");
                    self.trailer = summary().map(|summary| Trailer { summary, is_complete });
                }
                Some(Frame::Data(bytes)) => {
                    let wrong = |error| self.stream.broken_off(format!("it cannot be decompressed: {error}"));
                    self.received.write(&bytes).map_err(wrong)?;
                    return Ok(Some(bytes));
                }
            }
        }
    }

    /// How many events have been received so far.
    pub fn events(&self) -> u64 {
        self.received.received().counter.events()
    }

    /// Checks that the export is complete, with the number of events and the digest that the server declares.
    pub fn finish(self) -> Result<ExportSummary, ApiError> {
        let Self { stream, received, trailer } = self;
        let Some(Trailer { summary: sent, is_complete: true }) = trailer else {
            let reason = "it ended, but nothing says that it is complete; does a proxy in between drop HTTP trailers?";
            return Err(stream.broken_off(reason));
        };
        let received =
            received.finish().map_err(|error| stream.broken_off(format!("it cannot be decompressed: {error}")))?;
        let came = ExportSummary {
            events: received.counter.events(),
            digest: format!("sha-256={}", Hex(&received.digest.finalize())),
        };
        if came == sent {
            return Ok(came);
        }
        let shown = |summary: &ExportSummary| format!("{} events with {}", summary.events, summary.digest);
        Err(stream.broken_off(format!("{} came, and {} were sent", shown(&came), shown(&sent))))
    }
}

/// Decompresses if need be.
#[derive(Debug)]
enum Decoder {
    Plain(Received),
    Gzip(Box<GzDecoder<Received>>),
}

impl Decoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(received) => received.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn received(&self) -> &Received {
        match self {
            Self::Plain(received) => received,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn finish(self) -> io::Result<Received> {
        match self {
            Self::Plain(received) => Ok(received),
            Self::Gzip(decoder) => (*decoder).finish(),
        }
    }
}

#[derive(Debug)]
struct Received {
    digest: Sha256,
    counter: EventCounter,
}

impl io::Write for Received {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        self.counter.count(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts events in the bytes of an export.
#[derive(Debug)]
struct EventCounter {
    format: ExportFormat,
    found: u64,
    /// Inside a quoted string.
    is_quoted: bool,
    is_escaped: bool,
    /// The depth of nested brackets and braces.
    depth: usize,
}

impl EventCounter {
    fn new(format: ExportFormat) -> Self {
        Self { format, found: 0, is_quoted: false, is_escaped: false, depth: 0 }
    }

    fn events(&self) -> u64 {
        match self.format {
            ExportFormat::NdJson | ExportFormat::Json => self.found,
            // The first line is the header.
            ExportFormat::Csv => self.found.saturating_sub(1),
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        match self.format {
            ExportFormat::NdJson => self.found += memchr::memchr_iter(b'\n', bytes).count() as u64,
            ExportFormat::Json => bytes.iter().for_each(|byte| self.json(*byte)),
            ExportFormat::Csv => bytes.iter().for_each(|byte| self.csv(*byte)),
        }
    }

    fn csv(&mut self, byte: u8) {
        match byte {
            b'"' => self.is_quoted = !self.is_quoted,
            b'\n' if !self.is_quoted => self.found += 1,
            _ => {}
        }
    }

    /// An event is an object in an array in an object.
    fn json(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_quoted => self.is_escaped = true,
            b'"' => self.is_quoted = !self.is_quoted,
            _ if self.is_quoted => {}
            b'{' | b'[' => {
                self.found += u64::from(self.depth == 2 && byte == b'{');
                self.depth += 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_in_each_format_however_the_bytes_are_cut() {
        let check = |format, text: &str, expected| {
            for length in [1, 2, 1000] {
                let mut counter = EventCounter::new(format);
                text.as_bytes().chunks(length).for_each(|bytes| counter.count(bytes));
                assert_eq!(counter.events(), expected, "{text}");
            }
        };
        check(ExportFormat::NdJson, "{}\n{\"a\":[{}]}\n", 2);
        check(ExportFormat::Csv, "a,b\r\n1,\"x\n\"\"\r\n\"\r\n,\r\n", 2);
        check(ExportFormat::Csv, "a\r\n", 0);
        let json = r#"{"data":[{"a":"}]\"{[","b":[{"c":{}}]},{}],"count":2,"digest":"x","complete":true}"#;
        check(ExportFormat::Json, json, 2);
        check(ExportFormat::Json, r#"{"data":[],"count":0,"complete":true}"#, 0);
    }
}
