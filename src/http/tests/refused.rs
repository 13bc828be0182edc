//! Refused requests: status and message.

use axum::{
    body::Body,
    http::{Request, header},
};

use super::{Answer, Log, OPEN};

struct Case {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const GET: Case = Case { method: "GET", path: "/", headers: &[], body: "" };
const POST: Case = Case { method: "POST", ..GET };
const EVENTS: Case = Case { path: "/api/event_log/events", body: "{}", ..POST };
const FIND_IDS: Case = Case { path: "/api/event_log/t/_find", ..POST };

async fn check(log: &Log, case: &Case, status: u16, message: &str) -> Answer {
    let mut request = log.request(case.method, case.path);
    for (name, value) in case.headers {
        request = request.header(*name, *value);
    }
    let answer = log.send(request.body(Body::from(case.body)).unwrap()).await;
    let name = format!("{} {} {:?} {}", case.method, case.path, case.headers, case.body);
    assert_eq!(answer.status.as_u16(), status, "{name}: {:?}", answer.body);
    let found = answer.error();
    assert!(found.contains(message), "{name}: expected {message:?} in {found:?}");
    answer
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    let log = Log::new();
    for path in ["/", "/nothing", "/api/event_log", "/api/event_log/events/", "/s/team/livez", "/s/team/api/nothing"] {
        check(&log, &Case { path, ..GET }, 404, "Not Found").await;
    }
    let answer = check(&log, &Case { path: "/api/event_log/events", ..GET }, 405, "GET is not allowed here").await;
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = check(&log, &Case { path: "/s/team/api/event_log/providers", ..POST }, 405, "POST").await;
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn spaces_that_cannot_exist_are_not_found() {
    let log = Log::new();
    let paths = [
        "/s/Team/api/event_log/t/1/_find",
        "/s/a.b/api/event_log/t/1/_find",
        "/s/%C3%A9/api/event_log/t/1/_find",
        "/s/Team/api/event_log/providers",
        "/s/Team/api/event_log/dead_letters",
    ];
    for path in paths {
        check(&log, &Case { path, ..GET }, 404, "").await;
    }
    check(&log, &Case { path: "/s/Team/api/event_log/events", ..EVENTS }, 404, "Team").await;
    check(&log, &Case { path: "/s/%FF/api/event_log/t/1/_find", ..GET }, 400, "[request params]").await;
    assert!(log.store.asked().is_empty());
}

#[tokio::test]
async fn bodies_of_events_with_wrong_headers() {
    let log = Log::new();
    let typed: [(&'static [(&str, &str)], &str); 9] = [
        (&[("content-type", "text/plain")], "content-type: expected application/json or application/x-ndjson"),
        (&[("content-type", "application/jsonl")], "found application/jsonl"),
        (&[("content-type", "application/json; charset=iso-8859-1")], "in UTF-8"),
        (&[("content-type", "")], "content-type"),
        (&[("content-type", "application/json"), ("content-type", "application/json")], "expected one, found several"),
        (&[("content-encoding", "br")], "content-encoding: expected gzip or none, found br"),
        (&[("content-encoding", "gzip, gzip")], "content-encoding"),
        (&[("content-encoding", "deflate")], "content-encoding"),
        (&[("content-encoding", "gzip"), ("content-encoding", "gzip")], "expected one, found several"),
    ];
    for (headers, message) in typed {
        check(&log, &Case { headers, ..EVENTS }, 415, message).await;
    }
    let gzip: &'static [(&str, &str)] = &[("content-encoding", "gzip")];
    check(&log, &Case { headers: gzip, ..EVENTS }, 400, "the body is not gzip").await;
    check(&log, &Case { body: "", ..EVENTS }, 400, "the body is empty").await;
    check(&log, &Case { body: " \n ", ..EVENTS }, 400, "the body is empty").await;
    let answer = check(&log, &Case { body: "[{}", ..EVENTS }, 400, "the body is not JSON").await;
    assert_eq!(answer.error().matches("at byte").count(), 1, "{}", answer.error());
}

#[tokio::test]
async fn parameters_of_events() {
    let log = Log::new();
    let cases = [
        ("/api/event_log/events?wait_for=indexed", "[request query.wait_for]: expected [stored] but got [indexed]"),
        ("/api/event_log/events?wait_for=", "[request query.wait_for]: expected [stored] but got []"),
        ("/api/event_log/events?wait_for=stored&wait_for=stored", "[string] but got [Array]"),
        ("/api/event_log/events?refresh=true", "[request query.refresh]: definition for this key is missing"),
    ];
    for (path, message) in cases {
        check(&log, &Case { path, ..EVENTS }, 400, message).await;
    }
}

#[tokio::test]
async fn providers() {
    let log = Log::new();
    let put = Case { method: "PUT", path: "/api/event_log/providers/crm", ..GET };
    let cases = [
        ("", "[request body]"),
        ("[]", "[request body]"),
        ("{", "[request body]"),
        (r#"{"actions":"login"}"#, "[request body.actions]: expected value of type [array] but got [string]"),
        (r#"{"actions":["a"],"default":{}}"#, "[request body.default]: definition for this key is missing"),
        (r#"{"actions":["a"],"actions":[]}"#, "[request body.actions]: expected one value but got several"),
        (
            r#"{"actions":["a"],"defaults":[]}"#,
            "[request body.defaults]: expected value of type [object] but got [Array]",
        ),
        (r#"{"actions":[""]}"#, "actions"),
    ];
    for (body, message) in cases {
        check(&log, &Case { body, ..put }, 400, message).await;
    }
    check(&log, &Case { headers: &[("content-type", "text/plain")], ..put }, 415, "expected application/json").await;
    let path = "/api/event_log/providers/crm?force=1";
    check(&log, &Case { path, body: r#"{"actions":["a"]}"#, ..put }, 400, "[request query.force]").await;
    let path = "/api/event_log/providers?page=1";
    check(&log, &Case { path, ..GET }, 400, "[request query.page]: definition for this key is missing").await;
    let path = "/api/event_log/providers/%FF";
    check(&log, &Case { path, body: r#"{"actions":["a"]}"#, ..put }, 400, "[request params]: expected UTF-8").await;
}

#[tokio::test]
async fn dead_letters() {
    let log = Log::new();
    let cases = [
        ("?store=other", "[request query.store]: expected one of [main, copy] but got [other]"),
        ("?limit=1001", "[request query.limit]: Value must be equal to or lower than [1000]."),
        ("?from=-1", "[request query.from]: Value must be equal to or greater than [0]."),
        ("?page=1", "[request query.page]: definition for this key is missing"),
    ];
    for (query, message) in cases {
        let path = format!("/api/event_log/dead_letters{query}");
        let answer = log.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, message), "{path}");
    }
    check(&log, &Case { path: "/api/event_log/dead_letters/_replay?limit=1", ..POST }, 400, "query.limit").await;
}

/// Each case is the query string of both finds.
#[tokio::test]
async fn parameters_of_find() {
    let log = Log::new();
    let number = "expected value of type [number] but got [string]";
    let key = r#"{"sort_field":"message","sort_order":"asc"}"#;
    let eleven_keys = format!("sort=[{}]", [key; 11].join(","));
    let cases = [
        ("page=0", "[request query.page]: Value must be equal to or greater than [1]."),
        ("page=-1", "[request query.page]: Value must be equal to or greater than [1]."),
        ("page=", number),
        ("page=abc", number),
        ("page=0x10", number),
        ("page=NaN", number),
        ("page=Infinity", number),
        ("page=1e999", number),
        ("page=1.5", "[request query.page]: expected a whole number but got [1.5]"),
        ("page=1&page=1", "[request query.page]: expected value of type [number] but got [Array]"),
        ("per_page=-1", "[request query.per_page]: Value must be equal to or greater than [0]."),
        (
            "per_page=9007199254740993",
            "[request query.per_page]: Value must be equal to or lower than [9007199254740991].",
        ),
        ("per_page=10001", "page × per_page must be at most [10000]"),
        ("page=1001&per_page=10", "page × per_page must be at most [10000]"),
        ("page=9007199254740991&per_page=9007199254740991", "page × per_page must be at most [10000]"),
        (
            "sort_field=event.acton",
            "[request query.sort_field]: there is no field [event.acton], did you mean [event.action]?",
        ),
        ("sort_field=", "[request query.sort_field]: there is no field []"),
        (
            "sort_field=kibana.saved_objects.id",
            "[request query.sort_field]: events cannot be sorted by kibana.saved_objects.id",
        ),
        ("sort_field=annals.hash", "[request query.sort_field]: events cannot be sorted by annals.hash"),
        (
            "sort_field=labels",
            "[request query.sort_field]: events cannot be sorted by labels: name a single label, such as labels.team",
        ),
        ("sort_field=labels.", "[request query.sort_field]: there is no field [labels.]"),
        ("sort_field=tags", "events cannot be sorted by tags: an event may have several values of it"),
        (
            "sort_field=kibana.version",
            "events cannot be sorted by kibana.version: not every store can compare versions",
        ),
        ("sort_field=error.stack_trace", "[request query.sort_field]: events cannot be sorted by error.stack_trace"),
        (
            "sort_field=message&sort_field=message",
            "[request query.sort_field]: expected value of type [string] but got [Array]",
        ),
        ("sort_order=DESC", "[request query.sort_order]: expected one of [asc, desc] but got [DESC]"),
        ("sort_order=", "[request query.sort_order]"),
        ("sort=", "[request query.sort]: could not parse array value from json input"),
        ("sort=message", "[request query.sort]: could not parse array value from json input"),
        (r#"sort={"sort_field":"message","sort_order":"asc"}"#, "[request query.sort]: could not parse array value"),
        ("sort=[1]", "[request query.sort.0]"),
        (
            r#"sort=[{"sort_field":"message","sort_order":"asc"},{"sort_field":"url.full","sort_order":"asc"}]"#,
            "[request query.sort]: expected keys whose texts have at most [12288] UTF-16 units together but got [16382]: \
             leave out one of message, url.full",
        ),
        (
            r#"sort=[{"sort_field":"labels.a","sort_order":"asc"},{"sort_field":"labels.b.c","sort_order":"asc"}]"#,
            "got [16382]: leave out one of labels.a, labels.b.c",
        ),
        (
            r#"sort=[{"sort_field":"message"}]"#,
            "[request query.sort.0.sort_order]: expected value of type [string] but it is missing",
        ),
        (
            r#"sort=[["message","asc"]]"#,
            "[request query.sort.0]: expected an object with [sort_field] and [sort_order]",
        ),
        ("sort=[1]", "[request query.sort.0]: expected an object with [sort_field] and [sort_order] but got [1]"),
        (
            "time_zone=Mars/Olympus",
            "[request query.time_zone]: expected UTC, a name such as Europe/Helsinki or an offset",
        ),
        ("time_zone=+19:00", "[request query.time_zone]: expected UTC"),
        ("time_zone=posix/Europe/Berlin", "[request query.time_zone]: expected UTC"),
        ("start=20210301", "[request query.start]: expected a date (2021-03-02)"),
        ("start=1614686400", "or milliseconds since 1970 (12 to 15 digits)"),
        ("filter=%FF", "[request query]: expected UTF-8, percent-encoded"),
        (
            r#"sort=[{"sort_field":"message","sort_order":"asc","missing":"last"}]"#,
            "[request query.sort.0.missing]: definition for this key is missing",
        ),
        (
            r#"sort=[{"sort_field":"tag","sort_order":"asc"}]"#,
            "[request query.sort.0.sort_field]: there is no field [tag]",
        ),
        (r#"sort=[{"sort_field":"message","sort_order":"up"}]"#, "[request query.sort.0.sort_order]: expected one of"),
        (r#"sort={}&sort=[]"#, "[request query.sort.0.sort_field]: expected value of type [string] but it is missing"),
        (r#"sort={&sort={"#, "[request query.sort.0]: could not parse object value from json input"),
        (eleven_keys.as_str(), "[request query.sort]: array size is [11], but cannot be greater than [10]"),
        ("sort=[]&sort_order=asc", "[request query.sort]: cannot be given together with sort_field or sort_order"),
        ("sort=[]&sort_field=message", "[request query.sort]: cannot be given together with"),
        ("start=yesterday", "[request query.start]: expected a date (2021-03-02)"),
        ("start=", "[request query.start]: expected a date"),
        ("end=2021-02-30", "[request query.end]: expected a date"),
        ("end=1h&end=2h", "[request query.end]: expected value of type [string] but got [Array]"),
        ("filter=event.action:run+and", "[request query.filter]: line 1, column 21: "),
        ("filter=event.acton:run", "did you mean"),
        ("filter=event.duration:abc", "[request query.filter]: line 1, column "),
        ("filter=a&filter=b", "[request query.filter]: expected value of type [string] but got [Array]"),
        ("after=&page=1", "[request query.after]: cannot be given together with page"),
        ("after=&after=", "[request query.after]: expected value of type [string] but got [Array]"),
        ("after=&per_page=0", "[request query.per_page]: expected a number from [1] to [10000] together with after"),
        (
            "after=&per_page=10001",
            "[request query.per_page]: expected a number from [1] to [10000] together with after",
        ),
        ("after=abc", "[request query.after]: expected a cursor from the `next` of an answer"),
        ("after=AQ", "[request query.after]: expected a cursor from the `next` of an answer"),
        ("after=%2B%2B", "[request query.after]: expected a cursor from the `next` of an answer"),
        ("fields=", "[request query.fields]: expected names of fields separated by commas, found an empty one"),
        ("fields=message,,tags", "[request query.fields]: expected names of fields"),
        ("fields=mesage", "[request query.fields]: there is no field [mesage], did you mean [message]?"),
        ("fields=message&fields=foo*", "[request query.fields]: there is no field [foo*]"),
        ("foo=1", "[request query.foo]: definition for this key is missing"),
        ("Page=1", "[request query.Page]: definition for this key is missing"),
    ];
    for (query, message) in cases {
        let query = query.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let by_id = log.get(&format!("/api/event_log/t/1/_find?{query}")).await;
        assert_eq!(by_id.status, 400, "{query}");
        let found = by_id.error();
        assert!(found.contains(message), "{query}: expected {message:?} in {found:?}");
        let by_ids = log.post(&format!("/api/event_log/t/_find?{query}"), r#"{"ids":["1"]}"#).await;
        assert_eq!((by_ids.status, by_ids.error()), (by_id.status, found));
    }
    assert!(log.store.asked().is_empty());
}

/// The parameters that all queries share, and those of each query, on all of its paths.
#[tokio::test]
async fn parameters_of_every_question() {
    let log = Log::new();
    let of_all = [
        ("start=yesterday", "[request query.start]: expected a date"),
        ("start=1h&start=1h", "[request query.start]: expected value of type [string] but got [Array]"),
        ("end=2021-02-30", "[request query.end]: expected a date"),
        ("filter=a&filter=b", "[request query.filter]: expected value of type [string] but got [Array]"),
        ("filter=event.acton:x", "[request query.filter]: line 1, column 1: "),
        ("foo=1", "[request query.foo]: definition for this key is missing"),
    ];
    let of_aggregate = [
        ("", "[request query]: expected one of [terms, histogram, stats, percentiles], with a field"),
        ("size=5", "[request query]: expected one of [terms, histogram, stats, percentiles]"),
        ("terms=event.action&stats=event.duration", "[request query.stats]: cannot be given together with terms"),
        ("terms=event.acton", "[request query.terms]: there is no field [event.acton], did you mean [event.action]?"),
        ("terms=", "[request query.terms]: there is no field []"),
        ("terms=event.action&terms=message", "[request query.terms]: expected value of type [string] but got [Array]"),
        ("terms=annals.hash", "[request query.terms]: annals.hash: its values cannot be counted"),
        ("terms=error.stack_trace", "[request query.terms]: error.stack_trace: its values cannot be counted"),
        ("terms=event.action&size=0", "[request query.size]: Value must be equal to or greater than [1]."),
        ("terms=event.action&size=10001", "[request query.size]: Value must be equal to or lower than [10000]."),
        ("terms=message&size=1634", "[request query.size]: expected a number from [1] to [1633]"),
        ("terms=event.action&size=x", "[request query.size]: expected value of type [number] but got [string]"),
        ("terms=event.action&interval=1h", "[request query.interval]: belongs to histogram, but terms was requested"),
        ("histogram=event.action", "[request query.histogram]: event.action: expected a date"),
        ("histogram=@timestamp&interval=1x", "[request query.interval]: expected [auto], a number of ms, s, m, h or d"),
        ("histogram=@timestamp&interval=0s", "[request query.interval]: expected [auto]"),
        ("histogram=@timestamp&size=5", "[request query.size]: belongs to terms, but histogram was requested"),
        ("stats=message", "[request query.stats]: message: expected a number, a duration or a date"),
        ("percentiles=event.duration&percents=101", "[request query.percents]: expected numbers from [0] to [100]"),
        ("percentiles=event.duration&percents=NaN", "[request query.percents]: expected numbers from [0] to [100]"),
        ("percentiles=event.duration&percents=", "[request query.percents]"),
        ("terms=labels", "[request query.terms]: labels: name a single label, such as labels.team"),
        ("terms=labels.team&size=1634", "[request query.size]: expected a number from [1] to [1633]"),
        ("stats=labels.team", "[request query.stats]: labels.team: a label is a text: its values can only be counted"),
        ("histogram=labels.at", "[request query.histogram]: labels.at: a label is a text"),
        ("percentiles=labels.took", "[request query.percentiles]: labels.took: a label is a text"),
    ];
    let of_count = [("page=1", "[request query.page]: definition for this key is missing")];
    let of_export = [
        ("format=xml", "[request query.format]: expected one of [ndjson, json, csv] but got [xml]"),
        ("format=", "[request query.format]: expected one of [ndjson, json, csv] but got []"),
        ("format=csv&format=csv", "[request query.format]: expected value of type [string] but got [Array]"),
        ("columns=message", "[request query.columns]: belongs to the format csv"),
        ("format=csv&fields=message", "[request query.fields]: belongs to the other formats"),
        ("format=csv&columns=", "[request query.columns]: expected names of fields separated by commas"),
        ("format=csv&columns=mesage", "[request query.columns]: there is no field [mesage], did you mean [message]?"),
        ("format=csv&columns=event.*", "[request query.columns]: there is no field [event.*]"),
        ("page=1", "[request query.page]: definition for this key is missing"),
        ("per_page=1", "[request query.per_page]: definition for this key is missing"),
        ("after=", "[request query.after]: definition for this key is missing"),
        ("sort_field=labels", "[request query.sort_field]: events cannot be sorted by labels"),
    ];
    let of_tail = [
        ("since=yesterday", "[request query.since]: expected a date"),
        ("since=1h&since=1h", "[request query.since]: expected value of type [string] but got [Array]"),
        ("last_event_id=abc", "[request query.last_event_id]: expected the id of an event of a tail"),
        (
            "last_event_id=&last_event_id=",
            "[request query.last_event_id]: expected value of type [string] but got [Array]",
        ),
        ("filter=a&filter=b", "[request query.filter]: expected value of type [string] but got [Array]"),
        ("fields=mesage", "[request query.fields]: there is no field [mesage], did you mean [message]?"),
        ("start=1h", "[request query.start]: definition for this key is missing"),
        ("foo=1", "[request query.foo]: definition for this key is missing"),
    ];
    let check_all = async |question: &str, cases: &[(&str, &str)], before: &str| {
        for path in ["/api/event_log", "/s/team/api/event_log", "/api/event_log/t/1", "/api/event_log/t"] {
            let has_post = !matches!(question, "_export" | "_tail");
            let method = if path.ends_with("/t") { "POST" } else { "GET" };
            if method == "POST" && !has_post {
                continue;
            }
            for (query, message) in cases {
                let uri = format!("{path}/{question}?{before}{query}");
                let request = log.request(method, &uri).body(Body::from(r#"{"ids":["1"]}"#)).unwrap();
                let answer = log.send(request).await;
                assert_eq!(answer.status, 400, "{uri}");
                let found = answer.error();
                assert!(found.contains(message), "{uri}: expected {message:?} in {found:?}");
            }
        }
    };
    check_all("_find", &of_all, "").await;
    check_all("_count", &of_all, "").await;
    check_all("_count", &of_count, "").await;
    check_all("_aggregate", &of_all, "terms=event.action&").await;
    check_all("_aggregate", &of_aggregate, "").await;
    check_all("_export", &of_all, "").await;
    check_all("_export", &of_export, "").await;
    check_all("_tail", &of_tail, "").await;
    assert!(log.store.asked().is_empty());
}

#[tokio::test]
async fn bodies_of_find() {
    let log = Log::new();
    let cases = [
        ("", "[request body]: expected a plain object value, but found [null] instead."),
        ("null", "[request body]: expected a plain object value, but found [null] instead."),
        ("[]", "[request body]: expected a plain object value, but found [Array] instead."),
        ("{", "[request body]: expected JSON"),
        (r#"{"ids":"a"}"#, "[request body.ids]: could not parse array value from json input"),
        (r#"{"ids":null}"#, "[request body.ids]: expected value of type [array] but got [null]"),
        (r#"{"ids":{}}"#, "[request body.ids]: expected value of type [array] but got [Object]"),
        (r#"{"ids":[1]}"#, "[request body.ids.0]: expected value of type [string] but got [number]"),
        (r#"{"ids":["a",null]}"#, "[request body.ids.1]: expected value of type [string] but got [null]"),
        (r#"{"ids":"[true]"}"#, "[request body.ids.0]: expected value of type [string] but got [boolean]"),
        (
            r#"{"ids":[],"legacyIds":[1]}"#,
            "[request body.legacyIds.0]: expected value of type [string] but got [number]",
        ),
        (r#"{"legacyIds":"x"}"#, "[request body.legacyIds]: could not parse array value from json input"),
        (r#"{"ids":[],"oldIds":[]}"#, "[request body.oldIds]: definition for this key is missing"),
    ];
    for (body, message) in cases {
        check(&log, &Case { body, ..FIND_IDS }, 400, message).await;
    }
    let headers: &'static [(&str, &str)] = &[("content-type", "application/x-ndjson")];
    check(&log, &Case { headers, body: "{}", ..FIND_IDS }, 415, "expected application/json").await;
    let many = serde_json::json!({ "ids": vec!["a"; 65_537] }).to_string();
    let answer = log.post("/api/event_log/t/_find", many).await;
    assert_eq!(answer.error(), "[request body.ids]: array size is [65537] or more, but cannot be greater than [65536]");
    let many = serde_json::json!({ "ids": vec!["a"; 40_000], "legacyIds": vec!["a"; 40_000] }).to_string();
    let answer = log.post("/api/event_log/t/_find", many).await;
    assert_eq!(
        answer.error(),
        "[request body.legacyIds]: array size is [65537] or more, but cannot be greater than [65536]"
    );
}

#[tokio::test]
async fn everything_but_health_requires_a_key() {
    let log = Log::new();
    let key = &log.key;
    let mut paths: Vec<&str> = super::super::routes::operations().iter().map(|operation| operation.path).collect();
    paths.extend(["/", "/nothing", "/s/team/api/event_log/providers", "/livez/"]);
    let wrong = [
        None,
        Some("ApiKey".to_owned()),
        Some("ApiKey ".to_owned()),
        Some(key.clone()),
        Some(format!("Basic {key}")),
        Some(format!("ApiKey {key}x")),
        Some("Bearer annals_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
    ];
    for (path, authorization) in paths.iter().flat_map(|path| wrong.iter().map(move |wrong| (*path, wrong))) {
        let path = path.replace(['{', '}'], "");
        let mut request = Request::builder().uri(&path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = log.send(request.body(Body::empty()).unwrap()).await;
        if OPEN.contains(&path.as_str()) {
            assert_eq!(answer.status, 200, "{path}");
        } else {
            assert_eq!(answer.status, 401, "{path} with {authorization:?}");
            assert_eq!(answer.header("www-authenticate"), Some("ApiKey"));
            assert!(answer.error().contains("expected valid credentials"));
        }
    }
}

#[tokio::test]
async fn a_key_is_accepted_under_either_scheme_but_not_twice() {
    let log = Log::new();
    let get = |values: &[String]| {
        let mut request = Request::builder().uri("/api/event_log/providers");
        for value in values {
            request = request.header(header::AUTHORIZATION, value);
        }
        log.send(request.body(Body::empty()).unwrap())
    };
    for scheme in ["ApiKey", "Bearer", "apikey", "BEARER"] {
        assert_eq!(get(&[format!("{scheme} {}", log.key)]).await.status, 200, "{scheme}");
    }
    let twice = [format!("ApiKey {}", log.key), format!("ApiKey {}", log.key)];
    assert_eq!(get(&twice).await.status, 401);
}
