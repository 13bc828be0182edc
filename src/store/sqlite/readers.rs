//! The read connections, and limits on how many queries run and for how long.

use std::{
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, InterruptHandle};
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};

use super::{
    database::{FileId, open_to_read},
    failure::{lost, missing, open_error, store_error, unavailable},
};
use crate::store::StoreError;

/// How often a query that has to stop is interrupted, since an interrupt between two statements has no effect.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Readers(Arc<Pool>);

struct Pool {
    path: PathBuf,
    slots: Semaphore,
    /// With the files that they read.
    idle: Mutex<Vec<(Connection, FileId)>>,
    limit: Duration,
}

impl Readers {
    pub(super) fn new(path: PathBuf, concurrent: NonZeroU32, limit: Duration) -> Self {
        let slots = usize::try_from(concurrent.get()).map_or(Semaphore::MAX_PERMITS, |n| n.min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Pool { path, slots: Semaphore::new(slots), idle: Mutex::default(), limit }))
    }

    /// Runs a query on a blocking thread. Interrupts it when its time is up or its caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = Arc::clone(&self.0);
        let (mut answer, answered) = oneshot::channel();
        // A separate task, which sees the query to its end even if the caller goes away.
        tokio::spawn(async move {
            let result = pool.supervise(query, &mut answer).await;
            // The caller may be gone.
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(unavailable(&self.0.path, "the query was aborted")))
    }

    /// Closes idle connections to the file.
    pub(super) fn close_idle(&self) {
        self.0.idle().clear();
    }
}

impl Pool {
    async fn supervise<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
        answer: &mut oneshot::Sender<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.limit;
        let _slot = tokio::select! {
            slot = timeout_at(deadline, self.slots.acquire()) => slot.map_err(|_| self.timeout_error()),
            () = answer.closed() => Err(self.timeout_error()),
        }?;
        let (mut connection, file) = self.connect().await?;
        let interrupt = connection.get_interrupt_handle();
        let mut running = spawn_blocking(move || {
            let result = query(&mut connection);
            (connection, result)
        });
        let (finished, was_late) = tokio::select! {
            finished = timeout_at(deadline, &mut running) => match finished {
                Ok(finished) => (finished, false),
                Err(_) => (interrupt_until_stopped(&interrupt, running).await, true),
            },
            () = answer.closed() => (interrupt_until_stopped(&interrupt, running).await, true),
        };
        match finished {
            Ok((connection, Ok(found))) => {
                self.idle().push((connection, file));
                Ok(found)
            }
            Ok((_, Err(_))) if was_late => Err(self.timeout_error()),
            Ok((_, Err(error))) => Err(store_error(&self.path, &error)),
            Err(_) => Err(unavailable(&self.path, "the query was aborted")),
        }
    }

    /// Returns an idle connection, or a new one, to the file that is at the path now.
    async fn connect(self: &Arc<Self>) -> Result<(Connection, FileId), StoreError> {
        let file = self.file()?.ok_or_else(|| missing(&self.path))?;
        while let Some((connection, read)) = self.pop_idle() {
            if read == file {
                return Ok((connection, read));
            }
        }
        let pool = Arc::clone(self);
        let opened = spawn_blocking(move || open_to_read(&pool.path).map_err(|error| open_error(&pool.path, &error)));
        let opened = opened.await.unwrap_or_else(|_| Err(unavailable(&self.path, "opening it was aborted")))?;
        if self.file()? == Some(file) { Ok((opened, file)) } else { Err(lost(&self.path)) }
    }

    fn file(&self) -> Result<Option<FileId>, StoreError> {
        FileId::at(&self.path).map_err(|error| unavailable(&self.path, &error.to_string()))
    }

    fn pop_idle(&self) -> Option<(Connection, FileId)> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, FileId)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timeout_error(&self) -> StoreError {
        unavailable(&self.path, &format!("the query took longer than {} s", self.limit.as_secs_f64()))
    }
}

/// Interrupts a query and waits until it has ended.
async fn interrupt_until_stopped<T>(
    interrupt: &InterruptHandle,
    mut running: JoinHandle<T>,
) -> Result<T, tokio::task::JoinError> {
    loop {
        interrupt.interrupt();
        tokio::select! {
            finished = &mut running => return finished,
            () = sleep(INTERRUPT_INTERVAL) => {}
        }
    }
}
