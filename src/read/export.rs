//! Exports: all matching events as of one point in time, in one of three formats, with a proof of completeness.
//!
//! **Formats.** `ndjson`: one event per line. `json`: `{"data":[…],"count":…,"digest":"…","complete":true}`. `csv`: see
//! [`columns`](crate::columns).
//!
//! **Completeness.** An [`ExportSummary`] follows at the end: the number of events, and `sha-256=` with the hexadecimal SHA-256
//! of all bytes before compression. In the format `json`, the closing members contain the same; their digest covers the bytes
//! up to and including the bracket that closes `data`.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tokio::{task, time::Instant};

use super::{
    AccessWatch, BadFields, MAX_FIELDS, OpenScan, Projection, ReadError, Reader, RequestedScope, Selection,
    projection::Selector, streams::StreamPermit,
};
use crate::{
    access::{self, Caller},
    audit::Action,
    columns::{Columns, DEFAULT_CSV_COLUMNS},
    event::Hex,
    query::{SortKeys, TooMany},
    schema::UnknownField,
};

/// Approximate bytes of documents that are read from the store at once.
const BATCH_BYTES: usize = 1 << 20;

/// What an export takes: a batch that is being read, one that is being written, what was written of it, and as much that waits
/// for the client and is being sent.
const MEMORY: usize = 5 * BATCH_BYTES;

/// Number of events that are read at once: in the first batch, and the range for later ones.
const FIRST_BATCH: u64 = 500;
const BATCH: std::ops::RangeInclusive<u64> = 10..=10_000;

#[derive(Debug)]
pub struct ExportRequest {
    pub selection: Selection,
    pub sort: SortKeys,
    pub format: Format,
    /// Whether to compress the output with gzip.
    pub is_compressed: bool,
}

/// The output format, with the members or columns of each event.
#[derive(Debug)]
pub enum Format {
    NdJson(Projection),
    Json(Projection),
    Csv(CsvColumns),
}

/// The columns of CSV: known fields, at most [`MAX_FIELDS`] of them.
#[derive(Debug)]
pub struct CsvColumns(Columns);

impl CsvColumns {
    pub fn new(paths: Vec<String>) -> Result<Self, BadFields> {
        TooMany::check(paths.len(), MAX_FIELDS)?;
        let is_known = |path: &&String| !path.contains('*') && Selector::new(path).is_ok();
        match paths.iter().find(|path| !is_known(path)) {
            Some(path) => Err(UnknownField::new(path).into()),
            None => Ok(Self(Columns::new(paths))),
        }
    }
}

impl Default for CsvColumns {
    fn default() -> Self {
        Self(Columns::new(DEFAULT_CSV_COLUMNS.map(str::to_owned)))
    }
}

/// The summary of a complete export.
#[derive(Debug)]
pub struct ExportSummary {
    pub count: u64,
    /// `sha-256=` and the digest of the bytes before compression, in hexadecimal.
    pub digest: String,
}

/// A running export.
pub struct Export {
    reader: Arc<Reader>,
    scan: OpenScan,
    /// `None` while a batch is being written, and after a failure or the end.
    exporter: Option<Exporter>,
    /// Events that were read and are not yet written.
    batch: Vec<Bytes>,
    _permit: StreamPermit,
}

impl Reader {
    /// Begins an export and reads the first batch from the store. The caller must use the watch to end the export when access
    /// is lost.
    pub async fn export(
        self: &Arc<Self>,
        caller: &Caller,
        scope: RequestedScope,
        request: ExportRequest,
        deadline: Instant,
    ) -> Result<(Export, AccessWatch), ReadError> {
        let ExportRequest { selection, sort, format, is_compressed } = request;
        let (permit, record) = self.permit(caller, scope, Action::Export, deadline).await?;
        record.done().await?;
        let _permit = self.streams.begin_export(&caller.principal, MEMORY).await?;
        let query = access::scope(permit.clone(), |scope| selection.query(scope, sort.into_vec())).within(BATCH_BYTES);
        let mut scan = OpenScan::open(self.index.as_ref(), &query, deadline).await?;
        let batch = scan.next(FIRST_BATCH, deadline).await?;
        let exporter = Some(Exporter::new(format, is_compressed));
        let export = Export { reader: Arc::clone(self), scan, exporter, batch, _permit };
        Ok((export, self.watch(caller, permit)))
    }
}

impl Export {
    /// Returns the next bytes; `None` once only those of [`Export::finish`] are left. Reads the next events while the previous
    /// ones are being written.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.batch.is_empty() {
            return if self.exporter.is_some() { Ok(None) } else { Err(after_failure()) };
        }
        let batch = std::mem::take(&mut self.batch);
        let limit = next_limit(&batch);
        let exporter = self.exporter.take().ok_or_else(after_failure)?;
        let read = self.scan.next(limit, self.reader.step_deadline());
        let (written, read) = tokio::join!(write(exporter, batch), read);
        let (exporter, bytes) = written?;
        self.batch = read?;
        self.exporter = Some(exporter);
        Ok(Some(bytes))
    }

    /// Returns the bytes that close the export. The export counts as running until it is dropped; drop it once the client has
    /// taken everything.
    pub fn finish(&mut self) -> Result<(Vec<u8>, ExportSummary), ReadError> {
        self.exporter.take().ok_or_else(after_failure)?.finish().map_err(ReadError::internal)
    }
}

fn after_failure() -> ReadError {
    ReadError::internal("an export cannot be resumed after it failed")
}

/// Writes events on a blocking thread.
async fn write(mut exporter: Exporter, batch: Vec<Bytes>) -> Result<(Exporter, Vec<u8>), ReadError> {
    let work = task::spawn_blocking(move || exporter.write(batch).map(|bytes| (exporter, bytes)));
    work.await.map_err(ReadError::internal)?.map_err(ReadError::internal)
}

/// Returns the number of events of this average size that fill a batch.
fn next_limit(batch: &[Bytes]) -> u64 {
    let bytes: usize = batch.iter().map(Bytes::len).sum();
    let limit = BATCH_BYTES * batch.len() / bytes.max(1);
    u64::try_from(limit).unwrap_or(u64::MAX).clamp(*BATCH.start(), *BATCH.end())
}

/// Why events could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("a stored document is not JSON: {0}")]
    Document(#[from] serde_json::Error),
    #[error("the export cannot be compressed: {0}")]
    Compress(#[from] std::io::Error),
}

/// Writes events in the format of the export.
struct Exporter {
    format: Format,
    gzip: Option<GzEncoder<Vec<u8>>>,
    digest: Sha256,
    count: u64,
}

impl Exporter {
    fn new(format: Format, is_compressed: bool) -> Self {
        let gzip = is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { format, gzip, digest: Sha256::new(), count: 0 }
    }

    /// Returns the bytes for the next events.
    fn write(&mut self, documents: Vec<Bytes>) -> Result<Vec<u8>, WriteError> {
        let mut plain = Vec::with_capacity(documents.iter().map(|document| document.len() + 1).sum());
        if self.count == 0 {
            self.begin(&mut plain);
        }
        for document in documents {
            self.event(document, &mut plain)?;
        }
        Ok(self.pass(plain)?)
    }

    /// Returns the bytes that close the export.
    fn finish(mut self) -> Result<(Vec<u8>, ExportSummary), WriteError> {
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
        let summary = ExportSummary { count: self.count, digest: self.digest() };
        if let Some(gzip) = self.gzip.take() {
            bytes.extend(gzip.finish()?);
        }
        Ok((bytes, summary))
    }

    fn begin(&self, plain: &mut Vec<u8>) {
        match &self.format {
            Format::NdJson(_) => {}
            Format::Json(_) => plain.extend_from_slice(br#"{"data":["#),
            Format::Csv(CsvColumns(columns)) => columns.write_csv_header(plain),
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
            Format::Csv(CsvColumns(columns)) => columns.write_csv_row(&document, plain)?,
        }
        self.count += 1;
        Ok(())
    }

    /// Adds the bytes to the digest and compresses them if requested; the compressor may hold bytes back.
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

    /// Returns the digest of all bytes so far.
    fn digest(&self) -> String {
        format!("sha-256={}", Hex(&self.digest.clone().finalize()))
    }
}
