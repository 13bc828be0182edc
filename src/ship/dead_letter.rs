//! Events that a store permanently refused, each with the reason, until they are replayed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    event::ChainPosition,
    files::{self, DurableFile},
};

/// Maximum size of a file. When it is reached, refused events wait in the journal.
const MAX_BYTES: u64 = 256 << 20;

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
    #[error("{} is full ({limit} bytes): find out why the store refuses events, then replay them", path.display())]
    Full { path: PathBuf, limit: u64 },
}

/// The dead letters of one store: a file with one JSON object per line. Memory holds only the location of each line.
pub(super) struct DeadLetterFile {
    path: PathBuf,
    /// Offset and length of each letter's line, by position. Positions sort in chain order.
    lines: BTreeMap<String, (u64, usize)>,
    /// Bytes of the file, and how many of them are letters that were removed since it was written.
    length: u64,
    removed: u64,
    max_bytes: u64,
}

impl DeadLetterFile {
    pub(super) fn open(path: &Path) -> Result<Self, DeadLetterError> {
        let mut letters =
            Self { path: path.to_owned(), lines: BTreeMap::new(), length: 0, removed: 0, max_bytes: MAX_BYTES };
        let io = |source| DeadLetterError::Io { path: path.to_owned(), source };
        let Some(file) = files::open_if_exists(path).map_err(io)? else { return Ok(letters) };
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(io)? == 0 {
                break;
            }
            if !line.ends_with(b"\n") {
                // The crash came while the letter was being written; its event is still in the journal and will be
                // refused again.
                DurableFile::open(path).and_then(|file| file.truncate(letters.length)).map_err(io)?;
                break;
            }
            let invalid = |error: serde_json::Error| DeadLetterError::Invalid {
                path: path.to_owned(),
                line: number,
                reason: error.to_string(),
            };
            let letter: DeadLetter = serde_json::from_slice(&line).map_err(invalid)?;
            letters.lines.insert(letter.position, (letters.length, line.len()));
            letters.length += line.len() as u64;
        }
        Ok(letters)
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
        let needed = bytes.len() as u64;
        if self.length + needed > self.max_bytes && self.removed > 0 {
            self.compact()?;
            return self.add(letters);
        }
        if self.length + needed > self.max_bytes {
            return Err(DeadLetterError::Full { path: self.path.clone(), limit: self.max_bytes });
        }
        let is_new = self.length == 0;
        let write = || {
            let mut file = DurableFile::open_or_create(&self.path)?;
            // An earlier attempt may have written some of it.
            file.truncate(self.length)?;
            file.write(&[&bytes])?;
            file.sync()?;
            if is_new { files::sync_parent(&self.path) } else { Ok(()) }
        };
        write().map_err(|source| DeadLetterError::Io { path: self.path.clone(), source })?;
        self.lines.extend(lines);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes the letters of events that the store accepted after all.
    pub(super) fn withdraw(&mut self, events: impl Iterator<Item = ChainPosition>) -> Result<(), DeadLetterError> {
        events.for_each(|position| self.remove(&position.to_string()));
        // Until the file is rewritten, a restart brings removed letters back. They do no harm: a replay finds their
        // events stored.
        if self.removed > self.length / 2 { self.compact() } else { Ok(()) }
    }

    /// The letters in the order of their positions, from index `from`.
    pub(super) fn list(&self, from: usize, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let io = |source| DeadLetterError::Io { path: self.path.clone(), source };
        let Some(file) = files::open_if_exists(&self.path).map_err(io)? else { return Ok(Vec::new()) };
        let mut letters = Vec::new();
        for (offset, length) in self.lines.values().skip(from).take(limit) {
            let line = read_line(&file, *offset, *length).map_err(io)?;
            letters.push(serde_json::from_slice(&line).map_err(|error| io(error.into()))?);
        }
        Ok(letters)
    }

    /// Removes a letter whose event the store has accepted. [`Self::compact`] rewrites the file.
    pub(super) fn remove(&mut self, position: &str) {
        let removed = self.lines.remove(position);
        self.removed += removed.map_or(0, |(_, length)| length as u64);
    }

    /// Rewrites the file without the removed letters.
    pub(super) fn compact(&mut self) -> Result<(), DeadLetterError> {
        let io = |source| DeadLetterError::Io { path: self.path.clone(), source };
        let Some(file) = files::open_if_exists(&self.path).map_err(io)? else { return Ok(()) };
        let mut lines = BTreeMap::new();
        let mut written = 0;
        let copy = |copy: &mut DurableFile| {
            for (position, (offset, length)) in &self.lines {
                copy.write(&[&read_line(&file, *offset, *length)?])?;
                lines.insert(position.clone(), (written, *length));
                written += *length as u64;
            }
            Ok(())
        };
        files::replace_with(&self.path, copy).map_err(io)?;
        (self.lines, self.length, self.removed) = (lines, written, 0);
        Ok(())
    }
}

fn read_line(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut line = vec![0; length];
    file.read_exact_at(&mut line, offset)?;
    Ok(line)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

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
    fn a_full_file_refuses_letters_until_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.jsonl");
        let mut letters = DeadLetterFile::open(&path).unwrap();
        letters.max_bytes = 3 * serde_json::to_vec(&letter("c-1")).unwrap().len() as u64;
        letters.add(&[letter("c-1"), letter("c-2")]).unwrap();
        assert!(matches!(letters.add(&[letter("c-3")]), Err(DeadLetterError::Full { .. })));
        letters.remove("c-1");
        letters.add(&[letter("c-3")]).unwrap();
        let letters = DeadLetterFile::open(&path).unwrap();
        assert_eq!(letters.list(0, 10).unwrap(), [letter("c-2"), letter("c-3")]);
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
