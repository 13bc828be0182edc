//! What the SQLite store is measured against: the same rows, inserted by a bare loop of the same SQLite. Run by
//! `scripts/bench sqlite`.
//!
//! - `watch DATABASE TABLE MORE` prints how many rows the table has, waits until it has so many more, and prints how
//!   many more it has then.
//! - `copy FROM TO TABLE` reads all rows of a database into memory, makes its tables, indexes and triggers in a new
//!   file, and inserts the rows in transactions of 1,000 rows of that table and their share of the others. Prints JSON.

#![expect(clippy::print_stdout, reason = "what it prints is its result")]

use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, params_from_iter, types::Value};

const ROWS_A_TRANSACTION: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["watch", database, table, more] => watch(&open(database)?, table, more.parse()?),
        ["copy", from, to, table] => copy(&open(from)?, to, table),
        _ => {
            println!("usage: sqlite_rows watch DATABASE TABLE MORE | copy FROM TO TABLE");
            Ok(())
        }
    }
}

fn open(path: &str) -> Outcome<Connection> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.busy_timeout(Duration::from_secs(10))?;
    Ok(database)
}

fn watch(database: &Connection, table: &str, more: i64) -> Outcome<()> {
    let count = format!("SELECT count(*) FROM {}", quoted(table));
    // Reads the end of one tree only, so that watching costs next to nothing; tables without row ids are counted.
    let newest = format!("SELECT coalesce(max(rowid), 0) FROM {}", quoted(table));
    let guess = if database.prepare(&newest).is_ok() { &newest } else { &count };
    let ask = |sql: &str| -> Outcome<i64> { Ok(database.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };

    let (rows, first) = (ask(&count)?, ask(guess)?);
    println!("{rows}");
    while ask(guess)? < first + more || ask(&count)? < rows + more {
        thread::sleep(PAUSE);
    }
    println!("{}", ask(&count)? - rows);
    Ok(())
}

/// A table's insert statement and its rows.
struct Table {
    name: String,
    insert: String,
    rows: Vec<Vec<Value>>,
}

fn copy(from: &Connection, to: &str, main_table: &str) -> Outcome<()> {
    let tables = read_tables(from)?;
    let events = tables.iter().find(|table| table.name == main_table).map_or(0, |table| table.rows.len());
    if events == 0 {
        return Err(format!("there are no rows in a table {main_table}").into());
    }
    let mut into = create(from, to)?;

    let transactions = events.div_ceil(ROWS_A_TRANSACTION);
    let (begun, cpu_before) = (Instant::now(), cpu_seconds()?);
    for number in 0..transactions {
        let transaction = into.transaction()?;
        for table in &tables {
            let mut insert = transaction.prepare_cached(&table.insert)?;
            let share = |part: usize| table.rows.len() * part / transactions;
            for row in table.rows.get(share(number)..share(number + 1)).unwrap_or_default() {
                insert.execute(params_from_iter(row))?;
            }
        }
        transaction.commit()?;
    }
    println!(
        r#"{{"events":{events},"rows":{},"seconds":{},"cpu_seconds":{},"sqlite":"{}"}}"#,
        tables.iter().map(|table| table.rows.len()).sum::<usize>(),
        begun.elapsed().as_secs_f64(),
        cpu_seconds()? - cpu_before,
        rusqlite::version(),
    );
    Ok(())
}

/// All tables that hold rows themselves. Those that belong to a virtual table are filled by it, and it by triggers.
fn read_tables(database: &Connection) -> Outcome<Vec<Table>> {
    let mut list = database.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let names = list.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    names.into_iter().map(|name| read_table(database, name)).collect()
}

fn read_table(database: &Connection, name: String) -> Outcome<Table> {
    // Generated columns are hidden, and are not inserted.
    let mut list = database.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0")?;
    let columns = list.query_map([&name], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let list = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    // What refers to events comes in the order of the events, as it did when it was written. In the order of its own key,
    // which nobody who inserts events has, each row would go to the end of the tree.
    let order = if columns.iter().any(|column| column == "event") { " ORDER BY event" } else { "" };
    let mut select = database.prepare(&format!("SELECT {list} FROM {}{order}", quoted(&name)))?;
    let rows = select
        .query_map([], |row| (0..columns.len()).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>())?
        .collect::<Result<Vec<_>, _>>()?;
    let places = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT INTO {} ({list}) VALUES ({places})", quoted(&name));
    Ok(Table { name, insert, rows })
}

/// A new database with the schema and the durability of the other: WAL, and a sync with each commit.
fn create(like: &Connection, path: &str) -> Outcome<Connection> {
    let database = Connection::open(path)?;
    for pragma in ["page_size", "auto_vacuum"] {
        let value: i64 = like.pragma_query_value(None, pragma, |row| row.get(0))?;
        database.pragma_update(None, pragma, value)?;
    }
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", false)?;
    database.pragma_update(None, "cache_size", -65_536)?;
    // Tables that a virtual table makes for itself are left out, as are the indexes that a table's own text implies.
    let mut list = like.prepare(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') ORDER BY rowid",
    )?;
    let statements = list.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for statement in statements {
        database.execute(&statement, [])?;
    }
    Ok(database)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// CPU time of this process so far.
fn cpu_seconds() -> Outcome<f64> {
    // Linux counts in hundredths of a second here; the fields are numbered after the name in parentheses.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}
