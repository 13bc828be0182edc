//! A body that keeps the reservation for its bytes until all of them have been handed to the connection.

use std::{
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
    Body::new(HeldBody(Some((bytes.into(), memory))))
}

struct HeldBody(Option<(Bytes, Reservation)>);

impl hyper::body::Body for HeldBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    /// Copies each chunk, because a slice would keep the whole buffer alive.
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some((bytes, _)) = &mut self.0 else { return Poll::Ready(None) };
        let chunk = bytes.split_to(CHUNK.min(bytes.len()));
        let frame = Frame::data(Bytes::copy_from_slice(&chunk));
        if bytes.is_empty() {
            self.0 = None;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64))
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
    async fn an_answer_keeps_its_memory_until_all_of_it_is_sent() {
        let budget = MemoryBudget::of(1 << 20);
        let all = budget.free_units();
        let sent = vec![b'x'; 300_000];
        let memory = budget.reserve(2 * sent.len(), Instant::now()).await.unwrap();
        assert_eq!(all - budget.free_units(), (2 * sent.len()).div_ceil(1024));
        let body = body(sent.clone(), memory);
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(sent.len() as u64));
        let mut chunks = body.into_data_stream();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            assert_eq!(all - budget.free_units(), sent.len().div_ceil(1024));
            received.extend(chunks.next().await.unwrap().unwrap());
        }
        assert_eq!((received == sent, budget.free_units()), (true, all));
    }
}
