//! The real program with its own data folder: started, stopped, killed and restarted.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, PATIENCE, Prefix, Request, await_some, await_that};

/// A data folder and its configuration; the program may run on it any number of times.
pub(crate) struct Home {
    folder: TempDir,
}

/// The output and exit status of a command.
pub(crate) struct CommandOutput {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: i32,
}

impl Home {
    /// `toml` extends a configuration that has the data folder and the load's provider; it may contain only tables.
    pub(crate) fn new(toml: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        home.configure(toml);
        home
    }

    /// Uses the embedded store without any configuration.
    pub(crate) fn on_sqlite() -> Self {
        Self::new("")
    }

    /// Uses a single store: an engine, with its own prefix, and timeouts of two seconds so that tests are fast.
    pub(crate) fn on_engine(url: &str, prefix: &Prefix) -> Self {
        Self::new(&Self::engine_store("main", url, prefix))
    }

    pub(crate) fn engine_store(name: &str, url: &str, prefix: &Prefix) -> String {
        format!(
            "[stores.{name}]\nkind = \"elasticsearch\"\nurls = [\"{url}\"]\nindex_prefix = \"{}\"\n\
             bulk_timeout = \"2s\"\nrequest_timeout = \"2s\"\n",
            prefix.name()
        )
    }

    /// Replaces the configuration, for the next start.
    pub(crate) fn configure(&self, toml: &str) {
        let toml = format!("data_dir = \"{}\"\n{toml}\n[providers.load]\nactions = [\"run\"]\n", self.data().display());
        fs::write(self.folder.path().join("annals.toml"), toml).unwrap();
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Builds a command without arguments, which finds the program by the data folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Command {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--set", "log.format=json"]);
        command
    }

    /// Starts the program and waits until it accepts events.
    #[track_caller]
    pub(crate) fn start(&self) -> Annals {
        self.start_reading_log(true)
    }

    /// Like [`Self::start`], but afterwards nobody reads the program's log, so that writing it fails.
    #[track_caller]
    pub(crate) fn start_with_unread_log(&self) -> Annals {
        self.start_reading_log(false)
    }

    #[track_caller]
    fn start_reading_log(&self, keeps_reading: bool) -> Annals {
        let mut child = self.serve().stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (address_sender, address) = mpsc::channel();
        let reader = {
            let (log, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
            thread::spawn(move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                    if entry["message"] == "accepting events" {
                        // After the first time nobody listens.
                        let _ = address_sender.send(entry["address"].as_str().unwrap().to_owned());
                    }
                    log.lock().unwrap().extend([line.as_str(), "\n"]);
                    if entry["message"] == "accepting events" && !keeps_reading {
                        return;
                    }
                }
            })
        };
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the program does not accept events:\n{}", log.lock().unwrap());
        };
        let key = fs::read_to_string(self.data().join("admin.key")).unwrap().trim().to_owned();
        Annals { url: format!("http://{address}"), key, child, log, reader: Some(reader) }
    }

    /// Starts the program, which has to fail.
    #[track_caller]
    pub(crate) fn start_expecting_failure(&self) -> CommandOutput {
        CommandOutput::of(&mut self.serve())
    }

    /// Runs a command, which finds the running program by the data folder.
    pub(crate) fn run(&self, _: &Annals, arguments: &[&str]) -> CommandOutput {
        CommandOutput::of(self.command().args(arguments))
    }

    /// Builds a command against a program at this address, with the key of this home.
    pub(crate) fn command_at(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments).env("ANNALS_URL", url);
        if let Ok(key) = fs::read_to_string(self.data().join("admin.key")) {
            command.env("ANNALS_API_KEY", key.trim());
        }
        command
    }
}

impl CommandOutput {
    /// Runs the command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            exit: output.status.code().unwrap(),
        }
    }
}

/// The running program. It is killed when this goes out of scope; its log is shown if the test fails.
pub(crate) struct Annals {
    pub(crate) url: String,
    pub(crate) key: String,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Annals {
    pub(crate) fn request<'a>(&'a self, method: &'a str, path: &str) -> Request<'a> {
        Request::new(method, format!("{}{path}", self.url)).key(&self.key)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.request("GET", path).send().unwrap().expect(200).json()
    }

    pub(crate) fn log_events(&self, events: &Value) -> Answer {
        self.request("POST", "/api/event_log/events").body(events.to_string()).send().unwrap()
    }

    /// Returns the status of this store from `/readyz`.
    #[track_caller]
    pub(crate) fn store(&self, name: &str) -> Value {
        let ready = self.get("/readyz");
        let stores = ready["stores"].as_array().unwrap();
        stores.iter().find(|store| store["store"] == name).unwrap_or_else(|| panic!("no {name} in {ready}")).clone()
    }

    /// Waits until this store has everything that was accepted so far.
    #[track_caller]
    pub(crate) fn await_stored(&self, store: &str) {
        await_that(&format!("{store} has everything; the log:\n{}", self.tail()), || {
            self.store(store)["behind_bytes"] == json!(0)
        });
    }

    /// Returns a metric, by its name and labels as in the exposition.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.request("GET", "/metrics").send().unwrap().expect(200).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
    }

    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.await_end()
    }

    #[track_caller]
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        await_some("the program has ended", || self.child.try_wait().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Annals {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("the program's log ended in:\n{}", self.tail());
        }
    }
}
