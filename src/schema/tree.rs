//! The fields as a tree, for walking a document from its root and for writing one in canonical order.

use std::sync::LazyLock;

use super::{FIELDS, Field, Kind};

/// A field's index in [`FIELDS`], which is also its position in a canonical document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldId(pub u16);

impl FieldId {
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    #[expect(clippy::indexing_slicing, reason = "made from indices of FIELDS only")]
    pub fn field(self) -> &'static Field {
        &FIELDS[self.index()]
    }
}

/// An object's index in [`Tree::nodes`], which is in document order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u16);

impl NodeId {
    pub const ROOT: Self = Self(0);

    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a name in an object denotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    Object(NodeId),
    Field(FieldId),
    /// A nested field, and the node of its elements.
    Nested(FieldId, NodeId),
}

pub struct Node {
    /// Dotted; empty for the root.
    pub path: String,
    /// `"name":`, as written.
    pub key: Vec<u8>,
    pub parent: NodeId,
    /// `"outer":{"name":{`, which opens it, starting at the root.
    opening: Vec<u8>,
    /// The first later node that is not a descendant.
    end: NodeId,
    names: Vec<(Vec<u8>, Member)>,
    /// A hash table of indexes into `names`, probed linearly; empty slots hold `NO_NAME`.
    table: Vec<u8>,
}

const NO_NAME: u8 = u8::MAX;

/// Where a field is written.
pub struct FieldLocation {
    pub parent: NodeId,
    /// `"outer":{"name":`, with all enclosing objects.
    path: Vec<u8>,
    /// Offset of the field's own name in the path.
    key_at: usize,
}

impl FieldLocation {
    /// `"name":`
    pub fn key(&self) -> &[u8] {
        self.path.get(self.key_at..).unwrap_or_default()
    }

    /// `"inner":{"name":`, starting inside an enclosing object.
    pub fn path_from(&self, object: &Node) -> &[u8] {
        self.path.get(object.opening.len()..).unwrap_or_default()
    }
}

pub struct Tree {
    nodes: Vec<Node>,
    locations: Vec<FieldLocation>,
}

impl Tree {
    /// The tree of [`FIELDS`].
    pub fn get() -> &'static Self {
        static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::build(&FIELDS));
        &TREE
    }

    #[expect(clippy::indexing_slicing, reason = "a NodeId is made from indices of nodes only")]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "locations and FIELDS are of the same length")]
    pub fn location(&self, id: FieldId) -> &FieldLocation {
        &self.locations[id.index()]
    }

    /// `"name":`, as written.
    pub fn key(&self, member: Member) -> &[u8] {
        match member {
            Member::Object(node) | Member::Nested(_, node) => &self.node(node).key,
            Member::Field(field) => self.location(field).key(),
        }
    }

    /// Whether `node` is `ancestor` or its descendant.
    pub fn is_within(&self, node: NodeId, ancestor: NodeId) -> bool {
        ancestor <= node && node < self.node(ancestor).end
    }

    /// Looks up a name in an object.
    pub fn member(&self, node: NodeId, name: &[u8]) -> Option<Member> {
        let node = self.node(node);
        let mask = node.table.len() - 1;
        let mut at = hash_name(name) & mask;
        loop {
            let (known, member) = node.names.get(usize::from(*node.table.get(at)?))?;
            if known == name {
                return Some(*member);
            }
            at = (at + 1) & mask;
        }
    }

    /// The names in an object, for error messages.
    pub fn names(&self, node: NodeId) -> impl Iterator<Item = &str> {
        self.node(node).names.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok())
    }

    fn build(fields: &'static [Field]) -> Self {
        let root = Node {
            path: String::new(),
            key: Vec::new(),
            parent: NodeId::ROOT,
            opening: Vec::new(),
            end: NodeId::ROOT,
            names: Vec::new(),
            table: Vec::new(),
        };
        let mut tree = Self { nodes: vec![root], locations: Vec::new() };
        for (index, field) in fields.iter().enumerate() {
            let id = FieldId(index as u16);
            let (objects, name) = field.path.rsplit_once('.').unwrap_or(("", field.path));
            let parent =
                objects.split('.').filter(|part| !part.is_empty()).fold(NodeId::ROOT, |node, part| {
                    match tree.names_of(node).iter().find(|(known, _)| known == part.as_bytes()) {
                        Some((_, Member::Object(child) | Member::Nested(_, child))) => *child,
                        _ => {
                            let child = tree.add_node(node, part);
                            tree.add_name(node, part, Member::Object(child));
                            child
                        }
                    }
                });
            let opening = &tree.node(parent).opening;
            let path = [opening, format!("\"{name}\":").as_bytes()].concat();
            let key_at = opening.len();
            tree.locations.push(FieldLocation { parent, path, key_at });
            let member = match field.kind {
                Kind::Nested => Member::Nested(id, tree.add_node(parent, name)),
                _ => Member::Field(id),
            };
            tree.add_name(parent, name, member);
        }
        tree.finish();
        tree
    }

    #[expect(clippy::indexing_slicing, reason = "a NodeId is made from indices of nodes only")]
    fn names_of(&self, node: NodeId) -> &[(Vec<u8>, Member)] {
        &self.nodes[node.index()].names
    }

    #[expect(clippy::indexing_slicing, reason = "a NodeId is made from indices of nodes only")]
    fn add_name(&mut self, node: NodeId, name: &str, member: Member) {
        self.nodes[node.index()].names.push((name.as_bytes().to_vec(), member));
    }

    fn add_node(&mut self, parent: NodeId, name: &str) -> NodeId {
        let above = &self.node(parent).path;
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        let id = NodeId(self.nodes.len() as u16);
        let key = format!("\"{name}\":").into_bytes();
        let opening = [self.node(parent).opening.as_slice(), &key, b"{"].concat();
        self.nodes.push(Node { path, key, parent, opening, end: id, names: Vec::new(), table: Vec::new() });
        id
    }

    #[expect(clippy::indexing_slicing, reason = "the slots are masked to the length of the table")]
    fn finish(&mut self) {
        let count = self.nodes.len();
        for index in (0..count).rev() {
            let below: Vec<usize> = (index + 1..count)
                .filter(|other| {
                    let mut node = NodeId(*other as u16);
                    while node != NodeId::ROOT && node.index() != index {
                        node = self.node(node).parent;
                    }
                    node.index() == index
                })
                .collect();
            let node = &mut self.nodes[index];
            node.end = NodeId(below.last().map_or(index + 1, |last| last + 1) as u16);
            let size = (node.names.len() * 4).next_power_of_two();
            node.table = vec![NO_NAME; size];
            for (place, (name, _)) in node.names.iter().enumerate() {
                let mut at = hash_name(name) & (size - 1);
                while node.table[at] != NO_NAME {
                    at = (at + 1) & (size - 1);
                }
                node.table[at] = place as u8;
            }
        }
    }
}

/// Hashes a name. The names in one object differ mostly in their lengths and their first and last letters.
fn hash_name(name: &[u8]) -> usize {
    let byte = |at: Option<&u8>| usize::from(at.copied().unwrap_or(0));
    name.len()
        .wrapping_mul(0x9e37)
        .wrapping_add(byte(name.first()).wrapping_mul(0x85eb))
        .wrapping_add(byte(name.last()).wrapping_mul(0xc2b3))
        .wrapping_add(byte(name.get(name.len() / 2)).wrapping_mul(0x27d5))
        .wrapping_mul(0x9e37_79b9)
        >> 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_path_and_no_other_name_is() {
        let tree = Tree::get();
        for (index, field) in FIELDS.iter().enumerate() {
            let mut node = NodeId::ROOT;
            let mut found = None;
            for name in field.path.split('.') {
                found = tree.member(node, name.as_bytes());
                match found {
                    Some(Member::Object(child) | Member::Nested(_, child)) => node = child,
                    Some(Member::Field(_)) | None => {}
                }
            }
            let id = FieldId(index as u16);
            assert!(
                matches!(found, Some(Member::Field(f) | Member::Nested(f, _)) if f == id),
                "{}: {found:?}",
                field.path
            );
            assert_eq!(tree.member(tree.location(id).parent, b"no such name"), None);
        }
    }

    #[test]
    fn the_table_is_in_canonical_order() {
        let order = |path: &str| path.split('.').map(|part| part.encode_utf16().collect()).collect::<Vec<Vec<u16>>>();
        assert!(FIELDS.iter().map(|field| order(field.path)).is_sorted());
    }
}
