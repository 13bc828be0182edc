use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{CommandOutput, Home};

fn check(home: &Home, arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(home.command().args(["stores", "check"]).args(arguments))
}

#[test]
fn what_hides_an_event_from_queries_is_found_beside_a_running_server_and_without_one() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let event = |n: usize| json!({"event": {"provider": "load", "action": "run"}, "message": format!("number {n}")});
    let events: Vec<_> = (0..1_000).map(event).collect();
    annals.log_events(&json!(events)).expect(202);
    annals.await_stored("sqlite");
    let clean = check(&home, &[]);
    assert_eq!((clean.stdout.as_str(), clean.exit), ("", 0), "{}", clean.stderr);
    let compared = clean.stderr.strip_prefix("sqlite: ").and_then(|rest| rest.split_once(' ')).unwrap();
    assert!(compared.0.parse::<u64>().unwrap() >= 1_000, "{}", clean.stderr);
    assert_eq!(compared.1, "events compared, nothing differs\n");

    let database = Connection::open(home.data().join("events.db")).unwrap();
    database.execute("UPDATE events SET spaces = ',elsewhere,' WHERE message = 'number 7'", []).unwrap();
    let (chain, sequence): (String, i64) = database
        .query_row("SELECT lower(hex(chain)), sequence FROM events WHERE message = 'number 7'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let found = check(&home, &["sqlite"]);
    assert_eq!(found.stdout, format!("sqlite: chain {chain}, sequence {sequence}: events.spaces\n"));
    assert_eq!(found.exit, 1);
    assert!(found.stderr.contains(" events compared, 1 difference\nerror: queries of sqlite cannot be trusted\n"));
    assert!(annals.stop().success());
    let found = check(&home, &["--json"]);
    let line: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(
        line,
        json!({"store": "sqlite", "chain": chain, "sequence": sequence, "column": "events.spaces"}),
        "without a server"
    );
    assert_eq!(found.exit, 1);
}

#[test]
fn a_store_that_cannot_be_compared_says_so_and_its_exit_code_is_not_that_of_a_difference() {
    let away = "kind = \"postgres\"\nurl = \"postgres://annals@127.0.0.1:1/annals\"\ntls = \"off\"\n";
    let engine = "kind = \"elasticsearch\"\nurls = [\"http://127.0.0.1:1\"]\n";
    let home = Home::new(&format!("[query]\nstore = \"away\"\n[stores.away]\n{away}[stores.engine]\n{engine}"));
    let both = check(&home, &[]);
    assert!(
        both.stderr.contains("away: not compared to its end, nothing differs: the PostgreSQL store "),
        "{}",
        both.stderr
    );
    assert!(both.stderr.ends_with("error: away could not be compared to the end\n"), "{}", both.stderr);
    assert_eq!((both.stdout.as_str(), both.exit), ("", 3));
    let engine = check(&home, &["engine"]);
    let expected = "engine: not compared: its engine derives what it finds events by from the events by itself\n";
    assert_eq!((engine.stdout.as_str(), engine.stderr.as_str(), engine.exit), ("", expected, 0));
    let unknown = check(&home, &["other"]);
    let expected = "error: no store \"other\" is configured, only away, engine\n";
    assert_eq!((unknown.stdout.as_str(), unknown.stderr.as_str(), unknown.exit), ("", expected, 2));
    assert_eq!(check(&home, &["--set", "nothing=1"]).exit, 2);
    // Nothing is set up, least of all a database.
    let embedded = Home::on_sqlite();
    let missing = check(&embedded, &[]);
    assert!(missing.stderr.contains("events.db: there is no such file\n"), "{}", missing.stderr);
    assert_eq!((missing.exit, embedded.data().exists()), (3, false));
}
