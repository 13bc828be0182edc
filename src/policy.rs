//! Policies: the stream and retention class of an event, and how a chain continues after a restart.

use crate::{
    event::{ChainHead, ChainId, RetentionClass, Sequence, Stream},
    integrity::Predecessor,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub stream: Stream,
    pub class: RetentionClass,
}

/// Returns the placement of every event: so far there is one class.
pub fn placement() -> Placement {
    Placement { stream: Stream::general(), class: RetentionClass::General }
}

/// All streams that events may be placed in.
pub fn streams() -> Vec<Stream> {
    vec![Stream::general()]
}

/// How a chain in the journal continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Unchanged.
    Continue,
    /// The journal has lost events that a store has: its folder is an old copy, or its end was damaged. The chain is
    /// closed, and a new one continues from the store's last event.
    FromStore(Predecessor),
    /// Events may have been acknowledged that are neither in the journal nor in a store that answers: the last run did
    /// not end in order, the journal is damaged, or a store did not answer. Their positions must not be used again: the
    /// chain is closed, and a new one continues from the last event that is known.
    FromJournal,
}

/// Decides on a chain whose next sequence is `next`, by the heads in each store; `None` for a store that did not
/// answer. `is_doubtful` says that the journal may lack events of it.
pub fn succession(chain: ChainId, next: Sequence, is_doubtful: bool, stores: &[Option<Vec<ChainHead>>]) -> Succession {
    let heads = stores.iter().flatten().flatten().filter(|head| head.position.chain == chain);
    let beyond = heads.filter(|head| head.position.sequence >= next);
    match beyond.max_by_key(|head| head.position.sequence) {
        Some(head) => Succession::FromStore(Predecessor {
            chain: chain.to_string(),
            leaf: None,
            seal: head.seal.clone(),
            sequence: head.position.sequence.0,
        }),
        None if !is_doubtful && stores.iter().all(Option::is_some) => Succession::Continue,
        None => Succession::FromJournal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ChainPosition;

    const CHAIN: ChainId = ChainId::from_bytes([1; 16]);

    fn head(chain: ChainId, sequence: u64) -> ChainHead {
        ChainHead { position: ChainPosition { chain, sequence: Sequence(sequence) }, seal: Some("s".to_owned()) }
    }

    #[test]
    fn a_chain_continues_only_if_every_store_confirms_that_it_has_no_more() {
        let other = ChainId::from_bytes([2; 16]);
        let next = Sequence(10);
        let known = |heads: &[ChainHead]| Some(heads.to_vec());
        assert_eq!(succession(CHAIN, next, false, &[]), Succession::Continue);
        let behind = known(&[head(CHAIN, 9), head(other, 50)]);
        assert_eq!(succession(CHAIN, next, false, &[behind.clone(), known(&[])]), Succession::Continue);
        assert_eq!(succession(CHAIN, next, true, std::slice::from_ref(&behind)), Succession::FromJournal);
        assert_eq!(succession(CHAIN, next, false, &[behind, None]), Succession::FromJournal);
        let further = [None, known(&[head(CHAIN, 10)]), known(&[head(CHAIN, 12), head(other, 50)])];
        let Succession::FromStore(predecessor) = succession(CHAIN, next, false, &further) else { panic!() };
        assert_eq!((predecessor.sequence, predecessor.seal.as_deref()), (12, Some("s")));
    }
}
