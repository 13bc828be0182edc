//! What tells that an event is sent again.

use sha2::{Digest as _, Sha256};

/// Identifies an event that came with its own id, and what was sent as that event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of the sender, the space of the request, the provider and the id.
    pub event: [u8; 16],
    /// Checksum of the fields that the sender gave, in canonical form.
    pub content: u32,
}

impl IdempotencyKey {
    pub(super) fn new(parts: &[&[u8]], content: u32) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut event = [0; 16];
        event.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self { event, content }
    }
}
