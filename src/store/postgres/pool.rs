//! The connections, and the bound in time on everything that is done with one.

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

/// How long a statement that was cancelled may take to end before its connection is given up.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// A lock that is not to be had for so long is an answer of its own: something else is done with the tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done with a connection.
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
        let errors = ErrorClassifier { name: name_of(&connection) };
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
            // A runtime is given, which is all that can be missing.
            Err(_) => Err(ConfigError::Missing("runtime")),
        }
    }

    /// Does this with a connection. It is cancelled when its time is up or its caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl Work<T>,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(self);
        let (mut answer, answered) = oneshot::channel();
        // A task of its own, for someone has to see the statement to its end also when the caller does not.
        tokio::spawn(async move {
            let result = connections.supervise(limit, work, &mut answer).await;
            // The caller may be gone.
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| Err(self.errors.unavailable("the statement broke off")))
    }

    async fn supervise<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Work<T>,
        answer: &mut oneshot::Sender<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + limit;
        let late = || self.errors.unavailable(&format!("no answer within {} s", limit.as_secs_f64()));
        let connected = tokio::select! {
            connected = timeout_at(deadline, self.pool.get()) => connected.map_err(|_| late())?,
            () = answer.closed() => return Err(late()),
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
                        // If that fails as well, the connection is given up all the same.
                        let _ = cancel.cancel_query(self.tls.clone()).await;
                        let _ = running.await;
                    };
                    if timeout(CANCEL_TIMEOUT, cancelled).await.is_err() { None } else { return Err(late()) }
                }
            }
        };
        match finished {
            Some(finished) => finished.map_err(|error| self.errors.classify(error)),
            None => {
                // Nobody knows what is still under way on it.
                drop(Object::take(connection));
                Err(late())
            }
        }
    }

    /// Gives up the connections that nothing is done with, which may know a server that is no more.
    pub(super) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }
}

/// What every connection is told first.
fn settings(config: &PostgresConfig) -> String {
    let statement = config.query_timeout.max(config.append_timeout).as_millis();
    let lock = LOCK_TIMEOUT.as_millis();
    let schema = &config.schema;
    // What is stored has to be on disk; whether also on other servers is the operator's to say.
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
