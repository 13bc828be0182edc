//! What was written in format 1 is read by every later version: `tests/golden/format-1` never changes.
//!
//! It has the data folder of a writer, whose journal no store has read, and each document of that journal with the stubs
//! that could take its place.

use std::path::{Path, PathBuf};

use super::*;
use crate::event::Author;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_journal_of_format_1_is_read_and_its_events_are_recognized() {
    let root = tempfile::tempdir().unwrap();
    copy(&golden().join("data"), root.path());
    let folder = DataFolder::open(root.path()).unwrap();
    let last = integrity::open(documents_of_golden().last().unwrap()).unwrap().leaf;
    let clock = Arc::new(TestClock(AtomicI64::new(last.received.0 + 1_000)));
    let recovering = open(&folder, &clock, OPTIONS);
    let documents = documents(&recovering.journal());
    assert_eq!(documents, documents_of_golden());
    verify(&documents, &folder);
    assert_eq!((recovering.events(), recovering.findings.lost_events), (9, 0));
    let own = &recovering.own_chains()[0];
    assert_eq!((own.chain, own.next), (last.chain, last.sequence.next()));

    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let author = Author::new("admin".to_owned(), "api_key", Author::anyone().scope);
    for (id, sequence) in [("e-1", 2), ("e-6", 7)] {
        let number = &id[2..];
        let event = format!(
            r#"{{"event":{{"provider":"shop","action":"ship","id":"{id}"}},"message":"order {number} shipped",
            "kibana":{{"saved_objects":[{{"rel":"primary","type":"order","id":"{number}"}}]}},
            "annals":{{"payload":{{"z":1.50,"é":"\u0007"}}}}}}"#
        );
        let contents = intake().accept(&author, None, event.replace('\n', " ").as_bytes()).unwrap().contents;
        let receipts = runtime().block_on(writer.submit(contents, Origin::Caller)).unwrap().receipts;
        let position = ChainPosition { chain: last.chain, sequence: Sequence(sequence) };
        assert_eq!((receipts[0].position, receipts[0].repeats), (position, Some(Repeat::Same)));
    }
    end(&writer, thread, true);
}

/// The documents of the journal.
fn documents_of_golden() -> Vec<Bytes> {
    lines_of_golden().into_iter().map(|[document, ..]| document).collect()
}

/// Each document with its stub, and with the one without content.
fn lines_of_golden() -> Vec<[Bytes; 3]> {
    let text = fs::read(golden().join("documents.ndjson")).unwrap();
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.chunks(3).map(|three| std::array::from_fn(|index| Bytes::copy_from_slice(three[index]))).collect()
}

#[test]
fn documents_of_format_1_are_read_in_every_kind() {
    for [document, stub, hollow] in lines_of_golden() {
        let leaf = integrity::open(&document).unwrap().leaf;
        for (stored, kind) in [(&document, "event"), (&stub, "stub"), (&hollow, "hollow")] {
            let opened = integrity::open(stored).unwrap();
            assert_eq!((opened.kind.as_str(), &opened.leaf), (kind, &leaf));
            assert_eq!(integrity::is_stub(stored), kind != "event");
        }
        assert_eq!(integrity::stub(&document).unwrap(), stub);
        assert_eq!(integrity::stub_without_content(&document).unwrap(), hollow);
    }
}
