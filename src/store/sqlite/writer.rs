//! The thread that owns the write connection.

use std::{
    io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    database::{FileId, LOG_LIMIT, open_to_write},
    failure::{lost, open_error, store_error, unavailable},
};
use crate::store::StoreError;

/// How long a caller waits, for the queue and the disk together. Its work may still be done afterwards.
const LIMIT: Duration = Duration::from_secs(60);

/// How many jobs the queue holds; further callers wait outside.
const QUEUE: usize = 8;

type Work = Box<dyn FnOnce(&mut Option<Opened>) + Send>;

/// The connection, and the file that it writes to.
struct Opened {
    connection: Connection,
    file: FileId,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, StoreError> {
        let connection = open_to_write(path).map_err(|error| open_error(path, &error))?;
        let file = FileId::at(path).map_err(|error| unavailable(path, &error.to_string()))?;
        Ok(Self { connection, file: file.ok_or_else(|| lost(path))? })
    }

    /// Fails if the path no longer names the file: nobody would find what is written to it.
    fn check_path(&self, path: &Path) -> Result<(), StoreError> {
        match FileId::at(path) {
            Ok(found) if found == Some(self.file) => Ok(()),
            Ok(_) => Err(lost(path)),
            Err(error) => Err(unavailable(path, &error.to_string())),
        }
    }
}

/// A handle on the thread; dropping it ends the thread.
pub(super) struct WriterThread {
    path: PathBuf,
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    pub(super) fn start(path: PathBuf) -> io::Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let thread = thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            let mut connection = None;
            while let Some(work) = work.blocking_recv() {
                work(&mut connection);
            }
        })?;
        Ok(Self { path, queue: Some(queue), thread: Some(thread) })
    }

    /// Opens the file, or reopens it: a fresh connection has no memory of earlier errors.
    pub(super) async fn open(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.submit(move |connection| {
            *connection = None;
            *connection = Some(Opened::new(&path)?);
            Ok(())
        })
        .await
    }

    /// Runs work on the thread when its turn comes. What it wrote is in the file at the path, or the call fails.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.path.clone();
        self.submit(move |connection| match connection {
            Some(opened) => {
                opened.check_path(&path)?;
                let done = work(&mut opened.connection).map_err(|error| store_error(&path, &error))?;
                opened.check_path(&path)?;
                Ok(done)
            }
            None => Err(unavailable(&path, "it is not open")),
        })
        .await
    }

    /// Empties the write-ahead log if it has grown, once the readers of its older part are done.
    pub(super) async fn shorten_log(&self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        self.run(move |connection| {
            let is_long = std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT.unsigned_abs());
            // Being blocked by a reader is not an error here; the next call tries again.
            if is_long { connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) } else { Ok(()) }
        })
        .await
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Opened>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            // The caller may be gone.
            let _ = answer.send(work(connection));
        });
        let gone = || unavailable(&self.path, "its thread has ended");
        let submitted = async {
            self.queue.as_ref().ok_or_else(gone)?.send(work).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        let late = |_| Err(unavailable(&self.path, &format!("no answer within {} s", LIMIT.as_secs())));
        tokio::time::timeout(LIMIT, submitted).await.unwrap_or_else(late)
    }
}

impl Drop for WriterThread {
    /// Waits for pending writes, so that the file is closed when the store is gone.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}
