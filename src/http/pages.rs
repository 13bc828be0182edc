//! Pages of events, in bounded memory.
//!
//! Before a page is read, room is set aside for what it is likely to take, once for the events and once for the answer that is made of
//! them. Where they are larger than that, it is read again with room for the largest page. An answer keeps its room until it is sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{
    ask,
    room::{Place, Room},
};
use crate::{
    error::Failure,
    query::{PAGE_BYTES, ScopedQuery},
    store::{EventIndex, Page},
};

/// An event mostly takes less.
const LIKELY: usize = 16 << 10;
const LEAST: usize = 1 << 20;

/// So much of an answer is handed to its connection at once.
const CHUNK: usize = 64 << 10;

const BUSY: &str = "too much is being read at once; try again later";

/// Reads pages.
pub(super) struct Pages {
    room: Room,
}

impl Pages {
    /// At most so many bytes in all pages together, raised to what one page needs.
    pub(super) fn new(concurrent: usize) -> Self {
        Self { room: Room::of(concurrent.max(2 * PAGE_BYTES)) }
    }

    /// A page, at most as large as the query says, and the room for an answer of its size.
    pub(super) async fn find(
        &self,
        store: &dyn EventIndex,
        query: &ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Place), Failure> {
        let most = query.query().bytes;
        let likely = usize::try_from(query.query().limit).unwrap_or(usize::MAX).saturating_mul(LIKELY);
        let likely = likely.clamp(LEAST, most.max(LEAST));
        let (page, place) = self.read(store, query.clone().within(likely), deadline).await?;
        if !page.is_cut || likely >= most {
            return Ok((page, place));
        }
        drop((page, place));
        self.read(store, query.clone().within(most), deadline).await
    }

    async fn read(
        &self,
        store: &dyn EventIndex,
        query: ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Place), Failure> {
        let mut place = self.room.set_aside(2 * query.query().bytes, deadline, BUSY).await?;
        let page = ask::answered(deadline, store.find(&query)).await?;
        let bytes: usize = page.documents.iter().map(|document| document.len() + 1).sum();
        place.keep(2 * bytes);
        Ok((page, place))
    }
}

/// A body that keeps the room for its bytes until the last of them is on its way.
pub(super) fn body(bytes: Vec<u8>, mut place: Place) -> Body {
    place.keep(bytes.len());
    Body::new(Held(Some((bytes.into(), place))))
}

struct Held(Option<(Bytes, Place)>);

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    /// Copies, as a part would hold the whole.
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
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::*;
    use crate::{
        error::ErrorCode,
        store::{
            EventSink as _, Target,
            memory::MemoryStore,
            testing::{about, draft, fresh_chain, position},
        },
    };

    async fn store_of(events: u64, message: &str) -> MemoryStore {
        let (store, chain) = (MemoryStore::default(), fresh_chain());
        let draft = || draft().about("t", "1").with("message", message);
        let events: Vec<_> = (0..events).map(|at| draft().sealed(position(chain, at))).collect();
        store.append(&Target(String::new()), &events).await.unwrap();
        store
    }

    fn query() -> ScopedQuery {
        about("t", "1").of_bytes(PAGE_BYTES).asked()
    }

    fn in_millis(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn an_answer_keeps_its_room_until_all_of_it_is_sent() {
        let store = store_of(3, &"x".repeat(100_000)).await;
        let pages = Pages::new(0);
        let all = pages.room.free_pieces();
        let (page, place) = pages.find(&store, &query(), in_millis(60_000)).await.unwrap();
        let sent: Vec<u8> = page.documents.concat();
        assert!(all - pages.room.free_pieces() >= 2 * sent.len() / 1024);
        let body = body(sent.clone(), place);
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(sent.len() as u64));
        let mut chunks = body.into_data_stream();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            assert_eq!(all - pages.room.free_pieces(), sent.len().div_ceil(1024));
            received.extend(chunks.next().await.unwrap().unwrap());
        }
        assert_eq!((received == sent, pages.room.free_pieces()), (true, all));
    }

    #[tokio::test]
    async fn a_question_without_room_for_its_answer_waits_and_is_then_refused() {
        let store = store_of(1, "x").await;
        let pages = Pages::new(0);
        let all = pages.room.set_aside(2 * PAGE_BYTES, in_millis(0), "").await.unwrap();
        let refused = pages.find(&store, &query(), in_millis(10)).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (ErrorCode::Busy, Some(Duration::from_secs(1))));
        drop(all);
        pages.find(&store, &query(), in_millis(60_000)).await.unwrap();
    }
}
