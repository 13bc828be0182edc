//! A body that keeps the reservation for its bytes until all of them were written to the connection, or it is closed.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::memory_budget::Reservation;

/// Bytes that are handed to the connection at a time.
const CHUNK: usize = 64 << 10;

pub(super) fn body(bytes: Vec<u8>, mut memory: Reservation) -> Body {
    memory.shrink_to(bytes.len());
    // A chunk that waits in a buffer of the connection keeps all bytes alive, and the reservation with them.
    Body::new(HeldBody(Bytes::from_owner(Held { bytes, _memory: memory })))
}

struct HeldBody(Bytes);

impl hyper::body::Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = CHUNK.min(self.0.len());
        let chunk = self.0.split_to(length);
        if self.0.is_empty() {
            self.0 = Bytes::new();
        }
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

struct Held {
    bytes: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::Instant;

    use super::*;
    use crate::memory_budget::MemoryBudget;

    #[tokio::test]
    async fn an_answer_keeps_its_memory_until_the_last_of_it_is_sent() {
        let budget = MemoryBudget::new(1 << 20, 1 << 20);
        let all = budget.free_units();
        let sent = vec![b'x'; 300_000];
        let memory = budget.reserve("a", 2 * sent.len(), Instant::now()).await.unwrap();
        assert_eq!(all - budget.free_units(), (2 * sent.len()).div_ceil(1024));
        let body = body(sent.clone(), memory);
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(sent.len() as u64));
        let mut chunks = body.into_data_stream();
        let (mut received, mut last) = (Vec::new(), Bytes::new());
        while let Some(chunk) = chunks.next().await {
            last = chunk.unwrap();
            received.extend_from_slice(&last);
            assert_eq!(all - budget.free_units(), sent.len().div_ceil(1024));
        }
        drop(chunks);
        assert!(received == sent);
        assert_eq!(all - budget.free_units(), sent.len().div_ceil(1024));
        drop(last);
        assert_eq!(budget.free_units(), all);
    }
}
