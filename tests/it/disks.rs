use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{Annals, Answer, Document, Home, Load, Pace, await_some, await_that, verify};

/// A separate disk mounted in a folder, removed when it goes out of scope.
struct Disk {
    folder: PathBuf,
    /// The device of a file system in a file.
    device: Option<String>,
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// Mounting needs privileges that not everyone who runs the tests has; where tests are required, it has to work.
fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
}

impl Disk {
    /// Mounts a memory disk of this size. Returns `None`, with a message, if mounting is not possible.
    fn of(size: &str, folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", folder.to_str().unwrap()]);
        if mounted.is_none() {
            skip("no file system can be mounted here");
        }
        mounted.map(|_| Self { folder: folder.to_owned(), device: None })
    }

    /// Mounts a file system that is larger than the disk below it, so that data can be written but not synced.
    fn overcommitted(below: &Self, folder: &Path) -> Option<Self> {
        let mounted = (|| {
            fs::create_dir_all(folder).unwrap();
            let image = below.folder.join("image");
            fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
            run("mkfs.ext2", &["-q", "-F", "-m", "0", "-e", "continue", image.to_str()?])?;
            let device = run("losetup", &["--find", "--show", image.to_str()?])?;
            let disk = Self { folder: folder.to_owned(), device: Some(device) };
            run("mount", &["-o", "errors=continue", disk.device.as_deref()?, folder.to_str()?])?;
            Some(disk)
        })();
        if mounted.is_none() {
            skip("no file system in a file can be mounted here");
        }
        mounted
    }

    fn grow(&self, size: &str) {
        run("mount", &["-o", &format!("remount,size={size}"), self.folder.to_str().unwrap()]).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.folder.to_str().unwrap()]);
        if let Some(device) = &self.device {
            run("losetup", &["--detach", device]);
        }
    }
}

/// The embedded store, on another disk than the journal.
struct Store {
    folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("events.db")
    }

    fn configuration(&self) -> String {
        format!("[stores.sqlite]\nkind = \"sqlite\"\npath = \"{}\"\n", self.path().display())
    }

    /// Blocks writes to the store until the returned connection is dropped.
    fn lock(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.path()).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    }

    fn documents(&self) -> Vec<Document> {
        Document::all_of_sqlite(&self.path())
    }
}

fn log_one(annals: &Annals) -> Answer {
    annals.log_events(&json!({"event": {"provider": "load", "action": "run"}, "message": "x".repeat(500)}))
}

fn await_refusal(annals: &Annals) -> Answer {
    await_some("an event is refused", || Some(log_one(annals)).filter(|answer| answer.status != 202))
}

/// Checks that no event is accepted, and that both the answer and `/readyz` say why.
#[track_caller]
fn check_refusal(annals: &Annals) {
    let refused = await_refusal(annals).expect(503).json();
    assert_eq!(refused["message"], "the journal cannot be written", "{refused}");
    let ready: Value = annals.request("GET", "/readyz").send().unwrap().expect(503).json();
    assert_eq!(ready["status"], "unavailable");
    let reason = ready["writer"]["reason"].as_str().unwrap();
    assert!(reason.contains("journal/"), "{reason}");
}

#[test]
fn on_a_full_disk_events_are_refused_and_accepted_again_once_a_store_has_caught_up() {
    let store = Store::new();
    let home = Home::new(&(store.configuration() + "[journal]\nsegment_bytes = \"1mb\"\n"));
    let Some(_disk) = Disk::of("4m", &home.data()) else { return };
    let annals = home.start();
    annals.await_stored("sqlite");
    let lock = store.lock();
    let load = Load::start(&annals, Pace::default());
    await_that("the disk is full", || load.take_refused().contains(&503));
    check_refusal(&annals);
    assert!(annals.log().contains("No space left on device"), "{}", annals.log());

    annals.kill();
    let annals = home.start();
    load.turn_to(&annals);
    check_refusal(&annals);
    drop(lock);
    await_that("what the store has is removed from the disk", || log_one(&annals).status == 202);
    load.await_more(100);
    assert_eq!(annals.get("/readyz")["status"], "ready");
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    verify(&home, &store.documents(), &acknowledged);
}

#[test]
fn on_a_disk_filled_within_the_first_journal_file_events_are_refused_and_accepted_again() {
    let store = Store::new();
    let home = Home::new(&store.configuration());
    let Some(_disk) = Disk::of("2m", &home.data()) else { return };
    let annals = home.start();
    annals.await_stored("sqlite");
    let lock = store.lock();
    let load = Load::start(&annals, Pace::default());
    await_that("the disk is full", || load.take_refused().contains(&503));
    drop(lock);
    load.await_more(100);
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    verify(&home, &store.documents(), &acknowledged);
}

#[test]
fn a_request_that_the_disk_has_no_room_for_is_not_kept_even_in_part() {
    let store = Store::new();
    let home = Home::new(&store.configuration());
    let Some(_disk) = Disk::of("6m", &home.data()) else { return };
    let annals = home.start();
    log_one(&annals).expect(202);
    let event = json!({"event": {"provider": "load", "action": "run"}, "message": "x".repeat(20_000)});
    let refused = annals.log_events(&json!(vec![event; 400])).expect(503).json();
    assert_eq!(refused["message"], "the journal cannot be written", "after the first of its records was");
    log_one(&annals).expect(202);
    annals.await_stored("sqlite");
    let documents = store.documents();
    assert!(documents.iter().all(|document| document.source.len() < 20_000), "{}", documents.len());
    verify(&home, &documents, &[]);
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_a_restart_on_a_healthy_disk() {
    let store = Store::new();
    let home = Home::new(&store.configuration());
    let below = tempfile::tempdir().unwrap();
    let Some(below) = Disk::of("4m", below.path()) else { return };
    let Some(_disk) = Disk::overcommitted(&below, &home.data()) else { return };
    let annals = home.start();
    annals.await_stored("sqlite");
    let load = Load::start(&annals, Pace::default());
    await_that("the disk fails", || load.take_refused().contains(&503));
    check_refusal(&annals);
    below.grow("100m");
    let refused = await_refusal(&annals).expect(503);
    assert!(
        annals.log().contains("the journal was closed by an earlier failure"),
        "{}\n{}",
        refused.text(),
        annals.log()
    );
    annals.kill();

    let annals = home.start();
    load.turn_to(&annals);
    load.await_more(100);
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    verify(&home, &store.documents(), &acknowledged);
}
