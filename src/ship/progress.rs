//! A shipper's file: how far its store has confirmed, and where each part of the journal goes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{event::Stream, files, journal::Position, store::Target};

/// From this position in the journal, the events of a stream go to this target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    from: u64,
    stream: String,
    target: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The store has everything before this position of the journal.
    confirmed: u64,
    /// Number of those events.
    confirmed_events: u64,
    /// Ascending by `from`.
    bindings: Vec<Binding>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not valid: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

/// The file and its contents.
pub(super) struct ProgressFile {
    path: PathBuf,
    contents: Contents,
}

impl ProgressFile {
    /// Reads the file. A new store begins at `begin`, the start of the journal.
    pub(super) fn open(path: &Path, begin: Position, events: u64) -> Result<Self, ProgressError> {
        let contents = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ProgressError::Invalid { path: path.to_owned(), reason: error.to_string() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Contents { format: 1, confirmed: begin.0, confirmed_events: events, bindings: Vec::new() }
            }
            Err(source) => return Err(ProgressError::Io { path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), contents })
    }

    pub(super) fn confirmed(&self) -> Position {
        Position(self.contents.confirmed)
    }

    pub(super) fn confirmed_events(&self) -> u64 {
        self.contents.confirmed_events
    }

    /// Records that the store has everything before `position`.
    pub(super) fn confirm(&mut self, position: Position, events: u64) {
        self.contents.confirmed = position.0;
        self.contents.confirmed_events = events;
    }

    /// The target of this stream's events at this position of the journal, if bound.
    pub(super) fn binding(&self, stream: &Stream, at: Position) -> Option<Target> {
        let bindings = self.contents.bindings.iter().rev();
        let mut of_stream = bindings.filter(|binding| binding.stream == stream.as_str() && binding.from <= at.0);
        of_stream.next().map(|binding| Target(binding.target.clone()))
    }

    /// Durably binds the stream's events from this position on to a target; call it before the first of them is sent.
    /// If saving fails, the binding does not hold, but it may still be on disk: no event from this position on may go
    /// to another target until a binding is saved.
    pub(super) fn bind(&mut self, stream: &Stream, from: Position, target: &Target) -> Result<(), ProgressError> {
        let binding = Binding { from: from.0, stream: stream.to_string(), target: target.0.clone() };
        let bindings = &mut self.contents.bindings;
        let before = bindings.clone();
        bindings.retain(|old| old.stream != binding.stream || old.from != binding.from);
        let at = bindings.partition_point(|old| old.from <= binding.from);
        bindings.insert(at, binding);
        let saved = self.save();
        if saved.is_err() {
            self.contents.bindings = before;
        }
        saved
    }

    /// Writes the file, without bindings that no event needs any more.
    pub(super) fn save(&mut self) -> Result<(), ProgressError> {
        let confirmed = self.contents.confirmed;
        let bindings = &self.contents.bindings;
        let is_past = |index: usize, binding: &Binding| {
            let later = bindings.iter().skip(index + 1);
            later.filter(|other| other.stream == binding.stream).any(|other| other.from <= confirmed)
        };
        let needed = bindings.iter().enumerate().filter(|(index, binding)| !is_past(*index, binding));
        self.contents.bindings = needed.map(|(_, binding)| binding.clone()).collect();
        let bytes = serde_json::to_vec_pretty(&self.contents).unwrap_or_default();
        files::replace(&self.path, &bytes).map_err(|source| ProgressError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_its_target_until_it_is_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.json");
        let (general, long) = (Stream::general(), "long".parse().unwrap());
        let target = |name: &str| Target(name.to_owned());
        let mut file = ProgressFile::open(&path, Position(5), 2).unwrap();
        assert_eq!((file.confirmed(), file.confirmed_events()), (Position(5), 2));
        assert_eq!(file.binding(&general, Position(9)), None);
        file.bind(&general, Position(5), &target("a")).unwrap();
        file.bind(&general, Position(20), &target("c")).unwrap();
        file.bind(&long, Position(8), &target("l")).unwrap();
        file.bind(&general, Position(10), &target("b")).unwrap();
        let mut file = ProgressFile::open(&path, Position(0), 0).unwrap();
        for (at, expected) in
            [(4, None), (5, Some("a")), (9, Some("a")), (10, Some("b")), (20, Some("c")), (99, Some("c"))]
        {
            assert_eq!(file.binding(&general, Position(at)), expected.map(target), "{at}");
        }
        file.bind(&general, Position(10), &target("b2")).unwrap();
        assert_eq!(file.binding(&general, Position(11)), Some(target("b2")));
        file.confirm(Position(15), 4);
        file.save().unwrap();
        let file = ProgressFile::open(&path, Position(0), 0).unwrap();
        assert_eq!(file.binding(&general, Position(9)), None);
        assert_eq!(file.binding(&general, Position(15)), Some(target("b2")));
        assert_eq!(file.binding(&long, Position(15)), Some(target("l")));
        assert_eq!((file.confirmed(), file.confirmed_events()), (Position(15), 4));
    }

    #[test]
    fn a_binding_that_cannot_be_saved_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let (path, general) = (folder.path().join("disk/es.json"), Stream::general());
        let target = |name: &str| Target(name.to_owned());
        let mut file = ProgressFile::open(&path, Position(5), 2).unwrap();
        assert!(file.bind(&general, Position(5), &target("a")).is_err(), "its folder is missing");
        assert_eq!(file.binding(&general, Position(5)), None);
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.bind(&general, Position(5), &target("a")).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        for from in [5, 9] {
            assert!(file.bind(&general, Position(from), &target("b")).is_err());
            assert_eq!(file.binding(&general, Position(9)), Some(target("a")));
        }
    }
}
