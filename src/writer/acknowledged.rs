//! What was acknowledged, as far as is known besides the journal: whether the journal has lost any of it.
//!
//! # Format 1
//!
//! JSON: [`Contents`]. The file says `"open"` before the first event of a run is acknowledged, is brought up to date
//! every second in which events are acknowledged, and says `"closed"` after an orderly end. So after a crash it is a lower
//! bound, and after an orderly end it is exact. A copy of it, such as a restored one, is a lower bound too.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{OpenError, State, chains::ChainEnd};
use crate::{
    event::{LeafHash, Sequence},
    files,
    journal::Position,
};

const FORMAT: u32 = 1;

/// How often the file is brought up to date while events are acknowledged.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the writer has acknowledged: everything before these ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) journal_end: Position,
    /// Number of events ever written to the journal.
    pub(super) events: u64,
    pub(super) chains: Vec<ChainEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Run {
    /// More may have been acknowledged than the file says.
    Open,
    /// Nothing was acknowledged after the file was written.
    Closed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The number of this very file: a copy has another one, and what it says may be out of date.
    inode: u64,
    run: Run,
    journal_end: u64,
    events: u64,
    chains: Vec<ChainEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainEntry {
    stream: String,
    chain: String,
    /// The sequence after the last event's.
    next: u64,
    /// The leaf hash of the last event in base64url, if the chain is sealed.
    leaf: Option<String>,
}

/// The file, which only one thread at a time may write.
pub(super) struct AcknowledgedFile {
    path: PathBuf,
    /// What is on disk; `None` if there is no usable file.
    saved: Option<(Run, Acknowledged)>,
}

impl AcknowledgedFile {
    /// A file that is damaged counts as absent: then nothing is known.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let bytes = files::read_if_exists(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let inode = std::fs::metadata(path).map(|metadata| metadata.ino()).unwrap_or_default();
        let saved = match bytes.map(|bytes| decode(&bytes, inode)) {
            None => None,
            Some(Ok(saved)) => Some(saved),
            Some(Err(Undecodable::Format(found))) => {
                return Err(OpenError::AcknowledgedFormat { path: path.to_owned(), found });
            }
            Some(Err(Undecodable::Damaged(reason))) => {
                tracing::error!(path = %path.display(), reason, "the file cannot be read; it is written anew");
                None
            }
        };
        Ok(Self { path: path.to_owned(), saved })
    }

    /// What was acknowledged at least.
    pub(super) fn at_least(&self) -> Acknowledged {
        self.saved.as_ref().map(|(_, acknowledged)| acknowledged.clone()).unwrap_or_default()
    }

    /// What was acknowledged exactly, if that is known.
    pub(super) fn exactly(&self) -> Option<&Acknowledged> {
        self.saved.as_ref().filter(|(run, _)| *run == Run::Closed).map(|(_, acknowledged)| acknowledged)
    }

    /// Says durably that more may be acknowledged from now on.
    pub(super) fn begin_run(&mut self, so_far: &Acknowledged) -> std::io::Result<()> {
        if self.saved.as_ref().is_some_and(|(run, _)| *run == Run::Open) {
            return Ok(());
        }
        self.save(Run::Open, so_far)
    }

    fn save(&mut self, run: Run, acknowledged: &Acknowledged) -> std::io::Result<()> {
        if self.saved.as_ref().is_some_and(|saved| saved.0 == run && saved.1 == *acknowledged) {
            return Ok(());
        }
        let chains = acknowledged.chains.iter().map(ChainEntry::of).collect();
        let (journal_end, events) = (acknowledged.journal_end.0, acknowledged.events);
        let mut contents = Contents { format: FORMAT, inode: 0, run, journal_end, events, chains };
        files::replace_with(&self.path, |file| {
            contents.inode = file.inode()?;
            file.write(&[&serde_json::to_vec_pretty(&contents).unwrap_or_default()])
        })?;
        self.saved = Some((run, acknowledged.clone()));
        Ok(())
    }
}

impl ChainEntry {
    fn of(end: &ChainEnd) -> Self {
        Self {
            stream: end.stream.to_string(),
            chain: end.chain.to_string(),
            next: end.next.0,
            leaf: end.leaf.map(|leaf| URL_SAFE_NO_PAD.encode(leaf.0)),
        }
    }

    fn end(&self) -> Option<ChainEnd> {
        let leaf = match &self.leaf {
            Some(text) => Some(LeafHash(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?)),
            None => None,
        };
        let (stream, chain) = (self.stream.parse().ok()?, self.chain.parse().ok()?);
        Some(ChainEnd { stream, chain, next: Sequence(self.next), leaf })
    }
}

enum Undecodable {
    Format(u32),
    Damaged(String),
}

fn decode(bytes: &[u8], inode: u64) -> Result<(Run, Acknowledged), Undecodable> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |error: serde_json::Error| Undecodable::Damaged(error.to_string());
    let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        return Err(Undecodable::Format(format));
    }
    let Contents { inode: own, run, journal_end, events, chains, .. } =
        serde_json::from_slice(bytes).map_err(damaged)?;
    let run = if own == inode { run } else { Run::Open };
    let chains: Option<_> = chains.iter().map(ChainEntry::end).collect();
    let chains = chains.ok_or_else(|| Undecodable::Damaged("a chain is not valid".to_owned()))?;
    Ok((run, Acknowledged { journal_end: Position(journal_end), events, chains }))
}

/// Keeps the file up to date until it is told that the committer has ended: in order (`true`), or not.
pub(super) fn keep_current(state: &Arc<State>, ended: &Receiver<bool>) {
    loop {
        let run = match ended.recv_timeout(INTERVAL) {
            Err(RecvTimeoutError::Timeout) => Run::Open,
            Ok(true) => Run::Closed,
            Ok(false) | Err(RecvTimeoutError::Disconnected) => return,
        };
        let acknowledged = state.acknowledged();
        let mut file = state.acknowledged_file();
        // Without an event in this run, the file says what it said before.
        let has_begun = file.saved.as_ref().is_some_and(|(run, _)| *run == Run::Open);
        if has_begun && let Err(error) = file.save(run, &acknowledged) {
            tracing::warn!(path = %file.path.display(), %error, "what was acknowledged cannot be recorded");
        }
        if run == Run::Closed {
            return;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::event::{ChainId, Stream};

    #[test]
    fn a_file_says_what_it_was_told_and_one_that_cannot_be_read_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acknowledged.json");
        let end = |next, leaf| ChainEnd { stream: Stream::general(), chain: ChainId::from_bytes([3; 16]), next, leaf };
        let acknowledged = |events| Acknowledged {
            journal_end: Position(events * 100),
            events,
            chains: vec![end(Sequence(events), Some(LeafHash([9; 32]))), end(Sequence(1), None)],
        };
        let mut file = AcknowledgedFile::open(&path).unwrap();
        assert_eq!((file.exactly(), file.at_least()), (None, Acknowledged::default()));
        file.begin_run(&acknowledged(5)).unwrap();
        file.begin_run(&acknowledged(6)).unwrap();
        let mut file = AcknowledgedFile::open(&path).unwrap();
        assert_eq!((file.exactly(), file.at_least()), (None, acknowledged(5)));
        file.save(Run::Closed, &acknowledged(7)).unwrap();
        let file = AcknowledgedFile::open(&path).unwrap();
        assert_eq!((file.exactly(), file.at_least()), (Some(&acknowledged(7)), acknowledged(7)));

        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let file = AcknowledgedFile::open(&copy).unwrap();
        assert_eq!((file.exactly(), file.at_least()), (None, acknowledged(7)), "a copy may be old");

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        let newer = AcknowledgedFile::open(&path).err();
        assert!(matches!(newer, Some(OpenError::AcknowledgedFormat { found: 2, .. })), "{newer:?}");
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(AcknowledgedFile::open(&path).unwrap().at_least(), Acknowledged::default());
    }
}
