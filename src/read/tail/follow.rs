//! The schedule on which a tail polls the store.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Gone, Interrupted, Tail, TailMessage, TailOutput};

/// The pause between polls: at least `SOONEST` when more events are confirmed; otherwise from `SOON` growing to `LATEST`.
const SOONEST: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);

impl Tail {
    /// Sends new events until the reader is gone.
    pub async fn follow(&mut self, output: &impl TailOutput) -> Gone {
        let mut confirmations = self.reader.confirmations.from_now();
        if let Err(gone) = output.send(TailMessage::Begin { id: self.positions.encode() }).await {
            return gone;
        }
        let mut pause = SOON;
        loop {
            let failed = match self.round(output).await {
                Ok(true) => {
                    pause = SOON;
                    None
                }
                Ok(false) => {
                    pause = pause.mul_f32(1.5).min(LATEST);
                    None
                }
                Err(Interrupted::Reader) => return Gone,
                Err(Interrupted::Index(error)) => Some(error),
            };
            let looked = Instant::now();
            if let Some(error) = failed {
                if let Err(gone) = output.send(TailMessage::Waiting(&error)).await {
                    return gone;
                }
                pause = (pause * 2).min(2 * LATEST);
                sleep_until(looked + pause).await;
                continue;
            }
            tokio::select! {
                () = confirmations.more() => {
                    pause = SOON;
                    sleep_until(looked + SOONEST).await;
                }
                () = sleep_until(looked + pause) => {}
            }
        }
    }
}
