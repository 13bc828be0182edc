//! Events that a store permanently refused, each with the reason, until they are replayed.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{event::ChainPosition, files};

/// An event that a store permanently refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// `<chain>-<sequence>`
    pub position: String,
    pub target: String,
    pub reason: String,
    /// When the store refused it, RFC 3339.
    pub refused_at: String,
    /// The sealed document.
    pub document: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not valid in line {line}: {reason}", path.display())]
    Invalid { path: PathBuf, line: usize, reason: String },
}

/// The dead letters of one store: a file with one JSON object per line. Memory holds only the location of each line.
pub(super) struct DeadLetterFile {
    path: PathBuf,
    /// Offset and length of each letter's line, by position. Positions sort in chain order.
    lines: BTreeMap<String, (u64, usize)>,
    length: u64,
}

impl DeadLetterFile {
    pub(super) fn open(path: &Path) -> Result<Self, DeadLetterError> {
        let io = |source| DeadLetterError::Io { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(io(source)),
        };
        let mut lines = BTreeMap::new();
        let mut offset = 0;
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if !line.ends_with(b"\n") {
                // The crash came while the letter was being written; its event is still in the journal and will be
                // refused again.
                OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(offset)).map_err(io)?;
                break;
            }
            let letter: DeadLetter = serde_json::from_slice(line).map_err(|error| DeadLetterError::Invalid {
                path: path.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })?;
            lines.insert(letter.position, (offset, line.len()));
            offset += line.len() as u64;
        }
        Ok(Self { path: path.to_owned(), lines, length: offset })
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds letters durably; a letter that exists already is not added twice.
    pub(super) fn add(&mut self, letters: &[DeadLetter]) -> Result<(), DeadLetterError> {
        let mut bytes = Vec::new();
        let mut lines = Vec::new();
        for letter in letters.iter().filter(|letter| !self.lines.contains_key(&letter.position)) {
            let begin = bytes.len();
            bytes.append(&mut serde_json::to_vec(letter).unwrap_or_default());
            bytes.push(b'\n');
            lines.push((letter.position.clone(), (self.length + begin as u64, bytes.len() - begin)));
        }
        if lines.is_empty() {
            return Ok(());
        }
        let is_new = self.length == 0;
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            file.set_len(self.length)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            if is_new { files::sync_parent(&self.path) } else { Ok(()) }
        };
        write().map_err(|source| DeadLetterError::Io { path: self.path.clone(), source })?;
        self.lines.extend(lines);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes the letters of events that the store accepted after all; rewrites the file if there were any.
    pub(super) fn withdraw(&mut self, events: impl Iterator<Item = ChainPosition>) -> Result<(), DeadLetterError> {
        let before = self.lines.len();
        if before > 0 {
            events.for_each(|position| self.remove(&position.to_string()));
        }
        if self.lines.len() < before { self.compact() } else { Ok(()) }
    }

    /// The letters in the order of their positions, from index `from`.
    pub(super) fn list(&self, from: usize, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        use std::os::unix::fs::FileExt as _;
        if self.lines.is_empty() {
            return Ok(Vec::new());
        }
        let io = |source| DeadLetterError::Io { path: self.path.clone(), source };
        let file = fs::File::open(&self.path).map_err(io)?;
        let mut letters = Vec::new();
        for (offset, length) in self.lines.values().skip(from).take(limit) {
            let mut line = vec![0; *length];
            file.read_exact_at(&mut line, *offset).map_err(io)?;
            letters.push(serde_json::from_slice(&line).map_err(|error| io(error.into()))?);
        }
        Ok(letters)
    }

    /// Removes a letter whose event the store has accepted. [`Self::compact`] rewrites the file.
    pub(super) fn remove(&mut self, position: &str) {
        self.lines.remove(position);
    }

    /// Rewrites the file without the removed letters.
    pub(super) fn compact(&mut self) -> Result<(), DeadLetterError> {
        let letters = self.list(0, usize::MAX)?;
        let mut bytes = Vec::new();
        let mut lines = BTreeMap::new();
        for letter in letters {
            let mut line = serde_json::to_vec(&letter).unwrap_or_default();
            line.push(b'\n');
            lines.insert(letter.position, (bytes.len() as u64, line.len()));
            bytes.append(&mut line);
        }
        files::replace(&self.path, &bytes).map_err(|source| DeadLetterError::Io { path: self.path.clone(), source })?;
        (self.lines, self.length) = (lines, bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn letter(position: &str) -> DeadLetter {
        DeadLetter {
            position: position.to_owned(),
            target: "index".to_owned(),
            reason: "mapper_parsing_exception: no".to_owned(),
            refused_at: "2026-11-24T00:00:00.000Z".to_owned(),
            document: format!("{{\"at\":\"{position}\"}}"),
        }
    }

    #[test]
    fn letters_are_kept_once_listed_in_order_and_survive_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.jsonl");
        let mut letters = DeadLetterFile::open(&path).unwrap();
        for positions in [vec!["c-2"], vec!["c-1", "c-2"], vec!["c-3", "c-1"], vec![]] {
            let added: Vec<_> = positions.into_iter().map(letter).collect();
            letters.add(&added).unwrap();
        }
        assert_eq!(letters.list(1, 5).unwrap(), [letter("c-2"), letter("c-3")]);
        letters.remove("c-2");
        letters.compact().unwrap();
        letters.add(&[letter("c-4")]).unwrap();
        let letters = DeadLetterFile::open(&path).unwrap();
        assert_eq!(letters.list(0, 10).unwrap(), [letter("c-1"), letter("c-3"), letter("c-4")]);
    }

    #[test]
    fn an_unfinished_letter_is_cut_off_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.jsonl");
        let mut letters = DeadLetterFile::open(&path).unwrap();
        letters.add(&[letter("c-1")]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"position\":\"c-2\"");
        fs::write(&path, &bytes).unwrap();
        let mut letters = DeadLetterFile::open(&path).unwrap();
        letters.add(&[letter("c-3")]).unwrap();
        assert_eq!(DeadLetterFile::open(&path).unwrap().len(), 2);
        fs::write(&path, b"{}\n").unwrap();
        assert!(matches!(DeadLetterFile::open(&path), Err(DeadLetterError::Invalid { line: 1, .. })));
    }
}
