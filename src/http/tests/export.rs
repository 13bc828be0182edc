//! Exports: a complete one is recognizable, and so is an aborted one.

use std::{io::Read, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Version, header},
};
use flate2::read::GzDecoder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, timeout},
};
use tower::ServiceExt;

use super::{Answer, Log, ended, until};
use crate::{
    access::Role,
    http::{Connections, PerAddress, serve},
    store::{
        IndexError, StoreError,
        testing::{Draft, draft},
    },
};

/// All events but those that the log records about the exports themselves.
const PATH: &str = "/api/event_log/_export?filter=event.provider:alerting";
const LONG: Duration = Duration::from_secs(60);

fn at(index: u64) -> Draft {
    let time = format!("2021-03-02T{:02}:{:02}:{:02}.000Z", index / 3600, index / 60 % 60, index % 60);
    draft().at(&time).about("t", &(index % 2).to_string()).with("event.id", format!("e{index}"))
}

async fn log_of(count: u64) -> Log {
    let log = Log::new();
    log.store((0..count).map(at)).await;
    log
}

/// A server with real connections, because only they show trailers and aborted bodies.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
}

impl Server {
    async fn start(log: &Log, drain: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopping = log.stopping.clone();
        let shutdown = async move {
            let _ = stopped.await;
            stopping.cancel();
        };
        let limits =
            Connections { max: 10, first_head_timeout: LONG, header_timeout: LONG, write_timeout: LONG, drain };
        tokio::spawn(serve(listener, None, log.router.clone(), shutdown, limits, PerAddress::unbounded()));
        Self { address, stop }
    }

    async fn ask(&self, log: &Log, path: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {}\r\nte: trailers\r\nconnection: close\r\n\r\n",
            log.key
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }
}

async fn read_all(mut connection: TcpStream) -> String {
    let mut read = Vec::new();
    timeout(LONG, connection.read_to_end(&mut read)).await.unwrap().unwrap();
    String::from_utf8(read).unwrap()
}

/// Joins the chunks of an answer; also returns the text after the last chunk, or `None` if that chunk is missing.
fn unchunked(answer: &str) -> (String, Option<String>) {
    let Some((_, mut rest)) = answer.split_once("\r\n\r\n") else { return (String::new(), None) };
    let mut body = String::new();
    loop {
        let Some((length, after)) = rest.split_once("\r\n") else { return (body, None) };
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return (body, Some(after.to_owned()));
        }
        let Some(chunk) = after.get(..length) else { return (body, None) };
        body.push_str(chunk);
        rest = after[length..].strip_prefix("\r\n").unwrap_or_default();
    }
}

fn sha_256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha-256={hex}")
}

#[tokio::test]
async fn ndjson_ends_with_trailers_that_can_be_checked() {
    let log = log_of(1234).await;
    let server = Server::start(&log, LONG).await;
    let answer = read_all(server.ask(&log, PATH).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n"), "{answer:.200}");
    let (body, trailers) = unchunked(&answer);
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1234);
    assert!((0..).zip(&lines).all(|(index, line): (u64, _)| line["annals"]["sequence"] == index));
    let trailers = trailers.unwrap();
    for trailer in
        ["annals-count: 1234", &format!("annals-digest: {}", sha_256(body.as_bytes())), "annals-complete: true"]
    {
        assert!(trailers.contains(trailer), "{trailer} in {trailers}");
    }
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn an_export_without_events_is_complete() {
    let log = log_of(0).await;
    let server = Server::start(&log, LONG).await;
    let empty = read_all(server.ask(&log, PATH).await).await;
    let (body, trailers) = unchunked(&empty);
    assert_eq!(body, "");
    assert!(trailers.unwrap().contains("annals-count: 0"));
    let digest = sha_256(br#"{"data":[]"#);
    let expected = json!({"data": [], "count": 0, "digest": digest, "complete": true});
    assert_eq!(log.get(&format!("{PATH}&format=json")).await.json(), expected);
    let header = log.get(&format!("{PATH}&format=csv&columns=message,event.id")).await;
    assert_eq!(header.body, "message,event.id\r\n");
}

#[tokio::test]
async fn json_has_closing_members_that_show_that_it_is_complete() {
    let log = log_of(3).await;
    let answer = log.get(&format!("{PATH}&format=json&fields=event.id&sort_order=desc")).await;
    let data = r#"{"data":[{"event":{"id":"e2"}},{"event":{"id":"e1"}},{"event":{"id":"e0"}}]"#;
    let digest = sha_256(data.as_bytes());
    assert_eq!(answer.body, format!(r#"{data},"count":3,"digest":"{digest}","complete":true}}"#));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"annals-events.json\""));
}

#[tokio::test]
async fn csv_has_a_line_for_each_event() {
    let log = Log::new();
    log.store([at(0).with("message", "a, \"b\""), at(1).with("message", "=cmd|' /C calc'!A0").with("tags", vec!["x"])])
        .await;
    let answer = log.get(&format!("{PATH}&format=csv&columns=event.id,message,tags,kibana.saved_objects.id")).await;
    let expected = "event.id,message,tags,kibana.saved_objects.id\r\n\
                    e0,\"a, \"\"b\"\"\",,\"[\"\"0\"\"]\"\r\n\
                    e1,'=cmd|' /C calc'!A0,\"[\"\"x\"\"]\",\"[\"\"1\"\"]\"\r\n";
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let usual = log.get(&format!("{PATH}&format=csv")).await;
    assert!(usual.body.starts_with(b"@timestamp,annals.severity,event.provider,event.action,"));
}

async fn get_accepting(log: &Log, encoding: &str) -> Answer {
    log.send(log.request("GET", PATH).header(header::ACCEPT_ENCODING, encoding).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_export_is_compressed_if_the_client_accepts_gzip() {
    let log = log_of(700).await;
    let plain = log.get(PATH).await;
    assert_eq!(plain.header("content-encoding"), None);
    for accepted in ["gzip", "br, gzip;q=0.5", "*"] {
        let answer = get_accepting(&log, accepted).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{accepted}");
        let mut text = Vec::new();
        GzDecoder::new(answer.body.as_ref()).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain.body);
        assert!(answer.body.len() < plain.body.len() / 2);
    }
    for refused in ["br", "gzip;q=0", "identity, *;q=0"] {
        assert_eq!(get_accepting(&log, refused).await.header("content-encoding"), None, "{refused}");
    }
}

#[tokio::test]
async fn an_export_has_the_events_of_the_objects_or_the_space_in_the_path() {
    let log = log_of(10).await;
    for (path, lines) in [
        ("/api/event_log/t/1/_export", 5),
        ("/s/team/api/event_log/_export?filter=not%20event.provider%3Aannals", 0),
        (PATH, 10),
    ] {
        assert_eq!(log.get(path).await.body.iter().filter(|byte| **byte == b'\n').count(), lines, "{path}");
    }
}

fn unavailable() -> IndexError {
    IndexError::Unavailable { reason: "node-7 is gone".to_owned(), retry_after: None }
}

#[tokio::test]
async fn a_store_that_fails_at_once_is_503() {
    let log = log_of(10).await;
    *log.store.scan_fails_after.lock().unwrap() = Some((0, unavailable()));
    let answer = log.get(PATH).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 1).await;
    log.store.be_away(Some(StoreError::Unavailable { reason: "node-7 is gone".to_owned(), retry_after: None }));
    assert_eq!(log.get(PATH).await.status, 503);
}

#[tokio::test]
async fn a_store_that_fails_midway_aborts_the_export() {
    let log = log_of(2000).await;
    *log.store.scan_fails_after.lock().unwrap() = Some((2, unavailable()));
    let server = Server::start(&log, LONG).await;
    for format in ["ndjson", "json", "csv"] {
        let answer = read_all(server.ask(&log, &format!("{PATH}&format={format}")).await).await;
        // Bytes that were written just before may be lost.
        assert_eq!(unchunked(&answer).1, None, "{format}");
        assert!(!answer.contains("complete\":true") && !answer.contains("annals-complete: true"));
    }
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 3).await;
    let line = "annals_http_streams_total{kind=\"export\",end=\"store\"} 3";
    assert!(log.metrics.render().unwrap().contains(line));
}

#[tokio::test]
async fn a_store_that_hangs_aborts_the_export() {
    let log = log_of(2000).await;
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let response = log.router.clone().oneshot(log.request("GET", PATH).body(Body::empty()).unwrap()).await.unwrap();
    tokio::time::pause();
    let chunks: Vec<_> = response.into_body().into_data_stream().collect().await;
    assert!(chunks.last().unwrap().is_err());
    assert!(ended(&log, "export", "store"));
}

#[tokio::test]
async fn a_client_that_disconnects_ends_the_scan_even_while_the_store_is_busy() {
    let log = log_of(2000).await;
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let server = Server::start(&log, LONG).await;
    let mut connection = server.ask(&log, PATH).await;
    // The first batch is on its way; the store is busy with the third.
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("\"e0\"") {
        assert_ne!(connection.read_buf(&mut read).await.unwrap(), 0);
    }
    drop(connection);
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 1).await;
    until(|| ended(&log, "export", "client")).await;
}

#[tokio::test]
async fn an_export_whose_key_is_revoked_is_aborted() {
    let log = log_of(5000).await;
    let auditor = log.new_key("auditor", &[super::grant(Role::Auditor, &[], &[])]);
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let request = super::request_with(&auditor, "GET", PATH).body(Body::empty()).unwrap();
    let response = log.router.clone().oneshot(request).await.unwrap();
    // The export is recorded: the writer, which knows no other time, has answered.
    tokio::time::pause();
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    let begun = Instant::now();
    log.keys.revoke("auditor", |_| Ok::<_, crate::access::ChangeError>(())).unwrap();
    while let Some(piece) = body.next().await {
        if piece.is_err() {
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 1).await;
    until(|| ended(&log, "export", "access")).await;
}

#[tokio::test]
async fn an_export_that_outlasts_the_shutdown_is_aborted() {
    let log = log_of(2000).await;
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let server = Server::start(&log, Duration::from_millis(20)).await;
    let mut connection = server.ask(&log, PATH).await;
    connection.read_u8().await.unwrap();
    server.stop.send(()).unwrap();
    let (_, end) = unchunked(&format!("H{}", read_all(connection).await));
    assert_eq!(end, None);
    until(|| ended(&log, "export", "shutdown")).await;
}

#[tokio::test]
async fn concurrent_exports_are_limited() {
    let log = log_of(2000).await;
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let begin =
        || async { log.router.clone().oneshot(log.request("GET", PATH).body(Body::empty()).unwrap()).await.unwrap() };
    let mut running = Vec::new();
    for _ in 0..8 {
        running.push(begin().await);
    }
    let answer = log.get(PATH).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("5")));
    assert_eq!(answer.header("annals-error"), Some("too_many_streams"));
    running.pop();
    until(|| log.store.closed_scans.load(Ordering::Relaxed) == 1).await;
    assert_eq!(begin().await.status(), 200);
}

#[tokio::test]
async fn an_export_over_http_1_0_is_refused() {
    let log = log_of(1).await;
    let request = log.request("GET", PATH).version(Version::HTTP_10).body(Body::empty()).unwrap();
    assert!(log.send(request).await.error().contains("an export needs HTTP/1.1"));
}

#[tokio::test]
async fn the_documents_are_the_bytes_of_the_store() {
    let log = log_of(2).await;
    let answer = log.get(PATH).await;
    let lines: Vec<Bytes> = answer.body.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    let stored = log.get("/api/event_log/_find").await.body;
    assert!(
        lines
            .iter()
            .filter(|line| !line.is_empty())
            .all(|line| { stored.windows(line.len()).any(|window| window == line.as_ref()) })
    );
}
