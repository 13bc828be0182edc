use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{CommandOutput, Home, await_some, await_that};

/// Returns the message of a failed start, after checking that it fails like every command.
#[track_caller]
fn refusal(home: &Home) -> String {
    let output = home.start_expecting_failure();
    assert_eq!(output.exit, 1, "{}", output.stderr);
    let is_error = |line: &&str| line.starts_with("error: ") || line.starts_with("advice: ");
    let lines: Vec<_> = output.stderr.lines().filter(is_error).collect();
    lines[0].replace(&home.data().display().to_string(), "DATA")
}

/// A data folder that has been used.
fn used() -> Home {
    let home = Home::on_sqlite();
    home.start().kill();
    home
}

#[test]
fn the_first_start_says_where_the_key_is_and_what_to_try_and_that_works() {
    let home = Home::on_sqlite();
    let annals = home.start();
    // Logged after the program accepts events; the command itself does not wait for it.
    let log = await_some("it says what to try", || Some(annals.log()).filter(|log| log.contains("try it: annals log")));
    assert!(log.contains(&home.data().join("admin.key").display().to_string()), "{log}");
    assert!(log.contains(&format!("--data-dir {}", home.data().display())), "{log}");
    let said = log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        Some(line["message"].as_str()?.strip_prefix("try it: ")?.to_owned())
    });
    for command in said.unwrap().split(" && ") {
        // In another folder, without the configuration.
        let elsewhere = tempfile::tempdir().unwrap();
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let output = CommandOutput::of(home.command().current_dir(elsewhere.path()).args(arguments));
        assert_eq!(output.exit, 0, "{}", output.stderr);
        assert!(
            output.stdout.starts_with("accepted ") || output.stdout.contains("\"message\":\"hello\""),
            "{}",
            output.stdout
        );
    }
    annals.stop();
    let mut again = home.start();
    again.signal(rustix::process::Signal::TERM);
    again.await_end();
    assert!(!again.log().contains("try it"), "{}", again.log());
}

#[test]
fn readiness_waits_for_a_store_that_is_away_at_the_start_and_not_for_one_that_is_there() {
    let home = Home::on_sqlite();
    let annals = home.start();
    await_that("the store is set up", || annals.get("/readyz")["status"] == "ready");
    assert!(!annals.log().contains("accepts events"), "nothing was wrong before:\n{}", annals.log());

    // Accepts connections but never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let away = Home::new(&format!("[stores.main]\nkind = \"elasticsearch\"\nurls = [\"http://{address}\"]\n"));
    let annals = away.start();
    let ready = annals.get("/readyz");
    assert_eq!((&ready["status"], ready["stores"][0]["trouble"].is_string()), (&json!("degraded"), true), "{ready}");
}

/// Listens at an address that a server has just left.
fn listen_at(url: &str) -> TcpListener {
    let address = url.strip_prefix("http://").unwrap();
    await_some("the address is free", || TcpListener::bind(address).ok())
}

#[test]
fn whatever_listens_at_the_address_of_a_server_that_is_gone_gets_no_key() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let url = annals.url.clone();
    let mut command = home.command();
    command.args(["tail", "--format=ndjson", "--since=1h", "--is", "event.provider=eventLog"]);
    let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(tail.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("event log starting"), "{first}");

    annals.stop();
    assert!(!home.data().join("server.json").exists());
    let other = listen_at(&url);
    let stderr = BufReader::new(tail.stderr.take().unwrap());
    // Before, the store may still have been opening.
    let trouble = stderr.lines().map(Result::unwrap).find(|line| line.contains("has stopped; "));
    assert!(trouble.as_ref().unwrap().contains("continues automatically"), "{trouble:?}");
    tail.kill().unwrap();
    tail.wait().unwrap();
    drop(other);

    // This time it leaves its file.
    let annals = home.start();
    let url = annals.url.clone();
    annals.kill();
    assert!(home.data().join("server.json").exists());
    let other = listen_at(&url);
    let output = CommandOutput::of(home.command().arg("find"));
    assert!(output.stderr.starts_with("error: no server runs on the data folder "), "{}", output.stderr);
    let asked = std::thread::spawn({
        let mut command = home.command();
        move || CommandOutput::of(command.args(["find", "--timeout=60s", "--url", &url]))
    });
    let (connection, _) = other.accept().unwrap();
    let head: Vec<_> =
        BufReader::new(&connection).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    drop(connection);
    assert!(head[0].starts_with("GET /api/event_log/_find") && head.len() > 1, "{head:?}");
    assert!(!head.iter().any(|line| line.to_lowercase().starts_with("authorization")), "{head:?}");
    assert_eq!(asked.join().unwrap().exit, 3);
    // Nobody else has tried to connect.
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err());
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    let output = command.current_dir(folder.path()).env_clear().args(["serve", "--listen", &address]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with(&format!("error: cannot listen on {address}: ")), "{stderr}");
    assert_eq!((stderr.lines().count(), output.status.code()), (1, Some(1)));
    assert!(!folder.path().join("annals-data").exists(), "nothing is made before the address is ours");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let home = Home::on_sqlite();
    fs::write(home.data(), "a file").unwrap();
    assert!(refusal(&home).starts_with("error: the data folder DATA cannot be created: "), "{}", refusal(&home));
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let home = Home::on_sqlite();
    let file = home.data().with_file_name("annals.toml");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let expected = "error: the configuration is not valid: annals.toml: the file cannot be read: ";
    assert!(refusal(&home).starts_with(expected), "{}", refusal(&home));
}

#[test]
fn a_seal_secret_that_was_lost_or_exchanged_is_named() {
    let home = used();
    fs::remove_file(home.data().join("seal.secret")).unwrap();
    let expected = "error: the seal secret in DATA/seal.secret does not fit the log in DATA: ";
    assert!(refusal(&home).starts_with(expected), "{}", refusal(&home));
}

#[test]
fn a_file_that_is_damaged_is_named() {
    let home = used();
    for name in ["providers.json", "api-keys.json", "writer.json", "signing-key.pem", "store-sqlite.json"] {
        let path = home.data().join(name);
        // Without registrations of callers, the first file is absent.
        let before = fs::read(&path).ok();
        fs::write(&path, "{").unwrap();
        let refusal = refusal(&home);
        assert!(refusal.contains(&format!("DATA/{name}")), "{name}: {refusal}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    home.start();
}

#[test]
fn each_command_works_with_the_real_server() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let run = |arguments: &[&str]| {
        let output = home.run(&annals, arguments);
        (output.stdout, output.stderr, output.exit)
    };
    let event = ["log", "--provider=shop", "--action=ship", "--object=order:7"];
    let (_, stderr, exit) = run(&event);
    assert!(stderr.contains("event.provider: expected a registered provider"), "{stderr}");
    assert_eq!(exit, 3);
    let (stdout, _, exit) = run(&[&event[..], &["--register", "--json", "--wait-for=stored"]].concat());
    let logged: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&logged["status"], &logged["stored"], exit), (&json!("accepted"), &json!(true), 0));

    let (stdout, stderr, exit) = log_lines(&home);
    assert_eq!((stdout.as_str(), exit), ("", 3));
    assert!(stderr.starts_with("line 700: ") && stderr.contains("\n1199 accepted, 1 rejected\n"), "{stderr}");

    let (stdout, stderr, exit) = run(&["find", "item", "1", "2", "--format=json", "--sort=@timestamp:desc"]);
    let page: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&page["total"], page["data"].as_array().unwrap().len(), exit), (&json!(240), 10, 0));
    assert_eq!(stderr, "events 1 to 10 of 240; --page 2 shows the next\n");
    let (stdout, _, exit) = run(&["find", "order", "7", "--format=table", "--start=1h", "--tz=+02:00"]);
    assert!(stdout.lines().count() == 2 && stdout.contains("+02:00  informational  shop"), "{stdout}");
    assert_eq!(exit, 0);

    let empty = "{\"stores\":[{\"store\":\"sqlite\",\"total\":0,\"items\":[]}]}\n";
    assert_eq!(run(&["dead-letters", "list", "--format=json"]), (empty.to_owned(), "no dead letters\n".to_owned(), 0));
    let replayed = run(&["dead-letters", "replay", "--store=sqlite"]);
    assert_eq!(replayed, ("sqlite: 0 stored, 0 refused again\n".to_owned(), String::new(), 0));
    let (_, stderr, exit) = run(&["dead-letters", "list", "--store=other"]);
    assert!(stderr.contains("expected one of [sqlite] but got [other]") && exit == 3, "{stderr}");

    let key = home.data().with_file_name("wrong.key");
    fs::write(&key, "annals_wrong\n").unwrap();
    let (_, stderr, exit) = run(&["find", "order", "7", "--key-file", key.to_str().unwrap()]);
    assert!(stderr.starts_with("error: the server refused (401)") && exit == 3, "{stderr}");
}

#[test]
fn lines_that_are_too_large_for_the_server_keep_no_others_from_being_logged() {
    let home = Home::on_sqlite();
    let _annals = home.start();
    let line = |bytes: usize| {
        let event = |message: &str| json!({"event": {"provider": "load", "action": "run"}, "message": message});
        let rest = event("").to_string().len();
        event(&"x".repeat(bytes.saturating_sub(rest).max(1))).to_string()
    };
    // Beyond the size of an event, of a request, and of a line that is sent.
    let [event, request, unsent] = [2 << 20, 17 << 20, 65 << 20];
    let lines: String = [0, event, 0, request, 0, unsent, 0].iter().map(|bytes| line(*bytes) + "\n").collect();
    let file = home.data().with_file_name("events.ndjson");
    fs::write(&file, lines).unwrap();
    let output = CommandOutput::of(home.command().args(["log", "events.ndjson"]));
    let stderr: Vec<_> = output.stderr.lines().collect();
    let begins = |index: usize, start: &str| assert!(stderr[index].starts_with(start), "{}", output.stderr);
    // With the id that it is sent with.
    begins(0, &format!("line 2: expected an event of at most {} bytes, found {} bytes", 1 << 20, event + 50));
    // The refusal, unless the connection was closed too early to read it.
    begins(1, "line 4: ");
    assert!(stderr[1].ends_with(&format!("; the line has {request} bytes")), "{}", output.stderr);
    begins(2, &format!("line 6: longer than {} bytes and not sent; the line has {} bytes", 64 << 20, unsent + 1));
    begins(3, "4 accepted, 3 rejected");
    assert_eq!(output.exit, 3);
}

/// Logs 1,200 lines from standard input, the 700th of which is not an event.
fn log_lines(home: &Home) -> (String, String, i32) {
    let line = |number: usize| match number {
        700 => "{not an event".to_owned(),
        _ => {
            let about = json!([{"rel": "primary", "type": "item", "id": (number % 10).to_string()}]);
            json!({"event": {"provider": "bulk", "action": "load"}, "kibana": {"saved_objects": about}}).to_string()
        }
    };
    let lines: String = (1..=1200).map(|number| line(number) + "\n").collect();
    let mut command = home.command();
    command.args(["log", "--register", "--wait-for=stored", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}
