//! The start of a tail that shows events stored from now on.
//!
//! That is after the last event of each chain, unless a bulk with earlier events is still in flight: then the chain has a hole
//! that will be filled, and the tail starts there. Old holes are events that were deleted or lost with their writer, so a hole
//! only counts if the event after it was received within the last [`YOUNG`].

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{CONCURRENT, Positions};
use crate::{
    event::{ChainEntry, ChainId, Sequence, UnixMillis},
    read::{ReadError, Reader, error::answered},
};

/// Events that were received longer ago and are not in the store are no longer expected.
pub(super) const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// Number of positions before the end of a chain that are searched for holes: more events than all bulks of the usual size in
/// flight contain.
const LOOK_BACK: u64 = 100_000;

/// Maximum number of old holes that are skipped in search of one that counts.
const OLD_HOLES: usize = 100;

/// Returns the time before which received events are no longer expected.
pub(super) fn young(reader: &Reader) -> UnixMillis {
    let age = i64::try_from(YOUNG.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(reader.clock.now().0.saturating_sub(age))
}

/// Returns the start positions of all chains.
pub(super) async fn now(reader: &Reader) -> Result<Positions, ReadError> {
    let index = &reader.index;
    // Events that are already stored but not yet visible must not count as new.
    answered(reader.step_deadline(), index.refresh()).await?;
    let ends = answered(reader.step_deadline(), index.chains()).await?;
    let young = young(reader);
    let mut positions = Positions::default();
    for ends in ends.chunks(CONCURRENT) {
        positions.next.extend(try_join_all(ends.iter().map(|end| start(reader, end, young))).await?);
    }
    Ok(positions)
}

/// Returns the first hole that counts, or else the position after the end.
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
