//! `/api/event_log/dead_letters`: events that a store refused permanently.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    access::{Caller, Permission},
    error::Failure,
    http::{
        Shared, answer,
        body::busy,
        held_body,
        operation::{Answer, Operation},
        parameters::{InSpace, MAX_SAFE, NumberRange, Parameter, Parameters},
    },
    ship::{DeadLetter, DeadLetters, Replayed, Shipper},
    wire::{DeadLetterAnswer, DeadLettersAnswer, ReplayAnswer, ReplayOutcome, StoreDeadLetters, StoreReplay},
};

const STORE: Parameter = Parameter::text("store", "The name of a store; without it, all stores");
const FROM: Parameter = Parameter::number(
    "from",
    NumberRange { default: 0, min: 0, max: MAX_SAFE },
    "How many dead letters to skip in each store",
);
const LIMIT: Parameter = Parameter::number(
    "limit",
    NumberRange { default: 100, min: 0, max: 1000 },
    "How many dead letters to list of each store; there are fewer if they are large",
);

pub(super) fn operations() -> Vec<Operation> {
    let list = Operation::get(Permission::ListDeadLetters, "/api/event_log/dead_letters", "list_dead_letters", list)
        .in_spaces()
        .tagged("dead letters")
        .summary("List events that stores refused permanently")
        .parameters([&STORE, &FROM, &LIMIT])
        .answers([
            Answer::json::<DeadLettersAnswer>(200, "Dead letters by store"),
            Answer::error(400, "The request is invalid"),
        ]);
    let replay = Operation::post(Permission::ReplayDeadLetters, "/api/event_log/dead_letters/_replay", "replay_dead_letters", replay)
        .in_spaces()
        .tagged("dead letters")
        .summary("Offer refused events to their stores again")
        .description(
            "To be used after the cause was fixed. Events that the store now accepts are no longer dead letters. An event that \
             is refused again does not keep others from being offered, nor does a failing store affect the others.",
        )
        .parameters([&STORE])
        .answers([
            Answer::json::<ReplayAnswer>(200, "The result for each store"),
            Answer::error(400, "The request is invalid"),
        ]);
    vec![list, replay]
}

/// Bytes of dead letters after which no more are listed.
const LIST_BYTES: usize = 12 << 20;

/// Dead letters that are read at once.
const STEP: usize = 4;

/// What such a list takes: the dead letters, their copies, and the answer.
const LIST_MEMORY: usize = 64 << 20;

async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    mut parameters: Parameters,
) -> Result<Response, Failure> {
    let chosen = chosen(&shared, &mut parameters)?;
    let from = size(parameters.number(&FROM)?);
    let limit = size(parameters.number(&LIMIT)?);
    parameters.finish()?;
    let answers = &shared.services.memory.answers;
    let memory = answers.reserve(&caller.principal.to_string(), LIST_MEMORY, shared.deadline()).await.map_err(busy)?;
    let mut stores = Vec::with_capacity(chosen.len());
    let mut bytes = 0;
    for (store, shipper) in chosen {
        let mut items = Vec::new();
        let total = loop {
            let step = if bytes < LIST_BYTES { STEP.min(limit - items.len()) } else { 0 };
            let listed = shipper.dead_letters(from.saturating_add(items.len()), step).await;
            let DeadLetters { total, items: more } = listed.map_err(Failure::internal)?;
            let is_end = more.len() < STEP;
            for letter in more {
                bytes += letter.document.len() + letter.reason.len();
                items.push(show(letter)?);
            }
            if is_end {
                break total;
            }
        };
        stores.push(StoreDeadLetters { store, total: total as u64, items });
    }
    let body =
        serde_json::to_vec(&DeadLettersAnswer { stores }).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(answer::json_bytes(StatusCode::OK, held_body::body(body, memory)))
}

async fn replay(
    State(shared): State<Arc<Shared>>,
    _space: InSpace,
    mut parameters: Parameters,
) -> Result<Response, Failure> {
    let chosen = chosen(&shared, &mut parameters)?;
    parameters.finish()?;
    // Completes even if the client disconnects.
    let work = tokio::spawn(async move {
        let mut stores = Vec::with_capacity(chosen.len());
        for (store, shipper) in chosen {
            let outcome = match shipper.replay_dead_letters().await {
                Ok(Replayed { stored, refused, reason }) => {
                    ReplayOutcome::Done { stored: stored as u64, refused: refused as u64, reason }
                }
                Err(error) => {
                    tracing::warn!(store, error, "the dead letters could not all be replayed");
                    ReplayOutcome::Failed { error }
                }
            };
            stores.push(StoreReplay { store, outcome });
        }
        stores
    });
    let stores = work.await.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(answer::json(StatusCode::OK, &ReplayAnswer { stores }))
}

/// Returns the store in the request, or all stores.
fn chosen(shared: &Shared, parameters: &mut Parameters) -> Result<Vec<(String, Shipper)>, Failure> {
    let stores = &shared.services.stores;
    let Some(wanted) = parameters.text(&STORE)? else {
        return Ok(stores.clone());
    };
    let chosen: Vec<_> = stores.iter().filter(|(name, _)| *name == wanted).cloned().collect();
    if chosen.is_empty() {
        let names: Vec<_> = stores.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::parameter(
            STORE.name,
            format_args!("expected one of [{}] but got [{wanted}]", names.join(", ")),
        ));
    }
    Ok(chosen)
}

fn show(letter: DeadLetter) -> Result<DeadLetterAnswer, Failure> {
    let DeadLetter { position, target, reason, refused_at, document } = letter;
    let document = RawValue::from_string(document.clone())
        .or_else(|_| to_raw_value(&document))
        .map_err(|error| Failure::internal(error.to_string()))?;
    Ok(DeadLetterAnswer { position, target, reason, refused_at, document })
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
