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

pub use self::{
    dead_letters::{DeadLetterAnswer, DeadLettersAnswer, ReplayAnswer, ReplayOutcome, StoreDeadLetters, StoreReplay},
    error::ErrorAnswer,
    events::{AllRejectedAnswer, EventResult, EventsAnswer, FirstError, Receipt, Rejection, Violation},
    health::{LiveAnswer, Readiness, ReadyAnswer, StoreHealth, WriterHealth},
    keys::{GrantAnswer, GrantRequest, KeyAnswer, KeysAnswer, NewKeyAnswer, NewKeyRequest},
    providers::{ProviderAnswer, ProvidersAnswer, Registration},
};
