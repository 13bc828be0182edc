//! Compares the rows of events with their documents.

use std::{collections::BTreeSet, sync::LazyLock};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params_from_iter, types::ToSqlOutput};

use super::append::values;
use crate::{
    event::{ChainId, ChainPosition, Sequence},
    store::{
        FiledPart, RowId,
        sql::{Column, Dialect, EVENT_COLUMNS, EventRow, Filed, OBJECT_COLUMNS, ObjectRow, STRAY_OBJECTS, column_list},
    },
};

/// How many words are looked up at once.
const WORDS_AT_ONCE: usize = 64;

static DIFFERENCES: LazyLock<String> = LazyLock::new(|| {
    let differs = column_list(&EVENT_COLUMNS, |name, number| format!("{name} IS NOT ?{}", number + 1));
    format!("SELECT {differs} FROM events WHERE id = ?1")
});

static OBJECT_DIFFERENCES: LazyLock<String> = LazyLock::new(|| {
    let differs = column_list(&OBJECT_COLUMNS, |name, number| format!("{name} IS NOT ?{}", number + 2));
    format!("SELECT {differs} FROM objects WHERE event = ?1 AND ordinal = ?2")
});

/// Checks the rows from this one on, up to the one at which the documents reach this many bytes.
pub(super) fn misfiled(connection: &mut Connection, from: i64, bytes: usize) -> rusqlite::Result<FiledPart> {
    // In one transaction, as rows may be replaced meanwhile.
    let transaction = connection.transaction()?;
    let mut part = FiledPart::default();
    let mut last = None;
    {
        let mut comparison = Comparison::of(&transaction)?;
        let mut select = transaction
            .prepare_cached("SELECT id, chain, sequence, document FROM events WHERE id >= ?1 ORDER BY id")?;
        let mut rows = select.query([from])?;
        let mut read = 0;
        while (last.is_none() || read < bytes)
            && let Some(row) = rows.next()?
        {
            let id = row.get(0)?;
            let document = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            match EventRow::of_document(document) {
                Ok(expected) => comparison.compare(id, &expected, &mut part)?,
                Err(_) => {
                    let chain = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                    part.report(place(chain, row.get(2)?), Filed::Unreadable);
                }
            }
            part.documents += 1;
            read += document.len();
            last = Some(id);
        }
    }
    part.next = last.and_then(|last: i64| last.checked_add(1)).map(RowId);
    let mut strays = transaction.prepare_cached(STRAY_OBJECTS)?;
    let mut strays = strays.query((from, last.unwrap_or(i64::MAX)))?;
    while let Some(row) = strays.next()? {
        let chain = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        part.report(place(chain, row.get(1)?), Filed::StrayObjects(row.get(2)?));
    }
    Ok(part)
}

/// The position in the columns of a row. They may have been changed: a chain that is none becomes the chain of zeros.
fn place(chain: &[u8], sequence: i64) -> ChainPosition {
    let chain = ChainId::from_bytes(chain.try_into().unwrap_or_default());
    ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) }
}

/// The prepared statements of one transaction.
struct Comparison<'t> {
    event: CachedStatement<'t>,
    object: CachedStatement<'t>,
    objects: CachedStatement<'t>,
    words: CachedStatement<'t>,
}

impl<'t> Comparison<'t> {
    fn of(transaction: &'t Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            event: transaction.prepare_cached(&DIFFERENCES)?,
            object: transaction.prepare_cached(&OBJECT_DIFFERENCES)?,
            objects: transaction.prepare_cached("SELECT count(*) FROM objects WHERE event = ?1")?,
            words: transaction.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM message_words WHERE message_words MATCH ?1 AND rowid = ?2)",
            )?,
        })
    }

    fn compare(&mut self, id: i64, expected: &EventRow, part: &mut FiledPart) -> rusqlite::Result<()> {
        let position = expected.position();
        let mut report = |filed| part.report(position, filed);
        let found = differing(&mut self.event, &[id], &EVENT_COLUMNS, expected)?;
        found.into_iter().flatten().for_each(|column| report(Filed::EventColumn(column)));
        let mut held = 0;
        for object in &expected.objects {
            match self.differing_object(id, object)? {
                Some(columns) => {
                    held += 1;
                    columns.into_iter().for_each(|column| report(Filed::ObjectColumn(column)));
                }
                None => report(Filed::MissingObject),
            }
        }
        if self.objects.query_row([id], |row| row.get::<_, i64>(0))? > held {
            report(Filed::ExtraObject);
        }
        if !self.has_words(id, expected.words.as_deref().unwrap_or_default())? {
            report(Filed::MissingWord);
        }
        Ok(())
    }

    fn differing_object(&mut self, id: i64, object: &ObjectRow) -> rusqlite::Result<Option<Vec<&'static str>>> {
        differing(&mut self.object, &[id, object.ordinal], &OBJECT_COLUMNS, object)
    }

    /// Whether the full-text index has all of these words for the row. What it has beyond that finds nothing.
    fn has_words(&mut self, id: i64, words: &str) -> rusqlite::Result<bool> {
        let words: BTreeSet<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let words: Vec<&str> = words.into_iter().collect();
        for part in words.chunks(WORDS_AT_ONCE) {
            if !self.words.query_row((Dialect::Sqlite.all_of(part), id), |row| row.get(0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns the columns in which the row with this key differs from the expected one; `None` if there is no such row.
fn differing<R>(
    statement: &mut CachedStatement<'_>,
    key: &[i64],
    columns: &[Column<R>],
    expected: &R,
) -> rusqlite::Result<Option<Vec<&'static str>>> {
    let key = key.iter().map(|number| ToSqlOutput::from(*number));
    let parameters = params_from_iter(key.chain(values(columns, expected)));
    let names = statement.query_row(parameters, |row| {
        let differs = columns.iter().enumerate().map(|(at, column)| Ok(row.get::<_, bool>(at)?.then_some(column.name)));
        differs.filter_map(Result::transpose).collect()
    });
    names.optional()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        event::SealedEvent,
        store::{
            sqlite::{append, database::open_to_write},
            testing::{draft, fresh_chain, odd_events, position},
        },
    };

    struct Filled {
        _folder: tempfile::TempDir,
        path: PathBuf,
        chain: ChainId,
        connection: Connection,
    }

    /// A file with these events.
    fn filled(events: impl FnOnce(ChainId) -> Vec<SealedEvent>) -> Filled {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let mut connection = open_to_write(&path).unwrap();
        let chain = fresh_chain();
        let rows: Vec<_> = events(chain).into_iter().map(append::PreparedRow::of).collect();
        append::append(&mut connection, &rows).unwrap();
        Filled { _folder: folder, path, chain, connection }
    }

    impl Filled {
        /// Runs a statement as another program would, without our functions and checks.
        fn edit(&self, statement: &str) {
            let other = Connection::open(&self.path).unwrap();
            other.pragma_update(None, "foreign_keys", false).unwrap();
            other.execute_batch(statement).unwrap();
        }

        /// The sequence of each difference's event, and the column.
        fn found(&mut self) -> Vec<(u64, String)> {
            let (mut found, mut from) = (Vec::new(), Some(i64::MIN));
            while let Some(first) = from {
                let part = misfiled(&mut self.connection, first, usize::MAX).unwrap();
                found.extend(part.misfiled.into_iter().map(|found| (found.position.sequence.0, found.column)));
                from = part.next.map(|next| next.0);
            }
            found
        }

        /// The names and types of a table's columns.
        fn columns(&self, table: &str) -> Vec<(String, String)> {
            let mut columns = self.connection.prepare("SELECT name, type FROM pragma_table_info(?1)").unwrap();
            let columns = columns.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            columns.collect::<rusqlite::Result<_>>().unwrap()
        }
    }

    /// Another value of this type.
    fn other_value(column: &str, kind: &str) -> String {
        match kind {
            "INTEGER" => format!("coalesce({column}, 0) + 1000"),
            "TEXT" => format!("coalesce({column}, '') || 'x'"),
            "BLOB" => "x'00112233445566778899aabbccddeeff'".to_owned(),
            other => panic!("{column} is {other}"),
        }
    }

    #[test]
    fn events_are_filed_as_their_documents_say_and_every_part_is_compared() {
        let mut file = filled(odd_events);
        assert_eq!(file.found(), []);
        let (mut documents, mut parts, mut from) = (0, 0, Some(i64::MIN));
        while let Some(first) = from {
            let part = misfiled(&mut file.connection, first, 1).unwrap();
            assert_eq!(part.misfiled, []);
            (documents, parts, from) = (documents + part.documents, parts + 1, part.next.map(|next| next.0));
        }
        assert_eq!((documents, parts), (12, 13));
    }

    #[test]
    fn every_column_that_is_changed_is_found() {
        let mut file = filled(odd_events);
        file.edit("CREATE TABLE kept AS SELECT * FROM events");
        for (column, kind) in file.columns("events") {
            if matches!(column.as_str(), "id" | "document") {
                continue;
            }
            let mut changes = vec![other_value(&column, &kind)];
            if !matches!(column.as_str(), "chain" | "sequence" | "received") {
                changes.push("NULL".to_owned());
            }
            for change in changes {
                file.edit(&format!("UPDATE events SET {column} = {change} WHERE sequence = 9"));
                let is_as_before =
                    format!("SELECT e.{column} IS k.{column} FROM events AS e JOIN kept AS k USING (id) WHERE id = 10");
                let is_as_before: bool = file.connection.query_row(&is_as_before, [], |row| row.get(0)).unwrap();
                let expected = if is_as_before { vec![] } else { vec![(9, format!("events.{column}"))] };
                assert_eq!(file.found(), expected, "{column} = {change}");
            }
            file.edit(&format!(
                "UPDATE events SET {column} = (SELECT k.{column} FROM kept AS k WHERE k.id = events.id)"
            ));
            assert_eq!(file.found(), [], "{column} is as before");
        }
    }

    #[test]
    fn every_row_of_an_object_that_is_changed_deleted_or_added_is_found() {
        let mut file = filled(odd_events);
        let columns = file.columns("objects");
        file.edit("CREATE TABLE kept AS SELECT * FROM objects");
        for (column, kind) in columns {
            let expected: &[&str] = match column.as_str() {
                "event" => &["objects: a row is missing", "objects: 1 without an event"],
                "ordinal" => &["objects: a row is missing", "objects: a row too many"],
                other => &[&format!("objects.{other}")],
            };
            let change = other_value(&column, &kind);
            file.edit(&format!("UPDATE objects SET {column} = {change} WHERE sequence = 5 AND ordinal = 1"));
            let expected: Vec<_> = expected.iter().map(|what| (5, (*what).to_owned())).collect();
            assert_eq!(file.found(), expected, "{column}");
            file.edit("DELETE FROM objects; INSERT INTO objects SELECT * FROM kept");
            assert_eq!(file.found(), [], "{column} is as before");
        }
        file.edit("DELETE FROM objects WHERE sequence = 0");
        assert_eq!(file.found(), [(0, "objects: a row is missing".to_owned())]);
        file.edit("INSERT INTO objects SELECT * FROM kept WHERE sequence = 0");
        file.edit("INSERT INTO objects SELECT 5, 7, found_in, rel, namespace, type, object, type_id, space_agnostic, timestamp, sequence, chain, name FROM kept WHERE sequence = 0");
        assert_eq!(file.found(), [(4, "objects: a row too many".to_owned())]);
    }

    #[test]
    fn events_that_are_filed_at_no_position_are_found() {
        let mut file = filled(|chain| (0..4).map(|at| draft().sealed(position(chain, at))).collect());
        file.edit(
            "UPDATE events SET chain = x'00' WHERE sequence = 0; UPDATE events SET sequence = -7 WHERE sequence = 1",
        );
        file.edit("UPDATE events SET document = x'7b7d', id = -9223372036854775808 WHERE sequence = 3");
        let expected = [(3, "events.document: not an event"), (0, "events.chain"), (1, "events.sequence")];
        assert_eq!(file.found(), expected.map(|(at, column)| (at, column.to_owned())));
        let part = misfiled(&mut file.connection, i64::MIN, usize::MAX).unwrap();
        assert!(part.misfiled.iter().all(|misfiled| misfiled.position.chain == file.chain));
    }

    #[test]
    fn words_that_are_taken_out_of_their_index_are_found() {
        let mut file = filled(odd_events);
        file.edit("INSERT INTO message_words (message_words, rowid, words) VALUES ('delete', 4, ' w1499 ')");
        assert_eq!(file.found(), [(3, "message_words: a word is missing".to_owned())]);
    }

    #[test]
    fn objects_without_events_are_found_even_behind_the_last_event() {
        let mut file = filled(odd_events);
        file.edit("DELETE FROM events WHERE sequence IN (0, 9); DELETE FROM events WHERE sequence > 9");
        let expected = [0, 9].map(|at| (at, "objects: 1 without an event".to_owned()));
        assert_eq!(file.found(), expected);
    }
}
