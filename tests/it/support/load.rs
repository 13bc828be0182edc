//! Clients that log numbered events and remember the answers.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

use super::{Annals, Request, await_that, random};

/// An event that the log has acknowledged: it must be at its position in every store, and nowhere else.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    pub(crate) chain: String,
    pub(crate) sequence: u64,
    /// `None` if events are not sealed.
    #[serde(default)]
    pub(crate) hash: Option<String>,
}

/// How much load the clients create.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    /// The most events in a request.
    pub(crate) batch: u64,
    pub(crate) pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { connections: 3, batch: 12, pause: Duration::from_millis(10) }
    }
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Address and key; they change when the program is restarted.
    server: Mutex<(String, String)>,
    stop: AtomicBool,
    next: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// The status of each answer that was not 202; 0 means no answer.
    refused: Mutex<Vec<u16>>,
    pace: Pace,
}

impl Load {
    pub(crate) fn start(annals: &Annals, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            server: Mutex::new((annals.url.clone(), annals.key.clone())),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            refused: Mutex::default(),
            pace,
        });
        let client = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run())
        };
        let clients = (0..pace.connections).map(client).collect();
        Self { shared, clients }
    }

    /// Directs the load to a restarted program.
    pub(crate) fn turn_to(&self, annals: &Annals) {
        *self.shared.server.lock().unwrap() = (annals.url.clone(), annals.key.clone());
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// Waits until this many more events have been acknowledged.
    #[track_caller]
    pub(crate) fn await_more(&self, events: usize) {
        let enough = self.acknowledged() + events;
        await_that("events are accepted", || self.acknowledged() >= enough);
    }

    /// Returns the statuses other than 202 since the last call; 0 means no answer.
    pub(crate) fn take_refused(&self) -> Vec<u16> {
        mem::take(&mut self.shared.refused.lock().unwrap())
    }

    /// Ends the load; returns everything that was acknowledged.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Acknowledged> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        mem::take(&mut self.shared.acknowledged.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let count = 1 + random(self.pace.batch);
            let first = self.next.fetch_add(count, Ordering::Relaxed);
            let events: Vec<_> = (first..first + count).map(event).collect();
            let (url, key) = self.server.lock().unwrap().clone();
            let request = Request::new("POST", format!("{url}/api/event_log/events")).key(&key);
            match request.body(json!(events).to_string()).send() {
                Ok(answer) if answer.status == 202 => {
                    let items = answer.json()["items"].take();
                    let items: Vec<serde_json::Value> = serde_json::from_value(items).unwrap();
                    assert_eq!(items.len() as u64, count);
                    let accepted = items.into_iter().filter(|item| item["status"] == "accepted");
                    let accepted = accepted.map(|item| serde_json::from_value(item).unwrap());
                    self.acknowledged.lock().unwrap().extend(accepted);
                }
                Ok(answer) => self.refused.lock().unwrap().push(answer.status),
                Err(_) => self.refused.lock().unwrap().push(0),
            }
            thread::sleep(self.pace.pause);
        }
    }
}

fn event(number: u64) -> serde_json::Value {
    let length = 20 + random(600) as usize;
    json!({
        "event": {"provider": "load", "action": "run", "id": format!("n-{number}")},
        "message": "x".repeat(length),
        "kibana": {"saved_objects": [{"rel": "primary", "type": "order", "id": format!("o-{}", number % 10)}]},
    })
}
