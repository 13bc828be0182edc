#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod answers;
pub(crate) mod engines;
mod fake;
mod nodes;
mod older;
mod own_fields;
mod questions;
mod recorded;
pub(crate) mod secured;
mod words;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ElasticConfig, ElasticStore, NodeUrl};
use crate::event::{ChainId, ChainPosition, SealedEvent, Sequence};

/// Returns a unique name.
fn fresh_name() -> String {
    fresh_chain().to_string().chars().take(12).collect()
}

pub(super) fn fresh_chain() -> ChainId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    ChainId::from_bytes(bytes)
}

fn config(urls: &[&str]) -> ElasticConfig {
    let urls = urls.iter().map(|url| url.parse::<NodeUrl>().unwrap()).collect();
    ElasticConfig { urls, index_prefix: format!(".t{}", fresh_name()), ..ElasticConfig::default() }
}

fn store(urls: &[&str]) -> ElasticStore {
    ElasticStore::new(&config(urls)).unwrap()
}

/// Returns an event about `alert:a` with these additional members.
pub(super) fn event_with(chain: ChainId, sequence: u64, seal: &str, more: Value) -> SealedEvent {
    let mut document = json!({
        "@timestamp": "2026-11-24T12:00:00.000Z",
        "annals": {
            "chain": chain.to_string(), "kind": "event", "received": "2026-11-24T12:00:00.001Z", "seal": seal,
            "sequence": sequence,
        },
        "event": {"action": "execute", "provider": "alerting"},
        "kibana": {"saved_objects": [{"id": "a", "rel": "primary", "type": "alert"}]},
    });
    merge(&mut document, more);
    let position = ChainPosition { chain, sequence: Sequence(sequence) };
    SealedEvent { position, leaf_hash: None, document: Bytes::from(document.to_string()) }
}

fn event(chain: ChainId, sequence: u64) -> SealedEvent {
    event_with(chain, sequence, &format!("0.seal-{sequence}"), json!({}))
}

pub(super) fn events(chain: ChainId, sequences: std::ops::Range<u64>) -> Vec<SealedEvent> {
    sequences.map(|sequence| event(chain, sequence)).collect()
}

fn merge(document: &mut Value, more: Value) {
    match more {
        Value::Object(members) => members.into_iter().for_each(|(name, value)| merge(&mut document[name], value)),
        other => *document = other,
    }
}
