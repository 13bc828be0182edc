//! Tests of the store on real engines.
//!
//! They run if `ANNALS_TEST_ELASTICSEARCH` and `ANNALS_TEST_OPENSEARCH` hold addresses, separated by commas.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{config, event, event_with, events, fresh_chain};
use crate::{
    event::{ChainHead, ChainPosition, SealedEvent, Sequence, Space, Stream, UnixMillis},
    integrity::seal_of,
    query::{ObjectScope, Order, Query, Scope, ScopedQuery, Sort, filter::Filter},
    schema::{Field, Kind, LONGEST_TEXT, LONGEST_VALUE, Search, SetBy},
    store::{
        EventIndex, EventSink, IndexError, Outcome, Page, SinkError, Target,
        elastic::{ElasticStore, flavor::Lifecycle, lifecycle::Policy, names},
        testing::engine,
    },
};

/// Runs a case against each engine, with a store under unique names, and removes the resources it created.
pub(crate) async fn on_each_engine(case: impl AsyncFn(&ElasticStore)) {
    for variable in ["ANNALS_TEST_ELASTICSEARCH", "ANNALS_TEST_OPENSEARCH"] {
        let Some(urls) = engine(variable) else { continue };
        let urls: Vec<&str> = urls.split(',').collect();
        let store = ElasticStore::new(&config(&urls)).unwrap();
        let result = AssertUnwindSafe(case(&store)).catch_unwind().await;
        store.remove().await;
        if let Err(panic) = result {
            eprintln!("failed on the engine of {variable}");
            resume_unwind(panic);
        }
    }
}

impl ElasticStore {
    /// Opens another writer's store, on the same engine with the same names.
    pub(super) fn again(&self) -> Self {
        self.again_within(self.client.request_timeout())
    }

    /// Opens the same store with another limit on the time of requests.
    pub(super) fn again_within(&self, request_timeout: Duration) -> Self {
        let urls: Vec<&str> = self.client.urls().collect();
        let config = super::ElasticConfig { index_prefix: self.prefix(), request_timeout, ..config(&urls) };
        Self::new(&config).unwrap()
    }

    pub(super) fn prefix(&self) -> String {
        self.names.pattern().trim_end_matches("-event-log-*").to_owned()
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.client.get(path).await.unwrap().json().unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.post(path, body).await.unwrap().json().unwrap()
    }

    pub(super) async fn put(&self, path: &str, body: Value) {
        self.client.put(path, body.to_string()).await.unwrap().accepted().unwrap();
    }

    pub(super) async fn delete(&self, path: &str) {
        self.client.delete(path).await.unwrap().accepted().unwrap();
    }

    async fn indices(&self) -> Vec<String> {
        let pattern = self.names.pattern();
        let found = self.get(&format!("{pattern}?expand_wildcards=all&filter_path=*.settings.index.uuid")).await;
        found.as_object().unwrap().keys().cloned().collect()
    }

    pub(super) async fn remove(&self) {
        for index in self.indices().await {
            self.delete(&index).await;
        }
        let path = format!("_index_template/{}-*?filter_path=index_templates.name", self.prefix());
        // If there are none, the answer is 404.
        let templates: Value = self.client.get(&path).await.unwrap().json().unwrap_or_default();
        for template in templates["index_templates"].as_array().into_iter().flatten() {
            self.delete(&format!("_index_template/{}", template["name"].as_str().unwrap())).await;
        }
        if self.flavor().await.unwrap().lifecycle == Lifecycle::Ilm {
            self.delete(&format!("_ilm/policy/{}", self.names.policy())).await;
        }
    }

    pub(crate) async fn set_up(&self) -> Target {
        self.setup(&[Stream::general()]).await.unwrap();
        self.target(&Stream::general()).await.unwrap()
    }

    pub(crate) async fn stored(&self, target: &Target, events: &[SealedEvent]) {
        assert_eq!(self.append(target, events).await.unwrap(), vec![Outcome::Stored; events.len()]);
    }

    /// Rolls the stream's alias over, as ILM does.
    pub(crate) async fn roll_over(&self) {
        self.post(&format!("{}/_rollover", self.names.alias(&Stream::general()).unwrap()), json!({})).await;
    }

    /// Finds all events about the object that tests log about.
    pub(super) async fn all(&self) -> Page {
        self.refresh().await.unwrap();
        self.find(&ScopedQuery::new(query())).await.unwrap()
    }
}

pub(super) fn query() -> Query {
    query_in(None)
}

fn query_in(space: Option<Space>) -> Query {
    let objects = ObjectScope { space, object_type: "alert".to_owned(), ids: vec!["a".to_owned()] };
    let scope = Scope::Objects(objects);
    Query {
        scope,
        start: None,
        end: None,
        filter: Filter::EVERYTHING,
        sort: vec![],
        after: None,
        offset: 0,
        limit: 100,
        bytes: usize::MAX,
    }
}

fn documents(events: &[SealedEvent]) -> Vec<bytes::Bytes> {
    events.iter().map(|event| event.document.clone()).collect()
}

#[tokio::test]
async fn writers_that_start_together_share_one_index() {
    on_each_engine(async |store| {
        let general = [Stream::general()];
        let writers: Vec<_> = (0..4).map(|_| store.again()).collect();
        join_all(writers.iter().map(|writer| writer.setup(&general))).await.into_iter().for_each(Result::unwrap);
        store.setup(&general).await.unwrap();
        let expected = format!("{}-000001", store.names.alias(&general[0]).unwrap());
        assert_eq!(store.indices().await, std::slice::from_ref(&expected));
        for writer in &writers {
            assert_eq!(writer.target(&general[0]).await.unwrap().0, expected);
        }
        let settings = store.get(&format!("{expected}/_settings?flat_settings=true")).await;
        let settings = &settings[&expected]["settings"];
        assert_eq!(settings["index.hidden"], "true");
        if store.flavor().await.unwrap().lifecycle == Lifecycle::Ilm {
            assert_eq!(settings["index.lifecycle.name"], store.names.policy());
            assert_eq!(settings["index.lifecycle.rollover_alias"], store.names.alias(&general[0]).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn a_changed_policy_and_a_changed_template_are_kept() {
    on_each_engine(async |store| {
        store.set_up().await;
        let path = format!("_index_template/{}", names::template(&store.names.alias(&Stream::general()).unwrap()));
        let mut template = store.get(&path).await["index_templates"][0]["index_template"].take();
        template["template"]["settings"]["index"]["number_of_shards"] = json!("2");
        template.as_object_mut().unwrap().retain(|key, _| !key.ends_with("_date") && !key.ends_with("_date_millis"));
        store.put(&path, template).await;
        store.again().set_up().await;
        let template = store.get(&path).await["index_templates"][0]["index_template"].take();
        assert_eq!(template["template"]["settings"]["index"]["number_of_shards"], "2");
    })
    .await;
}

#[tokio::test]
async fn streams_with_a_common_prefix_are_separate() {
    on_each_engine(async |store| {
        let streams: Vec<Stream> = ["general", "general-long"].map(|name| name.parse().unwrap()).into();
        store.setup(&streams).await.unwrap();
        store.setup(&streams).await.unwrap();
        for stream in &streams {
            let expected = format!("{}-000001", store.names.alias(stream).unwrap());
            assert_eq!(store.target(stream).await.unwrap().0, expected);
        }
        assert_eq!(store.indices().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_event_is_stored_once_and_another_at_its_position_is_a_conflict() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        let batch = events(chain, 0..3);
        store.stored(&target, &batch[..2]).await;
        let other = event_with(chain, 1, "0.other", json!({}));
        let outcomes = store.append(&target, &[batch[0].clone(), other, batch[2].clone()]).await.unwrap();
        let found_seal = "0.seal-1".to_owned();
        assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Conflict { found_seal }, Outcome::Stored]);
        assert_eq!(store.all().await.documents, documents(&batch));
    })
    .await;
}

#[tokio::test]
async fn an_append_that_is_repeated_after_a_rollover_finds_the_first() {
    on_each_engine(async |store| {
        let before = store.set_up().await;
        let chain = fresh_chain();
        let batch = events(chain, 0..4);
        store.stored(&before, &batch[..3]).await;
        store.roll_over().await;
        let after = store.target(&Stream::general()).await.unwrap();
        assert_ne!(before, after);
        let outcomes = store.append(&before, &batch).await.unwrap();
        assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Duplicate, Outcome::Duplicate, Outcome::Stored]);
        store.stored(&after, &events(chain, 4..6)).await;
        let page = store.all().await;
        assert_eq!((page.total, page.documents), (6, documents(&events(chain, 0..6))));
        let seal = Some("0.seal-5".to_owned());
        let position = ChainPosition { chain, sequence: Sequence(5) };
        assert_eq!(store.head(chain).await.unwrap(), Some(ChainHead { position, seal }));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_index_is_lost_and_never_comes_back_by_itself() {
    on_each_engine(async |store| {
        let lost = store.set_up().await;
        let batch = events(fresh_chain(), 0..2);
        store.roll_over().await;
        store.delete(&lost.0).await;
        assert!(matches!(store.append(&lost, &batch).await.unwrap_err(), SinkError::TargetLost { .. }));
        assert!(matches!(store.replace(&lost, &batch[0]).await.unwrap_err(), SinkError::TargetLost { .. }));
        assert!(!store.indices().await.contains(&lost.0));
        let next = store.target(&Stream::general()).await.unwrap();
        store.stored(&next, &batch).await;
        assert_eq!(store.all().await.total, 2);
    })
    .await;
}

#[tokio::test]
async fn a_stream_whose_write_index_was_deleted_gets_another() {
    on_each_engine(async |store| {
        let first = store.set_up().await;
        store.roll_over().await;
        let second = store.target(&Stream::general()).await.unwrap();
        store.delete(&second.0).await;
        store.setup(&[Stream::general()]).await.unwrap();
        let target = store.target(&Stream::general()).await.unwrap();
        assert_ne!(target, first, "what was rolled over is not written to again");
        store.stored(&target, &events(fresh_chain(), 0..1)).await;
        store.delete(&first.0).await;
        store.delete(&target.0).await;
        let target = store.target(&Stream::general()).await.unwrap();
        store.stored(&target, &events(fresh_chain(), 0..1)).await;
    })
    .await;
}

async fn block(store: &ElasticStore, target: &Target, block: &str, value: Value) {
    store.put(&format!("{}/_settings", target.0), json!({block: value})).await;
}

#[tokio::test]
async fn a_blocked_index_is_waited_for() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let batch = events(fresh_chain(), 0..2);
        for blocked in ["index.blocks.read_only_allow_delete", "index.blocks.write", "index.blocks.read_only"] {
            block(store, &target, blocked, json!(true)).await;
            let error = store.append(&target, &batch).await.unwrap_err();
            assert!(matches!(error, SinkError::Blocked { .. }), "{blocked}: {error:?}");
            assert_eq!(store.target(&Stream::general()).await.unwrap(), target);
            block(store, &target, blocked, Value::Null).await;
        }
        store.stored(&target, &batch).await;
    })
    .await;
}

#[tokio::test]
async fn a_closed_index_is_waited_for() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let batch = events(fresh_chain(), 0..2);
        store.post(&format!("{}/_close", target.0), Value::Null).await;
        assert!(matches!(store.append(&target, &batch).await.unwrap_err(), SinkError::Blocked { .. }));
        store.roll_over().await;
        assert!(matches!(store.append(&target, &batch).await.unwrap_err(), SinkError::Blocked { .. }));
        store.post(&format!("{}/_open?wait_for_active_shards=1", target.0), Value::Null).await;
        store.stored(&target, &batch).await;
    })
    .await;
}

#[tokio::test]
async fn events_stored_before_an_index_was_permanently_blocked_are_found_there() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let batch = events(fresh_chain(), 0..3);
        store.stored(&target, &batch[..2]).await;
        store.roll_over().await;
        block(store, &target, "index.blocks.write", json!(true)).await;
        let outcomes = store.append(&target, &batch).await.unwrap();
        assert!(
            matches!(&outcomes[..], [Outcome::Duplicate, Outcome::Duplicate, Outcome::Retry { .. }]),
            "{outcomes:?}"
        );
        let error = store.append(&target, &batch[2..]).await.unwrap_err();
        assert!(matches!(&error, SinkError::Blocked { reason } if reason.contains(&target.0)), "{error:?}");
        block(store, &target, "index.blocks.write", Value::Null).await;
        store.stored(&target, &batch[2..]).await;
        assert_eq!(store.all().await.total, 3);
    })
    .await;
}

#[tokio::test]
async fn an_index_that_was_made_without_the_template_gets_no_events() {
    on_each_engine(async |store| {
        let first = store.set_up().await;
        let chain = fresh_chain();
        store.stored(&first, &events(chain, 0..1)).await;
        let template = names::template(&store.names.alias(&Stream::general()).unwrap());
        store.delete(&format!("_index_template/{template}")).await;
        store.roll_over().await;
        let target = store.target(&Stream::general()).await.unwrap();
        assert_eq!(target.0, format!("{}-000003", store.names.alias(&Stream::general()).unwrap()));
        store.get(&format!("_index_template/{template}")).await;
        store.stored(&target, &events(chain, 1..2)).await;
        assert_eq!(store.all().await.total, 2, "the bad index hinders no query");
        assert_eq!(store.target(&Stream::general()).await.unwrap(), target);
    })
    .await;
}

#[tokio::test]
async fn an_index_of_an_older_annals_is_rolled_over() {
    on_each_engine(async |store| {
        let first = store.set_up().await;
        let mark = json!({"_meta": {"managed_by": "annals", "version": "0.0.1", "hash": "of another"}});
        store.put(&format!("{}/_mapping", first.0), mark).await;
        let second = store.target(&Stream::general()).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(store.target(&Stream::general()).await.unwrap(), second);
    })
    .await;
}

#[tokio::test]
async fn a_template_that_overrides_ours_is_an_error_and_makes_no_indices() {
    on_each_engine(async |store| {
        let other = format!("_index_template/{}-other", store.prefix());
        let template = json!({"index_patterns": [store.names.pattern()], "priority": 9_000, "template": {}});
        store.put(&other, template).await;
        for _ in 0..2 {
            let error = store.setup(&[Stream::general()]).await.unwrap_err();
            assert!(matches!(&error, SinkError::Refused { reason } if reason.contains("another one comes first")));
        }
        assert!(store.indices().await.is_empty());
        store.delete(&other).await;
        store.set_up().await;
    })
    .await;
}

#[tokio::test]
async fn a_range_of_a_chain_includes_documents_of_others() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        let batch = events(chain, 0..3);
        store.stored(&target, &batch).await;
        let foreign = json!({"annals": {"chain": chain.to_string(), "sequence": 1}, "message": "forged"});
        store.put(&format!("{}/_doc/forged?refresh=true", target.0), foreign.clone()).await;
        store.refresh().await.unwrap();
        let read = store.at_positions(chain, Sequence(0)..=Sequence(9), 1 << 20).await.unwrap();
        let sequences: Vec<_> = read.iter().map(|document| document.sequence.0).collect();
        assert_eq!(sequences, [0, 1, 1, 2]);
        let forged = read.iter().find(|document| document.id.as_deref() == Some("forged")).unwrap();
        assert_eq!(
            (forged.sequence, serde_json::from_slice::<Value>(&forged.document).unwrap()),
            (Sequence(1), foreign)
        );
        let own = read.iter().filter(|document| document.id.as_deref() != Some("forged"));
        assert!(own.map(|document| &document.document).eq(batch.iter().map(|event| &event.document)));
    })
    .await;
}

#[tokio::test]
async fn a_position_that_many_large_documents_claim_is_read_as_a_whole() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        store.stored(&target, &events(chain, 0..3)).await;
        let message = "x ".repeat(1 << 20);
        for number in 0..3 {
            let foreign = json!({"annals": {"chain": chain.to_string(), "sequence": 1}, "message": message});
            store.put(&format!("{}/_doc/forged-{number}", target.0), foreign).await;
        }
        store.refresh().await.unwrap();
        let asked = store.at_positions(chain, Sequence(1)..=Sequence(9), 1);
        let read = timeout(Duration::from_secs(60), asked).await.unwrap().unwrap();
        let sequences: Vec<_> = read.iter().map(|document| document.sequence.0).collect();
        assert_eq!(sequences, [1, 1, 1, 1]);
    })
    .await;
}

#[tokio::test]
async fn an_index_in_the_place_of_the_alias_is_an_error() {
    on_each_engine(async |store| {
        let alias = store.names.alias(&Stream::general()).unwrap();
        store.put(&alias, json!({"settings": {"index": {"hidden": true}}})).await;
        let error = store.setup(&[Stream::general()]).await.unwrap_err();
        let expected = format!("{alias} is an index, but has to be an alias");
        assert!(matches!(&error, SinkError::Refused { reason } if reason.starts_with(&expected)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_private_alias_that_was_taken_away_is_given_back() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let batch = events(fresh_chain(), 0..1);
        store.delete(&format!("{}/_alias/{}", target.0, names::writer(&target.0))).await;
        assert!(matches!(store.append(&target, &batch).await.unwrap_err(), SinkError::Unavailable { .. }));
        store.stored(&target, &batch).await;
    })
    .await;
}

#[tokio::test]
async fn a_document_that_the_engine_refuses_does_not_hold_up_the_others() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.put(&format!("{}/_settings", target.0), json!({"index.mapping.nested_objects.limit": 1})).await;
        let chain = fresh_chain();
        let reference = json!({"id": "a", "rel": "primary", "type": "alert"});
        let two = event_with(chain, 1, "0.s", json!({"kibana": {"saved_objects": [reference, reference]}}));
        let undated = event_with(chain, 2, "0.s", json!({"@timestamp": "soon"}));
        let outcomes = store.append(&target, &[event(chain, 0), two, undated, event(chain, 3)]).await.unwrap();
        let [
            Outcome::Stored,
            Outcome::Rejected { reason: nested },
            Outcome::Rejected { reason: date },
            Outcome::Stored,
        ] = &outcomes[..]
        else {
            panic!("{outcomes:?}");
        };
        assert!(nested.contains("nested") && date.contains("@timestamp"), "{outcomes:?}");
    })
    .await;
}

/// Builds the stub that the writer would for an event that a store refused.
fn stub_of(event: &SealedEvent) -> SealedEvent {
    let content = String::from_utf8(event.document.to_vec()).unwrap();
    let Sequence(sequence) = event.position.sequence;
    let chain = event.position.chain.to_string();
    let seal = seal_of(&event.document);
    let stub =
        json!({"annals": {"chain": chain, "content": content, "kind": "stub", "seal": seal, "sequence": sequence}});
    SealedEvent { document: stub.to_string().into(), ..event.clone() }
}

#[tokio::test]
async fn only_the_stub_of_an_event_gives_way_to_it() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        let refused = event(chain, 0);
        assert!(matches!(store.replace(&target, &refused).await.unwrap(), Outcome::Rejected { .. }));
        store.stored(&target, &[stub_of(&refused)]).await;
        assert_eq!(store.append(&target, std::slice::from_ref(&refused)).await.unwrap(), [Outcome::Duplicate]);
        let undated = event_with(chain, 0, "0.seal-0", json!({"@timestamp": "soon"}));
        assert!(matches!(store.replace(&target, &undated).await.unwrap(), Outcome::Rejected { .. }));
        assert_eq!(store.all().await.total, 0, "the stub is still there");
        let other = event_with(chain, 0, "0.other", json!({}));
        let found_seal = "0.seal-0".to_owned();
        assert_eq!(store.replace(&target, &other).await.unwrap(), Outcome::Conflict { found_seal: found_seal.clone() });
        store.roll_over().await;
        assert_eq!(store.replace(&target, &refused).await.unwrap(), Outcome::Stored);
        assert_eq!(store.replace(&target, &refused).await.unwrap(), Outcome::Duplicate);
        assert_eq!(store.replace(&target, &other).await.unwrap(), Outcome::Conflict { found_seal });
        assert_eq!(store.all().await.documents, [refused.document]);
    })
    .await;
}

#[tokio::test]
async fn annals_rolls_over_where_the_engine_does_not() {
    on_each_engine(async |store| {
        let first = store.set_up().await;
        store.stored(&first, &events(fresh_chain(), 0..2)).await;
        store.refresh().await.unwrap();
        store.maintain(&[Stream::general()]).await.unwrap();
        assert_eq!(store.target(&Stream::general()).await.unwrap(), first, "it is not due yet");
        let policy = json!({"policy": {"phases": {"hot": {"actions": {"rollover": {"max_docs": 2}}}}}});
        let policy = Policy::read(&policy.to_string()).unwrap();
        let series = store.series(&Stream::general()).await.unwrap();
        let rolled = join_all((0..3).map(|_| series.roll_over_if_due(&policy))).await;
        rolled.into_iter().for_each(Result::unwrap);
        let indices: BTreeSet<_> = store.indices().await.into_iter().collect();
        match store.flavor().await.unwrap().lifecycle {
            Lifecycle::Ilm | Lifecycle::Ism => assert_eq!(indices.len(), 1),
            Lifecycle::Own => {
                assert_eq!(indices.len(), 2, "once, however many writers see to it: {indices:?}");
                assert_ne!(store.target(&Stream::general()).await.unwrap(), first);
            }
        }
    })
    .await;
}

static MESSAGE: Field = field("message", Kind::Text);
static UNMAPPED: Field = field("no.such.field", Kind::Float);

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

#[tokio::test]
async fn what_is_asked_for_is_found_as_it_was_stored() {
    on_each_engine(async |store| {
        let nothing = store.all().await;
        assert_eq!((nothing.total, nothing.documents.len()), (0, 0), "no index at all is no error");
        let target = store.set_up().await;
        let chain = fresh_chain();
        let within = json!({"id": "a", "rel": "primary", "type": "alert", "namespace": "s"});
        let secondary = json!({"id": "a", "type": "alert"});
        let other = json!({"id": "b", "rel": "primary", "type": "alert"});
        let mut batch = vec![
            event_with(chain, 0, "0.s", json!({"message": "b"})),
            event_with(chain, 1, "0.s", json!({"@timestamp": "2026-11-24T12:00:00.001Z"})),
            event_with(chain, 2, "0.s", json!({"kibana": {"saved_objects": [within]}})),
            event_with(chain, 3, "0.s", json!({"kibana": {"saved_objects": [secondary, other]}})),
            event_with(chain, 4, "0.s", json!({"message": "a"})),
        ];
        let odd = String::from_utf8(batch[4].document.to_vec()).unwrap().replace(":\"a\"", " : \"\\u0061\"");
        batch[4].document = format!("{}, \"labels\" : {{\"n\":1.50e1}} }}", odd.strip_suffix('}').unwrap()).into();
        store.stored(&target, &batch).await;
        let check = async |query: Query, expected: &[usize]| {
            let page = store.find(&ScopedQuery::new(query)).await.unwrap();
            let documents: Vec<_> = expected.iter().map(|index| batch[*index].document.clone()).collect();
            assert_eq!(page.documents, documents);
        };
        assert_eq!(store.all().await.total, 3);
        check(query(), &[0, 1, 4]).await;
        check(query_in(Space::parse("s").unwrap()), &[2]).await;
        check(Query { end: Some(UnixMillis(1_795_521_600_000)), ..query() }, &[0, 4]).await;
        check(Query { start: Some(UnixMillis(1_795_521_600_001)), ..query() }, &[1]).await;
        let by = |field, order| vec![Sort::by(field, order).unwrap()];
        check(Query { sort: by(&MESSAGE, Order::Ascending), ..query() }, &[4, 0, 1]).await;
        check(Query { sort: by(&MESSAGE, Order::Descending), ..query() }, &[0, 4, 1]).await;
        check(Query { sort: by(&UNMAPPED, Order::Descending), ..query() }, &[4, 1, 0]).await;
        check(Query { offset: 1, limit: 1, ..query() }, &[1]).await;
        let beyond = store.find(&ScopedQuery::new(Query { offset: 10_000, limit: 1, ..query() })).await.unwrap_err();
        assert!(matches!(beyond, IndexError::Refused { .. }), "{beyond:?}");
    })
    .await;
}
