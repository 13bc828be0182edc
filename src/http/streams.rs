//! Answers that go on for long: how many there may be at once, and bodies whose end can be trusted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorCode, Failure};

/// How many of each kind this process serves at once: each keeps something open in the store, or asks it again and again.
const MAX_EXPORTS: usize = 8;
const MAX_TAILS: usize = 64;

/// Chunks that wait for a client which reads more slowly than the store does.
const WAITING_CHUNKS: usize = 2;

const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Streams {
    exports: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    /// Cancelled when the service begins to stop.
    pub(super) stopping: CancellationToken,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Complete,
    /// The client went away, or read nothing for too long.
    Client,
    /// The store failed.
    Store,
    Shutdown,
}

impl End {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client => "client",
            Self::Store => "store",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Streams {
    pub(super) fn new(stopping: CancellationToken) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { exports: places(MAX_EXPORTS), tails: places(MAX_TAILS), stopping }
    }

    pub(super) fn begin_export(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.exports, "exports")
    }

    pub(super) fn begin_tail(&self) -> Result<OwnedSemaphorePermit, Failure> {
        place(&self.tails, "tails")
    }

    /// Whose doing it is that nobody reads any more.
    pub(super) fn end_without_reader(&self) -> End {
        if self.stopping.is_cancelled() { End::Shutdown } else { End::Client }
    }
}

fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Failure> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let message = format!("as many {what} are running as may at once; try again later");
        Failure::new(ErrorCode::TooManyStreams, message).retry_after(RETRY_AFTER)
    })
}

/// The writing end of a body. A body whose sender is dropped before [`Sender::finish`] breaks off: the connection is closed
/// before the body's end, which every client of HTTP/1.1 sees.
pub(super) struct Sender(mpsc::Sender<Part>);

enum Part {
    Chunk(Bytes),
    End(HeaderMap),
}

/// Nobody reads the body any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Sender {
    /// Waits until there is room for the chunk.
    pub(super) async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), Gone> {
        let chunk = chunk.into();
        if chunk.is_empty() {
            return Ok(());
        }
        self.0.send(Part::Chunk(chunk)).await.map_err(|_| Gone)
    }

    /// Ends the body as it should end, with these trailers.
    pub(super) async fn finish(self, trailers: HeaderMap) -> Result<(), Gone> {
        self.0.send(Part::End(trailers)).await.map_err(|_| Gone)
    }

    /// Waits until nobody reads the body any more.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

pub(super) fn body() -> (Sender, Body) {
    let (sender, parts) = mpsc::channel(WAITING_CHUNKS);
    (Sender(sender), Body::new(Streamed { parts, ended: false }))
}

struct Streamed {
    parts: mpsc::Receiver<Part>,
    ended: bool,
}

/// Seen by nobody but the connection, which then closes.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
struct BrokenOff;

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(cx).map(|part| match part {
            Some(Part::Chunk(chunk)) => Some(Ok(Frame::data(chunk))),
            Some(Part::End(trailers)) => {
                self.ended = true;
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            None => {
                self.ended = true;
                Some(Err(BrokenOff))
            }
        })
    }
}
