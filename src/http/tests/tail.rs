//! Tails: every event once, in the order of its chain, in whatever order events arrive and however often the client reconnects.

use std::{collections::BTreeMap, time::Duration};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::{Log, NOW, ended, until};
use crate::{
    access::{Grant, NewKey, Principal, Realm, Role},
    event::{ChainId, SealedEvent, UnixMillis},
    store::{
        EventSink, StoreError, Target,
        testing::{Draft, draft, position},
    },
};

const PATH: &str = "/api/event_log/_tail";

const ONE: [u8; 16] = [1; 16];
const TWO: [u8; 16] = [2; 16];

fn event(chain: [u8; 16], sequence: u64) -> SealedEvent {
    sealed(chain, sequence, draft())
}

fn sealed(chain: [u8; 16], sequence: u64, draft: Draft) -> SealedEvent {
    draft.with("event.id", format!("{}.{sequence}", chain[0])).sealed(position(ChainId::from_bytes(chain), sequence))
}

async fn arrive(log: &Log, events: impl IntoIterator<Item = SealedEvent>) {
    let events: Vec<_> = events.into_iter().collect();
    log.store.memory.append(&Target(String::new()), &events).await.unwrap();
}

/// A message or a comment.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    kind: Option<String>,
    id: Option<String>,
    data: Option<Value>,
    comment: Option<String>,
}

impl Message {
    fn read(text: &str) -> Self {
        let mut message = Self::default();
        for line in text.lines() {
            match line.split_once(':').unwrap() {
                ("", comment) => message.comment = Some(comment.trim().to_owned()),
                ("event", kind) => message.kind = Some(kind.trim().to_owned()),
                ("id", id) => message.id = Some(id.trim().to_owned()),
                ("data", data) => message.data = Some(serde_json::from_str(data).unwrap()),
                ("retry", _) => {}
                other => panic!("{other:?}"),
            }
        }
        message
    }

    fn event_id(&self) -> Option<String> {
        Some(self.data.as_ref()?["event"]["id"].as_str()?.to_owned())
    }
}

struct Tail {
    body: BodyDataStream,
    last_id: String,
}

impl Tail {
    /// Starts a tail that is ready to show events.
    async fn begin(log: &Log, query: &str) -> Self {
        Self::begin_at(log, &format!("{PATH}{query}"), None).await
    }

    async fn begin_at(log: &Log, path: &str, last_id: Option<&str>) -> Self {
        let mut request = log.request("GET", path);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = log.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut tail = Self { body: response.into_body().into_data_stream(), last_id: String::new() };
        assert_eq!(tail.next().await.unwrap().data, None);
        tail
    }

    async fn next(&mut self) -> Option<Message> {
        let chunk = self.body.next().await?.unwrap();
        let message = Message::read(std::str::from_utf8(&chunk).unwrap().strip_suffix("\n\n").unwrap());
        if let Some(id) = &message.id {
            self.last_id.clone_from(id);
        }
        Some(message)
    }

    /// Returns the next event or gap.
    async fn next_data(&mut self) -> Message {
        loop {
            let message = self.next().await.unwrap();
            if message.data.is_some() {
                return message;
            }
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next_data().await.event_id().unwrap());
        }
        ids
    }

    /// Whether no event arrives for this time.
    async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.next_data()).await.is_err()
    }
}

#[tokio::test(start_paused = true)]
async fn a_tail_shows_new_events_and_no_earlier_ones() {
    let log = Log::new();
    arrive(&log, (0..3).map(|sequence| event(ONE, sequence))).await;
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, (3..5).map(|sequence| event(ONE, sequence))).await;
    assert_eq!(tail.ids(2).await, ["1.3", "1.4"]);
    arrive(&log, [event(ONE, 5)]).await;
    assert_eq!(tail.ids(1).await, ["1.5"]);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_shown_completely_and_its_scans_are_closed() {
    let log = Log::new();
    arrive(&log, (0..350).flat_map(|sequence| [event(ONE, sequence), event(TWO, sequence)])).await;
    let mut tail = Tail::begin(&log, "?since=2000-01-01&fields=event.id").await;
    let mut shown = tail.ids(450).await;
    let mut resumed = Tail::begin_at(&log, &format!("{PATH}?fields=event.id"), Some(&tail.last_id)).await;
    shown.extend(resumed.ids(250).await);
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 700);
    drop(tail);
    let closed = || log.store.closed_scans.load(std::sync::atomic::Ordering::Relaxed);
    while closed() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_chain_is_followed_from_its_beginning() {
    let log = Log::new();
    arrive(&log, [event(ONE, 0)]).await;
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, [event(TWO, 0), event(TWO, 1)]).await;
    assert_eq!(tail.ids(2).await, ["2.0", "2.1"]);
}

/// An event that was received at this time.
fn received(chain: [u8; 16], sequence: u64, time: &str) -> SealedEvent {
    let draft = draft().with("event.id", format!("{}.{sequence}", chain[0]));
    draft.sealed_with(position(ChainId::from_bytes(chain), sequence), |document| {
        document.to_string().replace("2026-11-24T12:00:00.001Z", time)
    })
}

#[tokio::test(start_paused = true)]
async fn events_in_flight_at_the_start_are_shown_and_old_holes_are_ignored() {
    let log = Log::new();
    let (old, new) = (LONG_AGO, JUST_NOW);
    // In the first chain, events were deleted long ago; the holes of the second are events in flight.
    arrive(&log, [received(ONE, 5, old), received(ONE, 8, old), received(ONE, 9, new), received(TWO, 3, new)]).await;
    arrive(&log, [received([3; 16], 5, old)]).await;
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, [received(ONE, 10, new), received([3; 16], 6, new)]).await;
    assert_eq!(tail.ids(2).await, ["3.6", "1.10"]);
    arrive(&log, (0..3).map(|sequence| received(TWO, sequence, new))).await;
    assert_eq!(tail.ids(4).await, ["2.0", "2.1", "2.2", "2.3"]);
    assert!(tail.is_silent_for(Duration::from_secs(300)).await);
}

/// Returns chains of one event each.
fn chains(count: u16, time: &'static str) -> impl Iterator<Item = SealedEvent> {
    (0..count).map(move |number| received(numbered(number), 0, time))
}

fn numbered(number: u16) -> [u8; 16] {
    let [high, low] = number.to_be_bytes();
    let mut chain = [9; 16];
    chain[1..3].copy_from_slice(&[high, low]);
    chain
}

const LONG_AGO: &str = "2021-02-20T12:00:00.000Z";
const JUST_NOW: &str = "2021-03-02T11:59:00.000Z";

#[tokio::test(start_paused = true)]
async fn a_tail_continues_with_many_chains_at_rest() {
    let log = Log::new();
    arrive(&log, chains(1_500, LONG_AGO)).await;
    arrive(&log, [received(ONE, 0, JUST_NOW)]).await;
    let mut tail = Tail::begin(&log, "").await;
    assert!(tail.last_id.len() < 8_000, "{}", tail.last_id.len());
    let beginning = tail.last_id.clone();
    // Events in an active chain, in a new one, in one that was at rest, and in one of those longest at rest.
    let at_rest = received(numbered(1_499), 1, JUST_NOW);
    arrive(&log, [received(ONE, 1, JUST_NOW), received(TWO, 0, JUST_NOW), at_rest]).await;
    arrive(&log, [received(numbered(7), 1, JUST_NOW), received(numbered(7), 2, JUST_NOW)]).await;
    let expected = ["1.1", "2.0", "9.1", "9.1", "9.2"];
    let mut shown = tail.ids(5).await;
    shown.sort();
    assert_eq!(shown, expected);
    let mut resumed = Tail::begin_at(&log, PATH, Some(&beginning)).await;
    let mut shown = resumed.ids(5).await;
    shown.sort();
    assert_eq!(shown, expected);
    assert!(resumed.is_silent_for(Duration::from_secs(40)).await);
    drop(tail);
    let mut again = Tail::begin_at(&log, PATH, Some(&resumed.last_id)).await;
    arrive(&log, [received(numbered(7), 3, JUST_NOW)]).await;
    assert_eq!(again.ids(1).await, ["9.3"]);
    assert!(again.is_silent_for(Duration::from_secs(40)).await);
}

#[tokio::test(start_paused = true)]
async fn chains_at_rest_are_read_only_if_they_have_matching_events() {
    let log = Log::new();
    arrive(&log, chains(400, LONG_AGO)).await;
    let wanted = draft().with("event.id", "wanted").sealed(position(ChainId::from_bytes(numbered(7)), 1));
    arrive(&log, [wanted]).await;
    let mut tail = Tail::begin(&log, "?since=2000-01-01&filter=event.id:wanted").await;
    assert!(tail.last_id.len() < 8_000, "{}", tail.last_id.len());
    let beginning = tail.last_id.clone();
    assert_eq!(tail.ids(1).await, ["wanted"]);
    let path = format!("{PATH}?filter=event.id:wanted");
    assert_eq!(Tail::begin_at(&log, &path, Some(&beginning)).await.ids(1).await, ["wanted"]);
    let mut resumed = Tail::begin_at(&log, &path, Some(&tail.last_id)).await;
    assert!(resumed.is_silent_for(Duration::from_secs(100)).await);
}

#[tokio::test(start_paused = true)]
async fn a_tail_of_more_chains_than_fit_into_an_id_is_refused() {
    let log = Log::new();
    arrive(&log, chains(4_000, JUST_NOW)).await;
    let request = log.request("GET", PATH).body(Body::empty()).unwrap();
    assert_eq!(log.router.clone().oneshot(request).await.unwrap().status(), 200);
    arrive(&log, [received(ONE, 0, JUST_NOW)]).await;
    let answer = log.get(PATH).await;
    assert_eq!(answer.status, 400);
    assert!(answer.error().starts_with("a tail follows at most 4000 chains"), "{}", answer.error());
}

#[tokio::test(start_paused = true)]
async fn events_that_arrive_out_of_order_are_shown_in_order() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, [event(ONE, 0), event(ONE, 2), event(ONE, 3)]).await;
    assert_eq!(tail.ids(1).await, ["1.0"]);
    assert!(tail.is_silent_for(Duration::from_secs(30)).await);
    arrive(&log, [event(ONE, 1)]).await;
    assert_eq!(tail.ids(3).await, ["1.1", "1.2", "1.3"]);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_hole_becomes_a_gap_and_delays_no_other_chain() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, [event(ONE, 0), event(ONE, 3)]).await;
    assert_eq!(tail.ids(1).await, ["1.0"]);
    let begun = Instant::now();
    arrive(&log, [event(TWO, 0)]).await;
    assert_eq!(tail.ids(1).await, ["2.0"]);
    let gap = tail.next_data().await;
    assert_eq!(gap.kind.as_deref(), Some("gap"));
    assert_eq!(gap.data, Some(json!({"chain": ChainId::from_bytes(ONE).to_string(), "from": 1, "to": 2})));
    assert!((55..70).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(tail.ids(1).await, ["1.3"]);
    let mut resumed = Tail::begin_at(&log, PATH, Some(&tail.last_id)).await;
    arrive(&log, [event(ONE, 1), event(ONE, 4)]).await;
    assert_eq!((tail.ids(1).await, resumed.ids(1).await), (vec!["1.4".to_owned()], vec!["1.4".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_hole_without_events_to_show_after_it_is_not_a_gap() {
    let log = Log::new();
    let mut tail = Tail::begin_at(&log, "/api/event_log/t/1/_tail", None).await;
    arrive(&log, [event(ONE, 1), sealed(ONE, 0, draft().about("t", "1"))]).await;
    assert_eq!(tail.ids(1).await, ["1.0"]);
    arrive(&log, [event(ONE, 5)]).await;
    assert!(tail.is_silent_for(Duration::from_secs(300)).await);
    arrive(&log, (2..5).map(|sequence| sealed(ONE, sequence, draft().about("t", "1")))).await;
    assert_eq!(tail.ids(3).await, ["1.2", "1.3", "1.4"]);
}

#[tokio::test(start_paused = true)]
async fn a_tail_resumes_after_any_event_by_its_id() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    let beginning = tail.last_id.clone();
    arrive(&log, (0..4).flat_map(|sequence| [event(ONE, sequence), event(TWO, sequence)])).await;
    let mut shown = Vec::new();
    for _ in 0..8 {
        let id = tail.next_data().await.event_id().unwrap();
        shown.push((id, tail.last_id.clone()));
    }
    let all: Vec<_> = shown.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(Tail::begin_at(&log, PATH, Some(&beginning)).await.ids(8).await, all);
    for (index, (_, id)) in shown.iter().enumerate() {
        let rest = &all[index + 1..];
        let by_parameter = format!("{PATH}?last_event_id={id}");
        assert_eq!(Tail::begin_at(&log, PATH, Some(id)).await.ids(rest.len()).await, rest);
        assert_eq!(Tail::begin_at(&log, &by_parameter, None).await.ids(rest.len()).await, rest);
        let newer = Tail::begin_at(&log, &format!("{PATH}?last_event_id={beginning}&since=1d"), Some(id)).await;
        assert_eq!({ newer }.ids(rest.len()).await, rest);
    }
}

#[tokio::test(start_paused = true)]
async fn since_shows_stored_events_and_is_kept_when_the_tail_is_resumed() {
    let log = Log::new();
    let at = |sequence, time: &str| sealed(ONE, sequence, draft().at(time));
    arrive(
        &log,
        [at(0, "2021-03-02T11:00:00.000Z"), at(1, "2021-03-02T11:50:00.000Z"), at(2, "2021-03-02T11:55:00.000Z")],
    )
    .await;
    let mut tail = Tail::begin(&log, "?since=30m").await;
    assert_eq!(tail.ids(1).await, ["1.1"]);
    let id = tail.last_id.clone();
    assert_eq!(tail.ids(1).await, ["1.2"]);
    // By now, half an hour ago is a later time.
    log.clock.pass(3_600_000);
    let mut resumed = Tail::begin_at(&log, &format!("{PATH}?since=30m"), Some(&id)).await;
    assert_eq!(resumed.ids(1).await, ["1.2"]);
    arrive(&log, [at(3, "2021-03-02T10:00:00.000Z"), at(4, "2021-03-02T11:40:00.000Z")]).await;
    assert_eq!(resumed.ids(1).await, ["1.4"]);
}

#[tokio::test(start_paused = true)]
async fn a_tail_applies_scope_filter_and_fields() {
    let log = Log::new();
    let mut of_object = Tail::begin_at(&log, "/api/event_log/t/1/_tail?fields=event.id", None).await;
    let mut of_filter = Tail::begin(&log, "?filter=kibana.saved_objects.id:1").await;
    let mut of_space = Tail::begin_at(&log, "/s/team/api/event_log/_tail", None).await;
    arrive(&log, [event(ONE, 0), sealed(ONE, 1, draft().about("t", "1"))]).await;
    arrive(&log, [sealed(ONE, 2, draft().with("kibana.space_ids", vec!["team"]))]).await;
    assert_eq!(of_object.next_data().await.data, Some(json!({"event": {"id": "1.1"}})));
    assert_eq!(of_space.ids(1).await, ["1.2"]);
    assert_eq!(of_filter.ids(1).await, ["1.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_sent_every_fifteen_seconds() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    let begun = Instant::now();
    while tail.next().await.unwrap().comment.is_none() {}
    assert!((14..17).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_tail_ends_after_a_while_so_that_the_caller_is_authenticated_again() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    let begun = Instant::now();
    while tail.next().await.is_some() {}
    assert_eq!(begun.elapsed().as_secs() / 60, 15);
    arrive(&log, [event(ONE, 0)]).await;
    let mut resumed = Tail::begin_at(&log, PATH, Some(&tail.last_id)).await;
    assert_eq!(resumed.ids(1).await, ["1.0"]);
}

fn away() -> StoreError {
    StoreError::Unavailable { reason: "node-7 is gone".to_owned(), retry_after: None }
}

#[tokio::test(start_paused = true)]
async fn a_tail_ends_soon_after_the_callers_key_expires() {
    let log = Log::new();
    let (admin, new) =
        (log.key.clone(), |expires| NewKey { name: "short".to_owned(), grants: vec![Grant::admin()], expires });
    let by = Principal { name: "admin".to_owned(), realm: Realm::ApiKey, grants: vec![Grant::admin()] };
    let key = log
        .keys
        .create(new(Some(UnixMillis(NOW.0 + 60_000))), &by, NOW, |_| Ok::<_, crate::access::ChangeError>(()))
        .unwrap()
        .1
        .expose()
        .to_owned();
    let begin = async |key: &str| {
        let request = super::request_with(key, "GET", PATH).body(Body::empty()).unwrap();
        log.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream()
    };
    let (mut ends, mut goes_on) = (begin(&key).await, begin(&admin).await);
    log.clock.pass(60_000);
    let begun = Instant::now();
    while ends.next().await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let is_over = async { while goes_on.next().await.is_some() {} };
    assert!(timeout(Duration::from_secs(60), is_over).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn after_the_end_of_the_callers_key_waiting_events_are_not_delivered() {
    let log = Log::new();
    let auditor = log.new_key("auditor", &[super::grant(Role::Auditor, &[], &[])]);
    let request = super::request_with(&auditor, "GET", PATH).body(Body::empty()).unwrap();
    let mut body = log.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    arrive(&log, (0..5).map(|sequence| event(ONE, sequence))).await;
    let first = body.next().await.unwrap().unwrap();
    assert!(
        Message::read(std::str::from_utf8(&first).unwrap().trim_end()).event_id().is_some(),
        "more events are waiting"
    );
    log.keys.revoke("auditor", |_| Ok::<_, crate::access::ChangeError>(())).unwrap();
    until(|| ended(&log, "tail", "access")).await;
    assert!(body.next().await.unwrap().is_err());
    assert!(body.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_tail_waits_for_an_unavailable_store_and_skips_nothing() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    arrive(&log, [event(ONE, 0)]).await;
    assert_eq!(tail.ids(1).await, ["1.0"]);
    log.store.be_away(Some(away()));
    arrive(&log, [event(ONE, 1)]).await;
    let said = loop {
        let message = tail.next().await.unwrap();
        assert_eq!(message.data, None);
        if let Some(comment) = message.comment.filter(|comment| !comment.is_empty()) {
            break comment;
        }
    };
    assert_eq!(said, "the store does not answer at present; try again later; this continues automatically");
    log.store.be_away(None);
    assert_eq!(tail.ids(1).await, ["1.1"]);
}

#[tokio::test]
async fn an_unavailable_store_at_the_start_is_503() {
    let log = Log::new();
    log.store.be_away(Some(away()));
    for query in ["", "?since=1h"] {
        let answer = log.get(&format!("{PATH}{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tail_ends_properly_at_shutdown() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    log.stopping.cancel();
    while tail.next().await.is_some() {}
    let line = "annals_http_streams_total{kind=\"tail\",end=\"shutdown\"} 1";
    while !log.metrics.render().unwrap().contains(line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn concurrent_tails_are_limited_and_one_without_a_reader_frees_its_place() {
    let log = Log::new();
    let mut tails = Vec::new();
    for _ in 0..64 {
        tails.push(Tail::begin(&log, "").await);
    }
    let answer = log.get(PATH).await;
    assert_eq!((answer.status.as_u16(), answer.header("annals-error")), (429, Some("too_many_streams")));
    drop(tails.pop());
    let line = "annals_http_streams_total{kind=\"tail\",end=\"client\"} 1";
    while !log.metrics.render().unwrap().contains(line) {
        tokio::task::yield_now().await;
    }
    Tail::begin(&log, "").await;
}

#[tokio::test]
async fn events_logged_over_http_are_shown() {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    let answer = log.post("/api/event_log/events", r#"{"event":{"provider":"app","action":"run"},"message":"hello"}"#);
    assert_eq!(answer.await.status, 202);
    let shown = tail.next_data().await.data.unwrap();
    assert_eq!(shown["message"], "hello");
}

#[tokio::test]
async fn an_invalid_id_is_refused() {
    let log = Log::new();
    let mut wrong = vec!["abc".to_owned(), "AQ".to_owned(), "Ag".to_owned(), "++".to_owned()];
    let tail = Tail::begin(&log, "").await;
    wrong.push(tail.last_id[..tail.last_id.len() - 1].to_owned());
    for id in wrong {
        let request = log.request("GET", PATH).header("last-event-id", &id).body(Body::empty()).unwrap();
        let answer = log.send(request).await;
        assert_eq!(answer.status, 400, "{id}");
        assert!(answer.error().starts_with("[request headers.last-event-id]: "), "{id}");
    }
}

/// Bulks of several chains are stored in any order, the first ones before the tail begins.
async fn every_event_that_is_stored_afterwards_is_shown_once(order: Vec<(u8, u64)>, bulk: usize, before: usize) {
    let log = Log::new();
    let land = |bulk: &[(u8, u64)]| bulk.iter().map(|(chain, at)| event([*chain; 16], *at)).collect::<Vec<_>>();
    let bulks: Vec<_> = order.chunks(bulk).collect();
    let (earlier, later) = bulks.split_at(before.min(bulks.len()));
    for bulk in earlier {
        arrive(&log, land(bulk)).await;
    }
    let mut tail = Tail::begin(&log, "").await;
    let mut shown: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for (index, bulk) in later.iter().enumerate() {
        let time = Duration::from_secs(if index + 1 == later.len() { 20 } else { 8 });
        arrive(&log, land(bulk)).await;
        while let Ok(message) = timeout(time, tail.next_data()).await {
            assert_eq!(message.kind, None);
            let id = message.event_id().unwrap();
            let (chain, sequence) = id.split_once('.').unwrap();
            shown.entry(chain.parse().unwrap()).or_default().push(sequence.parse().unwrap());
        }
    }
    assert!(shown.values().all(|sequences| sequences.is_sorted_by(|one, next| one < next)), "{shown:?}");
    for (chain, sequence) in later.concat() {
        assert!(shown.get(&chain).is_some_and(|shown| shown.contains(&sequence)), "{chain}.{sequence} of {shown:?}");
    }
    // Of the events before the start, only those after a hole are shown.
    for (chain, sequence) in earlier.concat() {
        let is_behind_hole = later.concat().iter().any(|(other, hole)| *other == chain && *hole < sequence);
        let is_shown = shown.get(&chain).is_some_and(|shown| shown.contains(&sequence));
        assert!(is_behind_hole || !is_shown, "{chain}.{sequence} of {shown:?}");
    }
}

/// Bulks of several chains are stored in any order, while the client reconnects.
async fn every_event_is_shown_once(order: Vec<(u8, u64)>, bulk: usize, leaves: Vec<bool>) {
    let log = Log::new();
    let mut tail = Tail::begin(&log, "").await;
    let mut shown: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    let mut leaves = leaves.into_iter();
    let mut count = 0;
    let last = order.chunks(bulk).count() - 1;
    for (index, bulk) in order.chunks(bulk).enumerate() {
        // No hole may last long enough to become a gap; the last wait is long enough to discover a new chain.
        let time = Duration::from_secs(if index == last { 20 } else { 8 });
        arrive(&log, bulk.iter().map(|(chain, sequence)| event([*chain; 16], *sequence))).await;
        while let Ok(message) = timeout(time, tail.next_data()).await {
            assert_eq!(message.kind, None);
            let id = message.event_id().unwrap();
            let (chain, sequence) = id.split_once('.').unwrap();
            shown.entry(chain.parse().unwrap()).or_default().push(sequence.parse().unwrap());
            count += 1;
            if leaves.next().unwrap_or(false) {
                let id = tail.last_id.clone();
                tail = Tail::begin_at(&log, PATH, Some(&id)).await;
            }
        }
    }
    assert_eq!(count, order.len());
    assert!(shown.values().all(|sequences| sequences.iter().copied().eq(0..sequences.len() as u64)), "{shown:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn events_stored_after_the_start_are_shown_whatever_is_in_flight(
        order in Just((0..3_u8).flat_map(|chain| (0..6_u64).map(move |sequence| (chain, sequence))).collect::<Vec<_>>())
            .prop_shuffle(),
        bulk in 3..8_usize,
        before in 0..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(every_event_that_is_stored_afterwards_is_shown_once(order, bulk, before));
    }

    #[test]
    fn every_event_is_shown_once_in_whatever_order_bulks_are_stored(
        order in Just((0..3_u8).flat_map(|chain| (0..6_u64).map(move |sequence| (chain, sequence))).collect::<Vec<_>>())
            .prop_shuffle(),
        bulk in 3..8_usize,
        leaves in prop::collection::vec(any::<bool>(), 18),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(every_event_is_shown_once(order, bulk, leaves));
    }
}
