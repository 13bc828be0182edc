//! Streamed bodies, whose end proves that they are complete.
//!
//! The reader must keep up: the body is aborted if the reader takes less than [`PIECE`] in [`PATIENCE`] while data is waiting.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use tokio_util::sync::CancellationToken;

use crate::read::Gone;

/// Maximum number of chunks that wait for a client that is slower than the store.
const WAITING_CHUNKS: usize = 1;

/// Bytes that are handed to the connection at a time.
const PIECE: usize = 64 << 10;

/// How long a reader may take to read a piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a streamed answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    /// The client went away, or read nothing for too long.
    Client,
    /// The store failed.
    Store,
    /// The caller has lost access.
    Access,
    Shutdown,
}

impl End {
    /// Returns the end of an answer whose reader is gone.
    pub(super) fn without_reader(stopping: &CancellationToken) -> Self {
        if stopping.is_cancelled() { Self::Shutdown } else { Self::Client }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client => "client",
            Self::Store => "store",
            Self::Access => "access",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The writing end of a body. Dropping it before [`Sender::finish`] aborts the body: the connection is closed before the
/// body's end, which every HTTP/1.1 client notices.
pub(super) struct Sender {
    parts: mpsc::Sender<Part>,
    reader: Arc<Reader>,
}

enum Part {
    Chunk(Bytes),
    /// The trailers; the sender is notified when the reader takes them.
    End(HeaderMap, oneshot::Sender<()>),
}

/// The state of the reader of a body.
struct Reader {
    last_taken: Mutex<Instant>,
    /// The reader gets nothing more, not even data that is already waiting.
    is_cut_off: AtomicBool,
}

/// Cuts off the reader of a body, even if the sender is gone.
pub(super) struct Cutter(Arc<Reader>);

impl Cutter {
    pub(super) fn cut(&self) {
        self.0.is_cut_off.store(true, Ordering::Relaxed);
    }
}

impl Reader {
    fn last_taken(&self) -> Instant {
        *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Sends a chunk; waits until there is room for it.
    pub(super) async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), Gone> {
        let chunk = chunk.into();
        if chunk.is_empty() {
            return Ok(());
        }
        self.pass(Part::Chunk(chunk)).await
    }

    /// Completes the body with these trailers, and waits until the reader has taken all of it.
    pub(super) async fn finish(self, trailers: HeaderMap) -> Result<(), Gone> {
        let (told, taken) = oneshot::channel();
        self.pass(Part::End(trailers, told)).await?;
        self.patiently(async { taken.await.ok() }).await
    }

    async fn pass(&self, part: Part) -> Result<(), Gone> {
        self.patiently(async { self.parts.reserve().await.ok().map(|place| place.send(part)) }).await
    }

    /// Waits for a step that depends on the reader, as long as the reader makes progress.
    async fn patiently(&self, step: impl Future<Output = Option<()>>) -> Result<(), Gone> {
        let begun = Instant::now();
        tokio::pin!(step);
        loop {
            let last_taken = self.reader.last_taken();
            match timeout_at(last_taken.max(begun) + PATIENCE, &mut step).await {
                Ok(done) => return done.ok_or(Gone),
                Err(_) if self.reader.last_taken() > last_taken => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    /// Waits until the reader is gone.
    pub(super) async fn closed(&self) {
        self.parts.closed().await;
    }

    pub(super) fn cutter(&self) -> Cutter {
        Cutter(Arc::clone(&self.reader))
    }
}

pub(super) fn body() -> (Sender, Body) {
    let (sender, parts) = mpsc::channel(WAITING_CHUNKS);
    let reader = Arc::new(Reader { last_taken: Mutex::new(Instant::now()), is_cut_off: AtomicBool::new(false) });
    let streamed = Streamed { parts, chunk: Bytes::new(), reader: Arc::clone(&reader), ended: false };
    (Sender { parts: sender, reader }, Body::new(streamed))
}

struct Streamed {
    parts: mpsc::Receiver<Part>,
    /// The rest of the current chunk.
    chunk: Bytes,
    reader: Arc<Reader>,
    ended: bool,
}

/// Only the connection sees this error; it then closes.
#[derive(Debug, thiserror::Error)]
#[error("the answer was aborted")]
struct BrokenOff;

impl Streamed {
    fn next_piece(&mut self) -> Frame<Bytes> {
        *self.reader.last_taken.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let length = PIECE.min(self.chunk.len());
        Frame::data(self.chunk.split_to(length))
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.reader.is_cut_off.load(Ordering::Relaxed) {
            self.ended = true;
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        if !self.chunk.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        self.parts.poll_recv(cx).map(|part| match part {
            Some(Part::Chunk(chunk)) => {
                self.chunk = chunk;
                Some(Ok(self.next_piece()))
            }
            Some(Part::End(trailers, told)) => {
                self.ended = true;
                // Fails if the sender was dropped and nobody waits.
                let _ = told.send(());
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            None => {
                self.ended = true;
                Some(Err(BrokenOff))
            }
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_cut_off_and_sees_an_aborted_body() {
        let (sender, body) = body();
        let mut pieces = body.into_data_stream();
        let sent = async {
            for _ in 0..100 {
                sender.send(vec![b'x'; 2 * PIECE]).await?;
            }
            Ok::<_, Gone>(())
        };
        let begun = Instant::now();
        assert!(sent.await.is_err());
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        drop(sender);
        let mut received = 0;
        while let Some(Ok(piece)) = pieces.next().await {
            received += piece.len();
        }
        assert_eq!(received, WAITING_CHUNKS * 2 * PIECE, "the body must end in an error");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_piece_in_time_gets_everything() {
        let (sender, body) = body();
        let mut pieces = body.into_data_stream();
        let written = tokio::spawn(async move {
            for _ in 0..10 {
                sender.send(vec![b'x'; 3 * PIECE]).await?;
            }
            sender.finish(HeaderMap::new()).await
        });
        let mut received = 0;
        while let Some(piece) = pieces.next().await {
            received += piece.unwrap().len();
            advance(PATIENCE - Duration::from_secs(1)).await;
        }
        assert_eq!(received, 30 * PIECE);
        written.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_the_reader_which_can_be_cut_off_until_then() {
        let (sender, body) = body();
        let cutter = sender.cutter();
        let mut pieces = body.into_data_stream();
        sender.send(vec![b'x'; 10 * PIECE]).await.unwrap();
        let finished = tokio::spawn(sender.finish(HeaderMap::new()));
        assert_eq!(pieces.next().await.unwrap().unwrap().len(), PIECE);
        assert!(!finished.is_finished());
        cutter.cut();
        assert!(pieces.next().await.unwrap().is_err(), "nine more pieces and the end were waiting");
        drop(pieces);
        assert!(finished.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_not_cut_off_while_there_is_nothing_to_read() {
        let (sender, _body) = body();
        advance(10 * PATIENCE).await;
        for _ in 0..WAITING_CHUNKS {
            sender.send("x").await.unwrap();
        }
        let begun = Instant::now();
        assert!(sender.send("x").await.is_err());
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }
}
