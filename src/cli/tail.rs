//! `annals tail`

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format, Reader},
    place::Place,
    selection::{Filters, Object, Parameters},
    shape::{Printer, Shape},
    stopping,
    zone::{Edge, Zone},
};
use crate::client::{
    Api, ApiError, Backoff,
    tail::{Message, Tail, Told},
};

/// How often it is looked whether somebody still reads, and whether the place is to be kept.
const TICK: Duration = Duration::from_secs(1);

/// Follows events as they come, each once, also while the server is away for a time
///
/// It ends by Ctrl-C, and then with 0. A connection that is lost is made again, and the tail goes on behind the last
/// event that was printed. What else happens is told on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals tail\n  annals tail order 7 --since 1h\n  \
                        annals tail --kql 'event.outcome:failure' --output ndjson --resume failures.place | sendmail.sh")]
pub(super) struct Args {
    #[command(flatten)]
    object: Object,
    #[command(flatten)]
    filters: Filters,
    /// Begins with events that happened from then on, a date or a duration before now such as 10m; without it with what is
    /// stored from now on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Keeps in this file how far the tail has come. If it is there, the tail goes on from that place, and --since is what it was. If
    /// the program is killed, events of the last second may come once more
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    zone: Zone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut following = Following::new(args)?;
    block_on(async {
        let ended = tokio::select! {
            ended = following.follow() => ended,
            stopped = stopping() => stopped,
        };
        let kept = following.place.keep();
        ended.and(kept)
    })
}

/// A tail over as many connections as it takes.
struct Following<'a> {
    object: &'a Object,
    api: Api,
    parameters: Parameters,
    printer: Printer<'a>,
    place: Place,
    backoff: Backoff,
    /// Once the server has answered, losing it is worth waiting for; before, the address may be wrong.
    has_answered: bool,
    /// The trouble that was told last, and is not over.
    trouble: Option<String>,
}

/// How a connection ended.
enum End {
    NobodyReads,
    /// By the server, in order.
    Over,
    Broken(ApiError),
}

/// Positions of a chain that were passed.
#[derive(Deserialize)]
struct Gap {
    chain: String,
    from: u64,
    to: u64,
}

impl<'a> Following<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let format = args.shape.format(Format::usual())?;
        if format == Format::Json {
            return Err(Failure::typed(
                "--output json is one answer as a whole, and a tail has no end; ndjson is for it",
            ));
        }
        let mut parameters: Parameters = args.filters.parameter()?.into_iter().collect();
        parameters.extend(args.since.iter().map(|since| ("since", args.zone.read(since, Edge::First))));
        parameters.extend(args.shape.parameter(format));
        Ok(Self {
            object: &args.object,
            api: args.connection.connect()?,
            parameters,
            printer: args.shape.printer(format, &args.zone),
            place: Place::open(args.resume.clone())?,
            backoff: Backoff::default(),
            has_answered: false,
            trouble: None,
        })
    }

    /// Until nobody reads, or something happens that waiting does not heal.
    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            let mut least_wait = None;
            let begun = self.api.tail(self.object.named(), self.place.id(), &self.parameters).await;
            let broken = match begun {
                Err(error) => Some(error),
                Ok(mut tail) => {
                    self.has_answered = true;
                    let end = self.read(&mut tail).await?;
                    least_wait = tail.retry();
                    match end {
                        End::NobodyReads => return Ok(()),
                        End::Over => None,
                        End::Broken(error) => Some(error),
                    }
                }
            };
            if let Some(error) = broken {
                if !self.heals(&error) {
                    return Err(error.into());
                }
                if let ApiError::Busy { retry_after, .. } = &error {
                    least_wait = *retry_after;
                }
                self.tell(&format!("{error}; this goes on by itself"))?;
            }
            if wait(self.backoff.next(least_wait)).await == Reader::Gone {
                return Ok(());
            }
        }
    }

    async fn read(&mut self, tail: &mut Tail) -> Result<End, Failure> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                told = tail.next() => told,
                _ = ticks.tick() => {
                    if output::reader() == Reader::Gone {
                        return Ok(End::NobodyReads);
                    }
                    self.place.keep()?;
                    continue;
                }
            };
            match told {
                Err(error) => return Ok(End::Broken(error)),
                Ok(told) if told.is_empty() => return Ok(End::Over),
                Ok(told) => {
                    if self.show(told)? == Reader::Gone {
                        return Ok(End::NobodyReads);
                    }
                }
            }
        }
    }

    /// Prints events, and only then counts them as seen.
    fn show(&mut self, told: Vec<Told>) -> Result<Reader, Failure> {
        let mut events = Vec::new();
        let mut id = None;
        for told in told {
            match told {
                Told::Comment(text) => self.tell(&format!("the server says: {text}"))?,
                Told::Place(place) => id = Some(place),
                Told::Message(message) => {
                    id = message.id.clone().or(id);
                    match message.kind.as_str() {
                        "" => events.push(message.data),
                        "gap" => announce(&message)?,
                        _ => {}
                    }
                }
            }
        }
        if !events.is_empty() {
            let lines = self.printer.lines(events.iter().map(String::as_str))?;
            if output::show(&lines)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
        if let Some(id) = id {
            self.place.reach(id);
            self.backoff.reset();
            if self.trouble.take().is_some() {
                output::complain("following again")?;
            }
        }
        Ok(Reader::There)
    }

    /// Tells of trouble, once as long as it stays the same.
    fn tell(&mut self, trouble: &str) -> Result<(), Failure> {
        if self.trouble.as_deref() != Some(trouble) {
            output::complain(trouble)?;
            self.trouble = Some(trouble.to_owned());
        }
        Ok(())
    }

    /// Whether it may be over if one waits.
    fn heals(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Busy { .. } | ApiError::BrokenOff { .. } => true,
            ApiError::Unreachable { .. } | ApiError::AnswerLost { .. } => self.has_answered,
            ApiError::Refused { status, .. } => self.has_answered && *status >= 500,
            ApiError::Endpoint(_) | ApiError::Strange { .. } => false,
        }
    }
}

async fn wait(wait: Duration) -> Reader {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if output::reader() == Reader::Gone {
            return Reader::Gone;
        }
        sleep(TICK.min(until - Instant::now())).await;
    }
    Reader::There
}

fn announce(gap: &Message) -> Result<(), Failure> {
    let text = match serde_json::from_str(&gap.data) {
        Ok(Gap { chain, from, to }) => format!("positions {from} to {to} of the chain {chain}"),
        Err(_) => gap.data.clone(),
    };
    let then =
        "did not come for a minute, and the tail goes on behind them; if they come later, `annals find` has them";
    Ok(output::complain(&format!("gap: {text} {then}"))?)
}
