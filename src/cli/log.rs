//! `annals log`

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::{
    CliError,
    batches::{Batch, Batches, MAX_LINE_BYTES, Next},
    block_on,
    connection::{ConnectionArgs, duration},
    output,
    sending::{BatchSender, EventOutcome, SendOptions},
};
use crate::{
    client::api::WaitFor,
    wire::{Duplicate, EventResult, Rejection},
};

/// Logs one event from the arguments, or many from NDJSON
///
/// Many events are read from a file, or from standard input for `-` or without an argument, one per line. Each gets its
/// own outcome: rejected ones are reported with their line, and the rest is logged.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  annals log --provider shop --action ship --object order:7 --message 'order 7 shipped'\n  \
                        annals log --register < events.ndjson\n  tail -f events.ndjson | annals log -"
)]
pub(super) struct Args {
    /// A file of events, one JSON object per line; `-` is standard input
    #[arg(conflicts_with_all = ["provider", "action", "message", "object", "outcome", "level", "set"])]
    file: Option<PathBuf>,
    /// Register the providers and actions of the events first
    #[arg(long)]
    register: bool,
    /// When an event counts as logged: once it is durable, or once it is in the store and can be found
    #[arg(long, value_enum, default_value_t = WaitArg::Durable, value_name = "WHEN")]
    wait_for: WaitArg,
    /// How long to retry while the server is busy
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    retry_for: Duration,
    /// Print the outcome of each event, one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    event: EventArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "One event")]
struct EventArgs {
    /// `event.provider`: the program that logs, or a part of it
    #[arg(long, requires = "action")]
    provider: Option<String>,
    /// `event.action`: what happened
    #[arg(long, requires = "provider")]
    action: Option<String>,
    /// `message`: what happened, for people
    #[arg(long, short)]
    message: Option<String>,
    /// A saved object that the event is about and can be found by; may be repeated. The default namespace is the space
    #[arg(long, value_name = "TYPE:ID[:NAMESPACE]", value_parser = object)]
    object: Vec<ObjectReference>,
    /// `event.outcome`
    #[arg(long, value_parser = ["success", "failure", "unknown"])]
    outcome: Option<String>,
    /// `log.level`
    #[arg(long)]
    level: Option<String>,
    /// Sets any field: `user.name=ann` to text, `annals.code:=7` to a number or other JSON; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<Assignment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WaitArg {
    Durable,
    Stored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ObjectReference {
    object_type: String,
    id: String,
    namespace: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Assignment {
    path: String,
    value: Value,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let wait_for = match args.wait_for {
        WaitArg::Durable => WaitFor::Durable,
        WaitArg::Stored => WaitFor::Stored,
    };
    let options = SendOptions { wait_for, retry_for: args.retry_for, register: args.register };
    let single = args.event.is_given().then(|| args.event.build(args.connection.space.as_deref())).transpose()?;
    let mut sender = BatchSender::new(args.connection.connect()?, options);
    match single {
        Some(event) => log_one(args, &mut sender, event),
        None => log_many(args, &mut sender),
    }
}

fn log_one(args: &Args, sender: &mut BatchSender, event: Value) -> Result<(), CliError> {
    let mut outcome = None;
    let batch = Batch::from_arguments(Bytes::from(event.to_string()));
    block_on(sender.send(batch, |answered| outcome = Some((answered.item.clone(), json_line(answered)))))?;
    let Some((item, line)) = outcome else {
        return Err(CliError::server("the server returned no result for the event"));
    };
    if args.json {
        output::print(line.as_bytes())?;
    }
    match item {
        EventResult::Accepted(receipt) if !args.json => {
            let line = format!("accepted {} (chain {}, sequence {})\n", receipt.id, receipt.chain, receipt.sequence);
            output::print(line.as_bytes())?;
        }
        EventResult::Accepted(_) => {}
        EventResult::Duplicate(Duplicate { receipt, differs: false }) => {
            output::print_stderr(&format!("an event with the id {} was logged before; nothing was logged", receipt.id))?
        }
        EventResult::Duplicate(duplicate) => return Err(CliError::server(id_taken(&duplicate))),
        EventResult::Filtered => {
            output::print_stderr("the event is below the minimum severity of its space, and was not logged")?
        }
        EventResult::Dropped => return Err(CliError::server("the event was dropped").with_advice(DROPPED)),
        EventResult::NotKept => output::print_stderr(&format!("the event is valid, and {NOT_KEPT}"))?,
        EventResult::Rejected(rejection) => return Err(rejected_one(&rejection)),
        EventResult::Unknown => {
            return Err(CliError::server("the server answered with a status that this program does not know"));
        }
    }
    for warning in &sender.warnings {
        output::print_stderr(&format!("warning: {warning}"))?;
    }
    warn_not_yet_stored(sender)
}

fn id_taken(Duplicate { receipt, .. }: &Duplicate) -> String {
    format!(
        "another event with the id {} was logged before (sequence {}); this one was not logged",
        receipt.id, receipt.sequence
    )
}

const NOT_KEPT: &str = "the server is configured not to keep events (`events.enabled`, `events.keep`)";

const DROPPED: &str =
    "the server's journal is full, and it is configured to drop events then; `/readyz` shows the reason";

fn rejected_one(rejection: &Rejection) -> CliError {
    CliError::server(format!("the event was rejected\n{}", rejection.lines().join("\n")))
        .with_advice("--register registers a provider and its action; `PATH:=JSON` sets a value that is not a text")
}

fn log_many(args: &Args, sender: &mut BatchSender) -> Result<(), CliError> {
    let Input { name, reader, bytes } = Input::open(args.file.as_deref())?;
    let bar = progress_bar(bytes);
    let mut batches = Batches::read(reader);
    let mut first = true;
    while let Some(next) = batches.next().map_err(|error| CliError::local(format!("{name}: {error}")))? {
        let mut lines = String::new();
        let answered = |event: &EventOutcome<'_>| {
            if args.json {
                lines.push_str(&json_line(event));
            }
            report(&bar, event);
        };
        let taken = match next {
            Next::TooLong { number, bytes } => {
                sender.reject(number, bytes, &format!("longer than {MAX_LINE_BYTES} bytes and not sent"), answered);
                bytes
            }
            Next::Batch(batch) => {
                if std::mem::take(&mut first) && batch.lines().first().is_some_and(|line| line.text.starts_with(b"[")) {
                    return Err(CliError::local(format!("{name}: a JSON array; expected one event per line"))
                        .with_advice("`jq -c '.[]' FILE | annals log -` turns an array into lines"));
                }
                let taken = batch.lines().iter().map(|line| line.text.len() as u64 + 1).sum();
                block_on(sender.send(batch, answered))?;
                taken
            }
        };
        bar.inc(taken);
        bar.set_message(summary(sender));
        output::print(lines.as_bytes())?;
    }
    bar.finish_and_clear();
    report_totals(sender, &name)
}

/// Prints rejections as they arrive.
fn report(bar: &ProgressBar, outcome: &EventOutcome<'_>) {
    let reasons = match outcome.item {
        EventResult::Accepted(_)
        | EventResult::Duplicate(Duplicate { differs: false, .. })
        | EventResult::Filtered
        | EventResult::Dropped
        | EventResult::NotKept => return,
        EventResult::Duplicate(duplicate) => vec![id_taken(duplicate)],
        EventResult::Rejected(rejection) => rejection.lines(),
        EventResult::Unknown => vec!["the server answered with a status that this program does not know".to_owned()],
    };
    bar.suspend(|| {
        for reason in reasons {
            let _ = output::print_stderr(&format!("line {}: {reason}", outcome.line));
        }
    });
}

fn report_totals(sender: &BatchSender, name: &str) -> Result<(), CliError> {
    let counts = sender.counts;
    if counts.total() == 0 {
        output::print_stderr(&format!("{name}: no events"))?;
        return Ok(());
    }
    output::print_stderr(&summary(sender))?;
    for warning in &sender.warnings {
        let of_others = match warning.events {
            0 | 1 => String::new(),
            events => format!(" and {} more", events - 1),
        };
        output::print_stderr(&format!("warning: line {}{of_others}: {warning}", warning.first))?;
    }
    warn_not_yet_stored(sender)?;
    if counts.dropped > 0 {
        let lost = format!("{} of {} events were dropped", counts.dropped, counts.total());
        return Err(CliError::server(lost).with_advice(DROPPED));
    }
    if counts.not_kept > 0 {
        output::print_stderr(&format!("none of the valid events was kept: {NOT_KEPT}"))?;
    }
    if counts.rejected == 0 {
        return Ok(());
    }
    Err(CliError::server(format!("{} of {} events were rejected", counts.rejected, counts.total()))
        .with_advice("correct these lines and log them again; the others are logged. --register registers providers"))
}

fn warn_not_yet_stored(sender: &BatchSender) -> Result<(), CliError> {
    if sender.counts.not_yet_stored > 0 {
        let count = sender.counts.not_yet_stored;
        output::print_stderr(&format!("durable, but not yet in the store: {count}; `/readyz` says why"))?;
    }
    Ok(())
}

fn summary(sender: &BatchSender) -> String {
    let counts = sender.counts;
    let logged_before =
        if counts.duplicates > 0 { format!(", {} logged before", counts.duplicates) } else { String::new() };
    let filtered = if counts.filtered > 0 { format!(", {} filtered", counts.filtered) } else { String::new() };
    let dropped = if counts.dropped > 0 { format!(", {} dropped", counts.dropped) } else { String::new() };
    let not_kept = if counts.not_kept > 0 { format!(", {} not kept", counts.not_kept) } else { String::new() };
    format!("{} accepted, {} rejected{logged_before}{filtered}{dropped}{not_kept}", counts.accepted, counts.rejected)
}

fn json_line(outcome: &EventOutcome<'_>) -> String {
    match outcome.item {
        // A status that only a later server has.
        EventResult::Unknown => json!({"line": outcome.line, "status": "unknown"}).to_string() + "\n",
        EventResult::Accepted(_)
        | EventResult::Duplicate(_)
        | EventResult::Filtered
        | EventResult::Dropped
        | EventResult::NotKept
        | EventResult::Rejected(_) => serde_json::to_string(outcome).map(|text| text + "\n").unwrap_or_default(),
    }
}

/// Shows progress on a terminal only. Blank lines are not counted, so it may stop short of 100%.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {percent}% {msg} ({bytes_per_sec}, {eta} left)"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} ({bytes_per_sec})"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

struct Input {
    name: String,
    reader: Box<dyn BufRead + Send>,
    /// The size, if the input is a file.
    bytes: Option<u64>,
}

impl Input {
    fn open(path: Option<&Path>) -> Result<Self, CliError> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| CliError::local(format!("{name}: {error}")))?;
                let bytes = file.metadata().ok().filter(|about| about.is_file()).map(|about| about.len());
                Ok(Self { name, reader: Box::new(BufReader::new(file)), bytes })
            }
            None if io::stdin().is_terminal() => Err(CliError::local("no event: neither arguments nor input")
                .with_advice("give --provider and --action, a file, or `-` to type events; see `annals log --help`")),
            Some(_) | None => {
                let bytes = rustix::fs::fstat(io::stdin()).ok().and_then(|about| {
                    let file = rustix::fs::FileType::from_raw_mode(about.st_mode).is_file();
                    if file { u64::try_from(about.st_size).ok() } else { None }
                });
                Ok(Self { name: "standard input".to_owned(), reader: Box::new(BufReader::new(io::stdin())), bytes })
            }
        }
    }
}

impl EventArgs {
    fn is_given(&self) -> bool {
        let texts = [&self.provider, &self.action, &self.message, &self.outcome, &self.level];
        texts.iter().any(|text| text.is_some()) || !self.object.is_empty() || !self.set.is_empty()
    }

    fn build(&self, space: Option<&str>) -> Result<Value, CliError> {
        let mut event = Value::Object(Map::new());
        let texts = [
            ("event.provider", &self.provider),
            ("event.action", &self.action),
            ("event.outcome", &self.outcome),
            ("log.level", &self.level),
            ("message", &self.message),
        ];
        for (path, text) in texts {
            if let Some(text) = text {
                set(&mut event, path, Value::from(text.as_str()))?;
            }
        }
        if !self.object.is_empty() {
            let objects: Value = self.object.iter().map(|object| object.reference(space)).collect();
            set(&mut event, "kibana.saved_objects", objects)?;
        }
        for Assignment { path, value } in &self.set {
            set(&mut event, path, value.clone())?;
        }
        Ok(event)
    }
}

impl ObjectReference {
    /// References with a space's namespace make an event findable there; those of the default space have no namespace.
    fn reference(&self, space: Option<&str>) -> Value {
        let mut reference = json!({"rel": "primary", "type": self.object_type, "id": self.id});
        let namespace = self.namespace.as_deref().or(space).filter(|name| *name != "default");
        if let (Some(namespace), Some(fields)) = (namespace, reference.as_object_mut()) {
            fields.insert("namespace".to_owned(), Value::from(namespace));
        }
        reference
    }
}

fn set(event: &mut Value, path: &str, value: Value) -> Result<(), CliError> {
    let mut target = event;
    // The names of labels may have dots.
    let names = match path.strip_prefix("labels.") {
        Some(label) => vec!["labels", label],
        None => path.split('.').collect(),
    };
    for name in names {
        let Value::Object(fields) = target else {
            return Err(CliError::local(format!(
                "{path}: a part of it is already set to a value that is not an object"
            )));
        };
        target = fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    *target = value;
    Ok(())
}

fn object(text: &str) -> Result<ObjectReference, String> {
    let parts: Vec<_> = text.split(':').collect();
    let (object_type, id, namespace) = match parts.as_slice() {
        [object_type, id] => (object_type, id, None),
        [object_type, id, namespace] => (object_type, id, Some((*namespace).to_owned())),
        _ => return Err("expected TYPE:ID or TYPE:ID:NAMESPACE; an id with colons fits in NDJSON only".to_owned()),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err("expected TYPE:ID or TYPE:ID:NAMESPACE, none of them empty".to_owned());
    }
    Ok(ObjectReference { object_type: (*object_type).to_owned(), id: (*id).to_owned(), namespace })
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let (path, value) = text.split_once('=').ok_or("expected PATH=VALUE or PATH:=JSON")?;
    let (path, value) = match path.strip_suffix(':') {
        Some(path) => (path, serde_json::from_str(value).map_err(|error| format!("not JSON: {error}"))?),
        None => (path, Value::from(value)),
    };
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err("expected a dotted path such as user.name before the equals sign".to_owned());
    }
    Ok(Assignment { path: path.to_owned(), value })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        event: EventArgs,
    }

    #[track_caller]
    fn check(arguments: &[&str], space: Option<&str>, expected: &Value) {
        let command = Command::try_parse_from(["log"].iter().chain(arguments)).unwrap();
        assert_eq!(&command.event.build(space).unwrap(), expected);
    }

    #[test]
    fn arguments_make_the_event_that_they_name() {
        let arguments = [
            "--provider=shop",
            "--action=ship",
            "--message=shipped",
            "--outcome=success",
            "--level=info",
            "--object=order:7",
            "--object=customer:9:eu",
            "--set=user.name=ann=b",
            "--set=annals.code:=7",
            "--set=tags:=[\"x\"]",
            "--set=labels.team=a",
            "--set=labels.team.lead=b",
        ];
        let expected = json!({
            "message": "shipped", "log": {"level": "info"}, "user": {"name": "ann=b"}, "annals": {"code": 7}, "tags": ["x"],
            "labels": {"team": "a", "team.lead": "b"},
            "event": {"provider": "shop", "action": "ship", "outcome": "success"},
            "kibana": {"saved_objects": [
                {"rel": "primary", "type": "order", "id": "7"},
                {"rel": "primary", "type": "customer", "id": "9", "namespace": "eu"},
            ]},
        });
        check(&arguments, None, &expected);
    }

    #[test]
    fn objects_take_the_space_as_their_namespace() {
        let reference = |namespace: Value| json!({"kibana": {"saved_objects": [namespace]}});
        let named = json!({"rel": "primary", "type": "order", "id": "7", "namespace": "ops"});
        check(&["--object=order:7"], Some("ops"), &reference(named));
        let unnamed = json!({"rel": "primary", "type": "order", "id": "7"});
        check(&["--object=order:7"], Some("default"), &reference(unnamed));
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        let wrong = [
            "--object=order",
            "--object=a:b:c:d",
            "--object=:7",
            "--set=a",
            "--set=a..b=c",
            "--set=a:=x",
            "--outcome=odd",
        ];
        for argument in wrong {
            assert!(Command::try_parse_from(["log", argument]).is_err(), "{argument}");
        }
        let command = Command::try_parse_from(["log", "--set=message=a", "--set=message.b=c"]).unwrap();
        assert!(command.event.build(None).is_err());
    }
}
