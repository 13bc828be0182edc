//! What is wrong with a chain.

use std::{fmt, ops::RangeInclusive};

use crate::event::ChainId;

/// The kind of a fault. Its name is part of reports and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingCode {
    ContentModified,
    SealInvalid,
    LinkBroken,
    EventMissing,
    EventUnsealed,
    DuplicateConflict,
    TailMissing,
    EpochInvalid,
    DocumentInvalid,
}

impl FindingCode {
    pub const ALL: [Self; 9] = [
        Self::ContentModified,
        Self::SealInvalid,
        Self::LinkBroken,
        Self::EventMissing,
        Self::EventUnsealed,
        Self::DuplicateConflict,
        Self::TailMissing,
        Self::EpochInvalid,
        Self::DocumentInvalid,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentModified => "content_modified",
            Self::SealInvalid => "seal_invalid",
            Self::LinkBroken => "link_broken",
            Self::EventMissing => "event_missing",
            Self::EventUnsealed => "event_unsealed",
            Self::DuplicateConflict => "duplicate_conflict",
            Self::TailMissing => "tail_missing",
            Self::EpochInvalid => "epoch_invalid",
            Self::DocumentInvalid => "document_invalid",
        }
    }

    /// What it means, for a person.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ContentModified => "the content is not the one that was sealed",
            Self::SealInvalid => "the seal was not made with the secret of this log",
            Self::LinkBroken => "the event does not follow the one before it: one of the two was replaced",
            Self::EventMissing => "events between others, or at the beginning, are missing",
            Self::EventUnsealed => "an event of a sealed chain has no seal",
            Self::DuplicateConflict => "there are two events in one place",
            Self::TailMissing => "an event that is known from elsewhere is missing, or is another one",
            Self::EpochInvalid => "time and key of the seal do not fit each other, or those of the event before",
            Self::DocumentInvalid => "the document is not one that the log wrote",
        }
    }
}

/// A fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: FindingCode,
    /// `None` if the document does not say.
    pub chain: Option<ChainId>,
    pub sequences: Option<RangeInclusive<u64>>,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Finding {
    /// One line: where, what it means, what was expected and found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chain {
            Some(chain) => write!(f, "chain {chain}")?,
            None => f.write_str("a document without a chain")?,
        }
        match &self.sequences {
            Some(one) if one.start() == one.end() => write!(f, ", event {}", one.start())?,
            Some(several) => write!(f, ", events {} to {}", several.start(), several.end())?,
            None => {}
        }
        write!(f, ": {}", self.code.meaning())?;
        write!(f, " ({}; expected {}, found {})", self.code.as_str(), self.expected, self.found)
    }
}

/// The first findings, and the number of all.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    count: u64,
}

impl Findings {
    /// How many are kept.
    pub const MAX_KEPT: usize = 1_000;

    pub fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.kept.len() < Self::MAX_KEPT {
            self.kept.push(finding);
        }
    }

    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}
