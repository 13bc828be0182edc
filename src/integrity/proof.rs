//! Proofs of RFC 6962: that a tree has a leaf, and that it begins with an earlier tree. They are verified as in RFC 9162,
//! 2.1.3.2 and 2.1.4.2.

use super::{leaf::node_hash, tree::NodeHash};
use crate::event::LeafHash;

/// Where the roots of complete subtrees come from.
pub trait Subtrees {
    type Error;

    /// The root of the leaves from `index` · 2^`level` on, 2^`level` of them. Only asked for complete subtrees of the tree.
    fn root(&mut self, level: u32, index: u64) -> Result<NodeHash, Self::Error>;
}

/// Returns the proof that the tree of this size has the leaf of this index, which must be below the size: the hashes from the
/// leaf's sibling up.
pub fn inclusion<S: Subtrees>(subtrees: &mut S, index: u64, size: u64) -> Result<Vec<NodeHash>, S::Error> {
    let (mut begin, mut end) = (0, size);
    let mut hashes = Vec::new();
    while end - begin > 1 {
        let split = begin + split(end - begin);
        if index < split {
            hashes.push(root(subtrees, split, end)?);
            end = split;
        } else {
            hashes.push(root(subtrees, begin, split)?);
            begin = split;
        }
    }
    hashes.reverse();
    Ok(hashes)
}

/// Returns the proof that the tree of the size `new` begins with that of the size `old`, which must be from 1 to `new`.
pub fn consistency<S: Subtrees>(subtrees: &mut S, old: u64, new: u64) -> Result<Vec<NodeHash>, S::Error> {
    let (mut begin, mut end) = (0, new);
    let mut hashes = Vec::new();
    while old < end {
        let split = begin + split(end - begin);
        if old <= split {
            hashes.push(root(subtrees, split, end)?);
            end = split;
        } else {
            hashes.push(root(subtrees, begin, split)?);
            begin = split;
        }
    }
    // Who asks knows the root of the old tree itself.
    if begin > 0 {
        hashes.push(root(subtrees, begin, end)?);
    }
    hashes.reverse();
    Ok(hashes)
}

/// The root of any leaves that are a node of the tree.
fn root<S: Subtrees>(subtrees: &mut S, begin: u64, end: u64) -> Result<NodeHash, S::Error> {
    let length = end - begin;
    if length.is_power_of_two() {
        let level = length.ilog2();
        return subtrees.root(level, begin >> level);
    }
    let split = begin + split(length);
    let (left, right) = (root(subtrees, begin, split)?, root(subtrees, split, end)?);
    Ok(node_hash(&left, &right))
}

/// The largest power of two below a length of at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// Whether the hashes prove that the tree of this size and root has the leaf at this index.
pub fn includes(root: &NodeHash, size: u64, index: u64, leaf: &LeafHash, hashes: &[NodeHash]) -> bool {
    if index >= size {
        return false;
    }
    let mut node = leaf.0;
    let ends_at_root = climb(index, size - 1, hashes, |side, hash| {
        node = match side {
            Side::Left => node_hash(hash, &node),
            Side::Right => node_hash(&node, hash),
        }
    });
    ends_at_root && node == *root
}

/// Whether the hashes prove that the tree of `new` leaves begins with that of `old` leaves, given their roots. Every tree
/// begins with the empty one, which has no root and needs no proof.
pub fn extends(old: (u64, &NodeHash), new: (u64, &NodeHash), hashes: &[NodeHash]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return hashes.is_empty() && old_root == new_root;
    }
    // A complete old tree is a node of the new one.
    let split = if old.is_power_of_two() { Some((old_root, hashes)) } else { hashes.split_first() };
    let Some((first, hashes)) = split else { return false };
    let skipped = (old - 1).trailing_ones();
    let (mut left, mut whole) = (*first, *first);
    let ends_at_root = climb((old - 1) >> skipped, (new - 1) >> skipped, hashes, |side, hash| match side {
        Side::Left => {
            left = node_hash(hash, &left);
            whole = node_hash(hash, &whole);
        }
        Side::Right => whole = node_hash(&whole, hash),
    });
    ends_at_root && left == *old_root && whole == *new_root
}

/// Where a hash of a proof is, seen from the node that it is hashed with.
enum Side {
    Left,
    Right,
}

/// Goes up from a node, in a level whose last node is `last`, with one hash for each sibling. Returns whether the hashes lead
/// to the root and no further.
fn climb(mut place: u64, mut last: u64, hashes: &[NodeHash], mut hashed: impl FnMut(Side, &NodeHash)) -> bool {
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hashed(Side::Left, hash);
            while place & 1 == 0 && place > 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hashed(Side::Right, hash);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{collections::HashMap, convert::Infallible};

    use super::{
        super::tree::{
            TreeRange,
            tests::{by_definition, leaves},
        },
        *,
    };

    /// Panics beyond the leaves, as for a subtree that is not complete.
    struct Leaves<'l>(&'l [NodeHash]);

    impl Subtrees for Leaves<'_> {
        type Error = Infallible;

        fn root(&mut self, level: u32, index: u64) -> Result<NodeHash, Infallible> {
            let begin = (index << level) as usize;
            Ok(by_definition(&self.0[begin..begin + (1 << level)]))
        }
    }

    /// Complete subtrees by level and index.
    struct Known(HashMap<(u32, u64), NodeHash>);

    impl Subtrees for Known {
        type Error = Infallible;

        fn root(&mut self, level: u32, index: u64) -> Result<NodeHash, Infallible> {
            Ok(self.0[&(level, index)])
        }
    }

    const SIZES: usize = 70;

    fn changed(hash: &NodeHash) -> NodeHash {
        let mut changed = *hash;
        changed[31] ^= 1;
        changed
    }

    /// Lists of hashes that differ from this one by one of them.
    fn damaged(hashes: &[NodeHash]) -> Vec<Vec<NodeHash>> {
        let mut all = vec![[hashes, &[[7; 32]]].concat(), [&[[7; 32]], hashes].concat()];
        for at in 0..hashes.len() {
            let mut one = hashes.to_vec();
            one[at] = changed(&one[at]);
            all.push(one.clone());
            one.remove(at);
            all.push(one);
            for other in at + 1..hashes.len() {
                let mut one = hashes.to_vec();
                one.swap(at, other);
                all.push(one);
            }
        }
        all
    }

    #[test]
    fn every_leaf_of_every_tree_is_proven_and_by_nothing_else() {
        let leaves = leaves(SIZES as u32);
        for size in 1..=SIZES {
            let root = by_definition(&leaves[..size]);
            for index in 0..size {
                let (at, of, leaf) = (index as u64, size as u64, LeafHash(leaves[index]));
                let hashes = inclusion(&mut Leaves(&leaves[..size]), at, of).unwrap();
                assert!(includes(&root, of, at, &leaf, &hashes), "{index} of {size}");
                assert!(!includes(&changed(&root), of, at, &leaf, &hashes));
                assert!(!includes(&root, of, at, &LeafHash(changed(&leaf.0)), &hashes));
                assert!(!includes(&root, of, of, &leaf, &hashes) && !includes(&root, at, at, &leaf, &hashes));
                for other in (0..of).filter(|other| *other != at) {
                    assert!(!includes(&root, of, other, &leaf, &hashes), "{index} as {other} of {size}");
                }
                for damaged in damaged(&hashes) {
                    assert!(!includes(&root, of, at, &leaf, &damaged), "{index} of {size}");
                }
            }
        }
        assert!(!includes(&[0; 32], 0, 0, &LeafHash([0; 32]), &[]));
    }

    #[test]
    fn every_tree_is_proven_to_extend_every_earlier_one_and_by_nothing_else() {
        let leaves = leaves(SIZES as u32);
        let roots: Vec<_> = (1..=SIZES).map(|size| by_definition(&leaves[..size])).collect();
        for new in 1..=SIZES {
            for old in 1..=new {
                let hashes = consistency(&mut Leaves(&leaves[..new]), old as u64, new as u64).unwrap();
                let (before, after) = ((old as u64, &roots[old - 1]), (new as u64, &roots[new - 1]));
                assert!(extends(before, after, &hashes), "{old} to {new}");
                assert!(!extends((before.0, &changed(before.1)), after, &hashes), "{old} to {new}");
                assert!(!extends(before, (after.0, &changed(after.1)), &hashes), "{old} to {new}");
                assert!(old == new || !extends(after, before, &hashes), "{new} to {old}");
                for damaged in damaged(&hashes) {
                    assert!(!extends(before, after, &damaged), "{old} to {new}: {damaged:?}");
                }
            }
            assert!(!extends((0, &[0; 32]), (new as u64, &roots[new - 1]), &[]));
        }
    }

    #[test]
    fn all_pairs_up_to_300_leaves_are_proven() {
        let leaves = leaves(300);
        let mut roots = HashMap::new();
        let mut tree = TreeRange::default();
        for (index, leaf) in leaves.iter().enumerate() {
            let mut node = *leaf;
            for level in 0..=(index as u64).trailing_ones() {
                if level > 0 {
                    let left: NodeHash = roots[&(level - 1, (index as u64 >> (level - 1)) - 1)];
                    node = node_hash(&left, &node);
                }
                roots.insert((level, index as u64 >> level), node);
            }
        }
        let mut known = Known(roots);
        let mut earlier: Vec<NodeHash> = Vec::new();
        for new in 1..=leaves.len() as u64 {
            tree.push(&LeafHash(leaves[new as usize - 1]));
            let root = tree.root().unwrap();
            earlier.push(root);
            for old in 1..=new {
                let (at, before) = (old as usize - 1, (old, &earlier[old as usize - 1]));
                let inclusion = inclusion(&mut known, old - 1, new).unwrap();
                assert!(includes(&root, new, old - 1, &LeafHash(leaves[at]), &inclusion), "{at} of {new}");
                let consistency = consistency(&mut known, old, new).unwrap();
                assert!(extends(before, (new, &root), &consistency), "{old} to {new}");
            }
        }
    }

    #[test]
    fn a_node_cannot_pose_as_a_leaf() {
        let leaves = leaves(8);
        let root = by_definition(&leaves);
        let node = by_definition(&leaves[..2]);
        let mut hashes = inclusion(&mut Leaves(&leaves), 0, 8).unwrap();
        hashes.remove(0);
        assert!(!includes(&root, 8, 0, &LeafHash(node), &hashes));
        // Only in a tree of another size, whose root nobody signs.
        assert!(includes(&root, 4, 0, &LeafHash(node), &hashes));
    }
}
