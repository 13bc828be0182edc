//! Resources that the system takes from a running process and gives back.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::support::{Annals, Home, Load, PATIENCE, Pace, await_that};

#[test]
fn it_serves_and_stops_properly_even_if_nobody_reads_its_log() {
    let home = Home::on_sqlite();
    let mut annals = home.start_with_unread_log();
    // Each failed request and the shutdown at the end are logged.
    annals.request("GET", "/api/event_log/_find?page=x").send().unwrap().expect(400);
    let load = Load::start(&annals, Pace::default());
    load.await_more(50);
    let acknowledged = load.stop();
    annals.signal(Signal::TERM);
    assert!(annals.await_end().success());
    let annals = home.start();
    annals.await_stored("sqlite");
    let stored = annals.get("/api/event_log/_find?per_page=0&filter=event.provider:load")["total"].as_u64();
    assert_eq!(stored, Some(acknowledged.len() as u64));
    let starts = annals.get("/api/event_log/_find?filter=event.provider:eventLog%20and%20event.action:stopping");
    assert_eq!(starts["total"], 1, "the end in order is an event of its own");
}

/// Returns the status of a request on a separate connection.
fn status(annals: &Annals) -> Option<String> {
    let mut connection = TcpStream::connect(annals.url.strip_prefix("http://").unwrap()).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

#[test]
fn after_it_could_open_no_more_files_it_accepts_connections_again() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let process = annals.process();
    let limit =
        |current| prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(current), maximum: Some(4096) });
    let before = limit(3).unwrap();
    let waiting = TcpStream::connect(annals.url.strip_prefix("http://").unwrap()).unwrap();
    await_that("a connection cannot be accepted", || annals.log().contains("could not be accepted"));
    limit(before.current.unwrap().min(4096)).unwrap();
    assert_eq!(status(&annals).as_deref(), Some("HTTP/1.1 200 OK"));
    drop(waiting);
}

#[test]
fn it_may_open_as_many_files_as_the_system_lets_it() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", annals.process().as_raw_nonzero())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|field| files.split_whitespace().nth(field).unwrap());
    assert_eq!(soft, hard);
}
