//! Everything that stands at positions of a chain, also what Annals did not write.

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

/// The most documents of one answer; the engines' own `index.max_result_window`.
const MOST: u64 = 10_000;

/// About as much as an answer should weigh for each byte that is wanted, besides a document that is larger than all of them.
const SPARE: usize = 4 << 20;

/// Whole positions from the beginning of the range on, at least one if there is any.
pub(super) async fn read(
    store: &ElasticStore,
    chain: ChainId,
    range: RangeInclusive<Sequence>,
    bytes: usize,
) -> Result<Vec<ChainDocument>, StoreError> {
    // No engine has numbers beyond these, nor takes them in a question.
    let Ok(from) = i64::try_from(range.start().0) else { return Ok(Vec::new()) };
    let mut to = i64::try_from(range.end().0).unwrap_or(i64::MAX);
    let mut size = MOST;
    let most = bytes.saturating_mul(2).saturating_add(SPARE).min(MAX_ANSWER);
    let mut is_one_position = false;
    loop {
        let most = if size == 1 || is_one_position { MAX_ANSWER } else { most };
        let body = search::at_positions(chain, from, to, size, &store.search_timeout());
        let Some(answer) = store.search_within(body, most).await? else {
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
        // More may stand at the last position.
        let whole = documents.iter().take_while(|document| document.sequence != Sequence(last)).count();
        if whole > 0 {
            documents.truncate(whole);
            return Ok(documents);
        }
        if size == MOST {
            return Err(StoreError::Refused {
                reason: format!("more than {MOST} documents stand at one position of {chain}"),
            });
        }
        // So many that they filled the answer: that position alone.
        (to, size, is_one_position) = (i64::try_from(last).unwrap_or(i64::MAX), MOST, true);
    }
}
