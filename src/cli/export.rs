//! `annals export`

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputInParts, OutputStatus},
    selection::{FilterArgs, ObjectArgs, TimeRangeArgs},
    shutdown_signal,
    sort::SortArgs,
    zone::ZoneArgs,
};
use crate::{
    client::{
        Api,
        export::{Export, ExportFormat, ExportSummary},
    },
    files,
};

/// Exports all matching events, completely or with an error
///
/// Compares the number of events and the SHA-256 of their bytes with those that the server reports. If they differ, or
/// if the export breaks off, the exit code is not 0, and with --output there is no file. Do not rely on the output of
/// an export before it has exited with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals export --output events.ndjson\n  \
                        annals export order 7 --format csv --columns @timestamp,event.action,message --output order-7.csv\n  \
                        annals export --start 2026-01 --end 2026-03 --tz UTC --gzip --output quarter.ndjson.gz")]
pub(super) struct Args {
    #[command(flatten)]
    object: ObjectArgs,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    times: TimeRangeArgs,
    #[command(flatten)]
    sorting: SortArgs,
    /// The format of the events
    #[arg(long, short, value_enum, default_value = "ndjson")]
    format: FormatArg,
    /// The fields to write in NDJSON and JSON: paths separated by commas, `*` for anything; an object includes all its
    /// members
    #[arg(long, value_name = "PATHS", conflicts_with = "columns")]
    fields: Option<String>,
    /// The columns of CSV: paths separated by commas
    #[arg(long, value_name = "PATHS")]
    columns: Option<String>,
    /// Writes to this file, readable by its owner only, which is replaced once the export is complete. Until then the
    /// data is in FILE.part, which is removed if the export fails
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compresses with gzip; the digest is of the uncompressed bytes
    #[arg(long)]
    gzip: bool,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// One JSON object per line
    Ndjson,
    /// One JSON object with all events
    Json,
    /// Comma-separated values that no spreadsheet evaluates as formulas
    Csv,
}

impl From<FormatArg> for ExportFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Ndjson => Self::NdJson,
            FormatArg::Json => Self::Json,
            FormatArg::Csv => Self::Csv,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    if args.gzip && args.is_shown() {
        return Err(CliError::usage("compressed data is not for a terminal; --output writes it to a file"));
    }
    let api = args.connection.connect()?;
    block_on(async {
        tokio::select! {
            done = args.export(&api) => done,
            stopped = shutdown_signal() => stopped.and(Err(CliError::interrupted())),
        }
    })
}

impl Args {
    async fn export(&self, api: &Api) -> Result<(), CliError> {
        let mut parameters = self.times.parameters(&self.zone);
        parameters.extend(self.filters.parameter()?);
        parameters.extend(self.sorting.parameters()?);
        parameters.extend(self.fields.iter().map(|fields| ("fields", fields.clone())));
        parameters.extend(self.columns.iter().map(|columns| ("columns", columns.clone())));
        let export = api.export(self.object.named(), self.format.into(), self.gzip, &parameters).await?;
        let mut output = match &self.output {
            None => Output::Stdout(OutputInParts::default()),
            Some(path) => Output::File(PartialFile::create(path)?),
        };
        let summary = self.write(export, &mut output).await?;
        let name = output.finish()?;
        Ok(output::print_stderr(&format!("{name}: {} events, {}", summary.events, summary.digest))?)
    }

    async fn write(&self, mut export: Export, output: &mut Output) -> Result<ExportSummary, CliError> {
        let bar = self.progress();
        while let Some(bytes) = export.next().await? {
            output.write(&bytes)?;
            bar.inc(bytes.len() as u64);
            bar.set_message(format!("{} events", export.events()));
        }
        bar.finish_and_clear();
        Ok(export.finish()?)
    }

    /// Whether the events themselves go to a terminal.
    fn is_shown(&self) -> bool {
        self.output.is_none() && io::stdout().is_terminal()
    }

    /// Returns the progress display, which is hidden if the events are shown.
    fn progress(&self) -> ProgressBar {
        if self.is_shown() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg}, {bytes} ({bytes_per_sec}, {elapsed})");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    }
}

enum Output {
    Stdout(OutputInParts),
    File(PartialFile),
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        match self {
            Self::Stdout(stdout) => match stdout.write(bytes)? {
                OutputStatus::Open => Ok(()),
                OutputStatus::Closed => Err(CliError::incomplete("standard output was closed")),
            },
            Self::File(part) => part.file.write_all(bytes).map_err(|error| unwritable(&part.path, &error)),
        }
    }

    /// Returns the file's name.
    fn finish(self) -> Result<String, CliError> {
        match self {
            Self::Stdout(stdout) => {
                stdout.finish()?;
                Ok("standard output".to_owned())
            }
            Self::File(part) => {
                let name = part.target.display().to_string();
                part.finish()?;
                Ok(name)
            }
        }
    }
}

/// A file being written; it is removed unless it is finished.
struct PartialFile {
    file: BufWriter<File>,
    path: PathBuf,
    target: PathBuf,
    is_finished: bool,
}

impl PartialFile {
    fn create(target: &Path) -> Result<Self, CliError> {
        let mut path = OsString::from(target);
        path.push(".part");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = BufWriter::new(file.map_err(|error| unwritable(&path, &error))?);
        Ok(Self { file, path, target: target.to_owned(), is_finished: false })
    }

    /// Makes the file durable and gives it its final name.
    fn finish(mut self) -> Result<(), CliError> {
        let Self { file, path, target, is_finished } = &mut self;
        let mut put = || {
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&path, &target)?;
            *is_finished = true;
            files::sync_parent(target)
        };
        put().map_err(|error| unwritable(&self.target, &error))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::local(format!("{}: {error}", path.display()))
}
