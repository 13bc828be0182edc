//! Reads all documents at positions of a chain, including ones that Annals did not write.

use std::ops::RangeInclusive;

use super::{
    ElasticStore,
    client::{MAX_ANSWER, unavailable},
    search,
};
use crate::{
    event::{ChainId, Sequence},
    store::{ChainDocument, StoreError},
};

/// The most documents in an answer: the engines' default for `index.max_result_window`.
const MAX_DOCUMENTS: u64 = 10_000;

/// Bytes that an answer may have beyond twice the bytes wanted. Single documents may be larger.
const SPARE: usize = 4 << 20;

/// Returns whole positions from the beginning of the range, at least one if any has documents.
pub(super) async fn read(
    store: &ElasticStore,
    chain: ChainId,
    range: RangeInclusive<Sequence>,
    bytes: usize,
) -> Result<Vec<ChainDocument>, StoreError> {
    // The engines have no greater numbers, and refuse them in queries.
    let Ok(from) = i64::try_from(range.start().0) else { return Ok(Vec::new()) };
    let mut to = i64::try_from(range.end().0).unwrap_or(i64::MAX);
    let mut size = MAX_DOCUMENTS;
    let max_bytes = bytes.saturating_mul(2).saturating_add(SPARE).min(MAX_ANSWER);
    let mut is_one_position = false;
    loop {
        let max_bytes = if size == 1 || is_one_position { MAX_ANSWER } else { max_bytes };
        let body = search::at_positions(chain, from, to, size, &store.search_timeout());
        let Some(answer) = store.search_within(body, max_bytes).await? else {
            if size == 1 {
                return Err(unavailable(format!("a document has more than {MAX_ANSWER} bytes")));
            }
            if is_one_position {
                return Err(unavailable(format!("the documents of one position have more than {MAX_ANSWER} bytes")));
            }
            size = size.div_ceil(8);
            continue;
        };
        let mut documents = search::read_positions(&answer)?;
        let is_full = documents.len() as u64 >= size;
        let Some(Sequence(last)) = documents.last().filter(|_| is_full).map(|document| document.sequence) else {
            return Ok(documents);
        };
        // The last position may have further documents.
        let whole = documents.iter().take_while(|document| document.sequence != Sequence(last)).count();
        if whole > 0 {
            documents.truncate(whole);
            return Ok(documents);
        }
        if size == MAX_DOCUMENTS {
            return Err(StoreError::Refused {
                reason: format!("there are more than {MAX_DOCUMENTS} documents at one position of {chain}"),
            });
        }
        // One position fills the answer, so that position is read alone.
        (to, size, is_one_position) = (i64::try_from(last).unwrap_or(i64::MAX), MAX_DOCUMENTS, true);
    }
}
