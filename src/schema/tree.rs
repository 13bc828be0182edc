//! The fields as a tree, for walking a document from its root and for writing one in canonical order.

use std::ops::Range;

use super::{Field, Kind, Schema};

/// A field's index in [`super::fields`], which is also its position in a canonical document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldId(pub u16);

impl FieldId {
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    #[expect(clippy::indexing_slicing, reason = "made from indices of the fields only")]
    pub fn field(self) -> &'static Field {
        &Schema::get().fields[self.index()]
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
    /// An array of objects, and the node of its elements.
    Array(FieldId, NodeId),
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
    /// The numbers of its fields and of those of its descendants.
    fields: Range<usize>,
    names: Vec<(Vec<u8>, Member)>,
    /// A hash table of indexes into `names`, probed linearly; empty slots hold `NO_NAME`.
    table: Vec<u16>,
}

const NO_NAME: u16 = u16::MAX;

impl Node {
    /// The numbers of its fields and of those of its descendants.
    pub fn fields(&self) -> Range<usize> {
        self.fields.clone()
    }

    /// The numbers of the object and of its descendants.
    pub fn nodes(&self, own: NodeId) -> Range<usize> {
        own.index()..self.end.index()
    }
}

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
    /// The fields of [`Kind::Nested`].
    nested: Vec<FieldId>,
}

impl Tree {
    /// The tree of all fields.
    #[inline]
    pub fn get() -> &'static Self {
        &Schema::get().tree
    }

    #[expect(clippy::indexing_slicing, reason = "a NodeId is made from indices of nodes only")]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "locations and fields are of the same length")]
    pub fn location(&self, id: FieldId) -> &FieldLocation {
        &self.locations[id.index()]
    }

    /// `"name":`, as written.
    pub fn key(&self, member: Member) -> &[u8] {
        match member {
            Member::Object(node) | Member::Array(_, node) => &self.node(node).key,
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

    /// Looks up a dotted path.
    pub fn find(&self, path: &str) -> Option<Member> {
        let mut found = Member::Object(NodeId::ROOT);
        for name in path.split('.') {
            found = match found {
                Member::Object(node) | Member::Array(_, node) => self.member(node, name.as_bytes())?,
                Member::Field(_) => return None,
            };
        }
        Some(found)
    }

    /// The names in an object, for error messages.
    pub fn names(&self, node: NodeId) -> impl Iterator<Item = &str> {
        self.node(node).names.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok())
    }

    pub(super) fn nested(&self) -> &[FieldId] {
        &self.nested
    }

    pub(super) fn build(fields: &[Field]) -> Self {
        let mut tree = Self { nodes: Vec::new(), locations: Vec::new(), nested: Vec::new() };
        tree.nodes.push(Node {
            path: String::new(),
            key: Vec::new(),
            parent: NodeId::ROOT,
            opening: Vec::new(),
            end: NodeId::ROOT,
            fields: 0..0,
            names: Vec::new(),
            table: Vec::new(),
        });
        for (index, field) in fields.iter().enumerate() {
            let id = FieldId(index as u16);
            let (objects, name) = field.path.rsplit_once('.').unwrap_or(("", field.path));
            let parent = objects.split('.').filter(|part| !part.is_empty()).fold(NodeId::ROOT, |node, part| {
                // In canonical order, an object that is there already is the last.
                match tree.names_of(node).last() {
                    Some((known, Member::Object(child) | Member::Array(_, child))) if known == part.as_bytes() => {
                        *child
                    }
                    _ => {
                        let child = tree.add_node(node, part, index);
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
                Kind::Nested | Kind::Objects => Member::Array(id, tree.add_node(parent, name, index + 1)),
                _ => Member::Field(id),
            };
            if field.kind == Kind::Nested {
                tree.nested.push(id);
            }
            tree.add_name(parent, name, member);
            tree.extend_to(parent, index + 1);
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

    /// Makes the fields of an object and of those around it end here.
    #[expect(clippy::indexing_slicing, reason = "a NodeId is made from indices of nodes only")]
    fn extend_to(&mut self, node: NodeId, end: usize) {
        let mut node = node;
        loop {
            self.nodes[node.index()].fields.end = end;
            if node == NodeId::ROOT {
                return;
            }
            node = self.nodes[node.index()].parent;
        }
    }

    fn add_node(&mut self, parent: NodeId, name: &str, first_field: usize) -> NodeId {
        let above = &self.node(parent).path;
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        let id = NodeId(self.nodes.len() as u16);
        let key = format!("\"{name}\":").into_bytes();
        let opening = [self.node(parent).opening.as_slice(), &key, b"{"].concat();
        let fields = first_field..first_field;
        self.nodes.push(Node { path, key, parent, opening, end: id, fields, names: Vec::new(), table: Vec::new() });
        id
    }

    #[expect(clippy::indexing_slicing, reason = "the slots are masked to the length of the table")]
    fn finish(&mut self) {
        for index in (0..self.nodes.len()).rev() {
            // The descendants of a node follow it, and have their ends already.
            let end = self.nodes[index].end.0.max(index as u16 + 1);
            self.nodes[index].end = NodeId(end);
            let parent = self.nodes[index].parent.index();
            self.nodes[parent].end.0 = self.nodes[parent].end.0.max(end);
            let node = &mut self.nodes[index];
            let size = (node.names.len() * 4).next_power_of_two();
            node.table = vec![NO_NAME; size];
            for (place, (name, _)) in node.names.iter().enumerate() {
                let mut at = hash_name(name) & (size - 1);
                while node.table[at] != NO_NAME {
                    at = (at + 1) & (size - 1);
                }
                node.table[at] = place as u16;
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
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::{super::fields, *};

    #[test]
    fn every_field_is_found_by_its_path_and_no_other_name_is() {
        let tree = Tree::get();
        for (index, field) in fields().iter().enumerate() {
            let mut node = NodeId::ROOT;
            let mut found = None;
            for name in field.path.split('.') {
                found = tree.member(node, name.as_bytes());
                match found {
                    Some(Member::Object(child) | Member::Array(_, child)) => node = child,
                    Some(Member::Field(_)) | None => {}
                }
            }
            let id = FieldId(index as u16);
            assert!(
                matches!(found, Some(Member::Field(f) | Member::Array(f, _)) if f == id),
                "{}: {found:?}",
                field.path
            );
            assert_eq!(tree.member(tree.location(id).parent, b"no such name"), None);
        }
    }

    #[test]
    fn an_object_knows_its_fields_and_objects() {
        let tree = Tree::get();
        for (index, node) in tree.nodes.iter().enumerate() {
            let within = |path: &str| path.strip_prefix(&node.path).is_some_and(|rest| rest.starts_with('.'));
            let is_inside = |path: &str| node.path.is_empty() || within(path);
            let fields: Vec<_> = (0..fields().len()).filter(|at| is_inside(fields()[*at].path)).collect();
            assert_eq!(node.fields().collect::<Vec<_>>(), fields, "{}", node.path);
            let nodes = tree.nodes.iter().enumerate().filter(|(at, other)| *at == index || is_inside(&other.path));
            let nodes: Vec<_> = nodes.map(|(at, _)| at).collect();
            assert_eq!(node.nodes(NodeId(index as u16)).collect::<Vec<_>>(), nodes, "{}", node.path);
        }
    }

    #[test]
    fn the_table_is_in_canonical_order() {
        let order = |path: &str| path.split('.').map(|part| part.encode_utf16().collect()).collect::<Vec<Vec<u16>>>();
        assert!(fields().iter().map(|field| order(field.path)).is_sorted());
        assert!(fields().iter().map(|field| field.path).is_sorted(), "paths are found by binary search");
    }
}
