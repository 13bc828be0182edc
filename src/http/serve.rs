//! Accepts connections within limits, applies timeouts, and drains them at shutdown.

use std::{net::IpAddr, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::util::{MapRequest, MapResponse};

use super::{
    address::Peer,
    connection_limiter::{ConnectionLimiter, PerAddress},
    head_errors::HeadErrors,
    places::{Place, Places},
    tls::Tls,
    write_timeout::WriteTimeout,
};

/// Maximum bytes of a request's head, which needs no credentials; the longest query is shorter. A longer one may be read if it
/// arrives at once, but a connection buffers no more than this for longer.
pub const MAX_HEAD: usize = 64 << 10;

/// After an answer that did not wait for the body, what is still being sent is discarded up to this size, because many
/// clients only then read the answer.
const LINGER_BYTES: usize = 64 << 20;
/// How long that takes at most, and how long the client may send nothing.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_SILENCE: Duration = Duration::from_secs(5);

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// The maximum of open connections. Beyond it, a connection without a request of a known caller is closed for the next.
    pub max: usize,
    /// How long a client may take for the TLS handshake, and to send the head of its first request.
    pub first_head_timeout: Duration,
    /// How long a client may take to send the head of a further request, and be idle between two requests.
    pub header_timeout: Duration,
    /// How long a client may take to read 64 KiB of a waiting answer.
    pub write_timeout: Duration,
    /// How long running requests may take after the shutdown.
    pub drain: Duration,
}

/// Serves until the shutdown; then stops accepting, waits for running requests, and aborts those that take too long.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    shutdown: impl Future<Output = ()>,
    limits: Connections,
    per_address: PerAddress,
) {
    let stop = CancellationToken::new();
    let per_client = ConnectionLimiter::new(per_address);
    let places = Places::new(limits.max);
    let mut open = JoinSet::new();
    let mut waiting = None;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            free = places.free(), if waiting.is_some() => {
                let (Some(free), Some((stream, peer, permit))) = (free, waiting.take()) else { continue };
                let place = places.take(free, per_client.client(peer));
                let connection = connection(stream, tls.clone(), peer, router.clone(), stop.clone(), limits, place);
                open.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            accepted = accept(&listener), if waiting.is_none() => {
                waiting = accepted.and_then(|(stream, peer)| Some((stream, peer, per_client.admit(peer)?)));
            }
        }
    }
    drop(listener);
    stop.cancel();
    drain(open, limits.drain).await;
}

/// Accepts the next connection; `None` if that failed.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip())),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Usually a lack of file descriptors, which ends when other connections close.
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    peer: IpAddr,
    router: Router,
    stop: CancellationToken,
    limits: Connections,
    place: Arc<Place>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set; answers may be delayed");
    }
    let mut stream = WriteTimeout::new(stream, limits.write_timeout);
    let Some(tls) = tls else {
        if requests(&mut stream, peer, router, &stop, limits, &place).await {
            linger(&mut stream, &stop, &place).await;
        }
        return;
    };
    // The handshake precedes the request's head and has the same timeout.
    let accepted = tokio::select! {
        accepted = timeout(limits.first_head_timeout, tls.acceptor().accept(stream)) => Some(accepted),
        () = stop.cancelled() => None,
        () = place.is_cut() => None,
    };
    let mut stream = match accepted {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(%error, "a TLS handshake failed"),
        Some(Err(_)) => return tracing::debug!("a TLS handshake took too long"),
        None => return,
    };
    if requests(&mut stream, peer, router, &stop, limits, &place).await {
        linger(stream.get_mut().0, &stop, &place).await;
    }
}

/// Answers the requests of one connection. Returns whether the client may still be sending.
async fn requests(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin + Send),
    peer: IpAddr,
    router: Router,
    stop: &CancellationToken,
    limits: Connections,
    place: &Arc<Place>,
) -> bool {
    let begun = Arc::clone(place);
    let router = MapRequest::new(router, move |mut request: Request<Incoming>| {
        begun.begin();
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(Arc::clone(&begun));
        request
    });
    let answered = Arc::clone(place);
    let router = MapResponse::new(router, move |response: Response| {
        response.map(|body| AnswerBody { body, place: Arc::clone(&answered) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(HeadErrors::new(stream)), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let first_head = async {
        sleep(limits.first_head_timeout).await;
        if place.has_begun() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = first_head => {
            tracing::debug!("a client took too long to send a head");
            return false;
        }
        () = place.is_cut() => {
            // An answer that was given may still be in a buffer.
            if place.has_begun() {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(place.grace(), connection).await;
            }
            return false;
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "a connection broke");
            error.is_parse()
        }
    }
}

/// Discards what the client is still sending: to close the connection meanwhile would destroy the answer.
async fn linger(stream: &mut (impl AsyncRead + Unpin), stop: &CancellationToken, place: &Place) {
    let end = Instant::now() + LINGER;
    let mut discarded = 0;
    let mut buffer = vec![0; 16 << 10];
    let discard = async {
        while discarded < LINGER_BYTES {
            let silence = Instant::now() + LINGER_SILENCE;
            match timeout_at(silence.min(end), stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => discarded += read,
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = discard => {}
        () = stop.cancelled() => {}
        () = place.is_cut() => {}
    }
}

/// The body of an answer; the connection rests when the body is dropped.
struct AnswerBody {
    body: Body,
    place: Arc<Place>,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.place.rest();
    }
}

async fn drain(mut open: JoinSet<()>, limit: Duration) {
    let all_ended = async { while open.join_next().await.is_some() {} };
    if timeout(limit, all_ended).await.is_err() {
        tracing::warn!(connections = open.len(), "requests took too long to end and were cut off");
        open.shutdown().await;
    }
}
