//! Failures of callers whom other systems authenticate.

use futures_util::future::join_all;
use serde_json::json;

use super::*;

const FROM: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

async fn log_of(engine: &Other) -> Log {
    Log::new(&[
        ("access.authenticators", "elasticsearch"),
        ("access.elasticsearch.urls", &engine.url),
        ("access.lockout.failures", "3"),
    ])
}

fn guess(password: &str) -> Credentials {
    shown(&format!("Basic {}", BASE64_STANDARD.encode(format!("alice:{password}"))))
}

fn alice() -> (u16, Value) {
    (200, json!({"username": "alice", "roles": []}))
}

#[tokio::test]
async fn concurrent_guesses_are_limited_like_sequential_ones() {
    let engine = Other::start().await;
    engine.answers([(401, json!({}))]);
    let log = log_of(&engine).await;
    let guesses: Vec<_> = (0..30).map(|number| guess(&number.to_string())).collect();
    let answers = join_all(guesses.iter().map(|guess| log.access.identify(guess, FROM, NOW))).await;
    let count = |wanted: fn(&Identified) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    assert_eq!(count(|answer| matches!(answer, Identified::Unknown(_))), 3);
    assert_eq!(count(|answer| matches!(answer, Identified::Locked(_))), 27);
    assert_eq!(engine.seen().len(), 3);
}

#[tokio::test]
async fn many_requests_with_valid_credentials_are_all_let_in() {
    let engine = Other::start().await;
    engine.answers([alice()]);
    let log = log_of(&engine).await;
    let right = guess("right");
    let answers = join_all((0..30).map(|_| log.access.identify(&right, FROM, NOW))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Identified::Known(_))));
    assert!(engine.seen().len() <= 3, "the others found out from these");
}

#[tokio::test]
async fn a_recently_identified_caller_is_let_in_despite_failures_of_others() {
    let engine = Other::start().await;
    let log = log_of(&engine).await;
    engine.answers([alice()]);
    let right = guess("right");
    assert!(matches!(log.access.identify(&right, FROM, NOW).await, Identified::Known(_)));
    engine.answers([(401, json!({}))]);
    for _ in 0..3 {
        assert!(matches!(log.access.identify(&guess("wrong"), FROM, NOW).await, Identified::Unknown(_)));
    }
    assert!(matches!(log.access.identify(&guess("wrong"), FROM, NOW).await, Identified::Locked(_)));
    assert!(matches!(log.access.identify(&right, FROM, NOW).await, Identified::Known(_)));
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_has_failed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let log = Log::new(&[
        ("access.authenticators", "elasticsearch"),
        ("access.elasticsearch.urls", &url),
        ("access.lockout.failures", "3"),
    ]);
    for _ in 0..3 {
        let guess = guess("x");
        tokio::select! {
            answer = log.access.identify(&guess, FROM, NOW) => panic!("{answer:?}"),
            asked = listener.accept() => drop(asked.unwrap()),
        }
    }
    assert!(matches!(log.access.identify(&guess("x"), FROM, NOW).await, Identified::Locked(_)));
}

#[tokio::test]
async fn an_unavailable_system_does_not_count_but_a_refused_password_does() {
    let engine = Other::start().await;
    let kibana = Other::start().await;
    let log = Log::new(&[
        ("access.authenticators", "elasticsearch,kibana"),
        ("access.elasticsearch.urls", &engine.url),
        ("access.kibana.urls", &kibana.url),
        ("access.lockout.failures", "3"),
    ]);
    kibana.answers([(503, json!({}))]);
    engine.answers([(503, json!({}))]);
    for _ in 0..20 {
        assert!(matches!(log.access.identify(&guess("x"), FROM, NOW).await, Identified::Unavailable(_)));
    }
    engine.answers([(401, json!({}))]);
    for _ in 0..20 {
        let answer = log.access.identify(&shown("ApiKey x"), FROM, NOW).await;
        assert!(matches!(answer, Identified::Unavailable(_)), "nobody guesses a key");
    }
    for _ in 0..3 {
        assert!(matches!(log.access.identify(&guess("x"), FROM, NOW).await, Identified::Unavailable(_)));
    }
    assert!(matches!(log.access.identify(&guess("x"), FROM, NOW).await, Identified::Locked(_)));
}
