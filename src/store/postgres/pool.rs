//! The connections, and the time limit on everything that uses one.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Hook, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures_util::future::BoxFuture;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use tokio_postgres::config::Host;

use super::{
    config::{ConfigError, PostgresConfig},
    failure::{ErrorClassifier, OperationError},
    tls::Tls,
};
use crate::store::StoreError;

/// How long a cancelled statement may take to end before its connection is dropped.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The time after which waiting for a lock fails: something else holds the tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Work to do with a connection.
pub(super) trait Work<T>:
    for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, OperationError>> + Send + 'static
{
}

impl<T, F> Work<T> for F where
    F: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, OperationError>> + Send + 'static
{
}

pub(super) struct Connections {
    pool: Pool,
    tls: Tls,
    pub(super) errors: ErrorClassifier,
}

impl Connections {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, ConfigError> {
        let connection = config.connection()?;
        let tls = config.tls()?;
        let errors = ErrorClassifier { name: name_of(&connection), schema: config.schema.clone() };
        let settings = settings(config);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connection, tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(usize::try_from(config.connections.get()).unwrap_or(usize::MAX))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { create: Some(config.connect_timeout), ..Timeouts::default() })
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(
                    async move { client.batch_execute(&settings).await.map_err(deadpool_postgres::HookError::Backend) },
                )
            }))
            .build();
        match pool {
            Ok(pool) => Ok(Self { pool, tls, errors }),
            // Only a missing runtime could fail here, and it is given.
            Err(_) => Err(ConfigError::Missing("runtime")),
        }
    }

    /// Runs work with a connection. Cancels it when its time is up or its caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl Work<T>,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(self);
        let (mut answer, answered) = oneshot::channel();
        // A separate task, which sees the statement to its end even if the caller goes away.
        tokio::spawn(async move {
            let result = connections.supervise(limit, work, &mut answer).await;
            // The caller may be gone.
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(self.errors.unavailable("the statement was aborted")))
    }

    async fn supervise<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Work<T>,
        answer: &mut oneshot::Sender<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + limit;
        let timeout_error = || self.errors.unavailable(&format!("no answer within {} s", limit.as_secs_f64()));
        let connected = tokio::select! {
            connected = timeout_at(deadline, self.pool.get()) => connected.map_err(|_| timeout_error())?,
            () = answer.closed() => return Err(timeout_error()),
        };
        let mut connection = connected.map_err(|error| self.errors.classify_pool(error))?;
        let cancel = connection.cancel_token();
        let finished = {
            let mut running = work(&mut connection);
            let in_time = tokio::select! {
                finished = timeout_at(deadline, &mut running) => finished.ok(),
                () = answer.closed() => None,
            };
            match in_time {
                Some(finished) => Some(finished),
                None => {
                    let cancelled = async {
                        // If this fails too, the connection is dropped anyway.
                        let _ = cancel.cancel_query(self.tls.clone()).await;
                        let _ = running.await;
                    };
                    if timeout(CANCEL_TIMEOUT, cancelled).await.is_err() { None } else { return Err(timeout_error()) }
                }
            }
        };
        match finished {
            Some(finished) => finished.map_err(|error| self.errors.classify(error)),
            None => {
                // The state of the connection is unknown.
                drop(Object::take(connection));
                Err(timeout_error())
            }
        }
    }

    /// Drops idle connections, which may belong to a server that is gone.
    pub(super) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }
}

/// Returns the settings for a new connection.
fn settings(config: &PostgresConfig) -> String {
    let statement = config.query_timeout.max(config.append_timeout).as_millis();
    let lock = LOCK_TIMEOUT.as_millis();
    let schema = &config.schema;
    // What is stored has to be on disk. Whether it has to be on replicas too is up to the operator.
    format!(
        "SET search_path TO \"{schema}\";
        SET statement_timeout TO {statement};
        SET lock_timeout TO {lock};
        SET idle_in_transaction_session_timeout TO {statement};
        SET client_min_messages TO warning;
        SET jit TO off;
        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn name_of(connection: &tokio_postgres::Config) -> String {
    let hosts: Vec<String> = connection
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = connection.get_ports().first().copied().unwrap_or(5432);
    format!("{}:{port}/{}", hosts.join(","), connection.get_dbname().unwrap_or_default())
}
