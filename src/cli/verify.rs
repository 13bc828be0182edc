//! `annals verify`

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::{CliError, ExitStatus, output};
use crate::{
    event::{ChainId, LeafHash},
    identity::read_secret,
    integrity::{
        ChainCheck, ChainSummary, Examined, Finding, FindingCode, Findings, Known, OpeningRecord, SealSecret,
        decode_hash,
    },
};

/// Verifies events without a server: contents, links and seals, and that none is missing
///
/// Reads documents as they are stored, one a line in any order, such as those of an export, plain or with gzip. Exits with
/// 0 if all of it is proven, with 5 if an event was changed, removed or added, and with 4 if nothing is wrong but something
/// cannot be proven.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals export --output all.ndjson && annals verify --data-dir annals-data all.ndjson
  sqlite3 -readonly annals-data/events.db 'select document from events' | annals verify --data-dir annals-data
  annals verify --chains kept/chains --part --json quarter.ndjson.gz")]
pub(super) struct Args {
    /// Files of documents; standard input by default, and for `-`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take opening records and the seal secret from this data folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Take opening records from this copy of a data folder's `chains`
    #[arg(long, value_name = "DIR")]
    chains: Option<PathBuf>,
    /// Check the seals with the secret in this file, in base64 or as raw bytes
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Require the events of these receipts, one a line, or the ends of chains in a copy of `acknowledged.json`
    #[arg(long, value_name = "FILE")]
    kept: Vec<PathBuf>,
    /// Expect only some events of each chain, as in a filtered export: only those of --kept may not be missing
    #[arg(long)]
    part: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut verification = Verification::new(Evidence::load(args)?);
    let stdin = [PathBuf::from("-")];
    for path in if args.files.is_empty() { &stdin[..] } else { &args.files } {
        let named = |error: io::Error| CliError::local(format!("{}: {error}", path.display()));
        if path.as_os_str() == "-" {
            verification.read_any(io::stdin().lock()).map_err(named)?;
        } else {
            verification
                .read_any(BufReader::with_capacity(1 << 20, File::open(path).map_err(named)?))
                .map_err(named)?;
        }
    }
    let outcome = verification.finish(args.part);
    output::print(&if args.json { outcome.to_json()? } else { outcome.to_text() }.into_bytes())?;
    outcome.conclude()
}

/// What is known besides the documents.
#[derive(Default)]
struct Evidence {
    chains: BTreeMap<ChainId, Known>,
    ends: Vec<NamedEnd>,
    secret: Option<SealSecret>,
}

/// The end of a chain that another one names as its predecessor. It is required only if there are events of that one:
/// otherwise the documents may be older than it.
struct NamedEnd {
    chain: ChainId,
    sequence: u64,
    by: ChainId,
}

/// An entry of `acknowledged.json`, or a receipt.
#[derive(Deserialize)]
struct Kept {
    chain: String,
    sequence: Option<u64>,
    next: Option<u64>,
    #[serde(alias = "leaf")]
    hash: Option<String>,
}

#[derive(Deserialize)]
struct KeptChains {
    chains: Vec<Kept>,
}

impl Evidence {
    fn load(args: &Args) -> Result<Self, CliError> {
        let in_folder = |name: &str| args.data_dir.as_ref().map(|folder| folder.join(name));
        let existing = |name: &str| in_folder(name).filter(|path| path.exists());
        let mut evidence = Self::default();
        if let Some(folder) = args.chains.clone().or_else(|| in_folder("chains")) {
            evidence.load_chains(&folder)?;
        }
        if let Some(path) = args.secret_file.clone().or_else(|| existing("seal.secret")) {
            evidence.secret = Some(read_secret(&path).map_err(|error| CliError::from_chain(&error))?);
            evidence.check_secret()?;
        }
        args.kept.iter().try_for_each(|path| evidence.load_kept(path))?;
        Ok(evidence)
    }

    fn load_chains(&mut self, folder: &Path) -> Result<(), CliError> {
        for entry in fs::read_dir(folder).map_err(|error| at(folder, error))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = fs::read(&path).map_err(|error| at(&path, error))?;
            let record: OpeningRecord = serde_json::from_slice(&bytes).map_err(|error| at(&path, error))?;
            let chain = record.chain.parse().map_err(|error| at(&path, error))?;
            if record.format != 1 {
                return Err(at(&path, format!("expected format 1, found {}", record.format)));
            }
            if let Some(predecessor) = &record.predecessor
                && let Ok(before) = predecessor.chain.parse()
            {
                let leaf = predecessor.leaf.as_deref().and_then(decode_hash).map(LeafHash);
                self.keep(before, predecessor.sequence, leaf)?;
                self.ends.push(NamedEnd { chain: before, sequence: predecessor.sequence, by: chain });
            }
            self.chains.entry(chain).or_default().opening = Some(record);
        }
        Ok(())
    }

    /// A wrong secret is told apart from changed events by the opening records.
    fn check_secret(&self) -> Result<(), CliError> {
        let Some(secret) = &self.secret else { return Ok(()) };
        for (chain, known) in &self.chains {
            let Some(opening) = &known.opening else { continue };
            opening.first_keys(*chain, secret).map_err(|error| {
                CliError::from_chain(&error).with_advice("name the secret of this log with --secret-file")
            })?;
        }
        Ok(())
    }

    fn load_kept(&mut self, path: &Path) -> Result<(), CliError> {
        let text = fs::read_to_string(path).map_err(|error| at(path, error))?;
        let entries = match serde_json::from_str(&text) {
            Ok(KeptChains { chains }) => chains,
            Err(_) => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                lines.map(serde_json::from_str).collect::<Result<_, _>>().map_err(|error| at(path, error))?
            }
        };
        let mut required = BTreeSet::new();
        for Kept { chain, sequence, next, hash } in entries {
            if sequence.or(next).is_none() {
                return Err(at(path, "expected receipts with a sequence"));
            }
            let chain = chain.parse().map_err(|error| at(path, error))?;
            // A chain without events has no end.
            let Some(sequence) = sequence.or_else(|| next?.checked_sub(1)) else { continue };
            let leaf = match hash {
                Some(hash) => Some(decode_hash(&hash).map(LeafHash).ok_or_else(|| at(path, "expected a leaf hash"))?),
                None => None,
            };
            self.keep(chain, sequence, leaf)?;
            required.insert((chain, sequence));
        }
        self.ends.retain(|end| !required.contains(&(end.chain, end.sequence)));
        Ok(())
    }

    fn keep(&mut self, chain: ChainId, sequence: u64, leaf: Option<LeafHash>) -> Result<(), CliError> {
        let kept = self.chains.entry(chain).or_default().kept.entry(sequence).or_default();
        if let (Some(known), Some(leaf)) = (*kept, leaf)
            && known != leaf
        {
            let message =
                format!("chain {chain}, event {sequence}: receipts or opening records name different leaves of it");
            return Err(CliError { exit: ExitStatus::Broken, ..CliError::local(message) });
        }
        *kept = kept.or(leaf);
        Ok(())
    }
}

fn at(path: &Path, error: impl std::fmt::Display) -> CliError {
    CliError::local(format!("{}: {error}", path.display()))
}

/// The chains that are checked.
struct Verification {
    evidence: Evidence,
    chains: BTreeMap<ChainId, ChainCheck>,
    /// Chains whose opening records are not known.
    unopened: Vec<ChainId>,
    findings: Findings,
}

/// A document has at most an event of 16 MiB, and what the log adds.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// What a file with gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Verification {
    fn new(evidence: Evidence) -> Self {
        Self { evidence, chains: BTreeMap::new(), unopened: Vec::new(), findings: Findings::default() }
    }

    /// Reads lines, plain or with gzip.
    fn read_any(&mut self, mut input: impl BufRead) -> io::Result<()> {
        if input.fill_buf()?.starts_with(&GZIP) {
            return self.read(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(input)));
        }
        self.read(input)
    }

    fn read(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? > 0 {
            if line.len() as u64 == MAX_LINE_BYTES {
                return Err(io::Error::other("a line has more than 64 MiB: expected one document a line"));
            }
            let document = line.trim_ascii();
            if !document.is_empty() {
                self.push(document);
            }
            line.clear();
        }
        Ok(())
    }

    fn push(&mut self, document: &[u8]) {
        let examined = Examined::of(document);
        let Some(position) = examined.position() else {
            self.findings.add(Finding {
                code: FindingCode::DocumentInvalid,
                chain: None,
                sequences: None,
                expected: "a document with annals.chain and annals.sequence".to_owned(),
                found: format!("{:?}", String::from_utf8_lossy(document).chars().take(60).collect::<String>()),
            });
            return;
        };
        let Self { evidence, chains, unopened, findings } = self;
        let check = chains.entry(position.chain).or_insert_with(|| {
            let known = evidence.chains.remove(&position.chain).unwrap_or_default();
            if known.opening.is_none() {
                unopened.push(position.chain);
            }
            ChainCheck::new(position.chain, known, evidence.secret.as_ref())
        });
        check.push(&examined, findings);
    }

    fn finish(mut self, is_part: bool) -> Outcome {
        let is_proven = |end: &NamedEnd| !is_part && self.chains.contains_key(&end.by);
        let (proven, released): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.evidence.ends).into_iter().partition(is_proven);
        let proven: BTreeSet<_> = proven.into_iter().map(|end| (end.chain, end.sequence)).collect();
        for NamedEnd { chain, sequence, .. } in released {
            if !proven.contains(&(chain, sequence)) {
                self.release(chain, sequence);
            }
        }
        // Chains of which there is no document at all.
        let absent = std::mem::take(&mut self.evidence.chains).into_iter().filter(|(_, known)| !known.kept.is_empty());
        for (chain, known) in absent {
            self.chains.insert(chain, ChainCheck::new(chain, known, None));
        }
        let mut findings = self.findings;
        let chains: Vec<_> = self.chains.into_values().map(|check| check.finish(is_part, &mut findings)).collect();
        let mut unproven = unproven(&chains, &self.unopened, is_part);
        let open_ended: Vec<_> = chains.iter().filter(|chain| chain.events > 0 && !chain.ends_as_kept).collect();
        if !open_ended.is_empty() && !is_part {
            let names: Vec<_> = open_ended.iter().map(|summary| summary.chain.to_string()).collect();
            let names = names.join(", ");
            unproven
                .notes
                .push(format!("whether events are missing at the end of {names}: no later one is kept (--kept)"));
        }
        if self.evidence.secret.is_none() {
            unproven.notes.push("who sealed the events: there is no secret (--secret-file)".to_owned());
        }
        Outcome { chains, unproven, findings }
    }

    /// Does not require this event any longer.
    fn release(&mut self, chain: ChainId, sequence: u64) {
        if let Some(check) = self.chains.get_mut(&chain) {
            check.release(sequence);
        }
        if let Some(known) = self.evidence.chains.get_mut(&chain) {
            known.kept.remove(&sequence);
        }
    }
}

/// Says what the documents do not prove.
fn unproven(chains: &[ChainSummary], unopened: &[ChainId], is_part: bool) -> Unproven {
    let sum = |count: fn(&ChainSummary) -> u64| chains.iter().map(count).sum::<u64>();
    let mut incomplete = Vec::new();
    if sum(|chain| chain.events) == 0 {
        incomplete.push("there are no events".to_owned());
    }
    if is_part {
        incomplete.push("whether events are missing: these are only some of each chain (--part)".to_owned());
    }
    if !unopened.is_empty() {
        let names: Vec<_> = unopened.iter().map(ToString::to_string).collect();
        incomplete.push(format!("the beginning of {}: there is no opening record (--chains)", names.join(", ")));
    }
    match sum(|chain| chain.without_content) {
        0 => {}
        events => incomplete
            .push(format!("the content of {events} events, which is not here: compare it with the dead letters")),
    }
    match sum(|chain| chain.unsealed) {
        0 => {}
        events => incomplete.push(format!("{events} events of chains that were opened without seals")),
    }
    Unproven { incomplete, notes: Vec::new() }
}

#[derive(Serialize)]
struct Unproven {
    /// What is missing to a verified whole.
    incomplete: Vec<String>,
    /// What could be checked besides.
    notes: Vec<String>,
}

struct Outcome {
    chains: Vec<ChainSummary>,
    unproven: Unproven,
    findings: Findings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Verified,
    Incomplete,
    Broken,
}

#[derive(Serialize)]
struct OutcomeJson<'a> {
    status: Status,
    chains: Vec<ChainJson>,
    findings: Vec<FindingJson<'a>>,
    findings_count: u64,
    #[serde(flatten)]
    unproven: &'a Unproven,
}

#[derive(Serialize)]
struct ChainJson {
    chain: String,
    first: Option<u64>,
    last: Option<u64>,
    events: u64,
    without_content: u64,
    duplicates: u64,
    unsealed: u64,
    /// Base64, as in RFC 9162 and C2SP checkpoints.
    root: Option<String>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    code: &'static str,
    chain: Option<String>,
    first: Option<u64>,
    last: Option<u64>,
    expected: &'a str,
    found: &'a str,
    message: String,
}

impl Outcome {
    fn status(&self) -> Status {
        if self.findings.count() > 0 {
            Status::Broken
        } else if self.unproven.incomplete.is_empty() {
            Status::Verified
        } else {
            Status::Incomplete
        }
    }

    fn to_json(&self) -> Result<String, CliError> {
        let chain = |summary: &ChainSummary| ChainJson {
            chain: summary.chain.to_string(),
            first: summary.first,
            last: summary.last,
            events: summary.events,
            without_content: summary.without_content,
            duplicates: summary.duplicates,
            unsealed: summary.unsealed,
            root: summary.root.map(|root| STANDARD.encode(root)),
        };
        output::json_line(&OutcomeJson {
            status: self.status(),
            chains: self.chains.iter().map(chain).collect(),
            findings: self.findings.kept().iter().map(finding_json).collect(),
            findings_count: self.findings.count(),
            unproven: &self.unproven,
        })
    }

    fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.findings.kept().iter().map(|finding| format!("broken: {finding}")).collect();
        let more = self.findings.count() - lines.len() as u64;
        if more > 0 {
            lines.push(format!("broken: {more} further findings"));
        }
        lines.extend(self.chains.iter().map(describe));
        lines.extend(self.unproven.incomplete.iter().map(|what| format!("not proven: {what}")));
        lines.extend(self.unproven.notes.iter().map(|what| format!("not checked: {what}")));
        let events: u64 = self.chains.iter().map(|chain| chain.events).sum();
        let all = format!("{} of {}", counted(events, "event"), counted(self.chains.len() as u64, "chain"));
        lines.push(match self.status() {
            Status::Verified => format!("verified: {all}"),
            Status::Incomplete => format!("incomplete: nothing is wrong with {all}, but not all of it is proven"),
            Status::Broken => format!("broken: {} in {all}", counted(self.findings.count(), "finding")),
        });
        lines.join("\n") + "\n"
    }

    fn conclude(&self) -> Result<(), CliError> {
        match self.status() {
            Status::Verified => Ok(()),
            Status::Incomplete => Err(CliError::incomplete("not all of it is proven")),
            Status::Broken => Err(CliError {
                exit: ExitStatus::Broken,
                ..CliError::local("these are not the events that were logged, or not all of them")
                    .with_advice("keep them as they are; docs/integrity.md says what each finding means")
            }),
        }
    }
}

fn finding_json(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        code: finding.code.as_str(),
        chain: finding.chain.map(|chain| chain.to_string()),
        first: finding.sequences.as_ref().map(|sequences| *sequences.start()),
        last: finding.sequences.as_ref().map(|sequences| *sequences.end()),
        expected: &finding.expected,
        found: &finding.found,
        message: finding.to_string(),
    }
}

fn describe(chain: &ChainSummary) -> String {
    let mut text = format!("chain {}: {}", chain.chain, counted(chain.events, "event"));
    if let (Some(first), Some(last)) = (chain.first, chain.last) {
        text += &format!(", {first} to {last}");
    }
    if chain.duplicates > 0 {
        text += &format!(", {}", counted(chain.duplicates, "equal duplicate"));
    }
    if let Some(root) = chain.root {
        text += &format!(", root {}", STANDARD.encode(root));
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
