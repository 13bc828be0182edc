//! `/api/event_log/dead_letters`: what a store refused for good.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::Failure,
    http::{
        Shared,
        answer::{self, ErrorAnswer},
        parameters::{InSpace, MAX_SAFE, NumberRange, Parameters, invalid},
    },
    ship::{DeadLetter, DeadLetters, Replayed, Shipper},
    wire::{DeadLetterAnswer, DeadLettersAnswer, ReplayAnswer, ReplayOutcome, StoreDeadLetters, StoreReplay},
};

const FROM: NumberRange = NumberRange { default: 0, min: 0, max: MAX_SAFE };
const LIMIT: NumberRange = NumberRange { default: 100, min: 0, max: 1000 };

/// List what stores refused for good
#[utoipa::path(
    get,
    path = "/api/event_log/dead_letters",
    operation_id = "list_dead_letters",
    tag = "dead letters",
    params(
        ("store" = Option<String>, Query, description = "The name of one store; all of them without it"),
        ("from" = Option<u64>, Query, description = "How many to skip in each store"),
        ("limit" = Option<u64>, Query, description = "How many to list of each store", maximum = 1000),
    ),
    responses(
        (status = 200, description = "Dead letters by store", body = DeadLettersAnswer),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    _space: InSpace,
    mut parameters: Parameters,
) -> Result<Response, Failure> {
    let chosen = chosen(&shared, &mut parameters)?;
    let from = size(parameters.take_number("from", FROM)?);
    let limit = size(parameters.take_number("limit", LIMIT)?);
    parameters.finish()?;
    let mut stores = Vec::with_capacity(chosen.len());
    for (store, shipper) in chosen {
        let DeadLetters { total, items } = shipper.dead_letters(from, limit).await.map_err(Failure::internal)?;
        let items = items.into_iter().map(show).collect::<Result<_, _>>()?;
        stores.push(StoreDeadLetters { store, total: total as u64, items });
    }
    Ok(answer::json(StatusCode::OK, &DeadLettersAnswer { stores }))
}

/// Offer what stores refused to them again
///
/// After the cause was mended. What a store takes now is a dead letter no longer. What it refuses again does not keep others
/// from being offered, nor does a store that fails keep the others from theirs.
#[utoipa::path(
    post,
    path = "/api/event_log/dead_letters/_replay",
    operation_id = "replay_dead_letters",
    tag = "dead letters",
    params(("store" = Option<String>, Query, description = "The name of one store; all of them without it")),
    responses(
        (status = 200, description = "What became of them", body = ReplayAnswer),
        (status = 400, description = "The request is invalid", body = ErrorAnswer),
    )
)]
pub(in crate::http) async fn replay(
    State(shared): State<Arc<Shared>>,
    _space: InSpace,
    mut parameters: Parameters,
) -> Result<Response, Failure> {
    let chosen = chosen(&shared, &mut parameters)?;
    parameters.finish()?;
    // Seen through even if the client goes away.
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

/// The store that the request names, or all of them.
fn chosen(shared: &Shared, parameters: &mut Parameters) -> Result<Vec<(String, Shipper)>, Failure> {
    let stores = &shared.services.stores;
    let Some(wanted) = parameters.take("store", "string")? else {
        return Ok(stores.clone());
    };
    let chosen: Vec<_> = stores.iter().filter(|(name, _)| *name == wanted).cloned().collect();
    if chosen.is_empty() {
        let names: Vec<_> = stores.iter().map(|(name, _)| name.as_str()).collect();
        return Err(invalid("store", format_args!("expected one of [{}] but got [{wanted}]", names.join(", "))));
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
