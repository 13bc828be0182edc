//! A PostgreSQL schema for one test.

use annals::event::ChainId;
use tokio_postgres::{NoTls, error::SqlState};

use super::{Document, random};

/// Its tables are dropped when it goes out of scope.
pub(crate) struct Database {
    url: String,
    schema: String,
}

impl Database {
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned(), schema: format!("it_{:016x}", random(u64::MAX)) }
    }

    /// The configuration of the store `main`, with timeouts of two seconds so that tests are fast.
    pub(crate) fn store(&self) -> String {
        format!(
            "[stores.main]\nkind = \"postgres\"\nurl = \"{}\"\nschema = \"{}\"\ntls = \"off\"\nconnect_timeout = \"1s\"\n\
             append_timeout = \"2s\"\nquery_timeout = \"2s\"\n",
            self.url, self.schema
        )
    }

    /// Returns all documents, byte for byte.
    #[track_caller]
    pub(crate) fn documents(&self) -> Vec<Document> {
        let select = format!("SELECT chain, sequence, document FROM {}.events", self.schema);
        let document = |row: &tokio_postgres::Row| {
            let chain = ChainId::from_bytes(row.get::<_, &[u8]>(0).try_into().unwrap());
            let id = format!("{chain}-{:020}", row.get::<_, i64>(1));
            Document { index: "events".to_owned(), id, source: row.get(2) }
        };
        self.query(&select).unwrap().iter().map(document).collect()
    }

    /// Runs a statement, in which `{}` stands for the schema.
    #[track_caller]
    pub(crate) fn run(&self, statement: &str) {
        let statement = statement.replace("{}", &self.schema);
        // The server ends one of two statements that wait for each other, which may be this one.
        let is_deadlock = |error: &tokio_postgres::Error| error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED);
        while let Err(error) = self.query(&statement) {
            assert!(is_deadlock(&error), "{error:?}");
        }
    }

    fn query(&self, statement: &str) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
            tokio::spawn(connection);
            client.query(statement, &[]).await
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.query(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)) {
            eprintln!("{} is not dropped: {error}", self.schema);
        }
    }
}
