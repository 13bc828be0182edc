//! A shipper's file: which store has confirmed how much, and where each part of the journal goes.
//!
//! # Format 3
//!
//! JSON: [`Contents`]. Format 2 lacked `reported_chains`, and format 1 all members with a default.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    event::{ChainId, ChainPosition, Stream},
    files,
    journal::Position,
    store::{StoreId, Target},
};

const FORMAT: u32 = 3;

/// Confirmed events are gone from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Another store is in its place.
    Replaced { found: StoreId },
    /// These targets no longer hold the last event that they confirmed.
    Missing { targets: Vec<Target> },
}

/// From this position in the journal, the events of a stream go to this target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    from: u64,
    /// Number of events ever written to the journal before `from`.
    #[serde(default)]
    events: u64,
    stream: String,
    target: String,
    /// The last position that the target was found to hold.
    #[serde(default)]
    last: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The store that has confirmed; `None` if none was asked yet.
    #[serde(default)]
    store: Option<StoreId>,
    /// At most so many events are neither in the store nor in the journal.
    #[serde(default)]
    missing_events: u64,
    /// The store was found to hold everything before this position of the journal.
    confirmed: u64,
    /// Number of those events.
    confirmed_events: u64,
    /// Ascending by `from`.
    bindings: Vec<Binding>,
    /// Chains in the store that the data folder does not know, and that were reported.
    #[serde(default)]
    reported_chains: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} has format {found}, and this program knows formats up to {FORMAT}: use a newer one", path.display())]
    Format { path: PathBuf, found: u32 },
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
        let bytes =
            files::read_if_exists(path).map_err(|source| ProgressError::Io { path: path.to_owned(), source })?;
        let contents = match bytes {
            Some(bytes) => read(path, &bytes)?,
            None => Contents {
                format: FORMAT,
                store: None,
                missing_events: 0,
                confirmed: begin.0,
                confirmed_events: events,
                bindings: Vec::new(),
                reported_chains: Vec::new(),
            },
        };
        Ok(Self { path: path.to_owned(), contents })
    }

    pub(super) fn store(&self) -> Option<&StoreId> {
        self.contents.store.as_ref()
    }

    pub(super) fn set_store(&mut self, store: StoreId) {
        self.contents.store = Some(store);
    }

    pub(super) fn missing_events(&self) -> u64 {
        self.contents.missing_events
    }

    pub(super) fn set_missing_events(&mut self, events: u64) {
        self.contents.missing_events = events;
    }

    pub(super) fn confirmed(&self) -> Position {
        Position(self.contents.confirmed)
    }

    pub(super) fn confirmed_events(&self) -> u64 {
        self.contents.confirmed_events
    }

    /// Records that the store holds everything before `position`.
    pub(super) fn confirm(&mut self, position: Position, events: u64) {
        self.contents.confirmed = position.0;
        self.contents.confirmed_events = events;
    }

    pub(super) fn has_reported(&self, chain: ChainId) -> bool {
        self.contents.reported_chains.contains(&chain.to_string())
    }

    /// Records durably that these chains were reported.
    pub(super) fn note_reported(&mut self, chains: impl IntoIterator<Item = ChainId>) -> Result<(), ProgressError> {
        self.contents.reported_chains.extend(chains.into_iter().map(|chain| chain.to_string()));
        self.write()
    }

    /// The last position that each target was found to hold.
    pub(super) fn held(&self) -> Vec<(Target, ChainPosition)> {
        let bindings = self.contents.bindings.iter();
        let held = |binding: &Binding| Some((Target(binding.target.clone()), binding.last.as_ref()?.parse().ok()?));
        bindings.filter_map(held).collect()
    }

    /// Records that the target was found to hold the event at this position.
    pub(super) fn note_held(&mut self, Target(target): &Target, position: ChainPosition) {
        let bindings = self.contents.bindings.iter_mut().filter(|binding| binding.target == *target);
        bindings.for_each(|binding| binding.last = Some(position.to_string()));
    }

    /// Begins anew at `begin`, the start of the journal with `events` before it, as confirmed events are gone: those of
    /// these targets, or all of them if the store is another one. Returns how many of them are not in the journal, at
    /// most.
    pub(super) fn start_over(&mut self, begin: Position, events: u64, loss: &Loss) -> u64 {
        let Contents { store, confirmed_events, bindings, .. } = &mut self.contents;
        let before_begin = |from: u64, until: u64| until.min(events).saturating_sub(from);
        let missing = match loss {
            Loss::Replaced { found } => {
                *store = Some(found.clone());
                bindings.clear();
                before_begin(0, *confirmed_events)
            }
            Loss::Missing { targets } => {
                let end = |index: usize, stream: &str| {
                    let mut later = bindings.iter().skip(index + 1).filter(|later| later.stream == stream);
                    later.next().map_or(*confirmed_events, |later| later.events)
                };
                let is_lost = |binding: &Binding| targets.iter().any(|target| target.0 == binding.target);
                let lost = bindings.iter().enumerate().filter(|(_, binding)| is_lost(binding));
                let missing =
                    lost.map(|(index, binding)| before_begin(binding.events, end(index, &binding.stream))).sum();
                bindings.retain(|binding| !is_lost(binding));
                missing
            }
        };
        self.contents.missing_events += missing;
        self.confirm(begin, events);
        missing
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
    pub(super) fn bind(
        &mut self,
        stream: &Stream,
        from: Position,
        events: u64,
        target: &Target,
    ) -> Result<(), ProgressError> {
        let binding =
            Binding { from: from.0, events, stream: stream.to_string(), target: target.0.clone(), last: None };
        let bindings = &mut self.contents.bindings;
        let before = bindings.clone();
        bindings.retain(|old| old.stream != binding.stream || old.from != binding.from);
        let at = bindings.partition_point(|old| old.from <= binding.from);
        bindings.insert(at, binding);
        let saved = self.write();
        if saved.is_err() {
            self.contents.bindings = before;
        }
        saved
    }

    /// Writes the file, without the bindings of events that the journal no longer has.
    pub(super) fn save(&mut self, begin: Position) -> Result<(), ProgressError> {
        let bindings = &self.contents.bindings;
        let is_past = |index: usize, binding: &Binding| {
            let later = bindings.iter().skip(index + 1);
            later.filter(|other| other.stream == binding.stream).any(|other| other.from <= begin.0)
        };
        let needed = bindings.iter().enumerate().filter(|(index, binding)| !is_past(*index, binding));
        self.contents.bindings = needed.map(|(_, binding)| binding.clone()).collect();
        self.write()
    }

    fn write(&self) -> Result<(), ProgressError> {
        let bytes = serde_json::to_vec_pretty(&self.contents).unwrap_or_default();
        files::replace(&self.path, &bytes).map_err(|source| ProgressError::Io { path: self.path.clone(), source })
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<Contents, ProgressError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let invalid =
        |error: serde_json::Error| ProgressError::Invalid { path: path.to_owned(), reason: error.to_string() };
    let Format { format } = serde_json::from_slice(bytes).map_err(invalid)?;
    if !(1..=FORMAT).contains(&format) {
        return Err(ProgressError::Format { path: path.to_owned(), found: format });
    }
    Ok(Contents { format: FORMAT, ..serde_json::from_slice(bytes).map_err(invalid)? })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::Sequence;

    #[test]
    fn a_position_keeps_its_target_as_long_as_it_is_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.json");
        let (general, long) = (Stream::general(), "long".parse().unwrap());
        let target = |name: &str| Target(name.to_owned());
        let mut file = ProgressFile::open(&path, Position(5), 2).unwrap();
        assert_eq!((file.confirmed(), file.confirmed_events()), (Position(5), 2));
        assert_eq!(file.binding(&general, Position(9)), None);
        file.bind(&general, Position(5), 0, &target("a")).unwrap();
        file.bind(&general, Position(20), 0, &target("c")).unwrap();
        file.bind(&long, Position(8), 0, &target("l")).unwrap();
        file.bind(&general, Position(10), 0, &target("b")).unwrap();
        let mut file = ProgressFile::open(&path, Position(0), 0).unwrap();
        for (at, expected) in
            [(4, None), (5, Some("a")), (9, Some("a")), (10, Some("b")), (20, Some("c")), (99, Some("c"))]
        {
            assert_eq!(file.binding(&general, Position(at)), expected.map(target), "{at}");
        }
        file.bind(&general, Position(10), 0, &target("b2")).unwrap();
        assert_eq!(file.binding(&general, Position(11)), Some(target("b2")));
        file.confirm(Position(15), 4);
        file.save(Position(4)).unwrap();
        assert_eq!(file.binding(&general, Position(9)), Some(target("a")), "the journal has its events");
        file.save(Position(15)).unwrap();
        let file = ProgressFile::open(&path, Position(0), 0).unwrap();
        assert_eq!(file.binding(&general, Position(9)), None);
        assert_eq!(file.binding(&general, Position(15)), Some(target("b2")));
        assert_eq!(file.binding(&long, Position(15)), Some(target("l")));
        assert_eq!((file.confirmed(), file.confirmed_events()), (Position(15), 4));
    }

    #[test]
    fn what_is_lost_with_a_target_is_what_was_bound_to_it_before_the_journal_begins() {
        let folder = tempfile::tempdir().unwrap();
        let general = Stream::general();
        let target = |name: &str| Target(name.to_owned());
        let position = |sequence| ChainPosition { chain: ChainId::from_bytes([7; 16]), sequence: Sequence(sequence) };
        let bound = || {
            let mut file = ProgressFile::open(&folder.path().join("new.json"), Position(0), 0).unwrap();
            file.bind(&general, Position(0), 0, &target("a")).unwrap();
            file.bind(&general, Position(100), 10, &target("b")).unwrap();
            file.note_held(&target("a"), position(9));
            file.note_held(&target("b"), position(29));
            file.confirm(Position(300), 30);
            fs::remove_file(folder.path().join("new.json")).unwrap();
            file
        };
        assert_eq!(bound().held(), [(target("a"), position(9)), (target("b"), position(29))]);
        let store = StoreId("other".to_owned());
        let replaced = Loss::Replaced { found: store.clone() };
        let lost = |names: &[&str]| Loss::Missing { targets: names.iter().copied().map(target).collect() };
        for (loss, missing, left) in [
            (replaced, 25, None),
            (lost(&["a"]), 10, Some("b")),
            (lost(&["b"]), 15, Some("a")),
            (lost(&["a", "b"]), 25, None),
        ] {
            let mut file = bound();
            assert_eq!(file.start_over(Position(250), 25, &loss), missing, "{loss:?}");
            assert_eq!(
                (file.confirmed(), file.confirmed_events(), file.missing_events()),
                (Position(250), 25, missing)
            );
            assert_eq!(file.binding(&general, Position(260)), left.map(target), "{loss:?}");
        }
        let mut file = bound();
        assert_eq!(file.start_over(Position(0), 0, &Loss::Replaced { found: store.clone() }), 0);
        assert_eq!(file.store(), Some(&store));
    }

    #[test]
    fn a_file_of_an_older_format_is_read_and_one_of_a_newer_format_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("es.json");
        let of_format = |format: u32| {
            let binding = r#"{"from": 3, "stream": "general", "target": "a"}"#;
            format!(r#"{{"format": {format}, "confirmed": 5, "confirmed_events": 2, "bindings": [{binding}]}}"#)
        };
        for format in [1, 2] {
            fs::write(&path, of_format(format)).unwrap();
            let file = ProgressFile::open(&path, Position(0), 0).unwrap();
            assert_eq!((file.confirmed(), file.store(), file.held()), (Position(5), None, Vec::new()));
            assert_eq!(file.binding(&Stream::general(), Position(5)), Some(Target("a".to_owned())));
        }
        for format in [0, FORMAT + 1] {
            fs::write(&path, of_format(format)).unwrap();
            assert!(
                matches!(ProgressFile::open(&path, Position(0), 0), Err(ProgressError::Format { found, .. }) if found == format)
            );
        }
    }

    #[test]
    fn a_binding_that_cannot_be_saved_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let (path, general) = (folder.path().join("disk/es.json"), Stream::general());
        let target = |name: &str| Target(name.to_owned());
        let mut file = ProgressFile::open(&path, Position(5), 2).unwrap();
        assert!(file.bind(&general, Position(5), 0, &target("a")).is_err(), "its folder is missing");
        assert_eq!(file.binding(&general, Position(5)), None);
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.bind(&general, Position(5), 0, &target("a")).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        for from in [5, 9] {
            assert!(file.bind(&general, Position(from), 0, &target("b")).is_err());
            assert_eq!(file.binding(&general, Position(9)), Some(target("a")));
        }
    }
}
