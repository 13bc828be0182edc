//! How long events are kept.

/// The retention class of an event, as it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RetentionClass {
    General = 0,
    Long = 1,
    Permanent = 2,
}

impl RetentionClass {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Long => "long",
            Self::Permanent => "permanent",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::General, Self::Long, Self::Permanent].into_iter().find(|class| class.as_str() == text)
    }
}
