//! Events with their positions in a chain, on their way to the stores.

use bytes::Bytes;

use super::{ChainPosition, LeafHash, UnixMillis};

/// An event on its way to a store, sealed unless its chain is unsealed.
#[derive(Clone, Debug)]
pub struct SealedEvent {
    pub position: ChainPosition,
    /// `None` in an unsealed chain.
    pub leaf_hash: Option<LeafHash>,
    /// The document, a single line of JSON without line break, to be stored byte for byte.
    pub document: Bytes,
}

/// An entry of a chain, event or stub: its position, and when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    pub position: ChainPosition,
    /// Never earlier than that of the previous entry.
    pub received: UnixMillis,
}

/// The last entry that a store has of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    pub position: ChainPosition,
    /// `annals.seal`, if the entry has one.
    pub seal: Option<String>,
}
