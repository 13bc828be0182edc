//! An export, which ends well only if it is whole.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};

use super::{
    api::ApiError,
    streams::{Part, Stream},
};
use crate::event::Hex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One event a line.
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

/// An export that is under way.
#[derive(Debug)]
pub struct Export {
    stream: Stream,
    seen: Unpacking,
    told: Option<Told>,
}

/// What an export came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub events: u64,
    /// `sha-256=` and the SHA-256 of the bytes before compression, in hexadecimal.
    pub digest: String,
}

/// What the server says of an export at its end.
#[derive(Debug)]
struct Told {
    whole: Whole,
    is_complete: bool,
}

impl Export {
    pub(super) fn new(stream: Stream, format: ExportFormat, is_compressed: bool) -> Self {
        let seen = Seen { digest: Sha256::new(), counter: Counter::new(format) };
        let seen = if is_compressed { Unpacking::Gzip(Box::new(GzDecoder::new(seen))) } else { Unpacking::Plain(seen) };
        Self { stream, seen, told: None }
    }

    /// The next bytes, as they came; `None` at the end, of which [`Self::finish`] says whether it is one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match self.stream.next().await? {
                None => return Ok(None),
                Some(Part::Trailers(trailers)) => {
                    let text = |name: &str| trailers.get(name)?.to_str().ok();
                    let whole = || {
                        Some(Whole {
                            events: text("annals-count")?.parse().ok()?,
                            digest: text("annals-digest")?.to_owned(),
                        })
                    };
                    self.told =
                        whole().map(|whole| Told { whole, is_complete: text("annals-complete") == Some("true") });
                }
                Some(Part::Bytes(bytes)) => {
                    let wrong = |error| self.stream.broken_off(format!("it cannot be decompressed: {error}"));
                    self.seen.write(&bytes).map_err(wrong)?;
                    return Ok(Some(bytes));
                }
            }
        }
    }

    /// How many events have come so far.
    pub fn events(&self) -> u64 {
        self.seen.so_far().counter.events()
    }

    /// What has come, if that is all, and as many events with the same digest as the server says that it sent.
    pub fn finish(self) -> Result<Whole, ApiError> {
        let Self { stream, seen, told } = self;
        let Some(Told { whole: told, is_complete: true }) = told else {
            let reason = "it ended, but nothing says that it is complete; does a proxy in between drop HTTP trailers?";
            return Err(stream.broken_off(reason));
        };
        let seen = seen.finish().map_err(|error| stream.broken_off(format!("it cannot be decompressed: {error}")))?;
        let came = Whole { events: seen.counter.events(), digest: format!("sha-256={}", Hex(&seen.digest.finalize())) };
        if came == told {
            return Ok(came);
        }
        let shown = |whole: &Whole| format!("{} events with {}", whole.events, whole.digest);
        Err(stream.broken_off(format!("{} came, and {} were sent", shown(&came), shown(&told))))
    }
}

/// Sees what came without its compression.
#[derive(Debug)]
enum Unpacking {
    Plain(Seen),
    Gzip(Box<GzDecoder<Seen>>),
}

impl Unpacking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(seen) => seen.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn so_far(&self) -> &Seen {
        match self {
            Self::Plain(seen) => seen,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn finish(self) -> io::Result<Seen> {
        match self {
            Self::Plain(seen) => Ok(seen),
            Self::Gzip(decoder) => (*decoder).finish(),
        }
    }
}

#[derive(Debug)]
struct Seen {
    digest: Sha256,
    counter: Counter,
}

impl io::Write for Seen {
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
struct Counter {
    format: ExportFormat,
    found: u64,
    /// Within quotes.
    is_quoted: bool,
    is_escaped: bool,
    /// Of brackets and braces.
    depth: usize,
}

impl Counter {
    fn new(format: ExportFormat) -> Self {
        Self { format, found: 0, is_quoted: false, is_escaped: false, depth: 0 }
    }

    fn events(&self) -> u64 {
        match self.format {
            ExportFormat::NdJson | ExportFormat::Json => self.found,
            // The first line has the names.
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
                let mut counter = Counter::new(format);
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
