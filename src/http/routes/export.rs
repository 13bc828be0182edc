//! `_export`: all matching events; an incomplete export is recognizable.
//!
//! A body that reaches its end is complete; an aborted body has no end. Clients that send `te: trailers` also get the trailers
//! `annals-count`, `annals-digest` and `annals-complete: true`.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Version, header},
    response::{IntoResponse, Response},
};

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    http::{
        Shared,
        operation::{Answer, Operation},
        request,
        streamed_body::{self, End, Sender},
    },
    read::{AccessWatch, Export, ExportSummary, Format, Gone, ReadError},
};

const TRAILERS: [&str; 3] = ["annals-count", "annals-digest", "annals-complete"];

pub(super) fn operations() -> Vec<Operation> {
    let question = Question {
        by_id: Form {
            path: "/api/event_log/{type}/{id}/_export",
            id: "export_by_id",
            summary: "Export the events of a saved object",
        },
        visible: Form {
            path: "/api/event_log/_export",
            id: "export",
            summary: "Export all events that the caller may see",
        },
        by_ids: None,
        details: "Returns all matching events as of the beginning of the export, whatever their number; compressed if \
                  `accept-encoding` has `gzip`. A body that reaches its end is complete: if something fails, the connection is \
                  closed before the end. With `te: trailers` in the request, the trailers `annals-count`, `annals-digest` and \
                  `annals-complete` follow the body.",
        tag: "export",
        action: Action::Export,
        parameters: [&request::FORMAT[..], &request::SORT, &request::SELECTION].concat(),
        answer: Answer::text(200, "All matching events", "application/x-ndjson").or_json().or_text("text/csv"),
    };
    question.operations(export)
}

async fn export(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, version, headers, scope, deadline } = asked;
    let is_compressed = accepts_gzip(&headers);
    let request = request::export(parameters, is_compressed, shared.services.clock.now())?;
    if version < Version::HTTP_11 {
        return Err(Failure::invalid(
            "an export needs HTTP/1.1: in earlier versions, an incomplete body looks complete",
        ));
    }
    let head = head(&request.format, is_compressed);
    let scope = scope.read(&shared, &caller, &headers, deadline).await?;
    let (export, access) = shared.services.reader.export(&caller, scope, request, deadline).await?;
    let (sender, body) = streamed_body::body();
    tokio::spawn(run(shared, export, access, sender));
    Ok((head, body).into_response())
}

fn head(format: &Format, is_compressed: bool) -> HeaderMap {
    let (content_type, file_name) = match format {
        Format::NdJson(_) => ("application/x-ndjson", "annals-events.ndjson"),
        Format::Json(_) => ("application/json", "annals-events.json"),
        Format::Csv(_) => ("text/csv; charset=utf-8; header=present", "annals-events.csv"),
    };
    let mut head = HeaderMap::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    for trailer in TRAILERS {
        head.append(header::TRAILER, HeaderValue::from_static(trailer));
    }
    if is_compressed {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{file_name}\"")) {
        head.insert(header::CONTENT_DISPOSITION, disposition);
    }
    head
}

/// Whether `accept-encoding` accepts gzip, by name or by `*`, and not with `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<_> = texts.flat_map(|text| text.split(',')).map(coding).collect();
    let of = |wanted: &str| {
        codings.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, accepted)| *accepted)
    };
    of("gzip").or(of("*")).unwrap_or(false)
}

/// Parses a coding; returns its name and whether it is accepted.
fn coding(text: &str) -> (&str, bool) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let quality = parameters.trim().strip_prefix("q=").and_then(|quality| quality.parse::<f64>().ok());
    (name.trim(), quality.is_none_or(|quality| quality > 0.0))
}

/// Why an export was aborted.
enum Broken {
    Reader,
    Access,
    Read(ReadError),
}

impl From<Gone> for Broken {
    fn from(Gone: Gone) -> Self {
        Self::Reader
    }
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

async fn run(shared: Arc<Shared>, export: Export, access: AccessWatch, sender: Sender) {
    let cutter = sender.cutter();
    let written = tokio::select! {
        written = write(export, sender) => written,
        () = access.lost() => {
            cutter.cut();
            Err(Broken::Access)
        }
    };
    let end = match &written {
        Ok(()) => End::Complete,
        Err(Broken::Reader) => End::without_reader(&shared.services.stopping),
        Err(Broken::Access) => End::Access,
        Err(Broken::Read(_)) => End::Store,
    };
    shared.services.metrics.http.streamed("export", end.name());
    match written {
        Ok(()) => tracing::debug!("an export is complete"),
        Err(Broken::Reader | Broken::Access) => tracing::info!(by = end.name(), "an export was aborted"),
        Err(Broken::Read(error)) => {
            let Failure { code, message, cause, .. } = error.into();
            tracing::warn!(code = code.name(), cause, "an export was aborted: {message}");
        }
    }
}

/// Writes the export. Each step has a timeout; there is no limit in total while the client keeps reading.
async fn write(mut export: Export, sender: Sender) -> Result<(), Broken> {
    loop {
        let bytes = tokio::select! {
            bytes = export.next() => bytes?,
            () = sender.closed() => return Err(Broken::Reader),
        };
        match bytes {
            Some(bytes) => sender.send(bytes).await?,
            None => break,
        }
    }
    let (bytes, summary) = export.finish()?;
    sender.send(bytes).await?;
    sender.finish(trailers(&summary)).await?;
    Ok(())
}

fn trailers(ExportSummary { count, digest }: &ExportSummary) -> HeaderMap {
    let values = [count.to_string(), digest.clone(), "true".to_owned()];
    let pairs = TRAILERS.into_iter().zip(values);
    pairs
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect()
}
