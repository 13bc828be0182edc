//! The task that sends queued events in batches, each until the server has answered.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::{
    api::{Api, ApiError, WaitFor},
    queue::{BatchCounts, Queue},
};
use crate::{
    backoff::Backoff,
    wire::{Duplicate, EventResult, Warning, WarningCode},
};

/// Runs until the queue is closed and empty, or `give_up` becomes true.
pub(super) async fn run(queue: Arc<Queue>, api: Api, mut give_up: watch::Receiver<bool>) {
    let mut warned = Vec::new();
    while let Some(batch) = queue.next_batch().await {
        let mut counts = BatchCounts::default();
        let done = tokio::select! {
            biased;
            () = send(&queue, &api, &batch, &mut counts, &mut warned) => true,
            () = wait_until_true(&mut give_up) => false,
        };
        if !done {
            counts.dropped = count(&batch).saturating_sub(counts.sent + counts.filtered + counts.rejected);
        }
        queue.complete(&batch, counts);
        if !done {
            let dropped = counts.dropped + queue.drop_waiting();
            tracing::warn!(dropped, "the client was closed before the server took all events; the rest is dropped");
            return;
        }
    }
}

/// Returns once the value is true; never if its sender is gone.
async fn wait_until_true(give_up: &mut watch::Receiver<bool>) {
    if give_up.wait_for(|requested| *requested).await.is_err() {
        std::future::pending().await
    }
}

/// Sends a batch as a whole, or in halves if the server refuses it, so that it refuses no event but those at fault.
async fn send(queue: &Queue, api: &Api, batch: &[Bytes], counts: &mut BatchCounts, warned: &mut Vec<WarningCode>) {
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        match send_part(queue, api, part, counts, warned).await {
            PartOutcome::Done => {}
            PartOutcome::Split => {
                let (first, second) = part.split_at_checked(part.len() / 2).unwrap_or((part, &[]));
                // A stack: the first half is sent next, which keeps the order.
                parts.extend([second, first]);
            }
        }
    }
}

enum PartOutcome {
    Done,
    /// Never of a single event.
    Split,
}

async fn send_part(
    queue: &Queue,
    api: &Api,
    part: &[Bytes],
    counts: &mut BatchCounts,
    warned: &mut Vec<WarningCode>,
) -> PartOutcome {
    let body = lines(part);
    let mut backoff = Backoff::default();
    loop {
        let error = match api.log(body.clone(), part.len(), WaitFor::Durable).await {
            Ok(logged) => {
                count_results(&logged.items, counts);
                logged.warnings.iter().for_each(|warning| report(warning, warned));
                return PartOutcome::Done;
            }
            Err(error) => error,
        };
        let retry_after = match error {
            ApiError::Refused { status: 400 | 413, .. } if part.len() > 1 => return PartOutcome::Split,
            // The events are at fault: sending them again would block the queue forever.
            ApiError::Refused { status: 400 | 413 | 415 | 422, ref message } => {
                tracing::warn!(events = part.len(), reason = %message, "the server refused events");
                counts.rejected += count(part);
                return PartOutcome::Done;
            }
            ApiError::Busy { retry_after, .. } => retry_after,
            ApiError::Refused { .. }
            | ApiError::Unreachable { .. }
            | ApiError::Untrusted { .. }
            | ApiError::WrongProtocol { .. }
            | ApiError::AnswerLost { .. }
            | ApiError::BrokenOff { .. }
            | ApiError::UnexpectedAnswer { .. }
            | ApiError::Endpoint(_) => None,
        };
        let wait: Duration = backoff.next(retry_after);
        tracing::warn!(error = %error, wait_ms = wait.as_millis(), "events could not be sent; trying again");
        queue.count_retry();
        tokio::time::sleep(wait).await;
    }
}

/// Reports the first warning of each code.
fn report(warning: &Warning, warned: &mut Vec<WarningCode>) {
    if !warned.contains(&warning.code) {
        warned.push(warning.code);
        tracing::warn!(path = warning.path, "the server warns: {}", warning.message);
    }
}

fn count_results(items: &[EventResult], counts: &mut BatchCounts) {
    for item in items {
        match item {
            EventResult::Accepted(_) => counts.sent += 1,
            EventResult::Duplicate(Duplicate { receipt, differs }) => {
                if *differs {
                    tracing::warn!(
                        id = receipt.id,
                        "the server has another event with this id; this one is not logged"
                    );
                    counts.rejected += 1;
                } else {
                    counts.sent += 1;
                }
            }
            EventResult::Filtered | EventResult::NotKept => counts.filtered += 1,
            EventResult::Dropped => {
                tracing::warn!("the server's journal is full; it dropped an event");
                counts.dropped += 1;
            }
            EventResult::Rejected(rejection) => {
                tracing::warn!(reasons = %rejection.lines().join("; "), "the server rejected an event");
                counts.rejected += 1;
            }
            EventResult::Unknown => {
                tracing::warn!("the server answered with a status that this client does not know");
                counts.rejected += 1;
            }
        }
    }
}

fn lines(events: &[Bytes]) -> Bytes {
    let mut body = BytesMut::with_capacity(events.iter().map(|event| event.len() + 1).sum());
    for event in events {
        body.extend_from_slice(event);
        body.extend_from_slice(b"\n");
    }
    body.freeze()
}

fn count(events: &[Bytes]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}
