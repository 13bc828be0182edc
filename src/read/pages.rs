//! Reads pages of events in bounded memory.
//!
//! Before a page is read, memory is reserved for its likely size, twice: for the events and for the answer. If the events are
//! larger than that, the page is read again with memory for the largest page. An answer keeps its memory until it is sent.

use tokio::time::Instant;

use super::{ReadError, error::answered};
use crate::{
    memory_budget::{MemoryBudget, Reservation},
    query::{PAGE_BYTES, ScopedQuery},
    store::{EventIndex, Page},
};

/// Estimated bytes of an event; most are smaller.
const LIKELY: usize = 16 << 10;
const LEAST: usize = 1 << 20;

pub(super) struct PageReader {
    budget: MemoryBudget,
}

impl PageReader {
    /// `concurrent` is the maximum of bytes in all pages together; it is raised to what one page needs.
    pub(super) fn new(concurrent: usize) -> Self {
        Self { budget: MemoryBudget::of(concurrent.max(2 * PAGE_BYTES)) }
    }

    /// Reads a page of at most the query's size; returns it with the reserved memory for its answer.
    pub(super) async fn find(
        &self,
        index: &dyn EventIndex,
        query: &ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Reservation), ReadError> {
        let most = query.query().bytes;
        let likely = usize::try_from(query.query().limit).unwrap_or(usize::MAX).saturating_mul(LIKELY);
        let likely = likely.clamp(LEAST, most.max(LEAST));
        let (page, memory) = self.read(index, query.clone().within(likely), deadline).await?;
        if !page.is_cut || likely >= most {
            return Ok((page, memory));
        }
        drop((page, memory));
        self.read(index, query.clone().within(most), deadline).await
    }

    async fn read(
        &self,
        index: &dyn EventIndex,
        query: ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, Reservation), ReadError> {
        let mut memory = self.budget.reserve(2 * query.query().bytes, deadline).await?;
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
        let pages = PageReader::new(0);
        let all = pages.budget.reserve(2 * PAGE_BYTES, in_millis(0)).await.unwrap();
        let refused = pages.find(&store, &query, in_millis(10)).await.unwrap_err();
        assert!(matches!(refused, ReadError::Busy), "{refused:?}");
        drop(all);
        let (page, memory) = pages.find(&store, &query, in_millis(60_000)).await.unwrap();
        let bytes = page.documents.concat().len();
        assert_eq!(2 * PAGE_BYTES / 1024 - pages.budget.free_units(), (2 * (bytes + 1)).div_ceil(1024));
        drop(memory);
    }
}
