use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, Request};

const EVENT: &str = r#"{"event":{"provider":"load","action":"run"}}"#;

fn log(url: &str, key: &str) -> u16 {
    let request = Request::new("POST", format!("{url}/api/event_log/events")).key(key).body(EVENT);
    request.send().unwrap().status
}

#[test]
fn keys_are_made_and_revoked_by_command_while_the_service_runs_and_outlast_it() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let made = home.run(&annals, &["keys", "create", "shop", "--grant", "writer:default:load", "--expires", "90d"]);
    assert_eq!((made.exit, made.stdout.lines().count()), (0, 1), "{}", made.stderr);
    let key = made.stdout.trim().to_owned();
    assert!(!made.stderr.contains(&key) && !annals.log().contains(&key));
    assert_eq!(log(&annals.url, &key), 202);

    let again = home.run(&annals, &["keys", "create", "shop", "--grant", "admin"]);
    assert_eq!((again.exit, again.stderr.contains("there is a key named")), (3, true), "{}", again.stderr);
    let wrong = home.run(&annals, &["keys", "create", "x", "--grant", "root"]);
    assert!(wrong.stderr.contains("expected one of admin, auditor"), "{}", wrong.stderr);

    annals.stop();
    let annals = home.start();
    assert_eq!(log(&annals.url, &key), 202);
    let listed = home.run(&annals, &["keys", "list", "--output", "ndjson"]);
    let listed: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("admin"), &json!("shop")));
    assert_eq!(listed[1]["grants"], json!([{"role": "writer", "spaces": ["default"], "providers": ["load"]}]));

    assert_eq!(home.run(&annals, &["keys", "revoke", "shop"]).exit, 0);
    assert_eq!(log(&annals.url, &key), 401);
    let last = home.run(&annals, &["keys", "revoke", "admin"]);
    assert_eq!((last.exit, last.stderr.contains("make another one first")), (3, true), "{}", last.stderr);
}

#[test]
fn keys_of_a_version_1_file_go_on_as_admins() {
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
