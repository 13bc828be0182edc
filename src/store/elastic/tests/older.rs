//! Fields that the index of an older Annals does not map.

use serde_json::{Value, json};

use super::{
    engines::{on_each_engine, query},
    event_with, fresh_chain,
};
use crate::{
    event::Stream,
    query::{
        Aggregate, Aggregation, Bucket, Interval, Key, Order, PageEnd, Query, ScopedQuery, Sort, Statistics, Subject,
        kql,
    },
    schema::{self, Field},
    store::{EventIndex, elastic::names},
    time::Clock,
};

fn field(path: &str) -> &'static Field {
    schema::field(path).unwrap()
}

fn sequence(document: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(document).unwrap()["annals"]["sequence"].as_u64().unwrap()
}

#[tokio::test]
async fn an_index_of_an_older_annals_answers_as_if_no_event_had_its_missing_fields() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let alias = store.names.alias(&Stream::general()).unwrap();
        let path = format!("_index_template/{}", names::template(&alias));
        let template = store.get(&path).await["index_templates"][0]["index_template"]["template"].clone();
        let mut mappings = template["mappings"].clone();
        mappings["_meta"]["version"] = "0.0.1".into();
        let known = mappings["properties"].as_object_mut().unwrap();
        known.retain(|name, _| ["@timestamp", "annals", "event", "kibana", "message"].contains(&name.as_str()));
        known["kibana"]["properties"].as_object_mut().unwrap().retain(|name, _| name != "alert");
        known["message"]["fields"]["keyword"]["ignore_above"] = 1_024.into();
        let older = format!("{alias}-000007");
        // Its template would add the fields.
        store.delete(&path).await;
        store.put(&older, json!({"mappings": mappings, "settings": {"index": {"number_of_shards": 1}}})).await;
        assert_eq!(store.set_up().await, target);

        let chain = fresh_chain();
        let long = format!("{} tail", "x".repeat(2_000));
        let first = event_with(chain, 0, "0.s", json!({"message": long}));
        let document: Value = serde_json::from_slice(&first.document).unwrap();
        store.post(&format!("{older}/_doc/{}?refresh=true", first.position), document).await;
        let more = json!({
            "message": long,
            "host": {"name": "h", "ip": ["10.0.0.1"], "uptime": 5, "geo": {"location": {"lat": 1, "lon": 2}}},
            "entity": {"raw": {"a": "x"}},
            "process": {"start": "2026-11-24T12:00:00.000Z", "interactive": true},
            "kibana": {"alert": {"rule": {"gap": {"range": {"gte": "2026-11-24T12:00:00.000Z", "lte": "2026-11-24T13:00:00.000Z"}}}}},
            "threat": {"enrichments": [{"indicator": {"ip": "10.0.0.1", "file": {"attributes": ["x"]}}}]},
            "vulnerability": {"score": {"base": 0.5}},
            "user": {"name": "Ada"}, "error": {"stack_trace": "at x"}, "labels": {"n": "x"},
        });
        let second = event_with(chain, 1, "0.s", more);
        store.stored(&target, std::slice::from_ref(&second)).await;
        assert_eq!(store.all().await.total, 2);

        let now = crate::time::SystemClock.now();
        for text in [
            "host.name:h",
            "host.name:h*",
            "host.name > a",
            "host.ip:10.0.0.0/8",
            "host.uptime >= 5",
            "host.geo.location:*",
            "entity.raw:x",
            "process.start:2026",
            "process.interactive:true",
            "kibana.alert.rule.gap.range:2026-11-24",
            "threat.enrichments:{ indicator.ip:10.0.0.1 and indicator.file.attributes:x }",
            "vulnerability.score.base < 1",
            "user.name.text:ada",
            "error.stack_trace:\"at x\"",
            "labels.n:x",
            "labels.*:x",
            "message.keyword:*tail",
        ] {
            for (filter, expected) in [(text.to_owned(), 1), (format!("not {text}"), 0)] {
                let question = Query { filter: kql::parse(&filter, now).unwrap(), ..query() };
                let found = store.find(&ScopedQuery::new(question)).await.unwrap().documents;
                assert_eq!(found.len(), 1, "{filter}");
                assert_eq!(sequence(&found[0]), expected, "{filter}");
            }
        }
        for path in [
            "host.name",
            "host.uptime",
            "process.start",
            "process.interactive",
            "vulnerability.score.base",
            "message",
            "labels.n",
        ] {
            for order in [Order::Ascending, Order::Descending] {
                let question = Query { sort: vec![Sort::by(Subject::at(path).unwrap(), order).unwrap()], ..query() };
                let found = store.find(&ScopedQuery::new(question)).await.unwrap().documents;
                let places: Vec<_> = found.iter().map(|document| sequence(document)).collect();
                assert_eq!(places, [1, 0], "{path} {order:?}");
            }
        }
        // The long message is a value in one of the two indices only; pages end all the same.
        for (path, order) in ["message", "labels.n"].into_iter().flat_map(|path| [(path, Order::Ascending), (path, Order::Descending)]) {
            let (mut after, mut places) = (None, Vec::new());
            while places.len() < 4 {
                let sort = vec![Sort::by(Subject::at(path).unwrap(), order).unwrap()];
                let question = Query { sort, after: after.take(), limit: 1, ..query() };
                let page = store.find(&ScopedQuery::new(question)).await.unwrap();
                let Some(document) = page.documents.first() else { break };
                places.push(sequence(document));
                after = page.end.map(PageEnd::Document);
            }
            assert_eq!(places, [1, 0], "{path} {order:?}");
        }
        let ask = async |aggregation: Aggregation| store.aggregate(&ScopedQuery::new(query()), &aggregation).await.unwrap();
        for (path, value) in [
            ("host.name", Key::Text("h".to_owned())),
            ("host.ip", Key::Text("10.0.0.1".to_owned())),
            ("host.uptime", Key::Integer(5)),
            ("process.interactive", Key::Integer(1)),
            ("threat.enrichments.indicator.ip", Key::Text("10.0.0.1".to_owned())),
            ("threat.enrichments.indicator.file.attributes", Key::Text("x".to_owned())),
            ("labels.n", Key::Text("x".to_owned())),
        ] {
            let counted = ask(Aggregation::Terms { subject: Subject::at(path).unwrap(), limit: 10 }).await;
            let buckets = vec![Bucket { value, events: 1 }];
            assert_eq!(counted, Aggregate::Terms { buckets, distinct: 1, without: 1 }, "{path}");
        }
        let statistics = ask(Aggregation::Statistics { field: field("host.uptime") }).await;
        let expected = Statistics { values: 1, min: Some(5.0), max: Some(5.0), sum: 5.0 };
        assert_eq!(statistics, Aggregate::Statistics(expected));
        let interval = Interval::Millis(3_600_000);
        let spans = ask(Aggregation::Histogram { field: field("process.start"), interval }).await;
        assert!(matches!(spans, Aggregate::Histogram(spans) if spans.len() == 1 && spans[0].1 == 1));
    })
    .await;
}
