//! Where a tail begins that is to show what is stored from now on.
//!
//! That is behind the last event of each chain, unless a bulk with earlier ones is still under way: then a chain has a hole that will be
//! filled, and it begins there. Old holes are of events that were deleted, or that were lost with their writer; so a hole counts if what stands
//! behind it is of the last [`YOUNG`].

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{CONCURRENT, Positions};
use crate::{
    event::{ChainEntry, ChainId, Sequence, UnixMillis},
    read::{ReadError, Reader, error::answered},
};

/// What was received longer ago, and is not in the store, is not expected any more.
pub(super) const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// How many positions before the end of a chain may have a hole that counts: more than bulks of the usual size that are under way have in all.
const LOOK_BACK: u64 = 100_000;

/// How many old holes are passed in search of one that counts.
const OLD_HOLES: usize = 100;

/// What was received before is not expected any more.
pub(super) fn young(reader: &Reader) -> UnixMillis {
    let age = i64::try_from(YOUNG.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(reader.clock.now().0.saturating_sub(age))
}

/// Where each chain is read from.
pub(super) async fn now(reader: &Reader) -> Result<Positions, ReadError> {
    let index = &reader.index;
    // What is stored, and not yet found, is of before.
    answered(reader.step_deadline(), index.refresh()).await?;
    let ends = answered(reader.step_deadline(), index.chains()).await?;
    let young = young(reader);
    let mut positions = Positions::default();
    for ends in ends.chunks(CONCURRENT) {
        positions.next.extend(try_join_all(ends.iter().map(|end| start(reader, end, young))).await?);
    }
    Ok(positions)
}

/// The first hole that counts, or else behind the end.
async fn start(reader: &Reader, end: &ChainEntry, young: UnixMillis) -> Result<(ChainId, Sequence), ReadError> {
    let index = &reader.index;
    let (chain, last) = (end.position.chain, end.position.sequence);
    let behind_end = (chain, last.next());
    if end.received < young {
        return Ok(behind_end);
    }
    let mut from = Sequence(last.next().0.saturating_sub(LOOK_BACK));
    for _ in 0..OLD_HOLES {
        let reach = answered(reader.step_deadline(), index.reach(chain, from)).await?;
        let hole = reach.map_or(from, Sequence::next);
        if hole > last {
            break;
        }
        let Some(behind) = answered(reader.step_deadline(), index.first(chain, hole)).await? else { break };
        if behind.received >= young {
            return Ok((chain, hole));
        }
        from = behind.position.sequence;
    }
    Ok(behind_end)
}
