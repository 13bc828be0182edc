#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;

use proptest::prelude::*;

use super::*;

const SMALL: Options = Options { max_bytes: 1 << 20, segment_bytes: 200 };

fn open(folder: &Path) -> (Journal, Recovered) {
    Journal::open(folder, SMALL, Position(0)).unwrap()
}

/// Appends a record. If the segment is full, first begins a new one whose snapshot is the number of records so far.
fn append(journal: &mut Journal, before: usize, payload: &[u8]) {
    if journal.is_segment_due() {
        journal.begin_segment(&(before as u64).to_be_bytes()).unwrap();
    }
    publish(journal, payload);
}

fn publish(journal: &mut Journal, payload: &[u8]) -> Position {
    journal.append(payload).unwrap();
    journal.publish()
}

/// Declares everything before the position unneeded, and removes it.
fn trim(handle: &JournalHandle, position: Position) -> Result<(), JournalError> {
    handle.pass(position);
    handle.trim()
}

fn read_all(handle: &JournalHandle, from: Position) -> Vec<Vec<u8>> {
    let mut reader = handle.reader(from);
    let mut payloads = Vec::new();
    loop {
        let records = reader.read(150).unwrap();
        if records.is_empty() {
            return payloads;
        }
        payloads.extend(records.into_iter().map(|record| record.payload.to_vec()));
    }
}

fn newest_file(folder: &Path) -> PathBuf {
    segment::list(folder).unwrap().back().unwrap().path(folder)
}

fn filled(folder: &Path, count: usize) -> Vec<Vec<u8>> {
    let payloads: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8 + 1; 10 + n % 60]).collect();
    let (mut journal, _) = open(folder);
    payloads.iter().enumerate().for_each(|(n, payload)| append(&mut journal, n, payload));
    payloads
}

#[test]
fn records_come_back_in_order_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 40);
    assert!(segment::list(folder.path()).unwrap().len() > 3);
    let (journal, recovered) = open(folder.path());
    assert_eq!(read_all(&journal.handle(), Position(0)), payloads);
    let before = u64::from_be_bytes(recovered.snapshot.try_into().unwrap()) as usize;
    assert_eq!(recovered.payloads, payloads[before..]);
    assert_eq!(recovered.cut, 0);
}

#[test]
fn a_failed_read_loses_no_records() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 3);
    let (journal, _) = open(folder.path());
    let path = newest_file(folder.path());
    let sound = fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    let mut reader = journal.handle().reader(Position(0));
    let mut read =
        || reader.read(1000).map(|records| records.into_iter().map(|it| it.payload.to_vec()).collect::<Vec<_>>());
    assert_eq!(read().unwrap(), payloads[..2]);
    assert!(matches!(read(), Err(JournalError::Damaged { .. })));
    assert!(matches!(read(), Err(JournalError::Damaged { .. })));
    fs::write(&path, sound).unwrap();
    assert_eq!(read().unwrap(), payloads[2..]);
}

#[test]
fn trimming_removes_whole_segments_and_never_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 40);
    let (journal, _) = open(folder.path());
    let handle = journal.handle();
    let used = handle.used();
    let third = segment::list(folder.path()).unwrap()[2].base;
    trim(&handle, Position(third.0 + 1)).unwrap();
    assert_eq!(segment::list(folder.path()).unwrap()[0].base, third);
    assert_eq!(handle.used(), used - third.0);
    let rest = read_all(&handle, Position(0));
    assert_eq!(rest, payloads[payloads.len() - rest.len()..]);
    trim(&handle, handle.end()).unwrap();
    assert_eq!(segment::list(folder.path()).unwrap().len(), 1);
    drop(journal);
    let (journal, recovered) = open(folder.path());
    assert_eq!(read_all(&journal.handle(), Position(0)), recovered.payloads);
}

/// Otherwise trimming would not free any disk space.
#[test]
fn a_reader_at_the_end_keeps_no_trimmed_file_open() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 40);
    let (mut journal, _) = open(folder.path());
    let handle = journal.handle();
    let mut reader = handle.reader(Position(0));
    while !reader.read(1000).unwrap().is_empty() {}
    journal.begin_segment(b"").unwrap();
    trim(&handle, handle.end()).unwrap();
    let kept = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let of_journal =
        |path: &std::path::PathBuf| path.starts_with(folder.path()) && path.to_string_lossy().ends_with("(deleted)");
    assert_eq!(kept.filter(of_journal).collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    assert_eq!(reader.position(), handle.end());
}

#[test]
fn an_append_beyond_the_bound_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) =
        Journal::open(folder.path(), Options { max_bytes: 100, segment_bytes: 1000 }, Position(0)).unwrap();
    publish(&mut journal, &[1; 50]);
    assert!(matches!(journal.append(&[2; 50]), Err(JournalError::Full { used: 70, limit: 100 })));
    publish(&mut journal, &[3; 10]);
    assert_eq!(read_all(&journal.handle(), Position(0)), [vec![1; 50], vec![3; 10]]);
}

#[test]
fn records_behind_damage_of_the_newest_segment_remain_and_the_damage_is_kept_for_inspection() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 3);
    let path = newest_file(folder.path());
    let sound = fs::read(&path).unwrap();
    let second = 24 + 20 + 10;
    for at in 24..second {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        fs::remove_file(files::with_suffix(&path, ".damaged")).ok();
        let (mut journal, recovered) = open(folder.path());
        let damage = Damage { path: path.clone(), from: Position(0), until: Position(second as u64 - 24) };
        assert_eq!((recovered.damage, recovered.cut), (vec![damage], 0), "byte {at}");
        assert_eq!(recovered.payloads, payloads[1..]);
        let kept = files::with_suffix(&path, ".damaged");
        assert_eq!(fs::read(&kept).unwrap(), bytes);
        assert!(matches!(journal.append(b"x"), Err(JournalError::SegmentDue)), "its owner's state is unknown");
        let mut reader = journal.handle().reader(Position(0));
        assert!(matches!(reader.read(1000), Err(JournalError::Damaged { .. })));
        reader.skip_damage().unwrap();
        let read: Vec<_> = reader.read(1000).unwrap().iter().map(|record| record.payload.to_vec()).collect();
        assert_eq!(read, payloads[1..]);
    }
    fs::write(&path, &sound[..23]).unwrap();
    assert!(matches!(Journal::open(folder.path(), SMALL, Position(0)), Err(JournalError::Damaged { offset: 0, .. })));
}

#[test]
fn a_journal_that_lost_its_end_continues_at_the_acknowledged_position() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 40);
    let acknowledged = open(folder.path()).0.handle().end();
    let newest = newest_file(folder.path());
    let bytes = fs::read(&newest).unwrap();
    let open = || Journal::open(folder.path(), SMALL, acknowledged).unwrap();
    for lost in ["a byte of the last record", "the newest segment"] {
        fs::remove_file(SegmentName { base: acknowledged }.path(folder.path())).ok();
        if lost == "the newest segment" {
            fs::remove_file(&newest).unwrap();
        } else {
            fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
        }
        let (mut journal, recovered) = open();
        assert!(recovered.end < acknowledged && journal.is_segment_due(), "{lost}");
        assert_eq!(journal.handle().end(), acknowledged, "{lost}");
        assert!(matches!(journal.append(b"x"), Err(JournalError::SegmentDue)), "{lost}");
        journal.begin_segment(b"").unwrap();
        let kept = read_all(&journal.handle(), Position(0));
        assert_eq!(kept, payloads[..kept.len()], "{lost}");
    }
    assert_eq!(fs::read(files::with_suffix(&newest, ".damaged")).unwrap().len(), bytes.len() - 1);
    let (mut journal, _) = open();
    journal.begin_segment(b"after").unwrap();
    publish(&mut journal, b"new");
    let (journal, recovered) = open();
    assert_eq!((recovered.cut, recovered.snapshot.as_slice()), (0, b"after".as_slice()));
    assert_eq!(recovered.damage.len(), 1, "{:?}", recovered.damage);
    assert_eq!(read_all(&journal.handle(), Position(0)).last().unwrap(), b"new");
    drop(journal);
    fs::remove_dir_all(folder.path()).unwrap();
    let (journal, recovered) = open();
    assert_eq!((journal.handle().begin(), recovered.end), (acknowledged, Position(0)), "an empty folder");
}

#[test]
fn a_segment_that_may_or_may_not_exist_is_begun_before_anything_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    publish(&mut journal, b"first");
    let fault = files::faults::OneFault::after(4, folder.path());
    let failed = journal.begin_segment(b"snapshot");
    assert!(failed.is_err(), "{:?}", fault.failed());
    assert!(fault.failed().unwrap().starts_with("SyncFolder"), "the file exists");
    drop(fault);
    assert!(matches!(journal.append(b"second"), Err(JournalError::SegmentDue)));
    journal.begin_segment(b"snapshot").unwrap();
    publish(&mut journal, b"second");
    let (journal, recovered) = open(folder.path());
    assert_eq!(recovered.damage, []);
    assert_eq!(read_all(&journal.handle(), Position(0)), [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn a_segment_without_records_that_the_one_before_has_overtaken_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let end = publish(&mut journal, b"first");
    let orphan = SegmentName { base: end };
    fs::write(orphan.path(folder.path()), segment::segment_header(end, b"")).unwrap();
    publish(&mut journal, b"second");
    let (journal, recovered) = open(folder.path());
    assert_eq!((recovered.damage, recovered.cut), (Vec::new(), 0));
    assert_eq!(read_all(&journal.handle(), Position(0)), [b"first".to_vec(), b"second".to_vec()]);
    assert!(!orphan.path(folder.path()).exists());
}

#[test]
fn a_segment_that_cannot_be_removed_is_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 40);
    let (journal, _) = open(folder.path());
    let handle = journal.handle();
    let before = segment::list(folder.path()).unwrap();
    let fault = files::faults::OneFault::after(1, folder.path());
    assert!(trim(&handle, handle.end()).is_err());
    drop(fault);
    assert_eq!(segment::list(folder.path()).unwrap(), before.iter().skip(1).copied().collect::<VecDeque<_>>());
    assert_eq!(handle.begin(), before[1].base, "what is still there is not forgotten");
    trim(&handle, handle.end()).unwrap();
    assert_eq!(segment::list(folder.path()).unwrap().len(), 1);
}

#[test]
fn damage_in_an_older_segment_is_found_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 40);
    let oldest = segment::list(folder.path()).unwrap()[0].path(folder.path());
    let mut bytes = fs::read(&oldest).unwrap();
    bytes[24 + 25] ^= 1;
    fs::write(&oldest, bytes).unwrap();
    let (journal, _) = open(folder.path());
    let error = journal.handle().reader(Position(0)).read(1000).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { path, offset: 24, .. } if path == oldest));
}

/// The header only says where the records begin, which they say too.
#[test]
fn records_behind_a_damaged_header_of_an_older_segment_are_read_nevertheless() {
    for damaged in [0, 8, 19, 20, 24] {
        let folder = tempfile::tempdir().unwrap();
        let payloads = filled(folder.path(), 40);
        let name = segment::list(folder.path()).unwrap()[1];
        let path = name.path(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        bytes[damaged] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (journal, recovered) = open(folder.path());
        assert_eq!(recovered.damage, [], "{damaged}");
        assert_eq!(read_all(&journal.handle(), Position(0)), payloads, "{damaged}");
        // Without its first record too, those behind are read once the damage is skipped.
        bytes[24 + 8 + 5] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let mut reader = journal.handle().reader(name.base);
        assert!(matches!(reader.read(1), Err(JournalError::Damaged { .. })), "{damaged}");
        reader.skip_damage().unwrap();
        let next = reader.read(1).unwrap().remove(0);
        let at = payloads.iter().position(|payload| *payload == *next.payload).unwrap();
        let skipped = payloads[at - 1].len() + segment::RECORD_HEADER;
        assert_eq!(next.begin.0, name.base.0 + skipped as u64, "{damaged}");
    }
}

#[test]
fn records_behind_a_lost_segment_remain_and_the_hole_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 40);
    let segments = segment::list(folder.path()).unwrap();
    fs::remove_file(segments[1].path(folder.path())).unwrap();
    let (mut journal, recovered) = open(folder.path());
    let hole = Damage { path: segments[0].path(folder.path()), from: segments[1].base, until: segments[2].base };
    assert_eq!(recovered.damage, [hole]);
    assert!(!journal.is_segment_due() || journal.begin_segment(b"").is_ok());
    publish(&mut journal, b"new");
    let read = read_all(&journal.handle(), Position(0));
    let before = read.iter().zip(&payloads).take_while(|(read, written)| read == written).count();
    assert!(before > 0 && read.len() < payloads.len());
    assert_eq!(read[before..read.len() - 1], payloads[payloads.len() + 1 - (read.len() - before)..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever part of the last write reached the disk, exactly the records before it are recovered.
    #[test]
    fn a_torn_tail_is_cut_to_the_last_whole_record(count in 1..12usize, keep in 0.0..1.0f64, zeroed in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let payloads = filled(folder.path(), count);
        let path = newest_file(folder.path());
        let bytes = fs::read(&path).unwrap();
        let last = RECORD_HEADER + payloads[count - 1].len();
        let sound = bytes.len() - last;
        let kept = sound + (last as f64 * keep) as usize;
        let mut torn = bytes[..kept].to_vec();
        if zeroed {
            torn.resize(bytes.len(), 0);
        }
        fs::write(&path, &torn).unwrap();
        let (mut journal, recovered) = open(folder.path());
        prop_assert_eq!(recovered.cut as usize, torn.len() - sound);
        prop_assert_eq!(read_all(&journal.handle(), Position(0)), payloads[..count - 1].to_vec());
        publish(&mut journal, b"after");
        drop(journal);
        let (journal, _) = open(folder.path());
        let last = read_all(&journal.handle(), Position(0)).pop().unwrap();
        prop_assert_eq!(last, b"after".to_vec());
    }
}

#[test]
fn an_unfinished_segment_is_ignored_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = filled(folder.path(), 20);
    fs::write(folder.path().join("99999999999999999999.journal.new"), b"ANNJ").unwrap();
    let (mut journal, _) = open(folder.path());
    journal.begin_segment(b"once").unwrap();
    journal.begin_segment(b"again, without a record in between").unwrap();
    drop(journal);
    let (journal, recovered) = open(folder.path());
    assert_eq!(recovered.snapshot, b"again, without a record in between");
    assert_eq!(read_all(&journal.handle(), Position(0)), payloads);
}

#[test]
fn appending_fails_without_a_reserve_and_resumes_in_a_new_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let end = publish(&mut journal, b"first");
    assert!(fs::metadata(folder.path().join("reserve")).unwrap().len() > 100_000);
    journal.free_disk_space(b"snapshot");
    assert!(!folder.path().join("reserve").exists(), "it is let go after a failure");
    assert_eq!(segment::list(folder.path()).unwrap().len(), 2);
    trim(&journal.handle(), end).unwrap();
    assert_eq!(segment::list(folder.path()).unwrap().len(), 1, "what was before can be removed");

    fs::create_dir(folder.path().join("reserve")).unwrap();
    let refused = journal.append(b"second").unwrap_err();
    assert!(refused.to_string().contains("reserve"), "{refused}");
    journal.free_disk_space(b"snapshot");
    fs::remove_dir(folder.path().join("reserve")).unwrap();
    publish(&mut journal, b"second");
    assert_eq!(read_all(&journal.handle(), Position(0)), [b"second".to_vec()]);
    let (_, recovered) = open(folder.path());
    assert_eq!((recovered.snapshot.as_slice(), recovered.cut), (b"snapshot".as_slice(), 0));
}

#[test]
fn records_are_read_once_published_and_a_failure_removes_unpublished_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let first = publish(&mut journal, &[1; 300]);
    assert!(journal.is_segment_due());
    journal.append(&[2; 50]).unwrap();
    assert_eq!((journal.handle().end(), journal.handle().reader(first).read(1000).unwrap().len()), (first, 0));
    assert!(!journal.is_segment_due(), "what belongs together stays in one segment");
    assert!(matches!(journal.append(&[3; 1 << 20]), Err(JournalError::Full { .. })));
    assert_eq!(journal.room(), (1 << 20) - first.0);
    let sizes =
        |journal: &Journal| -> Vec<usize> { read_all(&journal.handle(), Position(0)).iter().map(Vec::len).collect() };
    journal.append(&[4; 60]).unwrap();
    journal.append(&[5; 70]).unwrap();
    journal.publish();
    assert_eq!(sizes(&journal), [300, 60, 70]);
    journal.append(&[6; 80]).unwrap();
    drop(journal);
    let (journal, recovered) = open(folder.path());
    assert_eq!(
        (sizes(&journal), recovered.cut),
        (vec![300, 60, 70, 80], 0),
        "what a crash leaves, whole records, stays"
    );
}

#[test]
fn the_newest_segment_is_removed_once_none_of_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let first = publish(&mut journal, &[1; 50]);
    let end = publish(&mut journal, &[2; 50]);
    trim(&journal.handle(), first).unwrap();
    journal.make_room(|| b"snapshot".to_vec()).unwrap();
    assert_eq!(journal.room(), (1 << 20) - end.0, "some of it is needed");
    trim(&journal.handle(), end).unwrap();
    journal.make_room(|| b"snapshot".to_vec()).unwrap();
    assert_eq!(journal.room(), 1 << 20);
    drop(journal);
    let (journal, recovered) = open(folder.path());
    assert_eq!((journal.handle().end(), recovered.snapshot.as_slice()), (end, b"snapshot".as_slice()));
}
