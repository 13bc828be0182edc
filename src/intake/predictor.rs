//! Predicts the next member of an object: programs log events of a few shapes, with members in the same order.
//!
//! A predicted member is recognized by one comparison of bytes, without finding the end of its name and looking it up.
//! A prediction is only a guess; the bytes decide.

use crate::schema::{MAX_MAPPED, Member, NodeId};

/// A position within an object: at its beginning, or after one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberPosition(u16);

impl MemberPosition {
    pub(super) const fn start_of(object: NodeId) -> Self {
        Self(MAX_MAPPED as u16 + 2 * object.index() as u16)
    }

    pub(super) const fn after(member: Member) -> Self {
        match member {
            Member::Field(field) | Member::Array(field, _) => Self(field.0),
            Member::Object(object) => Self(Self::start_of(object).0 + 1),
        }
    }
}

/// The member last seen at each place.
#[derive(Default)]
pub(super) struct MemberPredictor(Vec<Option<Member>>);

impl MemberPredictor {
    #[inline]
    pub(super) fn at(&self, place: MemberPosition) -> Option<Member> {
        *self.0.get(usize::from(place.0))?
    }

    /// `member` must belong to the object that contains the place.
    pub(super) fn note(&mut self, place: MemberPosition, member: Member) {
        let index = usize::from(place.0);
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        if let Some(usual) = self.0.get_mut(index) {
            *usual = Some(member);
        }
    }
}
