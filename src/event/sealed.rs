//! Events with their place in a chain, on their way to the stores.

use bytes::Bytes;

use super::{ChainPosition, LeafHash, UnixMillis};

/// An event on its way to a store, sealed unless its chain is not.
#[derive(Clone, Debug)]
pub struct SealedEvent {
    pub position: ChainPosition,
    /// `None` in a chain that is not sealed.
    pub leaf_hash: Option<LeafHash>,
    /// The document, one line of JSON without line break, to be stored byte for byte.
    pub document: Bytes,
}

/// An entry of a chain, be it an event or a stub: where it stands, and when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    pub position: ChainPosition,
    /// Never earlier than that of the entry before it.
    pub received: UnixMillis,
}

/// The last entry that a store has of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    pub position: ChainPosition,
    /// `annals.seal`, if the entry has one.
    pub seal: Option<String>,
}
