//! Reads pages of events in bounded memory.
//!
//! Before a page is read, memory is reserved for its likely size, twice: for the events and for the answer. If the events are
//! larger than that, the page is read again with memory for the largest page. An answer keeps its memory until it is sent.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ReadError, error::answered};
use crate::{
    memory_budget::{LARGEST_ANSWER, Memory, Reservation},
    query::{PAGE_BYTES, ScopedQuery},
    store::{EventIndex, Page},
};

/// Estimated bytes of an event; most are smaller.
const LIKELY: usize = 16 << 10;
const LEAST: usize = 1 << 20;

const _: () = assert!(2 * PAGE_BYTES <= LARGEST_ANSWER, "there is memory for the largest page");

pub(super) struct PageReader {
    memory: Arc<Memory>,
}

impl PageReader {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory }
    }

    /// Reads a page of at most the query's size; returns it with the reserved memory for its answer.
    pub(super) async fn find(
        &self,
        index: &dyn EventIndex,
        caller: &str,
        query: &ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Reservation), ReadError> {
        let most = query.query().bytes;
        let likely = usize::try_from(query.query().limit).unwrap_or(usize::MAX).saturating_mul(LIKELY);
        let likely = likely.clamp(LEAST, most.max(LEAST));
        let (page, memory) = self.read(index, caller, query.clone().within(likely), deadline).await?;
        if !page.is_cut || likely >= most {
            return Ok((page, memory));
        }
        drop((page, memory));
        self.read(index, caller, query.clone().within(most), deadline).await
    }

    async fn read(
        &self,
        index: &dyn EventIndex,
        caller: &str,
        query: ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Reservation), ReadError> {
        let mut memory = self.memory.answers.reserve(caller, 2 * query.query().bytes, deadline).await?;
        let page = answered(deadline, index.find(&query)).await?;
        let bytes: usize = page.documents.iter().map(|document| document.len() + 1).sum();
        memory.shrink_to(2 * bytes);
        Ok((page, memory))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{
        EventSink as _, Target,
        memory::MemoryStore,
        testing::{about, draft, fresh_chain, position},
    };

    fn in_millis(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn a_query_without_memory_for_its_answer_waits_and_is_then_refused() {
        let store = MemoryStore::default();
        let event = draft().about("t", "1").with("message", "x").sealed(position(fresh_chain(), 0));
        store.append(&Target(String::new()), &[event]).await.unwrap();
        let query = about("t", "1").max_bytes(PAGE_BYTES).build();
        let memory = Arc::new(Memory::of(0, 0));
        let pages = PageReader::new(Arc::clone(&memory));
        let free = memory.answers.free_units();
        let all = memory.answers.reserve("a", memory.answers.share(), in_millis(0)).await.unwrap();
        let refused = pages.find(&store, "a", &query, in_millis(10)).await.unwrap_err();
        assert!(matches!(refused, ReadError::Busy), "{refused:?}");
        drop(all);
        let (page, held) = pages.find(&store, "a", &query, in_millis(60_000)).await.unwrap();
        let bytes = page.documents.concat().len();
        assert_eq!(free - memory.answers.free_units(), (2 * (bytes + 1)).div_ceil(1024));
        drop(held);
    }
}
