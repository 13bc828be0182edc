//! The task that sends what waits in the queue: one batch after the other, each until the server has answered for it.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::{
    api::{Api, ApiError, Item, WaitFor},
    queue::{Queue, Tally},
};
use crate::backoff::Backoff;

/// Runs until the queue is closed and empty, or `give_up` becomes true.
pub(super) async fn run(queue: Arc<Queue>, api: Api, mut give_up: watch::Receiver<bool>) {
    while let Some(batch) = queue.next_batch().await {
        let mut tally = Tally::default();
        let done = tokio::select! {
            biased;
            () = send(&queue, &api, &batch, &mut tally) => true,
            () = told(&mut give_up) => false,
        };
        if !done {
            tally.dropped = count(&batch).saturating_sub(tally.sent + tally.filtered + tally.rejected);
        }
        queue.settle(&batch, tally);
        if !done {
            let dropped = tally.dropped + queue.drop_waiting();
            tracing::warn!(dropped, "the client was closed before the server took all events; the rest is dropped");
            return;
        }
    }
}

/// Returns once it is true; never if nobody can say so any more.
async fn told(give_up: &mut watch::Receiver<bool>) {
    if give_up.wait_for(|told| *told).await.is_err() {
        std::future::pending().await
    }
}

/// Sends a batch whole; where the server finds it too large, in halves.
async fn send(queue: &Queue, api: &Api, batch: &[Bytes], tally: &mut Tally) {
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        match send_part(queue, api, part, tally).await {
            Sent::Settled => {}
            Sent::TooLarge => {
                let (first, second) = part.split_at_checked(part.len() / 2).unwrap_or((part, &[]));
                // The last in is the next out: order is kept.
                parts.extend([second, first]);
            }
        }
    }
}

enum Sent {
    Settled,
    /// Never said of a single event.
    TooLarge,
}

async fn send_part(queue: &Queue, api: &Api, part: &[Bytes], tally: &mut Tally) -> Sent {
    let body = lines(part);
    let mut backoff = Backoff::default();
    loop {
        let error = match api.log(body.clone(), part.len(), WaitFor::Durable).await {
            Ok(logged) => {
                settle_items(&logged.items, tally);
                return Sent::Settled;
            }
            Err(error) => error,
        };
        let retry_after = match error {
            ApiError::Refused { status: 413, .. } if part.len() > 1 => return Sent::TooLarge,
            // The events themselves are at fault; sending them again would hold up the rest for ever.
            ApiError::Refused { status: 400 | 413 | 415 | 422, ref message } => {
                tracing::warn!(events = part.len(), reason = %message, "the server refused events");
                tally.rejected += count(part);
                return Sent::Settled;
            }
            ApiError::Busy { retry_after, .. } => retry_after,
            ApiError::Refused { .. }
            | ApiError::Unreachable { .. }
            | ApiError::AnswerLost { .. }
            | ApiError::BrokenOff { .. }
            | ApiError::Strange { .. }
            | ApiError::Endpoint(_) => None,
        };
        let wait: Duration = backoff.next(retry_after);
        tracing::warn!(error = %error, wait_ms = wait.as_millis(), "events could not be sent; they are kept and sent again");
        queue.count_retry();
        tokio::time::sleep(wait).await;
    }
}

fn settle_items(items: &[Item], tally: &mut Tally) {
    for item in items {
        match item {
            Item::Accepted(_) => tally.sent += 1,
            Item::Filtered | Item::NotKept => tally.filtered += 1,
            Item::Dropped => {
                tracing::warn!("the server's journal is full; it dropped an event");
                tally.dropped += 1;
            }
            Item::Rejected(rejection) => {
                tracing::warn!(reasons = %rejection.lines().join("; "), "the server rejected an event");
                tally.rejected += 1;
            }
            Item::Unknown => {
                tracing::warn!("the server did something with an event that this client does not know");
                tally.rejected += 1;
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
