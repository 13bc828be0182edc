//! `_export`: all events that match, to the end, or visibly not.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::task;
use utoipa::IntoParams;

use super::described::{ObjectPath, QuestionErrors, SelectionParameters, SortParameters};
use crate::{
    access::{self, Permit},
    audit::Action,
    error::Failure,
    http::{
        Shared,
        ask::Whose,
        export::{Exporter, TRAILERS},
        guard::{self, Caller},
        parameters::Parameters,
        request::ExportRequest,
        scan::OpenScan,
        streams::{self, End, Gone, Sender, StreamPlace},
    },
};

/// Bytes of documents that are read from the store at once, about.
const BATCH_BYTES: usize = 8 << 20;

/// Events that are read at once: at first, and at least and at most later.
const FIRST_BATCH: u64 = 500;
const BATCH: std::ops::RangeInclusive<u64> = 10..=10_000;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
struct ExportParameters {
    /// `ndjson`, `json` or `csv`.
    #[param(default = "ndjson")]
    format: Option<String>,
    /// Of `ndjson` and `json`: what to write of each event: paths separated by commas, with `*` for anything; an object stands for all that is in it.
    #[param(example = "@timestamp,event.action,user")]
    fields: Option<String>,
    /// Of `csv`: the columns, as paths separated by commas.
    #[param(example = "@timestamp,event.action,message")]
    columns: Option<String>,
}

/// Export the events of a saved object
///
/// As `/api/event_log/_export`.
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_export",
    operation_id = "export_by_id",
    tag = "export",
    params(
        ObjectPath,
        ExportParameters,
        SortParameters,
        SelectionParameters,
    ),
    responses(
        (status = 200, description = "All events", content(
            (String = "application/x-ndjson"), (serde_json::Value = "application/json"), (String = "text/csv")
        )),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    version: Version,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    export(shared, &caller, whose, version, parameters, &headers).await
}

/// Export all events that the caller may see
///
/// Under `/s/{space}` those of that space, else those of every space. All that match, as they are when the export begins, whatever their
/// number; compressed where `accept-encoding` has `gzip`. A body that reaches its end is whole: where something fails on the way, the connection is closed
/// before it. With `te: trailers` in the request the trailers `annals-count`, `annals-digest` and `annals-complete` follow the body.
#[utoipa::path(
    get,
    path = "/api/event_log/_export",
    operation_id = "export",
    tag = "export",
    params(ExportParameters, SortParameters, SelectionParameters),
    responses(
        (status = 200, description = "All events", content(
            (String = "application/x-ndjson"), (serde_json::Value = "application/json"), (String = "text/csv")
        )),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn visible(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    version: Version,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    export(shared, &caller, whose, version, parameters, &headers).await
}

async fn export(
    shared: Arc<Shared>,
    caller: &Caller,
    whose: Whose,
    version: Version,
    parameters: Parameters,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = ExportRequest::parse(parameters, shared.services.clock.now())?;
    if version < Version::HTTP_11 {
        return Err(Failure::invalid("an export needs HTTP/1.1: before it, a body that breaks off looks whole"));
    }
    let permit = whose.permit(&shared, caller, deadline, Action::Export).await?;
    let place = shared.streams.begin_export(&caller.principal)?;
    let query = access::scope(permit.clone(), |scope| request.query(scope)).within(BATCH_BYTES);
    let mut scan = OpenScan::open(&shared, &query, deadline).await?;
    let first = scan.next(FIRST_BATCH, deadline).await?;
    let is_compressed = accepts_gzip(headers);
    let head = head(&request, is_compressed);
    let (sender, body) = streams::body();
    let exporter = Exporter::new(request.format, is_compressed);
    let export = Export { shared, scan, exporter, caller: caller.clone(), permit, _place: place };
    tokio::spawn(export.run(first, sender));
    Ok((head, body).into_response())
}

fn head(request: &ExportRequest, is_compressed: bool) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.format.content_type()));
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    for trailer in TRAILERS {
        head.append(header::TRAILER, HeaderValue::from_static(trailer));
    }
    if is_compressed {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let disposition = format!("attachment; filename=\"{}\"", request.format.file_name());
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        head.insert(header::CONTENT_DISPOSITION, disposition);
    }
    head
}

/// Whether `accept-encoding` names gzip, or anything, and does not forbid it by `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<_> = texts.flat_map(|text| text.split(',')).map(coding).collect();
    let of = |wanted: &str| {
        codings.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, accepted)| *accepted)
    };
    of("gzip").or(of("*")).unwrap_or(false)
}

/// A coding, and whether it is accepted.
fn coding(text: &str) -> (&str, bool) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let quality = parameters.trim().strip_prefix("q=").and_then(|quality| quality.parse::<f64>().ok());
    (name.trim(), quality.is_none_or(|quality| quality > 0.0))
}

/// An export that is being written.
struct Export {
    shared: Arc<Shared>,
    scan: OpenScan,
    exporter: Exporter,
    caller: Caller,
    permit: Permit,
    _place: StreamPlace,
}

/// Why an export was broken off.
enum Broken {
    Reader,
    Caller,
    Store(Failure),
}

impl From<Gone> for Broken {
    fn from(Gone: Gone) -> Self {
        Self::Reader
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl Export {
    async fn run(self, first: Vec<Bytes>, sender: Sender) {
        let Self { shared, mut scan, exporter, caller, permit, _place } = self;
        let cutter = sender.cutter();
        let written = tokio::select! {
            written = write(&shared, &mut scan, exporter, first, sender) => written,
            () = guard::lost(&shared, &caller, &permit) => {
                cutter.cut();
                Err(Broken::Caller)
            }
        };
        drop(scan);
        let end = match &written {
            Ok(()) => End::Complete,
            Err(Broken::Reader) => shared.streams.end_without_reader(),
            Err(Broken::Caller) => End::Access,
            Err(Broken::Store(_)) => End::Store,
        };
        shared.services.metrics.http.streamed("export", end.name());
        match written {
            Ok(()) => tracing::debug!("an export is complete"),
            Err(Broken::Reader | Broken::Caller) => tracing::info!(by = end.name(), "an export was broken off"),
            Err(Broken::Store(failure)) => {
                let cause = failure.cause.as_deref();
                tracing::warn!(code = failure.code.name(), cause, "an export was broken off: {}", failure.message);
            }
        }
    }
}

/// Writes to the end. The next events are read while those before them are made into bytes. Each step has its time; all
/// of them together may take as long as the client reads on.
async fn write(
    shared: &Shared,
    scan: &mut OpenScan,
    mut exporter: Exporter,
    first: Vec<Bytes>,
    sender: Sender,
) -> Result<(), Broken> {
    let mut batch = first;
    while !batch.is_empty() {
        let limit = next_limit(&batch);
        let step = async {
            let read = scan.next(limit, shared.deadline());
            let (written, read) = tokio::join!(make(exporter, batch), read);
            Ok::<_, Failure>((written?, read?))
        };
        let ((made_by, bytes), next) = tokio::select! {
            step = step => step?,
            () = sender.closed() => return Err(Broken::Reader),
        };
        sender.send(bytes).await?;
        (exporter, batch) = (made_by, next);
    }
    let (bytes, trailers) = exporter.finish().map_err(|error| Failure::internal(error.to_string()))?;
    sender.send(bytes).await?;
    sender.finish(trailers).await?;
    Ok(())
}

/// Makes bytes of events, on a thread that may take its time.
async fn make(mut exporter: Exporter, batch: Vec<Bytes>) -> Result<(Exporter, Vec<u8>), Failure> {
    let work = task::spawn_blocking(move || exporter.write(batch).map(|bytes| (exporter, bytes)));
    let made = work.await.map_err(|error| Failure::internal(error.to_string()))?;
    made.map_err(|error| Failure::internal(error.to_string()))
}

/// As many events of this size as make a batch.
fn next_limit(batch: &[Bytes]) -> u64 {
    let bytes: usize = batch.iter().map(Bytes::len).sum();
    let limit = BATCH_BYTES * batch.len() / bytes.max(1);
    u64::try_from(limit).unwrap_or(u64::MAX).clamp(*BATCH.start(), *BATCH.end())
}
