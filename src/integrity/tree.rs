//! RFC 6962 Merkle trees, of which only what is needed is kept: the roots of complete subtrees.

use super::leaf::node_hash;
use crate::event::LeafHash;

/// The hash of a node: of a leaf, or of two nodes.
pub type NodeHash = [u8; 32];

/// A part of a tree: the leaves from `begin` up to `end`, as the roots of the largest complete subtrees within, from left to
/// right. At most 128 hashes, whatever its length; parts that adjoin can be joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeRange {
    begin: u64,
    end: u64,
    roots: Vec<NodeHash>,
}

impl TreeRange {
    /// An empty part of a tree, in which the next leaf has this index.
    pub const fn at(begin: u64) -> Self {
        Self { begin, end: begin, roots: Vec::new() }
    }

    /// A tree of this size from the roots of its complete subtrees: one for each bit set in the size. `None` if that is not
    /// their number.
    pub fn from_roots(size: u64, roots: Vec<NodeHash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { begin: 0, end: size, roots })
    }

    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The index of the next leaf: the size of a tree that begins at 0.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn roots(&self) -> &[NodeHash] {
        &self.roots
    }

    pub fn push(&mut self, leaf: &LeafHash) {
        self.push_subtree(0, leaf.0);
    }

    /// Appends the part that begins where this one ends; `false` if that one begins elsewhere.
    #[must_use]
    pub fn join(&mut self, next: &Self) -> bool {
        if next.begin != self.end {
            return false;
        }
        for root in &next.roots {
            let level = self.end.trailing_zeros().min((next.end - self.end).ilog2());
            self.push_subtree(level, *root);
        }
        true
    }

    /// Appends a complete subtree of 2^`level` leaves.
    fn push_subtree(&mut self, mut level: u32, mut node: NodeHash) {
        let mut start = self.end;
        self.end += 1 << level;
        // A right child is hashed with its sibling, if that is part of the range: it is then the last of the roots.
        while level < 63 && start >> level & 1 == 1 && start - self.begin >= 1 << level {
            let Some(left) = self.roots.pop() else { break };
            node = node_hash(&left, &node);
            start -= 1 << level;
            level += 1;
        }
        self.roots.push(node);
    }

    /// RFC 6962 2.1, the Merkle tree hash; `None` for the empty tree, and for a part that does not begin at 0.
    pub fn root(&self) -> Option<NodeHash> {
        let mut smallest_first = self.roots.iter().rev().filter(|_| self.begin == 0);
        let first = *smallest_first.next()?;
        Some(smallest_first.fold(first, |right, left| node_hash(left, &right)))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
pub(super) mod tests {
    use super::*;

    /// RFC 6962 2.1, literally: split at the largest power of two below the size.
    pub(in crate::integrity) fn by_definition(leaves: &[NodeHash]) -> NodeHash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        node_hash(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
    }

    /// So many different leaf hashes.
    pub(in crate::integrity) fn leaves(count: u32) -> Vec<NodeHash> {
        (0..count).map(|n| node_hash(&[n as u8; 32], &[(n >> 8) as u8; 32])).collect()
    }

    fn range(leaves: &[NodeHash], begin: usize, end: usize) -> TreeRange {
        let mut range = TreeRange::at(begin as u64);
        leaves[begin..end].iter().for_each(|leaf| range.push(&LeafHash(*leaf)));
        range
    }

    #[test]
    fn the_root_matches_the_definition_for_every_size() {
        let leaves = leaves(300);
        let mut tree = TreeRange::default();
        assert_eq!(tree.root(), None);
        for size in 1..=leaves.len() {
            tree.push(&LeafHash(leaves[size - 1]));
            assert_eq!(tree.root(), Some(by_definition(&leaves[..size])), "size {size}");
            assert_eq!(TreeRange::from_roots(tree.end(), tree.roots().to_vec()).as_ref(), Some(&tree));
            assert_eq!(TreeRange::from_roots(tree.end() + 1, vec![[0; 32]; 99]), None);
        }
    }

    #[test]
    fn parts_that_adjoin_are_joined_to_what_they_would_be_in_one() {
        let leaves = leaves(70);
        for begin in 0..leaves.len() {
            for end in begin..=leaves.len() {
                let whole = range(&leaves, begin, end);
                for middle in begin..=end {
                    let mut joined = range(&leaves, begin, middle);
                    assert!(joined.join(&range(&leaves, middle, end)));
                    assert_eq!(joined, whole, "{begin}..{middle}..{end}");
                }
                assert_eq!(whole.root().is_some(), begin == 0 && end > 0);
                assert!(!whole.clone().join(&TreeRange::at(end as u64 + 1)));
            }
        }
    }
}
