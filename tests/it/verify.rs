//! `annals verify` on what real runs logged.

use std::{fs, io::Write, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{CommandOutput, Document, Home};

struct Logged {
    home: Home,
    /// The documents, one a line.
    lines: Vec<String>,
}

impl Logged {
    /// Logs 60 events in two runs, of which the first is killed, so that there are two chains.
    fn new() -> Self {
        let home = Home::on_sqlite();
        for run in 0..2 {
            let annals = home.start();
            let event = |n: usize| json!({"event": {"provider": "load", "action": "run"}, "message": format!("run {run}, {n}")});
            annals.log_events(&json!((0..30).map(event).collect::<Vec<_>>())).expect(202);
            annals.await_stored("sqlite");
            if run == 0 { annals.kill() } else { assert!(annals.stop().success()) }
        }
        let documents = Document::all_of_sqlite(&home.data().join("events.db"));
        let lines = documents.iter().map(|document| String::from_utf8(document.source.to_vec()).unwrap()).collect();
        Self { home, lines }
    }

    fn file(&self, lines: &[String]) -> PathBuf {
        let path = self.home.data().join("../documents.ndjson");
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    fn verify(&self, lines: &[String], arguments: &[&str]) -> CommandOutput {
        let mut command = self.home.command();
        command.arg("verify").arg(self.file(lines)).args(arguments);
        CommandOutput::of(&mut command)
    }

    fn verify_all(&self, lines: &[String]) -> CommandOutput {
        let (data, kept) = (self.home.data(), self.home.data().join("acknowledged.json"));
        self.verify(lines, &["--data-dir", data.to_str().unwrap(), "--kept", kept.to_str().unwrap()])
    }

    /// The documents in two files with gzip.
    fn verify_compressed(&self, lines: &[String]) -> CommandOutput {
        let (data, kept) = (self.home.data(), self.home.data().join("acknowledged.json"));
        let mut command = self.home.command();
        command.args(["verify", "--data-dir", data.to_str().unwrap(), "--kept", kept.to_str().unwrap()]);
        for (part, lines) in lines.chunks(40).enumerate() {
            let path = data.join(format!("../part-{part}.ndjson.gz"));
            let mut file = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
            file.write_all(lines.join("\n").as_bytes()).unwrap();
            file.finish().unwrap();
            command.arg(path);
        }
        CommandOutput::of(&mut command)
    }

    /// The places of the events with this message.
    fn at(&self, message: &str) -> usize {
        let quoted = format!("\"message\":\"{message}\"");
        self.lines.iter().position(|line| line.contains(&quoted)).unwrap()
    }
}

#[test]
fn what_was_logged_is_verified_without_a_server_and_each_change_is_found() {
    let logged = Logged::new();
    let whole = logged.verify_all(&logged.lines);
    assert_eq!((whole.exit, whole.stderr.as_str()), (0, ""), "{}", whole.stdout);
    let counted = format!("verified: {} events of 2 chains\n", logged.lines.len());
    assert!(whole.stdout.ends_with(&counted), "{}", whole.stdout);
    let reversed: Vec<_> = logged.lines.iter().rev().cloned().collect();
    assert_eq!(logged.verify_all(&reversed).stdout, whole.stdout, "the order does not matter");
    assert_eq!(logged.verify_compressed(&logged.lines).stdout, whole.stdout);

    let changed_in = |place: usize, change: &dyn Fn(&str) -> String| {
        let mut lines = logged.lines.clone();
        lines[place] = change(&lines[place]);
        lines
    };
    let without = |places: &[usize]| {
        let kept = logged.lines.iter().enumerate().filter(|(at, _)| !places.contains(at));
        kept.map(|(_, line)| line.clone()).collect::<Vec<_>>()
    };
    let (first, middle) = (logged.at("run 0, 0"), logged.at("run 0, 17"));
    // The killed run's last event is named by the chain that follows; the last one of all by the folder.
    let ends = [logged.at("run 0, 29"), logged.lines.len() - 1];
    for (what, lines, code) in [
        ("a letter", changed_in(middle, &|line| line.replace("run 0, 17", "run 0, 71")), "content_modified"),
        ("a sequence", changed_in(middle, &|line| line.replace("\"sequence\":", "\"sequence\":1")), "seal_invalid"),
        ("deleted in between", without(&[first, middle]), "event_missing"),
        ("the end of the first chain", without(&ends[..1]), "tail_missing"),
        ("the end of the second chain", without(&ends[1..]), "tail_missing"),
        ("nothing left", Vec::new(), "tail_missing"),
        ("a line that is none", [&logged.lines[..], &["{}".to_owned()]].concat(), "document_invalid"),
    ] {
        let found = logged.verify_all(&lines);
        assert_eq!(found.exit, 5, "{what}: {}{}", found.stdout, found.stderr);
        assert!(found.stdout.contains(&format!("({code}; ")), "{what}: {}", found.stdout);
    }
}

#[test]
fn what_cannot_be_proven_is_said() {
    let logged = Logged::new();
    let chains = logged.home.data().join("chains");
    let chains = chains.to_str().unwrap();
    let alone = logged.verify(&logged.lines, &[]);
    assert_eq!(alone.exit, 4);
    assert!(alone.stdout.contains("not proven: the beginning of "), "{}", alone.stdout);
    assert!(alone.stdout.contains("not checked: who sealed the events"), "{}", alone.stdout);
    let opened = logged.verify(&logged.lines, &["--chains", chains]);
    assert_eq!((opened.exit, opened.stderr.as_str()), (0, ""), "{}", opened.stdout);
    assert!(opened.stdout.contains("not checked: whether events are missing at the end of "), "{}", opened.stdout);
    // Documents from before the first run ended, with opening records of now.
    let older = logged.verify(&logged.lines[..20], &["--chains", chains]);
    assert_eq!(older.exit, 0, "{}", older.stdout);
    let part = &logged.lines[3..20];
    assert_eq!(logged.verify(part, &["--chains", chains]).exit, 5);
    let part = logged.verify(part, &["--chains", chains, "--part", "--json"]);
    assert_eq!(part.exit, 4, "{}", part.stdout);
    let result: Value = serde_json::from_str(&part.stdout).unwrap();
    assert_eq!(
        (&result["status"], &result["findings_count"], &result["chains"][0]["events"]),
        (&json!("incomplete"), &json!(0), &json!(17))
    );
    assert_eq!(logged.verify(&[], &[]).exit, 4, "no events are no proof");
}

#[test]
fn a_wrong_secret_is_no_change_of_events() {
    let logged = Logged::new();
    let other = logged.home.data().join("../other.secret");
    fs::write(&other, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=").unwrap();
    let data = logged.home.data();
    let arguments = ["--data-dir", data.to_str().unwrap(), "--secret-file", other.to_str().unwrap()];
    let wrong = logged.verify(&logged.lines, &arguments);
    assert_eq!(wrong.exit, 1);
    assert!(wrong.stderr.contains("the seal secret is not the one that chain"), "{}", wrong.stderr);
    let missing = logged.verify(&logged.lines, &["--secret-file", "nowhere"]);
    assert_eq!(
        (missing.exit, missing.stderr.as_str()),
        (1, "error: cannot use nowhere: No such file or directory (os error 2)\n")
    );
}

#[test]
fn receipts_are_required_of_what_is_verified() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let event = json!([{"event": {"provider": "load", "action": "run"}, "message": "kept"}]);
    let answer = annals.log_events(&event).expect(202).json();
    annals.await_stored("sqlite");
    assert!(annals.stop().success());
    let receipt = &answer["items"][0];
    let kept = home.data().join("../receipts.ndjson");
    let lines = || Document::all_of_sqlite(&home.data().join("events.db"));
    let lines: Vec<_> = lines().iter().map(|line| String::from_utf8(line.source.to_vec()).unwrap()).collect();
    let logged = Logged { home, lines };
    let verify = |receipt: &Value, lines: &[String]| {
        fs::write(&kept, format!("{receipt}\n")).unwrap();
        logged.verify(lines, &["--part", "--kept", kept.to_str().unwrap()])
    };
    let found = verify(receipt, &logged.lines);
    assert_eq!(found.exit, 4, "{}{}", found.stdout, found.stderr);
    let other: Vec<_> = logged.lines.iter().filter(|line| !line.contains("\"kept\"")).cloned().collect();
    assert_eq!(verify(receipt, &other).exit, 5);
    fs::write(&kept, "{\"chain\":\"0123456789abcdef0123456789abcdef\"}\n").unwrap();
    assert_eq!(logged.verify(&logged.lines, &["--kept", kept.to_str().unwrap()]).exit, 1, "no position");
    let mut forged = receipt.clone();
    forged["hash"] = json!("A".repeat(43));
    let found = verify(&forged, &logged.lines);
    assert!(found.exit == 5 && found.stdout.contains("tail_missing"), "{}", found.stdout);
    fs::write(&kept, format!("{receipt}\n{forged}\n")).unwrap();
    let contradiction = logged.verify(&logged.lines, &["--part", "--kept", kept.to_str().unwrap()]);
    assert!(
        contradiction.exit == 5 && contradiction.stderr.contains("name different leaves"),
        "{}",
        contradiction.stderr
    );
}
