use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{CommandOutput, Home, Request};

const EVENT: &str = r#"{"event":{"provider":"load","action":"run"}}"#;

fn log(url: &str, key: &str) -> u16 {
    let request = Request::new("POST", format!("{url}/api/event_log/events")).key(key).body(EVENT);
    request.send().unwrap().status
}

#[test]
fn keys_are_created_and_revoked_by_command_while_the_service_runs_and_survive_it() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let made = home.run(&annals, &["keys", "create", "shop", "--grant", "writer:default:load", "--expires", "90d"]);
    assert_eq!((made.exit, made.stdout.lines().count()), (0, 1), "{}", made.stderr);
    let key = made.stdout.trim().to_owned();
    assert!(!made.stderr.contains(&key) && !annals.log().contains(&key));
    assert_eq!(log(&annals.url, &key), 202);

    let again = home.run(&annals, &["keys", "create", "shop", "--grant", "admin"]);
    assert_eq!((again.exit, again.stderr.contains("a key named")), (3, true), "{}", again.stderr);
    let wrong = home.run(&annals, &["keys", "create", "x", "--grant", "root"]);
    assert!(wrong.stderr.contains("expected one of admin, auditor"), "{}", wrong.stderr);

    annals.stop();
    let annals = home.start();
    assert_eq!(log(&annals.url, &key), 202);
    let listed = home.run(&annals, &["keys", "list", "--format", "ndjson"]);
    let listed: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("admin"), &json!("shop")));
    assert_eq!(listed[1]["grants"], json!([{"role": "writer", "spaces": ["default"], "providers": ["load"]}]));

    assert_eq!(home.run(&annals, &["keys", "revoke", "shop"]).exit, 0);
    assert_eq!(log(&annals.url, &key), 401);
    let last = home.run(&annals, &["keys", "revoke", "admin"]);
    assert_eq!((last.exit, last.stderr.contains("create another one first")), (3, true), "{}", last.stderr);
}

#[test]
fn keys_of_a_version_1_file_remain_admins() {
    let home = Home::on_sqlite();
    home.start().stop();
    let file = home.data().join("api-keys.json");
    let mut keys: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    keys["version"] = json!(1);
    keys["keys"][0].as_object_mut().unwrap().remove("grants").unwrap();
    fs::write(&file, keys.to_string()).unwrap();
    let annals = home.start();
    annals.get("/api/access/keys");
    let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["version"], 2);
}

#[test]
fn with_a_certificate_the_service_speaks_tls_and_commands_that_trust_it_are_served() {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let files = format!("cert_file = \"{}\"\nkey_file = \"{}\"", cert.display(), key.display());
    let home = Home::new(&format!("[server.tls]\n{files}\n"));
    let annals = home.start();
    let list = ["keys", "list", "--format", "ndjson"];
    let check = |command: &mut Command, exit| {
        let listed = CommandOutput::of(command);
        assert_eq!((listed.exit, listed.stdout.contains("\"admin\"")), (exit, exit == 0), "{}", listed.stderr);
    };
    check(home.command().args(list), 0);
    let url = annals.url.replace("http://127.0.0.1", "https://localhost");
    check(home.command_at(&url, &list).args(["--ca-file", cert.to_str().unwrap()]), 0);
    check(home.command_at(&url, &list).env("ANNALS_CA_FILE", &cert), 0);
    let refused = |url: &str, said: [&str; 2]| {
        let refused = CommandOutput::of(&mut home.command_at(url, &list));
        assert!(refused.exit == 3 && said.iter().all(|said| refused.stderr.contains(said)), "{}", refused.stderr);
    };
    refused(&url, [" is not trusted: ", "--ca-file"]);
    refused(&annals.url, [" does not speak HTTP: ", "begins with https:"]);
    annals.stop();
    home.configure("");
    let annals = home.start();
    let url = annals.url.replace("http:", "https:");
    refused(&url, [" does not speak TLS: ", "begins with http:"]);
}

#[test]
fn failed_attempts_over_a_real_connection_are_found_with_where_they_came_from() {
    let home = Home::new("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let annals = home.start();
    assert_eq!(log(&annals.url, "wrong"), 401);
    let found = annals.log();
    assert!(!found.contains("wrong"), "{found}");
    annals.await_stored("sqlite");
    annals.stop();
    let database = rusqlite::Connection::open(home.data().join("events.db")).unwrap();
    let documents: i64 = database
        .query_row(
            "SELECT count(*) FROM events WHERE CAST(document AS TEXT) LIKE '%authentication-failed%127.0.0.1%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(documents, 1);
}
