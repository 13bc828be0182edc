//! Accepts connections within limits, applies timeouts, and drains them at shutdown.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequest;

use super::{
    address::Peer,
    connection_limiter::{ConnectionLimiter, PerAddress},
    tls::Tls,
    write_timeout::WriteTimeout,
};

/// Maximum bytes of a request's head, which needs no credentials; the longest query is far shorter.
const MAX_HEAD: usize = 128 << 10;

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// The maximum of open connections; further ones wait to be accepted.
    pub max: usize,
    /// How long a client may take to send the head of a request, and be idle between two requests.
    pub header_timeout: Duration,
    /// How long a client may read nothing of a waiting answer.
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
    let places = Arc::new(Semaphore::new(limits.max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut open = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            accepted = accept(&listener, &places) => {
                let Some((stream, peer, place)) = accepted else { continue };
                let Some(permit) = per_client.admit(peer) else { continue };
                let connection = connection(stream, tls.clone(), peer, router.clone(), stop.clone(), limits);
                open.spawn(async move {
                    connection.await;
                    drop((place, permit));
                });
            }
        }
    }
    drop(listener);
    stop.cancel();
    drain(open, limits.drain).await;
}

/// Accepts the next connection once there is a place for it; `None` if that failed.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip(), place)),
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
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set; answers may be delayed");
    }
    let stream = WriteTimeout::new(stream, limits.write_timeout);
    let Some(tls) = tls else {
        return requests(stream, peer, router, stop, limits).await;
    };
    // The handshake precedes the request's head and has the same timeout.
    let accepted = stop.run_until_cancelled(timeout(limits.header_timeout, tls.acceptor().accept(stream))).await;
    match accepted {
        Some(Ok(Ok(stream))) => requests(stream, peer, router, stop, limits).await,
        Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake failed"),
        Some(Err(_)) => tracing::debug!("a TLS handshake took too long"),
        None => {}
    }
}

/// Answers the requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    router: Router,
    stop: CancellationToken,
    limits: Connections,
) {
    let router = MapRequest::new(router, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn drain(mut open: JoinSet<()>, limit: Duration) {
    let all_ended = async { while open.join_next().await.is_some() {} };
    if timeout(limit, all_ended).await.is_err() {
        tracing::warn!(connections = open.len(), "requests took too long to end and were cut off");
        open.shutdown().await;
    }
}
