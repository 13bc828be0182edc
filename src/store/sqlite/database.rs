//! Creates, opens and migrates the file.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{failure::OpenError, functions, migrate};

/// Marks the file as ours in its header: "ANNL".
const APPLICATION_ID: i32 = 0x414e_4e4c;

/// Migrations; each brings a file from the version that is its index to the next. New ones are appended, existing ones
/// never change.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001_events.sql"),
    include_str!("migrations/0002_questions.sql"),
    include_str!("migrations/0003_reading.sql"),
    include_str!("migrations/0004_identity.sql"),
    include_str!("migrations/0005_object_names.sql"),
    include_str!("migrations/0006_long_messages.sql"),
];

/// Earlier versions may corrupt a file in WAL mode that several connections write to and checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for another process to release the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The size in bytes above which the write-ahead log is emptied. SQLite itself does so only when no reader is in its
/// way.
pub(super) const LOG_LIMIT: i64 = 64 * 1024 * 1024;

const STATEMENTS_KEPT: usize = 32;

/// Identifies a file while it exists: its path may come to name another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns `None` if there is no file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(Self { device: file.dev(), inode: file.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Opens the file for writing, after creating or migrating it if necessary.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldLibrary { found: rusqlite::version() });
    }
    create(path)?;
    let mut connection = open(path)?;
    identify(&connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?; // KiB
    // SQLite reuses the log from its start, but would never truncate it.
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
    take_steps(&mut connection)?;
    functions::register(&connection)?;
    migrate::finish(&mut connection)?;
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != MIGRATIONS.len() as i64 || migrate::is_under_way(&connection)? {
        return Err(OpenError::Older);
    }
    functions::register(&connection)?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Readers open the file for writing too, as they take part in locking the log.
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// Creates the file, for its owner only; SQLite gives the files beside it the same mode.
fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(())
}

fn identify(connection: &Connection) -> Result<(), OpenError> {
    let found = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let is_empty = || connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0));
    if found == APPLICATION_ID || (found == 0 && is_empty()?) { Ok(()) } else { Err(OpenError::Foreign { found }) }
}

/// Runs the missing migrations and records them. Other processes may do so at the same time.
fn take_steps(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer { found, known: MIGRATIONS.len() });
    }
    for step in MIGRATIONS.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    if found < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    Ok(transaction.commit()?)
}

fn version(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // No program writes a version below 0. Treating it as a far newer one leaves the file alone.
    Ok(usize::try_from(found).unwrap_or(usize::MAX))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open_error_text(path: &Path) -> String {
        open_to_write(path).unwrap_err().to_string()
    }

    #[test]
    fn the_file_is_its_owners_alone_and_syncs_each_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/events.db");
        let connection = open_to_write(&path).unwrap();
        for file in [path.clone(), path.with_extension("db-wal")] {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        let setting = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
        };
        assert_eq!(setting("journal_mode"), "wal".to_owned().into());
        assert_eq!(setting("synchronous"), 2.into());
    }

    #[test]
    fn a_file_is_opened_again_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let insert = "INSERT INTO events (chain, sequence, received, document) VALUES (x'00', 1, 2, x'7b7d')";
        open_to_write(&path).unwrap().execute(insert, []).unwrap();
        let rows = open_to_write(&path).unwrap().query_row("SELECT count(*) FROM events", [], |row| row.get(0));
        assert_eq!(rows, Ok(1));
    }

    #[test]
    fn a_file_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        open_to_write(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert_eq!(
            open_error_text(&path),
            "the file has version 7, but this program only supports versions up to 6: use a newer program"
        );
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
        assert_eq!(open_error_text(&path), "the file is the database of another program (application id 0x00000000)");
        std::fs::write(&path, "not a database, but long enough to have a header of a hundred bytes".repeat(2)).unwrap();
        assert_eq!(open_error_text(&path), "file is not a database");
    }
}
