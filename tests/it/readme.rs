use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_annals"))
}

/// Returns the fenced blocks of a document with this language and mark, as in "sh tour".
fn fenced(document: &str, word: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let opening = format!("```{word}\n");
    let blocks: Vec<_> =
        text.split(&opening).skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect();
    assert!(!blocks.is_empty(), "{document} has no block {word}");
    blocks
}

/// The program in a fresh folder, with its embedded store.
struct Service {
    folder: tempfile::TempDir,
    url: String,
    child: Child,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("accepting events")).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.split_once("address=").unwrap().1.split(' ').next().unwrap();
        Self { url: format!("http://{address}"), folder, child }
    }

    /// Runs a shell script in the service's folder, with the program on its path, and returns its output.
    fn run(&self, script: &str) -> String {
        let script = script.replace("http://127.0.0.1:6780", &self.url);
        let path = format!("{}:{}", program().parent().unwrap().display(), env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("ANNALS_URL", &self.url)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{script}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// "…" stands for anything; everything else has to match, with members in any order.
fn is_as_shown(shown: &Value, answer: &Value) -> bool {
    match (shown, answer) {
        (Value::String(any), _) if any == "…" => true,
        (Value::Object(shown), Value::Object(answer)) => {
            shown.len() == answer.len()
                && shown.iter().all(|(name, value)| answer.get(name).is_some_and(|found| is_as_shown(value, found)))
        }
        (Value::Array(shown), Value::Array(answer)) => {
            shown.len() == answer.len() && shown.iter().zip(answer).all(|(shown, found)| is_as_shown(shown, found))
        }
        (shown, answer) => shown == answer,
    }
}

#[test]
fn the_tour_gives_the_answers_that_the_readme_shows() {
    let service = Service::start();
    let script = fenced("README.md", "sh tour").join("\necho\n");
    let output = service.run(&script);
    let answers: Vec<Value> =
        output.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect();
    let shown: Vec<Value> =
        fenced("README.md", "json tour").iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    assert_eq!(answers.len(), shown.len(), "{output}");
    for (shown, answer) in shown.iter().zip(&answers) {
        assert!(is_as_shown(shown, answer), "the README shows {shown:#}\nthe answer is {answer:#}");
    }

    finding(&service, &fenced("README.md", "sh tour")[0]);

    let events = r#"{"event":{"provider":"till","action":"paid"},"kibana":{"saved_objects":[{"rel":"primary","type":"order","id":"7"}]}}"#;
    fs::write(service.folder.path().join("events.ndjson"), events).unwrap();
    let commands = fenced("README.md", "sh cli").concat();
    let output = service.run(&commands);
    let found = |action: &str| output.matches(&format!("\"action\":\"{action}\"")).count();
    // By both finds together: order 7 twice, order 8 once.
    assert_eq!([found("order-created"), found("paid"), found("order-shipped")], [2, 2, 3], "{output}");
}

/// Runs the examples of docs/finding.md, after the tour and with its variables.
fn finding(service: &Service, variables: &str) {
    let script = fenced("docs/finding.md", "sh find").concat().replace("\ncurl", "\necho\ncurl");
    let output = service.run(&format!("{variables}\n{script}"));
    let answers: Vec<Value> =
        output.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<Value> =
        fenced("docs/finding.md", "json find").iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    assert_eq!(answers.len(), shown.len(), "{output}");
    for (shown, answer) in shown.iter().zip(&answers) {
        assert!(is_as_shown(shown, answer), "docs/finding.md shows {shown:#}\nthe answer is {answer:#}");
    }
    let scripts = fenced("docs/finding.md", "sh export");
    for (script, shown) in scripts.iter().zip(fenced("docs/finding.md", "text export")) {
        assert_eq!(service.run(&format!("{variables}\n{script}")).replace('\r', ""), shown, "{script}");
    }
}

#[test]
fn every_configuration_that_the_documents_show_is_good() {
    let documents = ["README.md", "docs/operations.md", "docs/access.md"];
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for block in documents.iter().flat_map(|document| fenced(document, "toml config")) {
        let folder = tempfile::tempdir().unwrap();
        for file in ["annals-cert.pem", "elasticsearch-ca.pem", "ca.pem"] {
            fs::write(folder.path().join(file), pair.cert.pem()).unwrap();
        }
        fs::write(folder.path().join("annals-key.pem"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(folder.path().join("annals.toml"), &block).unwrap();
        let output =
            Command::new(program()).args(["config", "check"]).current_dir(folder.path()).env_clear().output().unwrap();
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Runs the verifier of docs/integrity.md on these lines, some of a chain, and returns its output.
fn verified(service: &Service, lines: &str, secret: Option<&Path>) -> Result<String, String> {
    let arguments = std::iter::once("--part".as_ref()).chain(secret.map(Path::as_os_str));
    verified_with(service, lines, arguments).map_err(|(_, complaint)| complaint)
}

/// The same with any arguments; fails with the exit status and the message.
fn verified_with(
    service: &Service,
    lines: &str,
    arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
) -> Result<String, (i32, String)> {
    let verifier = service.folder.path().join("verify.py");
    fs::write(&verifier, &fenced("docs/integrity.md", "python verify")[0]).unwrap();
    let mut child = Command::new("python3")
        .arg(verifier)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        status => Err((status.unwrap_or(-1), text(output.stderr))),
    }
}

#[test]
fn the_documented_verifier_finds_what_is_missing_or_doubled() {
    let service = Service::start();
    let receipts = service.run(
        "annals log --register --wait-for stored --provider shop --action a --json --message 'two\u{2028}lines'
         annals log --wait-for stored --provider shop --action a --json --message last",
    );
    let kept = service.folder.path().join("receipts.ndjson");
    fs::write(&kept, &receipts).unwrap();
    let all = service.run("annals export --not event.action=export --sort annals.sequence");
    let lines: Vec<&str> = all.split_terminator('\n').collect();
    assert!(lines.len() >= 4, "{all}");
    let last: Value = serde_json::from_str(lines[lines.len() - 1]).unwrap();
    assert_eq!(last["message"], "last");
    let verify = |lines: &[&str]| {
        let arguments = ["--kept".as_ref(), kept.as_os_str()];
        verified_with(&service, &(lines.join("\n") + "\n"), arguments)
    };
    verify(&lines).unwrap();
    let without = |left_out: usize| [&lines[..left_out], &lines[left_out + 1..]].concat();
    let doubled = [&lines[..], &lines[1..2]].concat();
    for (what, lines, status, complaint) in [
        ("the first", without(0), 4, "events 0 to 0: missing at the beginning"),
        ("one in between", without(1), 3, "events 1 to 1: missing"),
        ("the end", without(lines.len() - 1), 8, "was kept, and is missing"),
        ("everything", Vec::new(), 4, "there is no event at all"),
        ("one twice", doubled, 5, "two documents have this position"),
    ] {
        let (found, output) = verify(&lines).unwrap_err();
        assert!(found == status && output.contains(complaint), "{what}: {found}, {output}");
    }
    let another = receipts.replace("\"hash\":\"", "\"hash\":\"A");
    fs::write(&kept, another).unwrap();
    assert!(verify(&lines).unwrap_err().1.contains("is not the event that was kept"));

    // As in acknowledged.json: where the next event of each chain goes, which may be the first.
    let receipt: Value = serde_json::from_str(receipts.lines().last().unwrap()).unwrap();
    let keep = |leaf: &str| {
        let next = receipt["sequence"].as_u64().unwrap() + 1;
        let known = serde_json::json!({"chain": receipt["chain"], "next": next, "leaf": leaf});
        let unused = serde_json::json!({"chain": "0".repeat(32), "next": 0});
        fs::write(&kept, serde_json::json!({"chains": [known, unused]}).to_string()).unwrap();
    };
    keep(receipt["hash"].as_str().unwrap());
    verify(&lines).unwrap();
    let (found, output) = verify(&without(lines.len() - 1)).unwrap_err();
    assert!(found == 8 && output.contains("was kept, and is missing"), "{found}, {output}");
    keep("A");
    assert!(verify(&lines).unwrap_err().1.contains("is not the event that was kept"));
}

#[test]
fn the_documented_verifier_accepts_real_events_and_finds_each_change() {
    let service = Service::start();
    let log = "annals log --register --wait-for stored --provider shop --action";
    // Registers the actions, as the log records registrations, which would come between the events.
    service.run(&format!("{log} order-created --object order:6\n{log} order-shipped --object order:6"));
    let receipts = service.run(&format!(
        "{log} order-created --object order:7 --json --set 'annals.payload:={{\"z\":1.50,\"é\":\"\\u0007\"}}'
         {log} order-shipped --object order:7 --json --message 'order \"annals\":{{ \"event\":{{ shipped'"
    ));
    let leaves: Vec<String> = receipts
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["hash"].as_str().unwrap().to_owned())
        .collect();
    let events = service.run("annals find order 7 --format ndjson");
    let data = service.folder.path().join("annals-data");
    let chains: Vec<_> = fs::read_dir(data.join("chains")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let secret = data.join("seal.secret");

    let output = verified(&service, &events, None).unwrap();
    for (line, leaf) in output.lines().zip(&leaves) {
        assert!(line.ends_with(&format!("leaf {leaf}")), "the receipt names the leaf {leaf}: {line}");
    }
    let output = verified(&service, &events, Some(&secret)).unwrap();
    assert_eq!(output.matches("seal ok").count(), 2, "{output}");
    assert_eq!(output.matches("linked to the one before").count(), 1, "{output}");

    let second = events.lines().nth(1).unwrap();
    let link = serde_json::from_str::<Value>(second).unwrap()["annals"]["previous"].as_str().unwrap().to_owned();
    for (change, complaint) in [
        (events.replace("shipped\",", "returned\","), "the content was changed"),
        (events.replace("order \\\"annals", "order \\\"annuals"), "the content was changed"),
        (events.replace(&link, &"A".repeat(43)), "does not follow the event before it"),
        (events.replace("\"general\",\"seal", "\"long\",\"seal"), "the seal was not made with this secret"),
        (events.replace("\"sequence\":6,", "\"sequence\":9,"), "the seal was not made with this secret"),
    ] {
        assert_ne!(change, events);
        let output = verified(&service, &change, Some(&secret)).unwrap_err();
        assert!(output.contains(complaint), "expected {complaint:?}, found {output:?}");
    }
    let stub = |build: fn(&[u8]) -> Option<Vec<u8>>| String::from_utf8(build(second.as_bytes()).unwrap()).unwrap();
    let output = verified(&service, &stub(annals::integrity::stub), Some(&secret)).unwrap();
    assert!(output.contains("content ok, seal ok"), "{output}");
    let hollow = stub(annals::integrity::stub_without_content);
    assert!(verified(&service, &hollow, Some(&secret)).unwrap_err().contains("only its digest is proven"));
    let bare = |line: &str| {
        let mut document: Value = serde_json::from_str(line).unwrap();
        document["annals"].as_object_mut().unwrap().remove("seal");
        document.to_string()
    };
    let stripped = format!("{}\n{}", events.lines().next().unwrap(), bare(second));
    assert!(verified(&service, &stripped, None).unwrap_err().contains("not sealed, so nothing is proven of it"));
    let other = service.folder.path().join("other.secret");
    fs::write(&other, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=").unwrap();
    assert!(verified(&service, &events, Some(&other)).unwrap_err().contains("not made with this secret"));

    let genesis = &fenced("docs/integrity.md", "python genesis")[0];
    let output = Command::new("python3").args(["-c", genesis]).arg(&chains[0]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let journal = fs::read(data.join("journal/00000000000000000000.journal")).unwrap();
    let first = String::from_utf8_lossy(&journal);
    assert!(first.contains(&format!("\"previous\":\"{}\"", output.trim())), "the first event links to {output}");
}

#[test]
fn the_first_event_comes_back() {
    let mut script = Command::new(root().join("scripts/first-event"))
        .arg("127.0.0.1:0")
        .env("ANNALS_PROGRAM", program())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
    let output: Vec<String> = lines.take_while(|line| line != "annals find order 7").collect();
    let ended = Command::new("kill").args(["-TERM", &script.id().to_string()]).status().unwrap();
    assert!(ended.success());
    assert_eq!(script.wait().unwrap().code(), Some(143));
    assert!(output.iter().any(|line| line.starts_with("accepted ")), "{output:#?}");
    assert!(output.iter().any(|line| line.contains("order:7  order 7 created")), "{output:#?}");
    let folder = output.iter().find_map(|line| line.strip_prefix("cd ")).unwrap();
    assert!(!Path::new(folder).exists(), "{folder} was left");
}
