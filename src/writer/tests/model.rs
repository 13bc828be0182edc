//! The journal against a model: acknowledged events stay, and no position is used twice.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Log(usize),
    Restart {
        in_order: bool,
    },
    /// Cuts this fraction off the newest segment's file.
    Cut(f64),
    /// Flips a bit at this fraction of the newest segment's records.
    Flip(f64),
    RemoveNewest,
    RemoveAll,
    Trim,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..9usize).prop_map(Step::Log),
        2 => any::<bool>().prop_map(|in_order| Step::Restart { in_order }),
        1 => (0.0..1.0f64).prop_map(Step::Cut),
        1 => (0.0..1.0f64).prop_map(Step::Flip),
        1 => Just(Step::RemoveNewest),
        1 => Just(Step::RemoveAll),
        1 => Just(Step::Trim),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the journal's files, no position is used twice, the events that remain are those that were
    /// acknowledged, and none is gone but for damage.
    #[test]
    fn acknowledged_events_stay_and_no_position_is_used_twice(steps in prop::collection::vec(any_step(), 1..14)) {
        check_acknowledged(steps)?;
    }
}

/// The newest segment may have no event, but the beginning of the chain that follows one with a lost end.
#[test]
fn a_chain_whose_end_is_lost_is_not_continued_if_its_successor_is_lost_too() {
    let steps = [
        Step::Log(3),
        Step::Log(2),
        Step::Cut(0.9),
        Step::Restart { in_order: true },
        Step::RemoveNewest,
        Step::Log(1),
    ];
    check_acknowledged(steps).unwrap();
}

fn check_acknowledged(steps: impl IntoIterator<Item = Step>) -> Result<(), TestCaseError> {
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let options = Options { journal: journal::Options { max_bytes: 1 << 20, segment_bytes: 3000 }, ..OPTIONS };
    let mut acknowledged: HashMap<ChainPosition, Option<LeafHash>> = HashMap::new();
    let (mut is_whole, mut trimmed) = (true, false);
    let (mut writer, mut thread) = open(&folder, &clock, options).start(Metrics::new().journal).unwrap();
    for step in steps {
        match step {
            Step::Log(count) => {
                for receipt in runtime().block_on(writer.submit(contents(count, 50), Origin::Caller)).unwrap().receipts
                {
                    let before = acknowledged.insert(receipt.position, receipt.leaf_hash);
                    prop_assert_eq!(before, None, "{} was used twice", receipt.position);
                }
                continue;
            }
            Step::Trim => {
                writer.journal.pass(writer.journal.end());
                writer.journal.trim().unwrap();
                trimmed = true;
                continue;
            }
            _ => {}
        }
        let in_order = match step {
            Step::Restart { in_order } => in_order,
            _ => acknowledged.len().is_multiple_of(2),
        };
        end(&writer, thread, in_order);
        let newest = newest_segment(&folder);
        let mut bytes = fs::read(&newest).unwrap();
        let records_at = 24 + u32::from_be_bytes(bytes[16..20].try_into().unwrap()) as usize;
        let records = bytes.len() - records_at;
        match step {
            Step::Cut(fraction) => {
                fs::write(&newest, &bytes[..records_at + (records as f64 * fraction) as usize]).unwrap();
            }
            Step::Flip(fraction) if records > 0 => {
                bytes[records_at + (records as f64 * fraction) as usize] ^= 4;
                fs::write(&newest, bytes).unwrap();
            }
            Step::RemoveNewest => fs::remove_file(&newest).unwrap(),
            Step::RemoveAll => fs::remove_dir_all(folder.path("journal")).unwrap(),
            _ => {}
        }
        is_whole &= matches!(step, Step::Restart { .. }) || (records == 0 && !matches!(step, Step::RemoveAll));
        (writer, thread) = open(&folder, &clock, options).start(Metrics::new().journal).unwrap();
    }
    let mut reader = writer.journal.reader(Position(0));
    let mut found = 0;
    while reader.position() < writer.journal.end() {
        let records = match reader.read(1 << 20) {
            Ok(records) => records,
            Err(JournalError::Damaged { .. }) => {
                prop_assert!(!is_whole);
                reader.skip_damage().unwrap();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for section in records.iter().flat_map(|record| Group::decode(&record.payload).unwrap().sections) {
            for event in section.events {
                prop_assert_eq!(acknowledged.get(&event.position), Some(&event.leaf_hash));
                found += 1;
            }
        }
    }
    prop_assert!(!is_whole || trimmed || found == acknowledged.len());
    end(&writer, thread, true);
    Ok(())
}
