//! What a server says on a terminal, which it must not be able to control.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::finding::answering;

/// Clears the screen, rings, colours, turns the direction of text, and goes back to the beginning of the line.
const HOSTILE: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{7f}\rb";

/// Runs a command on a terminal, and returns both its outputs.
fn run_on_terminal(url: &str, arguments: &[&str]) -> String {
    const ON_TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", ON_TERMINAL, env!("CARGO_BIN_EXE_annals")]).args(arguments).stdin(Stdio::null());
    let output = command.current_dir(folder.path()).env("ANNALS_URL", url).env("ANNALS_API_KEY", "x").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn answer(status: u16, content_type: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\nconnection: close\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

/// Checks that the command prints what the server says, and that it is harmless.
#[track_caller]
fn check(arguments: &[&str], answers: &[String]) {
    let (url, server) = answering(answers);
    let output = run_on_terminal(&url, arguments);
    assert!(output.contains("31m"), "{arguments:?}: {output:?}");
    server.join().unwrap();
    // The terminal itself makes two characters of each line break.
    let text = output.replace("\r\r\n", "\n").replace("\r\n", "\n");
    let is_hostile = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || ('\u{202a}'..='\u{2069}').contains(&c);
    assert!(!text.contains(is_hostile), "{arguments:?}: {text:?}");
}

#[track_caller]
fn check_json(arguments: &[&str], body: &Value) {
    check(arguments, &[answer(200, "application/json", &body.to_string())]);
}

fn event() -> Value {
    let objects = json!([{"rel": "primary", "type": HOSTILE, "id": HOSTILE}]);
    let about = json!({"provider": HOSTILE, "action": HOSTILE, "outcome": HOSTILE});
    json!({"@timestamp": HOSTILE, "message": HOSTILE, "event": about, "user": {"name": HOSTILE},
        "annals": {"severity": HOSTILE}, "kibana": {"saved_objects": objects}, HOSTILE: HOSTILE})
}

const FORMATS: [&str; 4] = ["--format=table", "--format=ndjson", "--format=json", "--format=csv"];

#[test]
fn nothing_that_is_found_controls_a_terminal_in_any_format() {
    let key = json!({"name": HOSTILE, "created": HOSTILE, "created_by": HOSTILE, "expires": HOSTILE, "expired": false,
        "grants": [{"role": HOSTILE, "spaces": [HOSTILE]}]});
    let letter =
        json!({"position": HOSTILE, "target": HOSTILE, "reason": HOSTILE, "refused_at": HOSTILE, "document": event()});
    let letters = json!({"stores": [{"store": HOSTILE, "total": 2, "items": [letter]}]});
    let violation = json!({"path": HOSTILE, "expected": HOSTILE, "found": HOSTILE});
    let rejected = json!({"time": HOSTILE, "caller": {"name": HOSTILE, "realm": HOSTILE}, "space": HOSTILE,
        "provider": HOSTILE, "action": HOSTILE, "event_id": HOSTILE, "errors": [violation], "event": HOSTILE, "bytes": 1});
    let rejected = json!({"recording": false, "total": 2, "unrecorded": 3, "items": [rejected]});
    let values = json!({"field": HOSTILE, "terms": [{"value": HOSTILE, "count": 2}], "distinct": 3, "without": 1});
    for format in FORMATS {
        check_json(&["find", format], &json!({"page": 1, "per_page": 10, "total": 9, "data": [event()]}));
        check_json(&["get", "x", format], &event());
        check_json(&["values", "--field=x", format], &values);
        check_json(&["keys", "list", format], &json!({"keys": [key]}));
        check_json(&["dead-letters", "list", format], &letters);
        check_json(&["rejected", format], &rejected);
    }
    let followed = format!(
        "retry: 1\n\n: {}\n\nevent: gap\nid: b\ndata: {}\n\nid: c\ndata: {}\n\n",
        HOSTILE.replace('\r', ""),
        json!([HOSTILE]),
        event()
    );
    for format in ["--format=table", "--format=ndjson", "--format=csv"] {
        let refused = answer(401, "application/json", &json!({"message": HOSTILE}).to_string());
        check(&["tail", format], &[answer(200, "text/event-stream", &followed), refused]);
    }
    for format in ["--format=ndjson", "--format=json", "--format=csv"] {
        check(&["export", format], &[answer(200, "application/x-ndjson", HOSTILE)]);
    }
}

#[test]
fn no_outcome_and_no_error_of_a_server_controls_a_terminal() {
    let accepted = json!({"status": "accepted", "id": HOSTILE, "chain": HOSTILE, "sequence": 12, "hash": HOSTILE});
    let error = json!({"path": HOSTILE, "reason": HOSTILE});
    let violation = json!({"path": HOSTILE, "expected": HOSTILE, "found": HOSTILE});
    let rejected = json!({"status": "rejected", "error": error, "errors": [violation]});
    for item in [accepted, rejected] {
        check_json(&["log", "--message=x", "--json"], &json!({"items": [item]}));
        check_json(&["log", "--message=x"], &json!({"items": [item]}));
    }
    let key = json!({"key": HOSTILE, "name": HOSTILE, "created": HOSTILE, "expired": false, "grants": []});
    check_json(&["keys", "create", "x", "--grant=admin"], &key);
    check_json(&["keys", "create", "x", "--grant=admin", "--json"], &key);
    check_json(&["keys", "revoke", "x"], &key);
    let refused = json!({"store": HOSTILE, "stored": 0, "refused": 1, "reason": HOSTILE});
    let replayed = json!({"stores": [{"store": HOSTILE, "error": HOSTILE}, refused]});
    check_json(&["dead-letters", "replay"], &replayed);
    check_json(&["dead-letters", "replay", "--json"], &replayed);

    let said = json!({"statusCode": 400, "error": HOSTILE, "message": HOSTILE}).to_string();
    for status in [400, 401, 404, 409, 500, 503] {
        check(&["find"], &[answer(status, "application/json", &said)]);
        check(&["export"], &[answer(status, "application/json", &said)]);
        check(&["log", "--message=x", "--retry-for=1ms"], &[answer(status, "application/json", &said)]);
    }
    check_json(&["count"], &json!({"count": HOSTILE}));
    check_json(&["find"], &json!({"page": HOSTILE}));
}
