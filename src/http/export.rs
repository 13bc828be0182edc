//! An export: all events that match, from one point in time, in one of three formats, to the end or visibly not.
//!
//! **Formats.** `ndjson`: one event a line. `json`: `{"data":[…],"count":…,"digest":"…","complete":true}`. `csv`: see [`columns`](crate::columns).
//!
//! **What says that it is whole.** The body's own end, which a body that breaks off does not have; and, for clients that ask with
//! `te: trailers`, trailers: `annals-count` (how many events), `annals-digest` (`sha-256=` and the SHA-256, in
//! hexadecimal, of the body's bytes before compression) and `annals-complete: true`. In the format `json` the closing members
//! say the same; their digest is of the bytes up to and with the bracket that closes `data`.

use std::io::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::projection::Projection;
use crate::{columns::Columns, event::Hex};

pub(super) const TRAILERS: [&str; 3] = ["annals-count", "annals-digest", "annals-complete"];

/// What is written of each event, and how.
#[derive(Debug)]
pub(super) enum Format {
    NdJson(Projection),
    Json(Projection),
    Csv(Columns),
}

impl Format {
    pub(super) const fn content_type(&self) -> &'static str {
        match self {
            Self::NdJson(_) => "application/x-ndjson",
            Self::Json(_) => "application/json",
            Self::Csv(_) => "text/csv; charset=utf-8; header=present",
        }
    }

    pub(super) const fn file_name(&self) -> &'static str {
        match self {
            Self::NdJson(_) => "annals-events.ndjson",
            Self::Json(_) => "annals-events.json",
            Self::Csv(_) => "annals-events.csv",
        }
    }
}

/// Why an export cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("a stored document is not JSON: {0}")]
    Document(#[from] serde_json::Error),
    #[error("the export cannot be compressed: {0}")]
    Compress(#[from] std::io::Error),
}

/// Makes the body's bytes, piece by piece.
pub(super) struct Exporter {
    format: Format,
    gzip: Option<GzEncoder<Vec<u8>>>,
    digest: Sha256,
    count: u64,
}

impl Exporter {
    pub(super) fn new(format: Format, is_compressed: bool) -> Self {
        let gzip = is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { format, gzip, digest: Sha256::new(), count: 0 }
    }

    /// The bytes for the next events.
    pub(super) fn write(&mut self, documents: Vec<Bytes>) -> Result<Vec<u8>, WriteError> {
        let mut plain = Vec::with_capacity(documents.iter().map(|document| document.len() + 1).sum());
        if self.count == 0 {
            self.begin(&mut plain);
        }
        for document in documents {
            self.event(document, &mut plain)?;
        }
        Ok(self.pass(plain)?)
    }

    /// The bytes that close the body, and its trailers.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, HeaderMap), WriteError> {
        let mut plain = Vec::new();
        if self.count == 0 {
            self.begin(&mut plain);
        }
        let mut bytes = Vec::new();
        if let Format::Json(_) = self.format {
            plain.push(b']');
            bytes.extend(self.pass(plain)?);
            let (count, digest) = (self.count, self.digest());
            plain = format!(r#","count":{count},"digest":"{digest}","complete":true}}"#).into_bytes();
        }
        bytes.extend(self.pass(plain)?);
        let trailers = self.trailers();
        if let Some(gzip) = self.gzip.take() {
            bytes.extend(gzip.finish()?);
        }
        Ok((bytes, trailers))
    }

    fn begin(&self, plain: &mut Vec<u8>) {
        match &self.format {
            Format::NdJson(_) => {}
            Format::Json(_) => plain.extend_from_slice(br#"{"data":["#),
            Format::Csv(columns) => columns.write_csv_header(plain),
        }
    }

    fn event(&mut self, document: Bytes, plain: &mut Vec<u8>) -> Result<(), WriteError> {
        match &self.format {
            Format::NdJson(projection) => {
                plain.extend_from_slice(&projection.apply(document)?);
                plain.push(b'\n');
            }
            Format::Json(projection) => {
                if self.count > 0 {
                    plain.push(b',');
                }
                plain.extend_from_slice(&projection.apply(document)?);
            }
            Format::Csv(columns) => columns.write_csv_row(&document, plain)?,
        }
        self.count += 1;
        Ok(())
    }

    /// Counts the bytes into the digest, and compresses them if that is wanted; what comes out may be more or fewer.
    fn pass(&mut self, plain: Vec<u8>) -> std::io::Result<Vec<u8>> {
        self.digest.update(&plain);
        match &mut self.gzip {
            None => Ok(plain),
            Some(gzip) => {
                gzip.write_all(&plain)?;
                Ok(std::mem::take(gzip.get_mut()))
            }
        }
    }

    /// Of all bytes so far.
    fn digest(&self) -> String {
        format!("sha-256={}", Hex(&self.digest.clone().finalize()))
    }

    fn trailers(&self) -> HeaderMap {
        let values = [self.count.to_string(), self.digest(), "true".to_owned()];
        let pairs = TRAILERS.into_iter().zip(values);
        pairs
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
            .collect()
    }
}
