//! Turns the bytes of a request into event contents: parses, checks, merges defaults, completes, canonicalizes and
//! digests.
//!
//! A body is read once. An event does not become a tree of values: for each field of the schema, the builder knows the
//! location of its canonical bytes, and writes the content from there.

mod builder;
mod canonical;
mod complete;
mod composite;
mod date;
mod defaults;
mod idempotency;
mod kinds;
mod known;
mod names;
mod nesting;
mod number;
mod number_set;
mod objects;
mod outline;
mod parse;
mod predictor;
mod registry;
mod repair;
mod rules;
mod scan;
mod sender;
mod unknown;
mod violations;
mod warnings;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    event::{Author, RetentionClass, Space, Stream, UnixMillis, Uuid},
    integrity::{ContentDigest, ContentRef, Salt},
    policy::{self, Placement},
    schema::ECS_VERSION,
    time::{Clock, format_millis},
};
use builder::{BuilderPool, EventBuilder};
use complete::Context;
use defaults::Defaults;
pub use idempotency::IdempotencyKey;
use known::KnownFields;
pub use registry::{Change, RegisterError, Registration, Registry, RegistryError};
pub use scan::OnBadText;
use scan::{Expected, Scanner, Syntax, Token};
use sender::Sender;
pub use unknown::UnknownFields;
pub use violations::Violation;
pub use warnings::Warning;
use warnings::Warnings;

/// Limits of a request, and what happens to texts beyond them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_event_bytes: usize,
    pub max_batch_events: usize,
    /// Nesting of objects and arrays within an event.
    pub max_depth: usize,
    pub max_array_length: usize,
    pub on_bad_text: OnBadText,
}

impl Limits {
    const DEFAULT: Self = Self {
        max_event_bytes: 1 << 20,
        max_batch_events: 10_000,
        max_depth: 32,
        max_array_length: 1000,
        on_bad_text: OnBadText::Repair,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The results for a body's events.
pub struct Accepted {
    /// One per event, in the order of the body.
    pub items: Vec<Item>,
    /// The contents of the accepted events, in the same order.
    pub contents: Contents,
    /// Where the rejected events are in the body, in the same order.
    pub rejected: Vec<Rejected>,
    /// What will surprise about the accepted events, if anything.
    pub warnings: Vec<Warning>,
    /// How many unknown fields the accepted events of each provider keep.
    pub unmapped: BTreeMap<String, u64>,
    /// Bytes of the items.
    item_bytes: usize,
}

/// The place of a rejected event.
pub struct Rejected {
    /// Of its item.
    pub index: usize,
    /// Of its text in the body.
    pub range: Range<usize>,
}

impl Accepted {
    pub fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Bytes of items and contents together.
    pub fn memory(&self) -> usize {
        self.item_bytes + self.contents.bytes.len()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Accepted {
        /// `event.id`
        id: String,
    },
    /// Below the minimum severity of its space.
    Filtered,
    /// The event's violations; never empty. If there are too many, the last one counts the rest.
    Rejected(Vec<Violation>),
}

impl Item {
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    pub fn violations(&self) -> Option<&[Violation]> {
        match self {
            Self::Rejected(violations) => Some(violations),
            Self::Accepted { .. } | Self::Filtered => None,
        }
    }

    /// Bytes that the item and its receipt take, at most.
    fn memory(&self) -> usize {
        let texts = |violation: &Violation| violation.path.len() + violation.expected.len() + violation.found.len();
        match self {
            Self::Accepted { id } => ITEM_BYTES + id.len(),
            Self::Filtered => ITEM_BYTES,
            Self::Rejected(violations) => {
                violations.iter().map(|violation| ITEM_BYTES + texts(violation)).sum::<usize>() + ITEM_BYTES
            }
        }
    }
}

/// Bytes of an item, its content's digest and its receipt, without texts; and of a violation.
const ITEM_BYTES: usize = 256;

/// Likely bytes of an event besides its own and its provider's defaults.
const ADDED_BYTES: usize = 1024;

/// Why a whole body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is empty: expected one event, an array of events, or one event per line")]
    Empty,
    #[error("the body has more than {limit} events")]
    TooMany { limit: usize },
    /// The JSON array itself is broken; the events after that place cannot be separated.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        offset: usize,
        /// With the offset.
        reason: String,
    },
    /// Of what was made from the events.
    #[error(
        "the events, with what the log and their providers' defaults add and with their errors, have more than {limit} bytes"
    )]
    TooMuch { limit: usize },
}

/// Canonical contents, each with its digest, ready to be sealed.
#[derive(Default)]
pub struct Contents {
    bytes: Vec<u8>,
    events: Vec<Content>,
    runs: Vec<Run>,
    keys: usize,
}

struct Content {
    range: Range<usize>,
    annals_at: usize,
    class: RetentionClass,
    salt: Salt,
    digest: ContentDigest,
    /// Of an event that came with its own id.
    key: Option<IdempotencyKey>,
}

/// Consecutive contents of one stream.
struct Run {
    stream: Stream,
    /// The index after the last content.
    end: usize,
}

impl Contents {
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Total bytes of all contents.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of runs: maximal sequences of contents in the same stream.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Returns the stream of the content at this index, and how many contents from there on share it.
    pub fn run_at(&self, index: usize) -> Option<(&Stream, usize)> {
        let run = self.runs.get(self.runs.partition_point(|run| run.end <= index))?;
        Some((&run.stream, run.end - index))
    }

    /// The number of events that came with their own ids.
    pub fn key_count(&self) -> usize {
        self.keys
    }

    /// What identifies the event at this index, if it came with its own id.
    pub fn key(&self, index: usize) -> Option<IdempotencyKey> {
        self.events.get(index)?.key
    }

    fn push(&mut self, stream: Stream, content: Content) {
        self.keys += usize::from(content.key.is_some());
        self.events.push(content);
        let end = self.events.len();
        match self.runs.last_mut() {
            Some(run) if run.stream == stream => run.end = end,
            Some(_) | None => self.runs.push(Run { stream, end }),
        }
    }

    /// Moves each content to the stream that this function returns for its index.
    #[cfg(test)]
    pub(crate) fn in_streams(mut self, stream: impl Fn(usize) -> Stream) -> Self {
        self.runs.clear();
        self.keys = 0;
        for (index, content) in std::mem::take(&mut self.events).into_iter().enumerate() {
            self.push(stream(index), content);
        }
        self
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = ContentRef<'_>> {
        self.events.iter().map(|event| ContentRef {
            bytes: self.bytes.get(event.range.clone()).unwrap_or_default(),
            annals_at: event.annals_at,
            class: event.class,
            salt: event.salt,
            digest: event.digest,
        })
    }
}

/// Where events are logged: the same in every event of a writer.
#[derive(Clone, Debug)]
pub struct Source {
    /// `annals.node`
    pub node: String,
    /// `kibana.server_uuid`
    pub server_uuid: String,
    /// `kibana.version`
    pub version: String,
}

/// Checks events and canonicalizes them.
pub struct Intake {
    registry: Arc<Registry>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// The fields that are the same in all events.
    fixed: Defaults,
    logs_events: bool,
    unknown_fields: UnknownFields,
    builders: BuilderPool,
}

impl Intake {
    pub fn new(registry: Arc<Registry>, limits: Limits, clock: Arc<dyn Clock>, source: &Source) -> Self {
        let quoted = |text: &str| {
            let mut bytes = Vec::new();
            canonical::put_text(text, &mut bytes);
            bytes
        };
        let known = KnownFields::get();
        let fixed = [
            (known.node, quoted(&source.node)),
            (known.ecs_version, quoted(ECS_VERSION)),
            (known.server_uuid, quoted(&source.server_uuid)),
            (known.version, quoted(&source.version)),
        ];
        Self {
            registry,
            limits,
            clock,
            fixed: fixed.into_iter().collect(),
            logs_events: false,
            unknown_fields: UnknownFields::Refuse,
            builders: BuilderPool::default(),
        }
    }

    /// Copies the content of each valid event to the program's own log (Kibana's `logEntries`).
    pub fn logging_events(self) -> Self {
        Self { logs_events: true, ..self }
    }

    /// Sets what is done with unknown fields, unless their provider says.
    pub fn with_unknown_fields(self, unknown_fields: UnknownFields) -> Self {
        Self { unknown_fields, ..self }
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns how many bytes the contents of a body's events will probably have, and their results.
    pub fn likely_bytes(&self, body: &[u8]) -> usize {
        let events = memchr::memchr_iter(b'{', body).count().min(self.limits.max_batch_events);
        body.len() + body.len() / 2 + (events + 1) * (ADDED_BYTES + self.registry.current().largest_defaults())
    }

    /// Like [`Self::accept_within`], without that limit.
    pub fn accept(&self, author: &Author, space: Option<&Space>, body: &[u8]) -> Result<Accepted, BodyError> {
        self.accept_within(author, space, body, usize::MAX)
    }

    /// Processes a body: one event, a JSON array of events, or NDJSON. Each event is judged on its own. Fails if contents and items would take more than `most` bytes.
    pub fn accept_within(
        &self,
        author: &Author,
        space: Option<&Space>,
        body: &[u8],
        most: usize,
    ) -> Result<Accepted, BodyError> {
        let registered = self.registry.current();
        let sender = Sender::new(author);
        let now = self.clock.now();
        let quoted_now = [b"\"".as_slice(), &format_millis(now), b"\""].concat();
        let space_ids = complete::space_ids(space);
        // Configured limits must not keep the log from recording its own use.
        let limits = if sender.is_log() { &Limits::DEFAULT } else { &self.limits };
        let mut builder = self.builders.take();
        builder.unknown.are_collected = self.unknown_fields == UnknownFields::Keep || registered.keeps_unknown_fields();
        let context = Context {
            space,
            sender: &sender,
            space_ids: &space_ids,
            registered: &registered,
            now: &quoted_now,
            fixed: &self.fixed,
            unknown_fields: self.unknown_fields,
            limits,
        };
        let mut batch = Batch {
            context,
            now,
            builder,
            warnings: Warnings::new(now),
            random: Random::new(),
            most,
            current: 0..0,
            accepted: Accepted {
                items: Vec::new(),
                contents: Contents::default(),
                rejected: Vec::new(),
                warnings: Vec::new(),
                unmapped: BTreeMap::new(),
                item_bytes: 0,
            },
        };
        batch.accepted.contents.bytes.reserve((body.len() + body.len() / 2).min(most));
        let start =
            body.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).ok_or(BodyError::Empty)?;
        match body.get(start) {
            Some(b'[') => batch.process_array(body)?,
            Some(b'{') if is_pretty_printed(body, start) => batch.process_event(body, start..body.len())?,
            _ => batch.process_lines(body)?,
        }
        let Batch { builder, warnings, mut accepted, .. } = batch;
        accepted.warnings = warnings.take();
        self.builders.put_back(builder);
        if self.logs_events {
            for content in accepted.contents.iter() {
                tracing::info!(target: "annals::events", event = %String::from_utf8_lossy(content.bytes), "event logged");
            }
        }
        Ok(accepted)
    }
}

/// Whether the first line is only an opening brace, as in one pretty-printed event.
fn is_pretty_printed(body: &[u8], start: usize) -> bool {
    let mut after = body.iter().skip(start + 1).skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    after.next() == Some(&b'\n')
}

/// Maximum nesting of the schema's objects; values of any depth may be in the innermost.
const SCHEMA_DEPTH: usize = 16;

/// The events of one body.
struct Batch<'a> {
    context: Context<'a>,
    now: UnixMillis,
    builder: EventBuilder,
    warnings: Warnings,
    random: Random,
    /// Maximum bytes of what is made.
    most: usize,
    /// The place of the current event in the body.
    current: Range<usize>,
    accepted: Accepted,
}

impl Batch<'_> {
    fn process_lines(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let mut start = 0;
        while start < body.len() {
            let rest = body.get(start..).unwrap_or_default();
            let end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = body.get(start..end).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                self.process_event(body, start..end)?;
            }
            start = end + 1;
        }
        Ok(())
    }

    /// Processes one event, which takes up the whole range.
    fn process_event(&mut self, body: &[u8], range: Range<usize>) -> Result<(), BodyError> {
        let text = body.get(range.clone()).unwrap_or_default();
        self.current = range;
        if text.len() > self.context.limits.max_event_bytes {
            return self.too_long(text.len());
        }
        let on_bad_text = self.context.limits.on_bad_text;
        let utf8 = std::str::from_utf8(text);
        if let (Err(error), OnBadText::Refuse) = (utf8, on_bad_text) {
            return self.reject("UTF-8", format!("an invalid byte, at byte {}", error.valid_up_to()));
        }
        let mut scanner = Scanner::of_texts(text, 0, on_bad_text, utf8.is_ok());
        let parsed = self.parse(&mut scanner).and_then(|is_object| {
            if scanner.peek().is_some() {
                return scanner.fail(Expected::EndOfEvent);
            }
            Ok(is_object)
        });
        match parsed {
            Ok(is_object) => self.finish(text, is_object),
            Err(syntax) => {
                let found = found_at(text, syntax.offset());
                self.reject(syntax.expected.as_str(), found)
            }
        }
    }

    fn process_array(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let not_json = |syntax: Syntax| BodyError::NotJson {
            offset: syntax.offset(),
            reason: format!("expected {}, found {}", syntax.expected.as_str(), found_at(body, syntax.offset())),
        };
        let on_bad_text = self.context.limits.on_bad_text;
        let utf8 = std::str::from_utf8(body);
        if let (Err(error), OnBadText::Refuse) = (utf8, on_bad_text) {
            return Err(not_json(Syntax::new(error.valid_up_to(), Expected::Utf8)));
        }
        let scanner_of = |input, at| Scanner::of_texts(input, at, on_bad_text, utf8.is_ok());
        let mut scanner = scanner_of(body, 0);
        scanner.expect(b'[', Expected::Array).map_err(not_json)?;
        if scanner.take(b']') {
            return Err(BodyError::Empty);
        }
        loop {
            scanner.peek();
            let start = scanner.offset();
            // Reads no more than the maximum length of an event.
            let end = start.saturating_add(self.context.limits.max_event_bytes).min(body.len());
            let within = body.get(..end).unwrap_or_default();
            let mut event = scanner_of(within, start);
            match self.parse(&mut event) {
                Ok(is_object) => {
                    self.current = start..event.offset();
                    self.finish(within, is_object)?;
                    scanner = scanner_of(body, event.offset());
                }
                Err(syntax) => {
                    let token = scanner.value().map_err(not_json)?;
                    scanner.skip(token, self.context.limits.max_depth + SCHEMA_DEPTH).map_err(not_json)?;
                    self.current = start..scanner.offset();
                    let length = self.current.len();
                    if length <= self.context.limits.max_event_bytes {
                        return Err(not_json(syntax));
                    }
                    self.too_long(length)?;
                }
            }
            if !scanner.more(b']').map_err(not_json)? {
                break;
            }
        }
        match scanner.peek() {
            None => Ok(()),
            Some(_) => Err(not_json(Syntax::new(scanner.offset(), Expected::EndOfArray))),
        }
    }

    /// Reads one value into the builder. Returns `false` if it is not an object.
    fn parse(&mut self, scanner: &mut Scanner<'_>) -> Result<bool, Syntax> {
        self.builder.clear();
        let token = scanner.value()?;
        if token == Token::Object {
            parse::event(scanner, &mut self.builder, self.context.limits)?;
            return Ok(true);
        }
        scanner.skip(token, self.context.limits.max_depth)?;
        let found = canonical::describe(token, scanner.input());
        let expected = "an event, an object".to_owned();
        self.builder.violations.add(|| Violation { path: String::new(), expected, found });
        Ok(false)
    }

    /// Completes the event that was read, and accepts or rejects it.
    fn finish(&mut self, input: &[u8], is_object: bool) -> Result<(), BodyError> {
        self.check_count()?;
        let known = KnownFields::get();
        if !self.builder.repairs.is_empty() {
            self.builder.put_repairs();
        }
        let key = self.idempotency_key(input);
        let defaults = if is_object { complete::complete(&mut self.builder, input, &self.context) } else { None };
        let Some(defaults) = defaults else {
            let violations = self.builder.violations.take();
            return self.push(Item::Rejected(violations));
        };
        let Placement { stream, class } = policy::placement();
        self.builder.put_name(known.stream, stream.as_str().as_bytes());
        if !self.builder.has(known.id) {
            let id = Uuid::v7(self.now, self.random.bytes());
            self.builder.put_name(known.id, &id.text());
        }
        let id = self.builder.value(known.id, input, defaults).map(complete::text_of).unwrap_or_default();
        if !self.context.sender.is_log() {
            self.warnings.look_at(self.accepted.items.len(), &self.builder, input, defaults);
        }
        if self.builder.unknown.kept > 0 {
            let provider = self.builder.value(known.provider, input, defaults).map(complete::text_of);
            *self.accepted.unmapped.entry(provider.unwrap_or_default()).or_default() += self.builder.unknown.kept;
        }
        let contents = &mut self.accepted.contents;
        let start = contents.bytes.len();
        let annals_at = self.builder.write(input, defaults, self.context.fixed, &mut contents.bytes);
        let range = start..contents.bytes.len();
        let salt = Salt(self.random.bytes());
        let digest = ContentDigest::of(&salt, contents.bytes.get(range.clone()).unwrap_or_default());
        let content = Content { range, annals_at, class, salt, digest, key };
        contents.push(stream, content);
        self.push(Item::Accepted { id })
    }

    /// What identifies the event if it came with its own id; the log's own events are never sent again.
    fn idempotency_key(&self, input: &[u8]) -> Option<IdempotencyKey> {
        let known = KnownFields::get();
        let Context { sender, space, .. } = self.context;
        let id = self.builder.given(known.id, input).filter(|_| !sender.is_log())?;
        let provider = self.builder.given(known.provider, input).unwrap_or_default();
        let space = Space::name(space).as_bytes();
        let parts = [&sender.realm, &sender.name, space, provider, id];
        Some(IdempotencyKey::new(&parts, self.builder.checksum(input)))
    }

    /// Keeps the item of an event whose content, if it has one, is already kept.
    fn push(&mut self, item: Item) -> Result<(), BodyError> {
        self.accepted.item_bytes += item.memory();
        if matches!(item, Item::Rejected(_)) {
            self.accepted.rejected.push(Rejected { index: self.accepted.items.len(), range: self.current.clone() });
        }
        self.accepted.items.push(item);
        if self.accepted.memory() > self.most { Err(BodyError::TooMuch { limit: self.most }) } else { Ok(()) }
    }

    fn too_long(&mut self, length: usize) -> Result<(), BodyError> {
        let limit = self.context.limits.max_event_bytes;
        self.reject(&format!("an event of at most {limit} bytes"), format!("{length} bytes"))
    }

    fn reject(&mut self, expected: &str, found: String) -> Result<(), BodyError> {
        self.check_count()?;
        let violation = Violation { path: String::new(), expected: expected.to_owned(), found };
        self.push(Item::Rejected(vec![violation]))
    }

    fn check_count(&self) -> Result<(), BodyError> {
        let limit = self.context.limits.max_batch_events;
        if self.accepted.items.len() >= limit { Err(BodyError::TooMany { limit }) } else { Ok(()) }
    }
}

/// Describes the text at an offset, for a syntax error.
fn found_at(text: &[u8], offset: usize) -> String {
    let rest = String::from_utf8_lossy(text.get(offset..).unwrap_or_default());
    let shown: String = rest.chars().take(20).collect();
    if shown.is_empty() { format!("the end at byte {offset}") } else { format!("{shown:?} at byte {offset}") }
}

/// Random bytes from the operating system, fetched in blocks.
struct Random {
    pool: [u8; Self::POOL],
    used: usize,
}

impl Random {
    const POOL: usize = 4096;

    fn new() -> Self {
        Self { pool: [0; Self::POOL], used: Self::POOL }
    }

    #[expect(
        clippy::expect_used,
        reason = "without random bytes nothing can be sealed, and Linux has them once it has booted"
    )]
    fn bytes(&mut self) -> [u8; 16] {
        if self.used + 16 > Self::POOL {
            getrandom::fill(&mut self.pool).expect("the operating system has random bytes");
            self.used = 0;
        }
        let mut taken = [0; 16];
        taken.iter_mut().zip(self.pool.iter().skip(self.used)).for_each(|(to, from)| *to = *from);
        self.used += 16;
        taken
    }
}

#[cfg(test)]
mod tests;
