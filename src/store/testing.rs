//! Documents and queries for tests of stores, with made-up seals.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use serde_json::{Map, Value, json};

pub(crate) use crate::tests::{SecuredEngine, engine, secured_engine};
use crate::{
    event::{ChainId, ChainPosition, LeafHash, SealedEvent, Sequence, Space, UnixMillis},
    integrity::seal_of,
    query::{ObjectScope, Order, PageEnd, Place, Query, Scope, ScopedQuery, Sort, Visible, filter::Filter},
    schema::{Field, Kind, LONGEST_TEXT, LONGEST_VALUE, Search, SetBy},
    store::{EventIndex, Misfiled},
};

/// The fields that Kibana sorts by.
pub(crate) static TIMESTAMP: Field = field("@timestamp", Kind::Date);
pub(crate) static START: Field = field("event.start", Kind::Date);
pub(crate) static END: Field = field("event.end", Kind::Date);
pub(crate) static PROVIDER: Field = field("event.provider", Kind::Keyword);
pub(crate) static ACTION: Field = field("event.action", Kind::Keyword);
pub(crate) static DURATION: Field = field("event.duration", Kind::Long64);
pub(crate) static SEQUENCE: Field = field("annals.sequence", Kind::Long);
pub(crate) static MESSAGE: Field = field("message", Kind::Text);
pub(crate) static GAP_STATUS: Field = field("kibana.alert.rule.gap.status", Kind::Keyword);
pub(crate) static GAP_DURATION: Field = field("kibana.alert.rule.gap.total_gap_duration_ms", Kind::Long);

const fn field(path: &'static str, kind: Kind) -> Field {
    Field {
        path,
        kind,
        multi: false,
        in_objects: false,
        takes_scalars: false,
        set_by: SetBy::Client,
        max_bytes: 0,
        exact: false,
        longest_value: if matches!(kind, Kind::Text) { LONGEST_TEXT } else { LONGEST_VALUE },
        search: Search::Value,
    }
}

/// The time of a draft without its own.
pub(crate) const NOON: &str = "2026-11-24T12:00:00.000Z";

pub(crate) fn fresh_chain() -> ChainId {
    ChainId::from_bytes(random())
}

/// A unique name.
pub(crate) fn fresh_name() -> String {
    fresh_chain().to_string()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

pub(crate) fn position(chain: ChainId, sequence: u64) -> ChainPosition {
    ChainPosition { chain, sequence: Sequence(sequence) }
}

/// An event under construction.
#[derive(Clone, Debug)]
pub(crate) struct Draft(Value);

/// An event with provider and action, at noon, without references.
pub(crate) fn draft() -> Draft {
    Draft(json!({
        "@timestamp": NOON,
        "annals": {"severity": "informational", "stream": "general"},
        "ecs": {"version": "9.0.0"},
        "event": {"action": "execute", "provider": "alerting"},
        "kibana": {"saved_objects": [], "server_uuid": "5b2de169-2785-441b-ae8c-186a1936b17d", "version": "0.1.0"},
        "message": "rule executed",
    }))
}

impl Draft {
    pub(crate) fn at(self, timestamp: &str) -> Self {
        self.with("@timestamp", timestamp)
    }

    /// Sets the value at a dotted path.
    pub(crate) fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let (parent, name) = self.parent_of(path);
        parent.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        let (parent, name) = self.parent_of(path);
        parent.remove(name);
        self
    }

    fn parent_of<'a>(&mut self, path: &'a str) -> (&mut Map<String, Value>, &'a str) {
        let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
        let mut parent = &mut self.0;
        for name in parents.split_terminator('.') {
            let members = parent.as_object_mut().expect("the path leads through objects");
            parent = members.entry(name).or_insert_with(|| json!({}));
        }
        (parent.as_object_mut().expect("the path ends in an object"), name)
    }

    /// A primary reference in the default space.
    pub(crate) fn about(self, object_type: &str, id: &str) -> Self {
        self.referring(json!({"id": id, "rel": "primary", "type": object_type}))
    }

    pub(crate) fn referring(mut self, reference: Value) -> Self {
        self.0["kibana"]["saved_objects"].as_array_mut().expect("drafts have references").push(reference);
        self
    }

    pub(crate) fn sealed(self, position: ChainPosition) -> SealedEvent {
        self.sealed_with(position, |document| document.to_string())
    }

    /// As an event of an unsealed chain.
    pub(crate) fn unsealed(self, position: ChainPosition) -> SealedEvent {
        let place = |document: &Value| {
            let text = document.to_string();
            let annals = format!(
                r#""annals":{{"chain":"{}","kind":"event","received":"{NOON}","retention":"general","sequence":{},"#,
                position.chain, position.sequence.0
            );
            text.replacen("\"annals\":{", &annals, 1)
        };
        SealedEvent { position, leaf_hash: None, document: place(&self.0).into() }
    }

    /// Sealed, with a custom serialisation.
    pub(crate) fn sealed_with(self, position: ChainPosition, write: impl Fn(&Value) -> String) -> SealedEvent {
        let leaf_hash = LeafHash(random());
        let document = self
            .with("annals.chain", position.chain.to_string())
            .with("annals.hash", format!("{leaf_hash:?}"))
            .with("annals.kind", "event")
            .with("annals.previous", format!("{:?}", LeafHash(random())))
            .with("annals.received", "2026-11-24T12:00:00.001Z")
            .with("annals.retention", "general")
            .with("annals.seal", format!("0.{leaf_hash:?}"))
            .with("annals.sequence", position.sequence.0)
            .0;
        SealedEvent { position, leaf_hash: Some(leaf_hash), document: write(&document).into() }
    }
}

/// Events that are hard to file: odd and long texts, several references, times before 1970, a stub.
pub(crate) fn odd_events(chain: ChainId) -> Vec<SealedEvent> {
    let long = "x".repeat(1_025);
    let words: String = (0..2_000).map(|n| format!("w{} ", n % 1_500)).collect();
    let reference =
        |rel: &str, id: &str| json!({"id": id, "rel": rel, "type": "alert", "type_id": "t", "space_agnostic": true});
    let plain =
        draft().with("kibana.space_ids", json!(["default", "sales"])).about("alert", "a").with("event.id", "id");
    let mut events: Vec<_> = [
        plain.clone(),
        draft()
            .with("message", "a\0b \u{1} \u{1F980} it's \"q\" a_b")
            .with("user.name", "\0")
            .with("labels", json!({"a\0": "\0"})),
        draft().with("message", long.as_str()).with("event.action", long.as_str()).about(&long, &long),
        draft().with("message", words),
        draft().with("message", " .,; "),
        draft()
            .referring(reference("primary", "a"))
            .referring(reference("primary", "a"))
            .referring(reference("other", "")),
        draft()
            .about("alert", "a")
            .referring(json!({"id": "a", "rel": "primary", "type": "alert", "namespace": "sales"}))
            .with("kibana.space_ids", json!(["", "*", "a,b"])),
        draft()
            .at("1969-12-31T23:59:59.998000001Z")
            .with("event.start", "0000-01-01T00:00:00.000Z")
            .with("event.end", "9999-12-31T23:59:59.999Z")
            .with("event.duration", "-9223372036854775808"),
        draft()
            .with("event.risk_score", 0.1)
            .with("tags", json!(["b", "a", ""]))
            .with("source.ip", "::ffff:10.0.0.1")
            .with("log.level", "info")
            .with("user.id", "u")
            .with("event.outcome", "success"),
        plain,
    ]
    .into_iter()
    .zip(0..)
    .map(|(draft, at)| draft.sealed(position(chain, at)))
    .collect();
    events.push(stub_of(&draft().with("message", "of a stub").sealed(position(chain, 10))));
    events.push(draft().unsealed(position(chain, 11)));
    events
}

/// Everything that is filed wrongly in a store, read in parts of about so many bytes, and how many documents it has;
/// `None` if it has nothing to compare.
pub(crate) async fn misfiled(store: &dyn EventIndex, bytes: usize) -> Option<(u64, Vec<Misfiled>)> {
    let (mut documents, mut found, mut from) = (0, Vec::new(), None);
    loop {
        let part = store.misfiled(from, bytes).await.expect("the store compares")?;
        documents += part.documents;
        found.extend(part.misfiled);
        match part.next {
            Some(next) => from = Some(next),
            None => return Some((documents, found)),
        }
    }
}

/// The stub of an event that a store refused.
pub(crate) fn stub_of(event: &SealedEvent) -> SealedEvent {
    let stub = json!({
        "annals": {
            "chain": event.position.chain.to_string(),
            "content": String::from_utf8_lossy(&event.document),
            "hash": "0".repeat(43),
            "kind": "stub",
            "previous": "0".repeat(43),
            "received": "2026-11-24T12:00:00.001Z",
            "retention": "general",
            "seal": seal_of(&event.document),
            "sequence": event.position.sequence.0,
        },
    });
    SealedEvent { document: Bytes::from(stub.to_string()), ..event.clone() }
}

/// A query under construction: the first ten events about an object, by time.
#[derive(Clone, Debug)]
pub(crate) struct QueryBuilder(Query);

pub(crate) fn about(object_type: &str, id: &str) -> QueryBuilder {
    about_any(object_type, vec![id.to_owned()])
}

pub(crate) fn about_any(object_type: &str, ids: Vec<String>) -> QueryBuilder {
    QueryBuilder(Query {
        scope: Scope::Objects(ObjectScope { space: None, object_type: object_type.to_owned(), ids }),
        start: None,
        end: None,
        filter: Filter::EVERYTHING,
        sort: vec![by(&TIMESTAMP, Order::Ascending)],
        after: None,
        offset: 0,
        limit: 10,
        bytes: usize::MAX,
    })
}

pub(crate) fn by(field: &'static Field, order: Order) -> Sort {
    Sort::by(field, order).expect("the field can be sorted by")
}

/// The first ten of all events in these spaces.
pub(crate) fn visible_in(spaces: &[&str]) -> QueryBuilder {
    let spaces = spaces.iter().map(|space| Space::parse(space).expect("a space's name")).collect();
    let QueryBuilder(query) = about_any("", Vec::new());
    QueryBuilder(Query { scope: Scope::Visible(Visible::Spaces(spaces)), ..query })
}

pub(crate) fn visible_everywhere() -> QueryBuilder {
    let QueryBuilder(query) = about_any("", Vec::new());
    QueryBuilder(Query { scope: Scope::Visible(Visible::Everything), ..query })
}

impl QueryBuilder {
    pub(crate) fn after(mut self, document: &Value) -> Self {
        let place = Place::of(document, &self.0.sort).expect("stored documents have a place");
        self.0.after = Some(PageEnd::Event(place));
        self
    }

    pub(crate) fn in_space(mut self, space: &str) -> Self {
        if let Scope::Objects(objects) = &mut self.0.scope {
            objects.space = Space::parse(space).expect("a space's name");
        }
        self
    }

    pub(crate) fn from(mut self, start: &str) -> Self {
        self.0.start = Some(millis(start));
        self
    }

    pub(crate) fn to(mut self, end: &str) -> Self {
        self.0.end = Some(millis(end));
        self
    }

    pub(crate) fn by(mut self, keys: &[(&'static Field, Order)]) -> Self {
        self.0.sort = keys.iter().map(|&(field, order)| by(field, order)).collect();
        self
    }

    pub(crate) fn sorted(mut self, sort: Vec<Sort>) -> Self {
        self.0.sort = sort;
        self
    }

    pub(crate) fn with(mut self, filter: Filter) -> Self {
        self.0.filter = filter;
        self
    }

    pub(crate) fn page(mut self, offset: u64, limit: u64) -> Self {
        (self.0.offset, self.0.limit) = (offset, limit);
        self
    }

    pub(crate) fn max_bytes(mut self, bytes: usize) -> Self {
        self.0.bytes = bytes;
        self
    }

    pub(crate) fn build(self) -> ScopedQuery {
        ScopedQuery::new(self.0)
    }
}

pub(crate) fn millis(date: &str) -> UnixMillis {
    UnixMillis::parse(date).expect("a date and time")
}
