//! A connection with a timeout for writes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that the peer has to take within the limit while more are waiting.
const LEAST: usize = 64 << 10;

/// Fails a write if the peer takes less than [`LEAST`] in `limit` while more is waiting, so that a client that does not read,
/// or hardly, cannot keep an answer in memory or occupy a connection.
pub(super) struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    /// Set from when a write had to wait until [`LEAST`], or everything, was taken.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken since.
    taken: usize,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, deadline: None, taken: 0 }
    }

    /// Accounts for a write, or fails if it has waited for too long.
    fn bound(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(Ok(taken)) => {
                self.taken += taken;
                if self.taken >= LEAST {
                    self.restart();
                }
                write
            }
            Poll::Ready(Err(_)) => write,
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }

    fn restart(&mut self) {
        (self.deadline, self.taken) = (None, 0);
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        if self.deadline.is_none() {
            self.taken = 0;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        deadline
            .as_mut()
            .poll(cx)
            .map(|()| io::Error::new(io::ErrorKind::TimedOut, "the client does not read fast enough"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bound(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bound(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.restart();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_write_to_a_peer_that_reads_nothing_times_out() {
        let (ours, _theirs) = duplex(16);
        let error = WriteTimeout::new(ours, LIMIT).write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// The peer reads this many bytes shortly before each limit.
    async fn write_to_reader_of(bytes: usize) -> io::Result<()> {
        let (ours, mut theirs) = duplex(16);
        let written = tokio::spawn(async move { WriteTimeout::new(ours, LIMIT).write_all(&[0; 3 * LEAST]).await });
        let read = async {
            loop {
                sleep(LIMIT - Duration::from_secs(1)).await;
                if theirs.read_exact(&mut vec![0; bytes]).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(written, read).0.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_enough_in_time_gets_everything() {
        write_to_reader_of(LEAST).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_less_times_out() {
        assert_eq!(write_to_reader_of(LEAST / 4).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn small_writes_that_are_taken_at_once_never_time_out() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = WriteTimeout::new(ours, LIMIT);
        for _ in 0..10 {
            let read = async {
                sleep(Duration::from_secs(1)).await;
                theirs.read_exact(&mut [0; 20]).await
            };
            let (written, read) = tokio::join!(
                async {
                    ours.write_all(&[0; 20]).await?;
                    ours.flush().await
                },
                read
            );
            written.unwrap();
            read.unwrap();
            sleep(LIMIT).await;
        }
    }
}
