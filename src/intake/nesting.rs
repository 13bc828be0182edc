//! Writes the members of nested objects.

use crate::schema::{FieldId, NodeId, Tree};

/// An object that is written: its fields and those of the objects in it, in the order of a canonical document.
pub(super) struct Nesting {
    root: NodeId,
    /// The innermost object that is open.
    open: NodeId,
    is_empty: bool,
}

impl Nesting {
    pub(super) fn of(root: NodeId) -> Self {
        Self { root, open: root, is_empty: true }
    }

    /// Writes everything up to the field's value. Returns whether this opened the object that has the field.
    #[inline]
    pub(super) fn put_name(&mut self, field: FieldId, out: &mut Vec<u8>) -> bool {
        let tree = Tree::get();
        let location = tree.location(field);
        while !tree.is_within(location.parent, self.open) {
            out.push(b'}');
            self.open = tree.node(self.open).parent;
        }
        out.push(if self.is_empty { b'{' } else { b',' });
        self.is_empty = false;
        out.extend_from_slice(location.path_from(tree.node(self.open)));
        std::mem::replace(&mut self.open, location.parent) != location.parent
    }

    /// Closes all objects.
    pub(super) fn close(mut self, out: &mut Vec<u8>) {
        while self.open != self.root {
            out.push(b'}');
            self.open = Tree::get().node(self.open).parent;
        }
        if self.is_empty {
            out.push(b'{');
        }
        out.push(b'}');
    }
}
