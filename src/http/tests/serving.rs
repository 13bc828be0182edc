//! Connections over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{LIMITS as REQUEST_LIMITS, Log, grant};
use crate::{
    access::Role,
    http::{BodyPace, Connections, Limits, PerAddress, places::Place, serve},
    memory_budget::MemoryBudget,
};

const LONG: Duration = Duration::from_secs(60);
const LIMITS: Connections =
    Connections { max: 10, first_head_timeout: LONG, header_timeout: LONG, write_timeout: LONG, drain: LONG };

/// A server with a slow route for a known caller, which notifies `entered` and then waits for `released`.
struct Server {
    address: SocketAddr,
    entered: Arc<Notify>,
    released: Arc<Notify>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Connections) -> Self {
        Self::start_with(limits, PerAddress::unbounded()).await
    }

    async fn start_with(limits: Connections, per_address: PerAddress) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, release) = (Arc::clone(&entered), Arc::clone(&released));
        let slow = async move |Extension(place): Extension<Arc<Place>>| {
            assert!(place.admit("caller".to_owned()));
            enter.notify_one();
            release.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "quick"))
            .route("/slow", get(slow))
            .route("/large", get(async || vec![b'x'; 64 << 20]));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(serve(listener, None, router, shutdown, limits, per_address));
        Self { address, entered, released, stop, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Connects from 127.0.0.`last`.
async fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// Opens this many connections from each of these addresses, and sends half a head on each.
async fn half_open(address: SocketAddr, clients: std::ops::Range<u8>, each: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for last in clients {
        for _ in 0..each {
            let mut connection = timeout(LONG, connect_from(last, address)).await.unwrap();
            // The connection may be closed already.
            let _ = connection.write_all(b"GET / HTTP/1.1\r\nho").await;
            open.push(connection);
        }
    }
    open
}

/// Serves a whole log on a port of its own.
async fn serve_log(log: &Log, limits: Connections) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, None, log.router.clone(), std::future::pending(), limits, PerAddress::unbounded()));
    address
}

/// Sends this request completely, and only then reads its answer.
async fn answer_to(connection: &mut TcpStream, request: &[u8]) -> String {
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let mut length = None;
    while length.is_none_or(|length| answer.len() < length) {
        assert_ne!(
            timeout(LONG, connection.read_buf(&mut answer)).await.unwrap().unwrap(),
            0,
            "the answer is not complete"
        );
        let text = String::from_utf8_lossy(&answer);
        length = text.split_once("\r\n\r\n").map(|(head, _)| {
            let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            head.len() + 4 + declared.parse::<usize>().unwrap()
        });
    }
    String::from_utf8(answer).unwrap()
}

async fn ask(connection: &mut TcpStream, path: &str) {
    connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads until the text has arrived.
async fn expect(connection: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        assert_ne!(connection.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
}

/// Waits until the server has closed the connection.
async fn closed(connection: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(10), connection.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_connection_takes_several_requests() {
    let server = Server::start(LIMITS).await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        ask(&mut connection, "/").await;
        expect(&mut connection, "quick").await;
    }
}

#[tokio::test]
async fn at_shutdown_running_requests_complete_and_idle_connections_close() {
    let server = Server::start(LIMITS).await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    ask(&mut idle, "/").await;
    expect(&mut idle, "quick").await;
    ask(&mut busy, "/slow").await;
    server.entered.notified().await;
    server.stop.send(()).unwrap();
    closed(&mut idle).await;
    assert!(!server.ended.is_finished());
    server.released.notify_one();
    expect(&mut busy, "slow").await;
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn requests_that_outlast_the_drain_are_aborted() {
    let server = Server::start(Connections { drain: Duration::from_millis(20), ..LIMITS }).await;
    let mut connection = server.connect().await;
    ask(&mut connection, "/slow").await;
    server.entered.notified().await;
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    closed(&mut connection).await;
}

#[tokio::test]
async fn slow_and_idle_clients_are_disconnected() {
    let server = Server::start(Connections { header_timeout: Duration::from_millis(30), ..LIMITS }).await;
    let mut silent = server.connect().await;
    closed(&mut silent).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    closed(&mut slow).await;
    let mut idle = server.connect().await;
    ask(&mut idle, "/").await;
    expect(&mut idle, "quick").await;
    closed(&mut idle).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_disconnected() {
    let mut server = Server::start(Connections { write_timeout: Duration::from_millis(30), ..LIMITS }).await;
    let mut deaf = server.connect().await;
    ask(&mut deaf, "/large").await;
    expect(&mut deaf, "200 OK").await;
    server.stop.send(()).unwrap();
    let ended = timeout(Duration::from_secs(10), &mut server.ended).await;
    assert!(ended.is_ok(), "the connection is still open");
    drop(deaf);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = Server::start(Connections { max: 1, ..LIMITS }).await;
    let mut first = server.connect().await;
    ask(&mut first, "/slow").await;
    server.entered.notified().await;
    let mut second = server.connect().await;
    ask(&mut second, "/slow").await;
    assert!(futures_util::FutureExt::now_or_never(server.entered.notified()).is_none());
    server.released.notify_one();
    expect(&mut first, "slow").await;
    drop(first);
    server.entered.notified().await;
    server.released.notify_one();
    expect(&mut second, "slow").await;
}

/// Whether a connection is closed without an answer.
async fn is_closed(mut connection: TcpStream) -> bool {
    // The connection may be closed or reset.
    timeout(LONG, connection.read_to_end(&mut Vec::new())).await.unwrap().is_ok_and(|read| read == 0)
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let bound = PerAddress { most: 2, ..PerAddress::unbounded() };
    let server = Server::start_with(LIMITS, bound.clone()).await;
    let mut open = [server.connect().await, server.connect().await];
    for connection in &mut open {
        ask(connection, "/").await;
        expect(connection, "quick").await;
    }
    assert!(is_closed(server.connect().await).await);
    assert_eq!(bound.refused.get(), 1);
    ask(&mut open[0], "/").await;
    expect(&mut open[0], "quick").await;
    let [first, _second] = open;
    drop(first);
    // The server notices this asynchronously.
    let admitted = async {
        loop {
            let mut again = server.connect().await;
            let asked = again.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            if asked.is_ok() && again.read_u8().await.is_ok() {
                break;
            }
        }
    };
    timeout(LONG, admitted).await.unwrap();
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_limited() {
    let exempt = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start_with(LIMITS, PerAddress { most: 1, exempt, ..PerAddress::unbounded() }).await;
    let mut open = [server.connect().await, server.connect().await];
    for connection in &mut open {
        ask(connection, "/").await;
        expect(connection, "quick").await;
    }
}

#[tokio::test]
async fn the_size_of_a_head_is_limited() {
    let server = Server::start(LIMITS).await;
    for (length, is_answered) in [(60_000, true), (200_000, false)] {
        let mut connection = server.connect().await;
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: {}\r\n\r\n", "x".repeat(length));
        // The connection may be closed before everything is sent and before the error is read.
        let _ = connection.write_all(head.as_bytes()).await;
        let mut read = Vec::new();
        let _ = timeout(LONG, connection.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read.starts_with(b"HTTP/1.1 200"), is_answered, "{}", String::from_utf8_lossy(&read));
    }
}

#[tokio::test]
async fn clients_that_never_complete_a_head_do_not_keep_others_out() {
    let server = Server::start(Connections { max: 20, ..LIMITS }).await;
    let mut busy = server.connect().await;
    ask(&mut busy, "/slow").await;
    server.entered.notified().await;
    for (clients, each) in [(2..7, 50), (2..52, 2)] {
        let half_open = half_open(server.address, clients, each).await;
        let mut other = server.connect().await;
        for _ in 0..3 {
            ask(&mut other, "/").await;
            timeout(LONG, expect(&mut other, "quick")).await.unwrap();
        }
        drop(half_open);
    }
    server.released.notify_one();
    expect(&mut busy, "slow").await;
}

#[tokio::test]
async fn the_first_head_has_to_come_sooner_than_the_next() {
    let limits = Connections { first_head_timeout: Duration::from_millis(300), ..LIMITS };
    let server = Server::start(limits).await;
    let mut idle = server.connect().await;
    ask(&mut idle, "/").await;
    expect(&mut idle, "quick").await;
    let mut silent = server.connect().await;
    closed(&mut silent).await;
    ask(&mut idle, "/").await;
    expect(&mut idle, "quick").await;
}

#[tokio::test]
async fn an_answer_before_the_body_reaches_a_client_that_first_sends_all_of_it() {
    let log = Log::new();
    let address = serve_log(&log, LIMITS).await;
    let key = &log.key;
    let body = vec![b' '; 8 << 20];
    for (path, headers, status) in [
        ("/api/event_log/events", String::new(), "401"),
        ("/nothing", format!("authorization: ApiKey {key}\r\n"), "404"),
        ("/api/event_log/events", format!("authorization: ApiKey {key}\r\n"), "413"),
        ("/api/event_log/events", format!("authorization: ApiKey {key}\r\ncontent-type: text/html\r\n"), "415"),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = answer_to(&mut connection, &[head.as_bytes(), &body].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "expected {status}: {answer}");
    }
}

#[tokio::test]
async fn the_answer_to_a_head_that_cannot_be_read_is_an_error_like_all_others() {
    let log = Log::new();
    let address = serve_log(&log, LIMITS).await;
    let long = "x".repeat(200_000);
    for (request, status, code) in [
        ("GET /\"a\"<b> HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "invalid_request"),
        ("nonsense\r\n\r\n".to_owned(), 400, "invalid_request"),
        (format!("GET /?filter={long} HTTP/1.1\r\nhost: x\r\n\r\n"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nx-long: {long}\r\n\r\n"), 431, "head_too_large"),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = answer_to(&mut connection, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(head.contains(&format!("annals-error: {code}\r\n")) && head.contains("x-request-id: "), "{answer}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["statusCode"], status);
        assert!(body["error"].is_string() && body["message"].is_string());
    }
}

#[tokio::test]
async fn a_body_that_is_announced_and_not_sent_is_refused() {
    let body_pace = BodyPace { pause: Duration::from_millis(30), bytes_per_second: 1024 };
    let log = Log::with(Limits { body_pace, ..REQUEST_LIMITS });
    let address = serve_log(&log, LIMITS).await;
    for length in ["content-length: 1000", "transfer-encoding: chunked"] {
        let head = format!(
            "POST /api/event_log/events HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {}\r\n{length}\r\n\r\n",
            log.key
        );
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = answer_to(&mut connection, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

/// Takes all that a caller may have.
async fn take_share(budget: &MemoryBudget, caller: &str) -> crate::memory_budget::Reservation {
    budget.reserve(caller, budget.share(), tokio::time::Instant::now()).await.unwrap()
}

#[tokio::test]
async fn a_caller_with_slow_and_silent_clients_only_slows_itself() {
    let body_pace = BodyPace { pause: LONG, bytes_per_second: 1 };
    let log = Log::with(Limits { body_pace, ..REQUEST_LIMITS });
    let key = log.new_key("other", &[grant(Role::Writer, &["default"], &["app"]), grant(Role::Auditor, &[], &[])]);
    let address = serve_log(&log, Connections { max: 40, ..LIMITS }).await;
    let mut silent = Vec::new();
    for last in 2..22 {
        for path in ["/api/event_log/events", "/api/event_log/t/_find"] {
            let mut connection = connect_from(last, address).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {}\r\ncontent-length: 90000\r\n\r\n",
                log.key
            );
            // The connection may be closed already.
            let _ = connection.write_all(&[head.as_bytes(), &[b' '; 40_000]].concat()).await;
            silent.push(connection);
        }
    }
    let half_open = half_open(address, 22..72, 2).await;
    let memory = &log.memory;
    let mut taken = Vec::new();
    for budget in [&memory.event_answers, &memory.checked_events, &memory.answers] {
        taken.push(take_share(budget, "api_key:admin").await);
    }
    let body = r#"{"event":{"provider":"app","action":"run"}}"#;
    let post = format!(
        "POST /api/event_log/events HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {key}\r\n\r\n");
    for (request, status) in [
        (post, "202"),
        (get("/api/event_log/_find"), "200"),
        (get("/api/event_log/_aggregate?terms=event.action"), "200"),
        (get("/api/event_log/providers"), "200"),
        (get("/readyz"), "200"),
        (get("/metrics"), "200"),
        ("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "200"),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = answer_to(&mut connection, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    drop((silent, half_open, taken));
}

#[tokio::test]
async fn health_is_answered_while_known_callers_hold_all_places_that_they_may() {
    let log = Log::new();
    log.await_ready().await;
    let address = serve_log(&log, Connections { max: 8, ..LIMITS }).await;
    let mut tails = Vec::new();
    for caller in 0..4 {
        let key = log.new_key(&format!("caller-{caller}"), &[grant(Role::Auditor, &[], &[])]);
        for _ in 0..2 {
            let mut tail = TcpStream::connect(address).await.unwrap();
            let head = format!("GET /api/event_log/_tail HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {key}\r\n\r\n");
            tail.write_all(head.as_bytes()).await.unwrap();
            let status = if tails.len() < 7 { "HTTP/1.1 200 " } else { "HTTP/1.1 503 " };
            timeout(LONG, expect(&mut tail, status)).await.unwrap();
            tails.push(tail);
        }
    }
    for path in ["/livez", "/readyz"] {
        let asked = async {
            let mut connection = TcpStream::connect(address).await.unwrap();
            answer_to(&mut connection, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await
        };
        let answer = timeout(Duration::from_secs(10), asked).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
