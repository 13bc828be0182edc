//! `/metrics`, for Prometheus.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    access::Permission,
    error::Failure,
    http::{
        Shared,
        operation::{Answer, Operation},
    },
    metrics::{CONTENT_TYPE, StoreMetrics},
    ship::Progress,
};

pub(super) fn operations() -> Vec<Operation> {
    let scrape = Operation::get(Permission::Monitor, "/metrics", "metrics", scrape)
        .tagged("operation")
        .summary("The metrics of the program")
        .answers([Answer::text(200, "OpenMetrics text", "application/openmetrics-text")]);
    vec![scrape]
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Result<Response, Failure> {
    let metrics = &shared.services.metrics;
    for (name, shipper) in &shared.services.stores {
        show(&metrics.store(name), &shipper.progress());
    }
    let writer = shared.services.writer.stats();
    metrics.journal.used_bytes.set(gauge(writer.journal_bytes));
    metrics.journal.lost_events.set(gauge(writer.lost));
    let text = metrics.render().map_err(|error| Failure::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

fn show(metrics: &StoreMetrics, progress: &Progress) {
    metrics.behind_events.set(gauge(progress.behind_events));
    metrics.behind_bytes.set(gauge(progress.behind_bytes));
    metrics.behind_seconds.set(progress.behind_for.unwrap_or_default().as_secs_f64());
    metrics.dead_letters.set(gauge(progress.dead_letters));
    metrics.beyond_journal.set(gauge(progress.beyond_journal));
    metrics.missing_events.set(gauge(progress.missing_events));
    metrics.trouble.set(i64::from(progress.trouble.is_some()));
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
