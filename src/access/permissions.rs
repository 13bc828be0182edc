//! The one table of what each role may do. An operation names its [`Permission`]; anything not in the table is forbidden.

use super::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Log events in a space.
    LogEvents,
    /// Add a provider's actions and defaults.
    RegisterProviders,
    /// List registered providers: a writer sees those it may register itself.
    ListProviders,
    /// Find events by saved object; unless the caller may read all events of the space, the authority is asked about
    /// the objects.
    FindByObject,
    /// Read all events of a space.
    ReadEvents,
    /// Search all events at once; the result holds only those that the caller may read.
    SearchEvents,
    /// List the events that were rejected on arrival, of any space.
    ListRejectedEvents,
    /// List the events that stores refused, of any space.
    ListDeadLetters,
    /// Offer refused events to their stores again.
    ReplayDeadLetters,
    /// List the API keys.
    ListKeys,
    /// Create and revoke API keys.
    ChangeKeys,
    /// Read metrics, and how far each store is.
    Monitor,
    /// Read the API description.
    ReadDescription,
}

impl Permission {
    /// Returns the roles that have the permission.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Admin, Auditor, Monitor, Reader, SpaceAdmin, SpaceAuditor, Writer};
        match self {
            Self::LogEvents => &[Admin, SpaceAdmin, Writer],
            Self::RegisterProviders => &[Admin, Writer],
            Self::ListProviders => &[Admin, Auditor, Writer],
            Self::FindByObject => &[Admin, Auditor, SpaceAdmin, SpaceAuditor, Reader],
            Self::ReadEvents | Self::SearchEvents => &[Admin, Auditor, SpaceAdmin, SpaceAuditor],
            Self::ListRejectedEvents | Self::ListDeadLetters | Self::ListKeys => &[Admin, Auditor],
            Self::ReplayDeadLetters | Self::ChangeKeys => &[Admin],
            Self::Monitor => &[Admin, Auditor, Monitor],
            Self::ReadDescription => &[Admin, Auditor, SpaceAdmin, SpaceAuditor, Writer, Reader, Monitor],
        }
    }

    /// Whether the permission applies to one space, so that a role in another space does not help.
    pub const fn is_of_a_space(self) -> bool {
        match self {
            Self::LogEvents | Self::FindByObject | Self::ReadEvents => true,
            Self::SearchEvents
            | Self::RegisterProviders
            | Self::ListProviders
            | Self::ListRejectedEvents
            | Self::ListDeadLetters
            | Self::ReplayDeadLetters
            | Self::ListKeys
            | Self::ChangeKeys
            | Self::Monitor
            | Self::ReadDescription => false,
        }
    }
}
