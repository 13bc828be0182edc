use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

use crate::support::{Annals, Home};

/// The least `server.memory_limit`.
const LIMIT: usize = 391 << 20;

/// What the program itself may take in addition: its store, its threads, and what the allocator does not give back.
const BASE: usize = 64 << 20;

/// Connections of one attack; one address may have 256.
const CONNECTIONS: usize = 200;

/// The program with little memory, and callers who attack it.
struct Target {
    annals: Annals,
    keys: Vec<String>,
    /// Bytes that it took at most before it was attacked.
    before: usize,
    _home: Home,
}

impl Target {
    fn start() -> Self {
        let server = "[server]\nmemory_limit = \"391mb\"\nmax_batch_bytes = \"4mb\"\nrequest_timeout = \"5s\"\n";
        let home = Home::new(server);
        let annals = home.start();
        annals.await_stored("sqlite");
        let key = |number: usize| {
            let grants = json!([
                {"role": "writer", "spaces": ["default"], "providers": ["load", "large"]},
                {"role": "auditor"},
            ]);
            let new = json!({"name": format!("attacker-{number}"), "grants": grants});
            let created = annals.request("POST", "/api/access/keys").body(new.to_string()).send().unwrap().expect(201);
            created.json()["key"].as_str().unwrap().to_owned()
        };
        let keys = (0..4).map(key).collect();
        let before = peak(&annals);
        Self { annals, keys, before, _home: home }
    }

    /// Opens connections that send this head and body, in turn for each caller, and read nothing. `length` is the announced
    /// length of the body.
    fn attack(&self, connections: usize, request: &str, body: &[u8], length: usize) -> Vec<TcpStream> {
        let address = self.annals.url.strip_prefix("http://").unwrap();
        let open = |number: usize| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let key = &self.keys[number % self.keys.len()];
            let head = format!(
                "{request} HTTP/1.1\r\nhost: x\r\nauthorization: ApiKey {key}\r\ncontent-length: {length}\r\n\r\n"
            );
            // A body that nobody reads does not fit in the socket.
            match connection.write_all(&[head.as_bytes(), body].concat()) {
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("{error}"),
                Ok(()) | Err(_) => connection,
            }
        };
        (0..connections).map(open).collect()
    }

    /// Waits until each of these connections has the beginning of an answer; returns the statuses.
    fn statuses(&self, connections: &[TcpStream]) -> Vec<u16> {
        let status = |mut connection: &TcpStream| {
            connection.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
            let mut line = [0; 12];
            connection.read_exact(&mut line).unwrap();
            String::from_utf8_lossy(&line[9..]).parse().unwrap()
        };
        connections.iter().map(status).collect()
    }

    /// The limit holds, and another caller is answered while the attackers still keep all that they could get.
    #[track_caller]
    fn check(&self, attack: &str) {
        let logged = self.annals.log_events(&json!({"event": {"provider": "load", "action": "run"}}));
        assert_eq!(logged.status, 202, "{attack}: {}", logged.text());
        self.annals.get("/api/event_log/_find?per_page=1");
        self.annals.get("/api/event_log/_aggregate?terms=event.action");
        self.annals.get("/livez");
        let grown = peak(&self.annals).saturating_sub(self.before);
        eprintln!("{attack}: {} MiB", grown >> 20);
        assert!(grown <= LIMIT + BASE, "{attack}: the memory has grown by {} MiB", grown >> 20);
    }
}

/// The most memory that the program ever had, in bytes.
fn peak(annals: &Annals) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", annals.process().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn whatever_clients_send_request_and_do_not_read_memory_stays_within_its_limit() {
    let target = Target::start();
    let annals = &target.annals;

    let refused = format!("{{\"labels\":{{\"{}\":{{}}}}}}\n", "x".repeat(400)).repeat(4_000);
    let open = target.attack(CONNECTIONS, "POST /api/event_log/events", refused.as_bytes(), refused.len());
    let statuses = target.statuses(&open);
    assert!(statuses.contains(&400), "{statuses:?}");
    target.check("answers of many refusals");
    drop(open);

    let defaults = json!({"message": "x".repeat(4000)});
    let registration = json!({"actions": ["run"], "defaults": defaults}).to_string();
    annals.request("PUT", "/api/event_log/providers/large").body(registration).send().unwrap().expect(200);
    let tiny = "{\"event\":{\"provider\":\"large\",\"action\":\"run\"}}\n";
    let (some, many) = (tiny.repeat(1_000), tiny.repeat(10_000));
    let open = target.attack(CONNECTIONS / 4, "POST /api/event_log/events", some.as_bytes(), some.len());
    let statuses = target.statuses(&open);
    assert!(statuses.contains(&202), "{statuses:?}");
    let large = target.attack(4, "POST /api/event_log/events", many.as_bytes(), many.len());
    assert_eq!(target.statuses(&large), [413; 4]);
    target.check("small events with large defaults");
    drop((open, large));

    let long = |number: usize| {
        let name = format!("{number:05}{}", "x".repeat(1_000));
        json!({"event": {"provider": "load", "action": "run"}, "user": {"name": name}}).to_string() + "\n"
    };
    for batch in 0..5 {
        let events: String = (0..2_000).map(|number| long(2_000 * batch + number)).collect();
        annals.request("POST", "/api/event_log/events").body(events).send().unwrap().expect(202);
    }
    annals.await_stored("sqlite");
    let aggregate = "GET /api/event_log/_aggregate?terms=user.name&size=10000";
    let open = target.attack(CONNECTIONS / 4, aggregate, b"", 0);
    target.check("aggregations of long values");
    let statuses = target.statuses(&open);
    assert!(statuses.contains(&200), "{statuses:?}");
    target.check("aggregations of long values");
    drop(open);

    let open = target.attack(CONNECTIONS / 4, "GET /api/event_log/_find?per_page=10000&sort_order=desc", b"", 0);
    let statuses = target.statuses(&open);
    assert!(statuses.contains(&200), "{statuses:?}");
    target.check("pages that are not read");
    drop(open);

    let half = vec![b' '; 2 << 20];
    let open = target.attack(CONNECTIONS, "POST /api/event_log/events", &half, 4 << 20);
    target.check("bodies of which half is sent");
    drop(open);
}
