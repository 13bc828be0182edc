use std::fs;

use serde_json::{Value, json};

use crate::support::{Annals, CommandOutput, Database, Engine, Home, Kind, await_that, engine_variable};

/// One field of each kind that an operator may add.
const ALL: &str = r#"
"acme.amount" = { kind = "float", about = "Amount." }
"acme.big" = { kind = "long64", about = "Large number." }
"acme.body" = { kind = "json", about = "Any JSON." }
"acme.count" = { kind = "long", about = "Count." }
"acme.due" = { kind = "date", about = "Due date." }
"acme.extra" = { kind = "flattened", about = "Any object." }
"acme.from" = { kind = "ip", multi = true, about = "Addresses." }
"acme.note" = { kind = "text", also = "keyword", max_bytes = 40, about = "Note." }
"acme.ok" = { kind = "boolean", about = "Whether it is well." }
"acme.place" = { kind = "geo_point", about = "Place." }
"acme.release" = { kind = "version", about = "Release." }
"acme.span" = { kind = "date_range", about = "Span." }
"acme.stages" = { kind = "keyword", multi = true, about = "Stages." }
"user.desk" = { kind = "keyword", scalar = true, about = "Desk of the user." }
"#;

const TICKET: &str = "\"acme.ticket\" = { kind = \"keyword\", about = \"Ticket that asked for it.\" }\n";

#[test]
fn own_fields_come_stay_and_go_on_sqlite() {
    come_stay_and_go("", None);
}

#[test]
fn own_fields_come_stay_and_go_on_postgres() {
    let Some(url) = engine_variable("ANNALS_TEST_POSTGRES") else { return };
    let database = Database::at(&url);
    let away = Database::at("postgres://annals@127.0.0.1:1/annals");
    come_stay_and_go(&database.store(), Some(&away.store()));
    std::mem::forget(away);
}

#[test]
fn own_fields_come_stay_and_go_on_elasticsearch() {
    on_engine(Kind::Elasticsearch);
}

#[test]
fn own_fields_come_stay_and_go_on_opensearch() {
    on_engine(Kind::Opensearch);
}

fn on_engine(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let [here, away] = [engine.url.as_str(), "http://127.0.0.1:1"].map(|url| Home::engine_store("main", url, &prefix));
    come_stay_and_go(&here, Some(&away));
    let index = prefix.indices().remove(0);
    let mapping = engine.ask("GET", &format!("{index}/_mapping"), "");
    let acme = &mapping[&index]["mappings"]["properties"]["acme"]["properties"];
    assert_eq!(acme.as_object().unwrap().len(), 14, "one index, with all fields: {acme}");
}

/// Sets the operator's fields for the next start.
fn configure(home: &Home, store: &str, fields: &str) {
    let path = home.data().with_file_name("fields.toml");
    fs::write(&path, format!("[custom]\n{fields}")).unwrap();
    home.configure(&format!("[events]\nfields_file = \"{}\"\n{store}", path.display()));
}

fn event(id: &str, more: Value) -> Value {
    let mut event = json!({"event": {"provider": "load", "action": "run", "id": id}, "message": id});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Logs events, and waits until they can be found.
#[track_caller]
fn log(annals: &Annals, events: Value) {
    let answer =
        annals.request("POST", "/api/event_log/events?wait_for=stored").body(events.to_string()).send().unwrap();
    let answer = answer.expect(202).json();
    assert_eq!(answer["stored"], true);
    let items = answer["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["status"] == "accepted"), "{answer}");
}

/// Returns the error of the only event.
#[track_caller]
fn rejected(annals: &Annals, event: &Value) -> String {
    annals.log_events(event).expect(400).text()
}

#[track_caller]
fn find(annals: &Annals, parameters: &str) -> Vec<String> {
    let found = annals.get(&format!("/api/event_log/_find?{parameters}"));
    let ids = found["data"].as_array().unwrap().iter().map(|event| event["event"]["id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[track_caller]
fn find_sorted(annals: &Annals, filter: &str) -> Vec<String> {
    let mut found = find(annals, &format!("filter={filter}"));
    found.sort();
    found
}

fn document(annals: &Annals, id: &str) -> String {
    annals.request("GET", &format!("/api/event_log/events/{id}")).send().unwrap().expect(200).text()
}

#[track_caller]
fn check_stores(home: &Home) {
    let checked = CommandOutput::of(home.command().args(["stores", "check"]));
    assert_eq!((checked.stdout.as_str(), checked.exit), ("", 0), "{}", checked.stderr);
}

fn come_stay_and_go(store: &str, away: Option<&str>) {
    let home = Home::new(store);
    let annals = home.start();
    let with_ticket = event("early", json!({"acme": {"ticket": "T-1"}}));
    assert!(rejected(&annals, &with_ticket).contains("acme"), "unknown as yet");
    log(&annals, event("old", json!({})));
    assert!(annals.stop().success());

    // The existing index gets the first field, and then the others.
    configure(&home, store, TICKET);
    let annals = home.start();
    log(&annals, with_ticket);
    assert_eq!(find(&annals, "filter=acme.ticket:T-1"), ["early"]);
    assert!(annals.stop().success());
    configure(&home, store, &format!("{TICKET}{ALL}"));
    let annals = home.start();
    let full = json!({
        "user": {"name": "Ada", "desk": 7}, "acme.ticket": "T-2",
        "acme": {
            "stages": "a", "span": {"lte": "2026-03-03T00:00:00Z", "gte": "2026-03-02T00:00:00Z"}, "release": "1.10.0",
            "place": [2.5, 48.25], "ok": true, "note": "Some words of a note", "from": ["10.0.0.1", "::1"],
            "extra": {"z": {"y": 5}, "a": "inner"}, "due": "2026-03-02T10:00:00+02:00", "count": 1e1, "body": {"b": 1, "a": null},
            "big": 9_007_199_254_740_993_i64, "amount": 2.50,
        },
    });
    let small =
        json!({"acme": {"count": 9, "big": "-3", "amount": -1, "stages": ["a", "b"], "release": "1.9.0", "ok": false}});
    log(&annals, json!([event("full", full), event("small", small)]));
    let whole = document(&annals, "full");
    let canonical = r#""acme":{"amount":2.5,"big":"9007199254740993","body":"{\"a\":null,\"b\":1}","count":10,"due":"2026-03-02T08:00:00.000Z","extra":{"a":"inner","z":{"y":5}},"from":["10.0.0.1","::1"],"note":"Some words of a note","ok":true,"place":{"lat":48.25,"lon":2.5},"release":"1.10.0","span":{"gte":"2026-03-02T00:00:00.000Z","lte":"2026-03-03T00:00:00.000Z"},"stages":["a"],"ticket":"T-2"},"annals":{"#;
    assert!(whole.contains(canonical), "{whole}");
    assert!(whole.contains(r#""user":{"desk":"7","name":"Ada"}"#), "{whole}");
    for (filter, expected) in [
        ("acme.ticket:T-*", &["early", "full"][..]),
        ("not acme.ticket:* and event.provider:load", &["old", "small"]),
        ("acme.amount > 0", &["full"]),
        ("acme.big >= 9007199254740993", &["full"]),
        ("acme.body:b", &["full"]),
        ("acme.count < 10", &["small"]),
        ("acme.due < 2026-03-03", &["full"]),
        ("acme.extra:inner", &["full"]),
        ("acme.from:\"10.0.0.0/8\"", &["full"]),
        ("acme.note:\"words of\"", &["full"]),
        ("acme.note.keyword:Some*", &["full"]),
        ("acme.ok:true", &["full"]),
        ("acme.place:*", &["full"]),
        ("acme.release:\"1.10.0\"", &["full"]),
        ("acme.span:2026-03-02", &["full"]),
        ("acme.stages:a", &["full", "small"]),
        ("acme.*:b", &["full", "small"]),
        ("acme:*", &["early", "full", "small"]),
        ("user.desk:7", &["full"]),
    ] {
        assert_eq!(find_sorted(&annals, filter), expected, "{filter}");
        let count = annals.get(&format!("/api/event_log/_count?filter={filter}"));
        assert_eq!(count["count"], expected.len(), "{filter}");
    }
    for (field, expected) in [
        ("acme.count", ["small", "full"]),
        ("acme.big", ["small", "full"]),
        ("acme.amount", ["small", "full"]),
        ("acme.ok", ["small", "full"]),
    ] {
        let parameters = |order| format!("filter=acme.count:*&sort_field={field}&sort_order={order}");
        assert_eq!(find(&annals, &parameters("asc")), expected, "{field}");
        assert_eq!(find(&annals, &parameters("desc")), [expected[1], expected[0]], "{field}");
    }
    let sorted = find(&annals, "filter=event.provider:load&sort_field=acme.ticket&sort_order=desc");
    assert_eq!(sorted[..2], ["full", "early"], "events without it come last");
    let terms = annals.get("/api/event_log/_aggregate?terms=acme.stages");
    assert_eq!(terms["terms"], json!([{"value": "a", "count": 2}, {"value": "b", "count": 1}]));
    let days = annals.get("/api/event_log/_aggregate?histogram=acme.due&interval=1d");
    assert_eq!(days["histogram"].as_array().unwrap().len(), 1, "{days}");
    let projected = annals.get("/api/event_log/_find?filter=acme.count:10&fields=acme.ticket,user.desk");
    assert_eq!(projected["data"], json!([{"acme": {"ticket": "T-2"}, "user": {"desk": "7"}}]));
    let csv =
        annals.request("GET", "/api/event_log/_export?format=csv&columns=acme.count,acme.big&filter=acme.count:*");
    let csv = csv.send().unwrap().expect(200).text();
    assert!(csv.contains("10,9007199254740993"), "{csv}");

    let mistaken = annals.request("GET", "/api/event_log/_find?filter=acme.tickt:x").send().unwrap().expect(400).text();
    assert!(mistaken.contains("did you mean acme.ticket?"), "{mistaken}");
    let mistaken = rejected(&annals, &event("x", json!({"acme": {"tikcet": "x"}})));
    assert!(mistaken.contains("ticket"), "{mistaken}");
    let wrong = rejected(&annals, &event("x", json!({"acme": {"count": "many"}})));
    assert!(wrong.contains("acme.count") && wrong.contains("a whole number"), "{wrong}");
    let schema = annals.get("/api/event_log/schema");
    let described = &schema["properties"]["acme"]["properties"]["ticket"];
    assert_eq!(described["description"], "Ticket that asked for it.");
    let openapi = annals.get("/openapi.json");
    assert_eq!(&openapi["components"]["schemas"]["Event"]["properties"]["acme"]["properties"]["ticket"], described);
    check_stores(&home);
    // Commands know no more than the built-in fields.
    for arguments in [&["find", "--kql", "acme.count:10"][..], &["find", "--is", "acme.big=9007199254740993"]] {
        let found = home.run(&annals, arguments);
        assert!(found.exit == 0 && found.stdout.contains("T-2"), "{}{}", found.stdout, found.stderr);
    }
    let values = home.run(&annals, &["values", "--field", "acme.stages"]);
    assert!(values.exit == 0 && values.stdout.lines().count() == 2, "{}{}", values.stdout, values.stderr);
    let defaults = r#"{"actions":["run"],"defaults":{"acme":{"stages":["d"],"ticket":"T-0"}}}"#;
    annals.request("PUT", "/api/event_log/providers/shop").body(defaults).send().unwrap().expect(200);
    assert!(annals.stop().success());

    // What was accepted while the store was away reaches it, though its fields are gone by then.
    if let Some(away) = away {
        configure(&home, away, &format!("{TICKET}{ALL}"));
        let annals = home.start();
        annals.log_events(&event("late", json!({"acme": {"note": "late", "ticket": "T-3"}}))).expect(202);
        annals.kill();
    }
    configure(&home, store, TICKET);
    let annals = home.start();
    if away.is_some() {
        await_that("it is found", || find(&annals, "filter=event.id:late") == ["late"]);
        assert!(document(&annals, "late").contains(r#""acme":{"note":"late","ticket":"T-3"}"#));
        assert_eq!(find(&annals, "filter=acme.ticket:T-3"), ["late"]);
    }
    assert_eq!(document(&annals, "full"), whole);
    assert_eq!(find(&annals, "filter=acme.ticket:T-2"), ["full"]);
    annals.request("GET", "/api/event_log/_find?filter=acme.note:words").send().unwrap().expect(400);
    annals.request("GET", "/api/event_log/_find?sort_field=acme.count").send().unwrap().expect(400);
    assert!(rejected(&annals, &event("x", json!({"acme": {"note": "x"}}))).contains("acme.note"));
    let mut of_shop = event("shop", json!({}));
    of_shop["event"]["provider"] = json!("shop");
    log(&annals, of_shop);
    let kept = document(&annals, "shop");
    assert!(kept.contains(r#""acme":{"ticket":"T-0"}"#), "the default that is left: {kept}");
    check_stores(&home);
    assert!(annals.stop().success());

    // Its definition is remembered.
    configure(&home, store, "\"acme.note\" = { kind = \"long\", about = \"Another.\" }\n");
    let failed = home.start_expecting_failure();
    assert_eq!(failed.exit, 1);
    let expected = "events.fields_file: acme.note: expected text and by value, as it was before (";
    assert!(failed.stderr.contains(expected), "{}", failed.stderr);
    home.configure(store);
    let annals = home.start();
    assert_eq!(document(&annals, "full"), whole);
    check_stores(&home);
}
