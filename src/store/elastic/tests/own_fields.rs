//! The operator's own fields on real engines.

use serde_json::{Value, json};

use super::{
    engines::{on_each_engine, query},
    event_with, fresh_chain,
};
use crate::{
    event::Stream,
    query::{Query, ScopedQuery, filter::Filter},
    schema::{self, Field},
    store::{
        EventIndex, EventSink, SinkError,
        elastic::{ElasticStore, names, own_fields::OwnFields},
    },
};

/// Returns a field of this path that is otherwise like an existing one.
fn field(path: &'static str, like: &str) -> &'static Field {
    Box::leak(Box::new(Field { path, ..schema::field(like).unwrap().clone() }))
}

/// Opens another writer's store, whose operator has these fields.
fn with(store: &ElasticStore, fields: Vec<&'static Field>) -> ElasticStore {
    ElasticStore { own: OwnFields::of(fields), ..store.again() }
}

fn template_path(store: &ElasticStore) -> String {
    format!("_index_template/{}", names::template(&store.names.alias(&Stream::general()).unwrap()))
}

async fn template(store: &ElasticStore) -> Value {
    store.get(&template_path(store)).await["index_templates"][0]["index_template"]["template"].clone()
}

/// Returns the properties of `acme` in the mapping of an index.
async fn mapped(store: &ElasticStore, index: &str) -> Value {
    store.get(&format!("{index}/_mapping")).await[index]["mappings"]["properties"]["acme"]["properties"].clone()
}

async fn fails(store: &ElasticStore) -> String {
    match store.setup(&[Stream::general()]).await {
        Err(SinkError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn own_fields_are_added_to_what_is_there_and_nothing_else_changes() {
    on_each_engine(async |store| {
        let first = store.set_up().await;
        let mut changed = store.get(&template_path(store)).await["index_templates"][0]["index_template"].take();
        changed["template"]["settings"]["index"]["refresh_interval"] = json!("7s");
        changed.as_object_mut().unwrap().retain(|key, _| !key.ends_with("_date") && !key.ends_with("_date_millis"));
        store.put(&template_path(store), changed).await;
        assert!(mapped(store, &first.0).await.is_null());

        let (ticket, count) = (field("acme.ticket", "host.name"), field("acme.count", "host.uptime"));
        let writer = with(store, vec![ticket]);
        assert_eq!(writer.set_up().await, first, "the index stays");
        let of_ticket = json!({"type": "keyword", "ignore_above": 1024});
        assert_eq!(mapped(store, &first.0).await, json!({"ticket": of_ticket}));
        let found = template(store).await;
        assert_eq!(found["mappings"]["properties"]["acme"]["properties"], json!({"ticket": of_ticket}));
        assert_eq!(found["settings"]["index"]["refresh_interval"], "7s", "the operator's change is kept");

        // Another writer has another field, and a third one none.
        with(store, vec![count]).set_up().await;
        store.again().set_up().await;
        let both = json!({"ticket": of_ticket, "count": {"type": "long"}});
        assert_eq!(mapped(store, &first.0).await, both);
        assert_eq!(template(store).await["mappings"]["properties"]["acme"]["properties"], both);
        store.roll_over().await;
        let second = writer.target(&Stream::general()).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(mapped(store, &second.0).await, both, "an index that the engine made itself has them");

        let event = event_with(fresh_chain(), 0, "0.s", json!({"acme": {"ticket": "T-1"}}));
        writer.stored(&second, std::slice::from_ref(&event)).await;
        let body = json!({"query": {"term": {"acme.ticket": "T-1"}}});
        store.refresh().await.unwrap();
        let found = store.post(&format!("{}/_search", second.0), body).await;
        assert_eq!(found["hits"]["total"]["value"], 1);
        let page = store.find(&ScopedQuery::new(Query { filter: Filter::EVERYTHING, ..query() })).await.unwrap();
        assert_eq!(page.documents, [event.document]);
    })
    .await;
}

#[tokio::test]
async fn the_template_that_is_created_has_them_and_one_that_lost_them_gets_them_back() {
    on_each_engine(async |store| {
        let writer = with(store, vec![field("acme.ticket", "host.name")]);
        let first = writer.set_up().await;
        assert!(mapped(store, &first.0).await.get("ticket").is_some());
        store.delete(&template_path(store)).await;
        store.again().set_up().await;
        assert!(template(store).await["mappings"]["properties"].get("acme").is_none());
        store.roll_over().await;
        let second = writer.target(&Stream::general()).await.unwrap();
        assert!(second != first && mapped(store, &second.0).await.get("ticket").is_some());
        writer.set_up().await;
        assert!(template(store).await["mappings"]["properties"].get("acme").is_some());
    })
    .await;
}

#[tokio::test]
async fn a_field_that_is_mapped_in_another_way_is_named_and_nothing_is_changed() {
    on_each_engine(async |store| {
        let target = with(store, vec![field("acme.ticket", "host.name")]).set_up().await;
        let other = with(store, vec![field("acme.ticket", "host.uptime")]);
        let before = (template(store).await, mapped(store, &target.0).await);
        let name = names::template(&store.names.alias(&Stream::general()).unwrap());
        let found = fails(&other).await;
        let expected =
            format!("events.fields_file: acme.ticket: expected the mapping {{\"type\":\"long\"}} in the index template {name}, found ");
        assert!(found.starts_with(&expected), "{found}");
        store.delete(&template_path(store)).await;
        let found = fails(&other).await;
        assert!(found.contains(&format!("in the index {}, found ", target.0)), "{found}");
        store.delete(&template_path(store)).await;
        with(store, vec![field("acme.ticket", "host.name")]).set_up().await;
        assert_eq!((template(store).await, mapped(store, &target.0).await), before);
    })
    .await;
}
