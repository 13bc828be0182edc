//! The one table of what each role may do. An operation names its [`Permission`]; what is not in the table, nobody may.

use super::Role;

/// What a request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Log events in a space.
    LogEvents,
    /// Add a provider's actions and defaults.
    RegisterProviders,
    /// See what is registered: a writer what it may register itself.
    ListProviders,
    /// Find events by saved object; whoever may not read all events of the space is asked about the objects.
    FindByObject,
    /// Read all events of a space.
    ReadEvents,
    /// Ask about all events at once; what is found are those that the caller may read.
    SearchEvents,
    /// See what stores refused, whatever its space.
    ListDeadLetters,
    /// Offer it to them again.
    ReplayDeadLetters,
    /// See which API keys there are.
    ListKeys,
    /// Make and revoke API keys.
    ChangeKeys,
    /// See metrics, and how far each store is.
    Monitor,
    /// See the description of the interface.
    ReadDescription,
}

impl Permission {
    pub const ALL: [Self; 12] = [
        Self::LogEvents,
        Self::RegisterProviders,
        Self::ListProviders,
        Self::FindByObject,
        Self::ReadEvents,
        Self::SearchEvents,
        Self::ListDeadLetters,
        Self::ReplayDeadLetters,
        Self::ListKeys,
        Self::ChangeKeys,
        Self::Monitor,
        Self::ReadDescription,
    ];

    /// Who may.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Admin, Auditor, Monitor, Reader, SpaceAdmin, SpaceAuditor, Writer};
        match self {
            Self::LogEvents => &[Admin, SpaceAdmin, Writer],
            Self::RegisterProviders => &[Admin, Writer],
            Self::ListProviders => &[Admin, Auditor, Writer],
            Self::FindByObject => &[Admin, Auditor, SpaceAdmin, SpaceAuditor, Reader],
            Self::ReadEvents | Self::SearchEvents => &[Admin, Auditor, SpaceAdmin, SpaceAuditor],
            Self::ListDeadLetters | Self::ListKeys => &[Admin, Auditor],
            Self::ReplayDeadLetters | Self::ChangeKeys => &[Admin],
            Self::Monitor => &[Admin, Auditor, Monitor],
            Self::ReadDescription => &[Admin, Auditor, SpaceAdmin, SpaceAuditor, Writer, Reader, Monitor],
        }
    }

    /// Whether it is done in one space, so that a role in another one is of no use.
    pub const fn is_of_a_space(self) -> bool {
        match self {
            Self::LogEvents | Self::FindByObject | Self::ReadEvents => true,
            Self::SearchEvents
            | Self::RegisterProviders
            | Self::ListProviders
            | Self::ListDeadLetters
            | Self::ReplayDeadLetters
            | Self::ListKeys
            | Self::ChangeKeys
            | Self::Monitor
            | Self::ReadDescription => false,
        }
    }
}
