//! When a tail looks at the store again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Gone, Interrupted, Tail, TailMessage, TailOutput};

/// How long after a look at the store the next one is: at least, when more is confirmed; and at most, first and last, when not.
const SOONEST: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);

impl Tail {
    /// Shows what comes, for as long as somebody reads.
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
