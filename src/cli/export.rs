//! `annals export`

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Reader},
    selection::{Filters, Object, Times},
    sort::Sorting,
    stopping,
    zone::Zone,
};
use crate::{
    client::{
        Api,
        export::{Export, ExportFormat, Whole},
    },
    files,
};

/// How long the next part may take; the server reads it from its store.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Exports all events that match, to the end or visibly not
///
/// How many events came, and the SHA-256 of their bytes, are compared with what the server says that it sent. If that does not agree,
/// or anything breaks off, the exit code is not 0, and with --output there is no file. What an export prints is to be believed
/// once it has ended with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals export --output events.ndjson\n  \
                        annals export order 7 --format csv --columns @timestamp,event.action,message --output order-7.csv\n  \
                        annals export --start 2026-01 --end 2026-03 --tz UTC --gzip --output quarter.ndjson.gz")]
pub(super) struct Args {
    #[command(flatten)]
    object: Object,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    sorting: Sorting,
    /// How to write events
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// What to write of each event, of NDJSON and JSON: paths with commas between them, `*` for anything; an object stands
    /// for all in it
    #[arg(long, value_name = "PATHS", conflicts_with = "columns")]
    fields: Option<String>,
    /// The columns of CSV: paths with commas between them
    #[arg(long, value_name = "PATHS")]
    columns: Option<String>,
    /// Writes to this file, readable by its owner alone, and replaces it once the export is whole; until then it is
    /// written as FILE.part, which is removed if that never happens
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compresses with gzip; the digest is that of the bytes before
    #[arg(long)]
    gzip: bool,
    #[command(flatten)]
    zone: Zone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// One JSON object with all of them
    Json,
    /// Comma-separated values, which no spreadsheet takes for formulas
    Csv,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Ndjson => Self::NdJson,
            Format::Json => Self::Json,
            Format::Csv => Self::Csv,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let api = args.connection.connect_for(TIMEOUT)?;
    block_on(async {
        tokio::select! {
            done = args.export(&api) => done,
            stopped = stopping() => stopped.and(Err(Failure::interrupted())),
        }
    })
}

impl Args {
    async fn export(&self, api: &Api) -> Result<(), Failure> {
        let mut parameters = self.times.parameters(&self.zone);
        parameters.extend(self.filters.parameter()?);
        parameters.extend(self.sorting.parameters()?);
        parameters.extend(self.fields.iter().map(|fields| ("fields", fields.clone())));
        parameters.extend(self.columns.iter().map(|columns| ("columns", columns.clone())));
        let export = api.export(self.object.named(), self.format.into(), self.gzip, &parameters).await?;
        let mut target = match &self.output {
            None => Target::Stdout,
            Some(path) => Target::File(Part::create(path)?),
        };
        let whole = self.write(export, &mut target).await?;
        let name = target.finish()?;
        Ok(output::complain(&format!("{name}: {} events, {}", whole.events, whole.digest))?)
    }

    async fn write(&self, mut export: Export, target: &mut Target) -> Result<Whole, Failure> {
        let bar = self.progress();
        while let Some(bytes) = export.next().await? {
            target.write(&bytes)?;
            bar.inc(bytes.len() as u64);
            bar.set_message(format!("{} events", export.events()));
        }
        bar.finish_and_clear();
        Ok(export.finish()?)
    }

    /// Drawn on a terminal, and not among the events.
    fn progress(&self) -> ProgressBar {
        if self.output.is_none() && io::stdout().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg}, {bytes} ({bytes_per_sec}, {elapsed})");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    }
}

enum Target {
    Stdout,
    File(Part),
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => match output::show(bytes)? {
                Reader::There => Ok(()),
                Reader::Gone => Err(Failure::incomplete("nobody reads standard output any more")),
            },
            Self::File(part) => part.file.write_all(bytes).map_err(|error| unwritable(&part.path, &error)),
        }
    }

    /// What it is called.
    fn finish(self) -> Result<String, Failure> {
        match self {
            Self::Stdout => Ok("standard output".to_owned()),
            Self::File(part) => {
                let name = part.whole.display().to_string();
                part.finish()?;
                Ok(name)
            }
        }
    }
}

/// A file that is not yet whole; it is gone if it never becomes so.
struct Part {
    file: BufWriter<File>,
    path: PathBuf,
    whole: PathBuf,
    is_whole: bool,
}

impl Part {
    fn create(whole: &Path) -> Result<Self, Failure> {
        let mut path = OsString::from(whole);
        path.push(".part");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = BufWriter::new(file.map_err(|error| unwritable(&path, &error))?);
        Ok(Self { file, path, whole: whole.to_owned(), is_whole: false })
    }

    /// Durable on return.
    fn finish(mut self) -> Result<(), Failure> {
        let Self { file, path, whole, is_whole } = &mut self;
        let mut put = || {
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&path, &whole)?;
            *is_whole = true;
            files::sync_parent(whole)
        };
        put().map_err(|error| unwritable(&self.whole, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}
