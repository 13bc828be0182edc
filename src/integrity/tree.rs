//! The right edge of an RFC 6962 Merkle tree: enough to append leaves and to compute the root.

use super::leaf::node_hash;
use crate::event::LeafHash;

/// The roots of the perfect subtrees of a tree of `size` leaves, largest (leftmost) first: one for each bit set in
/// `size`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<[u8; 32]>,
}

impl Frontier {
    /// `None` if the number of roots does not fit the size.
    pub fn from_parts(size: u64, roots: Vec<[u8; 32]>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn roots(&self) -> &[[u8; 32]] {
        &self.roots
    }

    pub fn push(&mut self, leaf: &LeafHash) {
        let mut node = leaf.0;
        // Each trailing one bit of the size is a subtree to the left, as large as the node.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// RFC 6962 2.1, the Merkle tree hash; `None` for the empty tree.
    pub fn root(&self) -> Option<[u8; 32]> {
        let mut smallest_first = self.roots.iter().rev();
        let first = *smallest_first.next()?;
        Some(smallest_first.fold(first, |right, left| node_hash(left, &right)))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    /// RFC 6962 2.1, literally: split at the largest power of two below the size.
    fn by_definition(leaves: &[[u8; 32]]) -> [u8; 32] {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        node_hash(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
    }

    #[test]
    fn the_root_matches_the_definition_for_every_size() {
        let leaves: Vec<[u8; 32]> = (0..300u32).map(|n| node_hash(&[n as u8; 32], &[(n >> 8) as u8; 32])).collect();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root(), None);
        for size in 1..=leaves.len() {
            frontier.push(&LeafHash(leaves[size - 1]));
            assert_eq!(frontier.root(), Some(by_definition(&leaves[..size])), "size {size}");
            let kept = Frontier::from_parts(frontier.size(), frontier.roots().to_vec());
            assert_eq!(kept.as_ref(), Some(&frontier));
        }
    }
}
