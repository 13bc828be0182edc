//! Reads a whole store and checks it against the log's promises.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use annals::{
    event::{ChainId, ChainPosition, Sequence},
    integrity::{ChainKeys, Opened, OpeningRecord, SealSecret, VerifyError, encode_hash, is_stub, open},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Acknowledged, Home};

/// One document of a store, byte for byte.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) index: String,
    pub(crate) id: String,
    pub(crate) source: Vec<u8>,
}

/// What a store was verified to contain.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) events: usize,
    pub(crate) stubs: usize,
    /// The number of events of each sealed chain.
    pub(crate) chains: BTreeMap<String, u64>,
    /// The number of events of each unsealed chain. They are complete, but nothing else is proven.
    pub(crate) unsealed: BTreeMap<String, u64>,
}

/// A chain's documents by position; those that are sealed have been opened.
type Chain<'a> = BTreeMap<u64, (Option<Opened>, &'a Document)>;

impl Document {
    /// Returns all documents of an embedded store. The program may be running.
    pub(crate) fn all_of_sqlite(path: &Path) -> Vec<Self> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(path, flags).unwrap();
        let mut select = database.prepare("SELECT chain, sequence, document FROM events").unwrap();
        let rows = select.query_map([], |row| {
            let chain = ChainId::from_bytes(row.get(0)?);
            let id = format!("{chain}-{:020}", row.get::<_, i64>(1)?);
            Ok(Self { index: "events".to_owned(), id, source: row.get(2)? })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn is_stub(&self) -> bool {
        is_stub(&self.source)
    }

    fn stated_position(&self) -> ChainPosition {
        let document: serde_json::Value = serde_json::from_slice(&self.source).unwrap();
        let chain = document["annals"]["chain"].as_str().unwrap().parse().unwrap();
        ChainPosition { chain, sequence: Sequence(document["annals"]["sequence"].as_u64().unwrap()) }
    }

    fn event_id(&self) -> Option<String> {
        let document: serde_json::Value = serde_json::from_slice(&self.source).ok()?;
        let of_content = || serde_json::from_str::<serde_json::Value>(document["annals"]["content"].as_str()?).ok();
        let content = if self.is_stub() { of_content()? } else { document.clone() };
        content["event"]["id"].as_str().map(str::to_owned)
    }
}

/// Checks that the documents are complete chains of this writer, with every acknowledged event in its place exactly
/// once.
#[track_caller]
pub(crate) fn verify(home: &Home, documents: &[Document], acknowledged: &[Acknowledged]) -> Verified {
    let mut faults = Vec::new();
    let mut verified =
        Verified { events: documents.len(), stubs: 0, chains: BTreeMap::new(), unsealed: BTreeMap::new() };
    let mut chains: BTreeMap<ChainId, Chain<'_>> = BTreeMap::new();
    let mut events = HashSet::new();
    for document in documents {
        let (position, opened) = match open(&document.source) {
            Ok(opened) => {
                let position = ChainPosition { chain: opened.leaf.chain, sequence: opened.leaf.sequence };
                (position, Some(opened))
            }
            Err(VerifyError::Unsealed) => (document.stated_position(), None),
            Err(error) => {
                faults.push(format!("{} in {}: {error}", document.id, document.index));
                continue;
            }
        };
        if document.id != position.to_string() {
            faults.push(format!("{} in {} states the position {position}", document.id, document.index));
        }
        match document.event_id() {
            Some(id) if events.insert(id.clone()) => {}
            other => faults.push(format!("{} holds {other:?}, twice or without an id", document.id)),
        }
        verified.stubs += usize::from(document.is_stub());
        let other = chains.entry(position.chain).or_default().insert(position.sequence.0, (opened, document));
        if let Some((_, other)) = other {
            faults.push(format!("{position} stands twice: in {} and in {}", document.index, other.index));
        }
    }
    for (id, chain) in &chains {
        let record = fs::read(home.data().join(format!("chains/{id}.json"))).unwrap();
        let record: OpeningRecord = serde_json::from_slice(&record).unwrap();
        let of_kind = if record.sealed { &mut verified.chains } else { &mut verified.unsealed };
        of_kind.insert(id.to_string(), chain.len() as u64);
        faults.extend(faults_of_chain(home, *id, &record, chain));
    }
    faults.extend(faults_of_acknowledged(&chains, acknowledged));
    assert!(
        faults.is_empty(),
        "{} faults in {} documents, with {} acknowledged:\n{}",
        faults.len(),
        documents.len(),
        acknowledged.len(),
        faults.iter().take(20).map(|fault| fault.chars().take(300).collect::<String>()).collect::<Vec<_>>().join("\n")
    );
    verified
}

/// Checks that positions have no gap from 0, and in a sealed chain that each event is linked to the previous one and
/// sealed with this writer's key.
fn faults_of_chain(home: &Home, id: ChainId, record: &OpeningRecord, chain: &Chain<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let secret = STANDARD.decode(fs::read(home.data().join("seal.secret")).unwrap().trim_ascii()).unwrap();
    let mut keys = ChainKeys::first(&SealSecret::new(secret.into()).unwrap(), id);
    assert_eq!(record.key_check, STANDARD.encode(keys.check_value()), "the secret is the one of the chain");
    let (mut previous, mut received) = (record.genesis(), record.opened_ms);
    for (expected, (sequence, (opened, _))) in (0..).zip(chain) {
        if *sequence != expected {
            faults.push(format!("{id} has {sequence} where {expected} should be"));
            break;
        }
        if opened.is_some() != record.sealed {
            faults.push(format!("{id}-{sequence} is sealed in a chain that is not, or not in one that is"));
        }
        let Some(opened) = opened else { continue };
        let leaf = &opened.leaf;
        if leaf.previous != previous {
            faults.push(format!("{id}-{sequence} is linked to another event than the one before it"));
        }
        if leaf.received.0 < received || leaf.epoch < keys.epoch() {
            faults.push(format!("{id}-{sequence} goes back in time"));
        }
        keys.advance(leaf.epoch);
        previous = leaf.hash();
        received = leaf.received.0;
        if keys.mac(&previous) != opened.mac {
            faults.push(format!("{id}-{sequence} has a mac of somebody else"));
        }
    }
    faults
}

/// Checks that every receipt names an event at its position, whose hash is that of the receipt.
fn faults_of_acknowledged(chains: &BTreeMap<ChainId, Chain<'_>>, acknowledged: &[Acknowledged]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut places = HashMap::new();
    for receipt in acknowledged {
        let Acknowledged { id, chain, sequence, hash } = receipt;
        if let Some(other) = places.insert((chain, sequence), id) {
            faults.push(format!("{chain}-{sequence} was acknowledged for {other} and for {id}"));
        }
        match chains.get(&chain.parse().unwrap()).and_then(|chain| chain.get(sequence)) {
            None => faults.push(format!("{id} was acknowledged at {chain}-{sequence}, and is not there")),
            Some((opened, document)) => {
                let leaf = opened.as_ref().map(|opened| encode_hash(&opened.leaf.hash().0).to_vec());
                if hash.as_ref().map(|hash| hash.as_bytes().to_vec()) != leaf {
                    faults.push(format!("{id} at {chain}-{sequence} has another hash than was acknowledged"));
                }
                if document.event_id().as_deref() != Some(id) {
                    faults.push(format!("{:?} stands at {chain}-{sequence} in place of {id}", document.event_id()));
                }
            }
        }
    }
    faults
}

/// A check that nothing can fail proves nothing.
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde_json::json;

    use super::{Acknowledged, Document, Home, verify};

    fn finds_fault(home: &Home, documents: &[Document], acknowledged: &[Acknowledged]) -> bool {
        catch_unwind(AssertUnwindSafe(|| verify(home, documents, acknowledged))).is_err()
    }

    #[test]
    fn missing_duplicate_moved_and_altered_events_are_found() {
        let home = Home::on_sqlite();
        let annals = home.start();
        let event = |id: &str| json!({"event": {"provider": "load", "action": "run", "id": id}, "message": "m"});
        let answer = annals.log_events(&json!([event("n-1"), event("n-2"), event("n-3")])).expect(202).json();
        let acknowledged: Vec<Acknowledged> = serde_json::from_value(answer["items"].clone()).unwrap();
        annals.await_stored("sqlite");
        annals.kill();
        let all = || {
            let mut documents = Document::all_of_sqlite(&home.data().join("events.db"));
            documents.sort_by(|one, other| one.id.cmp(&other.id));
            documents
        };
        assert!(!finds_fault(&home, &all(), &acknowledged));

        let check = |spoil: fn(&mut Vec<Document>)| {
            let mut documents = all();
            spoil(&mut documents);
            assert!(finds_fault(&home, &documents, &acknowledged[..2]), "{documents:?}");
        };
        check(|documents| drop(documents.remove(0)));
        check(|documents| drop(documents.remove(1)));
        check(|documents| {
            let Document { id, source, .. } = &documents[2];
            let twin = Document { index: "another".to_owned(), id: id.clone(), source: source.clone() };
            documents.push(twin);
        });
        check(|documents| documents[1].id = documents[2].id.clone());
        check(|documents| {
            let text = String::from_utf8(documents[3].source.clone()).unwrap();
            documents[3].source = text.replace("\"message\":\"m\"", "\"message\":\"M\"").into_bytes();
        });
        check(|documents| documents[3].source = b"{}".to_vec());

        // A chain without its end is still a valid chain; only the receipts reveal the loss.
        let mut documents = all();
        documents.pop();
        assert!(!finds_fault(&home, &documents, &acknowledged[..2]));
        assert!(finds_fault(&home, &documents, &acknowledged));
        let mut forged = acknowledged.clone();
        forged[1].hash = forged[2].hash.clone();
        assert!(finds_fault(&home, &all(), &forged));
    }

    #[test]
    fn a_seal_of_another_secret_is_found() {
        let home = Home::on_sqlite();
        let annals = home.start();
        annals.await_stored("sqlite");
        annals.kill();
        let documents = Document::all_of_sqlite(&home.data().join("events.db"));
        std::fs::write(home.data().join("seal.secret"), [b'A'; 44]).unwrap();
        assert!(finds_fault(&home, &documents, &[]));
    }
}
