//! `annals tail`

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    display::{DisplayArgs, Printer},
    output::{self, OutputFormat, OutputStatus},
    resume::ResumePosition,
    selection::{FilterArgs, ObjectArgs, Parameters},
    shutdown_signal,
    zone::{Bound, ZoneArgs},
};
use crate::client::{
    Api, ApiError, Backoff,
    tail::{Message, Tail, TailItem},
};

/// How often to check that standard output is open, and to save the position.
const TICK: Duration = Duration::from_secs(1);

/// Follows new events and prints each once, even if the server is away for a while
///
/// Ctrl-C ends it with exit code 0. After a lost connection it reconnects and resumes after the last event printed.
/// Everything but events goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals tail\n  annals tail order 7 --since 1h\n  \
                        annals tail --kql 'event.outcome:failure' --format ndjson --resume failures.place | sendmail.sh")]
pub(super) struct Args {
    #[command(flatten)]
    object: ObjectArgs,
    #[command(flatten)]
    filters: FilterArgs,
    /// Begins with events from this time on: a date, or a duration before now such as 10m; by default with events
    /// stored from now on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Keeps the position of the tail in this file. If the file exists, the tail resumes from there, with the earlier
    /// --since. If the program is killed, events of the last second may be repeated
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    display: DisplayArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut follower = Follower::new(args)?;
    block_on(async {
        let ended = tokio::select! {
            ended = follower.follow() => ended,
            stopped = shutdown_signal() => stopped,
        };
        let saved = follower.position.save();
        ended.and(saved)
    })
}

/// Follows a tail, and reconnects when the connection is lost.
struct Follower<'a> {
    object: &'a ObjectArgs,
    api: Api,
    parameters: Parameters,
    printer: Printer<'a>,
    position: ResumePosition,
    backoff: Backoff,
    /// Whether the server has ever answered. Before that the address may be wrong, so only afterwards is a lost server
    /// waited for.
    has_answered: bool,
    /// The last problem reported, while it lasts.
    trouble: Option<String>,
}

/// How a connection ended.
enum ConnectionEnd {
    OutputClosed,
    /// The server ended it normally.
    Finished,
    Failed(ApiError),
}

/// Positions of a chain that were skipped.
#[derive(Deserialize)]
struct Gap {
    chain: String,
    from: u64,
    to: u64,
}

impl<'a> Follower<'a> {
    fn new(args: &'a Args) -> Result<Self, CliError> {
        let format = args.display.format(OutputFormat::default_for_stdout())?;
        if format == OutputFormat::Json {
            return Err(CliError::usage("--format json is one complete answer, but a tail never ends; use ndjson"));
        }
        let mut parameters: Parameters = args.filters.parameter()?.into_iter().collect();
        parameters.extend(args.since.iter().map(|since| ("since", args.zone.read(since, Bound::Start))));
        parameters.extend(args.display.parameter(format));
        Ok(Self {
            object: &args.object,
            api: args.connection.connect()?,
            parameters,
            printer: args.display.printer(format, &args.zone),
            position: ResumePosition::open(args.resume.clone())?,
            backoff: Backoff::default(),
            has_answered: false,
            trouble: None,
        })
    }

    /// Returns when standard output is closed, or on an error that is not transient.
    async fn follow(&mut self) -> Result<(), CliError> {
        loop {
            let mut least_wait = None;
            let begun = self.api.tail(self.object.named(), self.position.id(), &self.parameters).await;
            let broken = match begun {
                Err(error) => Some(error),
                Ok(mut tail) => {
                    self.has_answered = true;
                    let end = self.read(&mut tail).await?;
                    least_wait = tail.retry();
                    match end {
                        ConnectionEnd::OutputClosed => return Ok(()),
                        ConnectionEnd::Finished => None,
                        ConnectionEnd::Failed(error) => Some(error),
                    }
                }
            };
            if let Some(error) = broken {
                if !self.is_transient(&error) {
                    return Err(error.into());
                }
                if let ApiError::Busy { retry_after, .. } = &error {
                    least_wait = *retry_after;
                }
                self.report_trouble(&format!("{error}; this continues automatically"))?;
            }
            if wait(self.backoff.next(least_wait)).await == OutputStatus::Closed {
                return Ok(());
            }
        }
    }

    async fn read(&mut self, tail: &mut Tail) -> Result<ConnectionEnd, CliError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let items = tokio::select! {
                items = tail.next() => items,
                _ = ticks.tick() => {
                    if output::status() == OutputStatus::Closed {
                        return Ok(ConnectionEnd::OutputClosed);
                    }
                    self.position.save()?;
                    continue;
                }
            };
            match items {
                Err(error) => return Ok(ConnectionEnd::Failed(error)),
                Ok(items) if items.is_empty() => return Ok(ConnectionEnd::Finished),
                Ok(items) => {
                    if self.show(items)? == OutputStatus::Closed {
                        return Ok(ConnectionEnd::OutputClosed);
                    }
                }
            }
        }
    }

    /// Prints events, and advances the position only afterwards.
    fn show(&mut self, items: Vec<TailItem>) -> Result<OutputStatus, CliError> {
        let mut events = Vec::new();
        let mut id = None;
        for item in items {
            match item {
                TailItem::Comment(text) => self.report_trouble(&format!("the server says: {text}"))?,
                TailItem::Position(position) => id = Some(position),
                TailItem::Message(message) => {
                    id = message.id.clone().or(id);
                    match message.kind.as_str() {
                        "" => events.push(message.data),
                        "gap" => print_gap(&message)?,
                        _ => {}
                    }
                }
            }
        }
        if !events.is_empty() {
            let lines = self.printer.lines(events.iter().map(String::as_str))?;
            if output::write(&lines)? == OutputStatus::Closed {
                return Ok(OutputStatus::Closed);
            }
        }
        if let Some(id) = id {
            self.position.advance(id);
            self.backoff.reset();
            if self.trouble.take().is_some() {
                output::print_stderr("following again")?;
            }
        }
        Ok(OutputStatus::Open)
    }

    /// Reports a problem once, for as long as it stays the same.
    fn report_trouble(&mut self, trouble: &str) -> Result<(), CliError> {
        if self.trouble.as_deref() != Some(trouble) {
            output::print_stderr(trouble)?;
            self.trouble = Some(trouble.to_owned());
        }
        Ok(())
    }

    /// Whether waiting may help.
    fn is_transient(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Busy { .. } | ApiError::BrokenOff { .. } => true,
            ApiError::Unreachable { .. } | ApiError::AnswerLost { .. } => self.has_answered,
            ApiError::Refused { status, .. } => self.has_answered && *status >= 500,
            ApiError::Endpoint(_)
            | ApiError::Untrusted { .. }
            | ApiError::WrongProtocol { .. }
            | ApiError::UnexpectedAnswer { .. } => false,
        }
    }
}

async fn wait(wait: Duration) -> OutputStatus {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if output::status() == OutputStatus::Closed {
            return OutputStatus::Closed;
        }
        sleep(TICK.min(until - Instant::now())).await;
    }
    OutputStatus::Open
}

fn print_gap(gap: &Message) -> Result<(), CliError> {
    let text = match serde_json::from_str(&gap.data) {
        Ok(Gap { chain, from, to }) => format!("positions {from} to {to} of the chain {chain}"),
        Err(_) => gap.data.clone(),
    };
    let then = "did not arrive within a minute, and the tail continues after them; if they arrive later, `annals find` finds them";
    Ok(output::print_stderr(&format!("gap: {text} {then}"))?)
}
