//! The bodies of requests and answers as JSON, one file for each resource: the server and the client share them.
//!
//! A request with an unknown member is refused, because its sender expects something of it. An answer may have unknown
//! members and statuses, because a client may be older than its server. A shape that occurs in both is therefore two types.

mod dead_letters;
mod error;
mod events;
mod health;
mod keys;
mod providers;
mod questions;
mod rejected;

pub use self::{
    dead_letters::{DeadLetterAnswer, DeadLettersAnswer, ReplayAnswer, ReplayOutcome, StoreDeadLetters, StoreReplay},
    error::ErrorAnswer,
    events::{
        AllRejectedAnswer, Duplicate, EventResult, EventsAnswer, FirstError, Receipt, Rejection, Violation, Warning,
        WarningCode,
    },
    health::{LiveAnswer, Readiness, ReadyAnswer, StoreHealth, WriterHealth},
    keys::{GrantAnswer, GrantRequest, KeyAnswer, KeysAnswer, NewKeyAnswer, NewKeyRequest},
    providers::{ProviderAnswer, ProvidersAnswer, Registration, UnknownFields},
    questions::{
        AggregateAnswer, CountAnswer, FieldStatistics, FindAnswer, HistogramAnswer, HistogramBucket, Percentile,
        PercentilesAnswer, StatsAnswer, Term, TermsAnswer,
    },
    rejected::{RejectedAnswer, RejectedCaller, RejectedEvent},
};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_later_server_are_read() {
        let answer = r#"{"took": 1, "items": [
            {"status": "accepted", "id": "a", "chain": "c", "sequence": 0, "region": "eu"},
            {"status": "deferred", "until": "tomorrow"},
            {"status": "rejected", "error": {"reason": "no", "code": 7}, "errors": [], "advice": "none"}
        ], "warnings": [{"code": "of_later", "events": 1, "first": 0, "path": "p", "message": "m", "more": 1}]}"#;
        let EventsAnswer { items, stored, warnings } = serde_json::from_str(answer).unwrap();
        let receipt = Receipt { id: "a".to_owned(), chain: "c".to_owned(), sequence: 0, hash: None };
        let error = FirstError { path: String::new(), reason: "no".to_owned() };
        let rejection = Rejection { error, errors: Vec::new() };
        let expected = [EventResult::Accepted(receipt), EventResult::Unknown, EventResult::Rejected(rejection)];
        assert_eq!((items.as_slice(), stored), (expected.as_slice(), None));
        assert_eq!(warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), [WarningCode::Unknown]);

        let ready: ReadyAnswer = serde_json::from_str(r#"{"status": "draining", "since": 1}"#).unwrap();
        assert_eq!(ready.status, Readiness::Unknown);
        let key = r#"{"key": "k", "name": "n", "created": "t", "expired": false, "uses": 1, "grants": [{"role": "r", "until": 1}]}"#;
        let created: NewKeyAnswer = serde_json::from_str(key).unwrap();
        assert_eq!(created.about.grants.len(), 1);
    }

    #[test]
    fn requests_with_unknown_members_are_refused() {
        for request in [
            r#"{"name": "n", "grants": [], "x": 1}"#,
            r#"{"name": "n", "grants": [{"role": "reader", "space": ["a"]}]}"#,
        ] {
            assert!(serde_json::from_str::<NewKeyRequest>(request).is_err(), "{request}");
        }
        assert!(serde_json::from_str::<Registration>(r#"{"actions": ["a"], "default": {}}"#).is_err());
    }
}
