//! `annals find`

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    display::DisplayArgs,
    output::{self, OutputFormat, OutputStatus},
    selection::{Parameters, SelectionArgs},
    sort::SortArgs,
    zone::ZoneArgs,
};
use crate::{
    client::{Api, ApiError},
    query::RESULT_WINDOW,
    wire::FindAnswer,
};

/// Events per request when there is a limit.
const PAGE_SIZE: u64 = 500;

/// Finds events by the saved objects that they refer to, or by a filter
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  annals find order 7\n  annals find order 7 8 --start 24h --sort @timestamp:desc --per-page 50\n  \
                        annals find order 7 --format ndjson | jq .message\n  \
                        annals find --kql 'event.outcome:failure and not user.name:ann' --start 1d\n  \
                        annals find --contains message=invoice --limit 50000 --format csv --columns @timestamp,user.name,message"
)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The page, counted from 1
    #[arg(long, default_value_t = 1, conflicts_with = "limit",
        value_parser = clap::value_parser!(u64).range(1..=RESULT_WINDOW))]
    page: u64,
    /// The number of events per page
    #[arg(long, default_value_t = 10, value_name = "COUNT", conflicts_with = "limit",
        value_parser = clap::value_parser!(u64).range(0..=RESULT_WINDOW))]
    per_page: u64,
    /// Prints this many events from the first on, instead of a page
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    limit: Option<u64>,
    #[command(flatten)]
    sorting: SortArgs,
    #[command(flatten)]
    display: DisplayArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let format = args.display.format(OutputFormat::default_for_stdout())?;
    args.check_page()?;
    let mut parameters = args.sorting.parameters()?;
    parameters.extend(args.selection.parameters(&args.zone)?);
    parameters.extend(args.display.parameter(format));
    let search = Search { args, api: args.connection.connect()?, parameters };
    block_on(async {
        match args.limit {
            None => search.print_page(format).await,
            Some(limit) if format == OutputFormat::Json => search.print_as_one(limit).await,
            Some(limit) => search.print_pages(limit, format).await,
        }
    })
}

struct Search<'a> {
    args: &'a Args,
    api: Api,
    parameters: Parameters,
}

impl Search<'_> {
    async fn print_page(&self, format: OutputFormat) -> Result<(), CliError> {
        let Args { page, per_page, display, zone, .. } = self.args;
        let found = self.fetch([("page", page.to_string()), ("per_page", per_page.to_string())]).await?;
        let shown = match format {
            OutputFormat::Json => output::json_line(&found)?.into_bytes(),
            OutputFormat::Table | OutputFormat::Ndjson | OutputFormat::Csv => {
                display.printer(format, zone).lines(documents(&found))?
            }
        };
        output::print(&shown)?;
        self.args.explain(*page, &found)
    }

    /// Prints each page as it arrives.
    async fn print_pages(&self, limit: u64, format: OutputFormat) -> Result<(), CliError> {
        let mut printer = self.args.display.printer(format, &self.args.zone);
        let mut pages = self.pages_up_to(limit);
        let mut total = 0;
        while let Some(found) = pages.next().await? {
            if output::write(&printer.lines(documents(&found))?)? == OutputStatus::Closed {
                return Ok(());
            }
            total = found.total;
        }
        self.args.explain_limit(limit - pages.left, total)
    }

    /// Prints all pages as one document.
    async fn print_as_one(&self, limit: u64) -> Result<(), CliError> {
        let mut pages = self.pages_up_to(limit);
        let Some(mut whole) = pages.next().await? else { return Ok(()) };
        while let Some(found) = pages.next().await? {
            whole.data.extend(found.data);
            whole.next = found.next;
        }
        whole.per_page = limit;
        output::print(output::json_line(&whole)?.as_bytes())?;
        self.args.explain_limit(count(&whole), whole.total)
    }

    fn pages_up_to(&self, limit: u64) -> Pages<'_> {
        Pages { search: self, after: Some(String::new()), left: limit }
    }

    async fn fetch(&self, page: [(&'static str, String); 2]) -> Result<FindAnswer, ApiError> {
        let SelectionArgs { object_type, ids, .. } = &self.args.selection;
        let parameters: Parameters = page.into_iter().chain(self.parameters.iter().cloned()).collect();
        self.api.find(object_type.as_deref(), ids, &parameters).await
    }
}

/// Reads pages up to a limit of events, which is at least 1.
struct Pages<'a> {
    search: &'a Search<'a>,
    after: Option<String>,
    left: u64,
}

impl Pages<'_> {
    /// Returns `None` after the last event, or at the limit.
    async fn next(&mut self) -> Result<Option<FindAnswer>, ApiError> {
        let Some(after) = self.after.take().filter(|_| self.left > 0) else { return Ok(None) };
        let page = [("after", after), ("per_page", self.left.min(PAGE_SIZE).to_string())];
        let found = self.search.fetch(page).await?;
        self.left = self.left.saturating_sub(count(&found));
        self.after.clone_from(&found.next);
        Ok(Some(found))
    }
}

fn documents(found: &FindAnswer) -> impl Iterator<Item = &str> {
    found.data.iter().map(|document| document.get())
}

fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}

fn count(found: &FindAnswer) -> u64 {
    u64::try_from(found.data.len()).unwrap_or(u64::MAX)
}

impl Args {
    fn check_page(&self) -> Result<(), CliError> {
        if self.page.checked_mul(self.per_page).is_some_and(|last| last <= RESULT_WINDOW) {
            return Ok(());
        }
        let Self { page, per_page, .. } = self;
        Err(CliError::usage(format!(
            "--page {page} of {per_page} events is beyond event {RESULT_WINDOW}, where pages end"
        ))
        .with_advice("--limit prints more events, and `annals export` all"))
    }

    /// Prints hints to standard error: why the page is empty, or that there are more events.
    fn explain(&self, page: u64, found: &FindAnswer) -> Result<(), CliError> {
        let FindAnswer { per_page, total, .. } = *found;
        let shown = count(found);
        let before = page.saturating_sub(1).saturating_mul(per_page);
        let hint = if total == 0 {
            self.explain_nothing()
        } else if per_page == 0 {
            format!("{total} in all")
        } else if shown == 0 {
            format!("no events on page {page}; the last of {total} is on page {}", total.div_ceil(per_page))
        } else if before + shown < total {
            format!("events {} to {} of {total}; --page {} shows the next", before + 1, before + shown, page + 1)
        } else {
            return Ok(());
        };
        Ok(output::print_stderr(&hint)?)
    }

    fn explain_limit(&self, shown: u64, total: u64) -> Result<(), CliError> {
        let hint = match shown < total {
            _ if total == 0 => self.explain_nothing(),
            true => format!("{shown} of {total} events; --limit shows more, and `annals export` all"),
            false => return Ok(()),
        };
        Ok(output::print_stderr(&hint)?)
    }

    fn explain_nothing(&self) -> String {
        let wider = if self.selection.is_narrowed() { " a wider time or filter, or" } else { "" };
        match &self.selection.object_type {
            None => format!("no events\nadvice: try{wider} another --space, or a key that may see more"),
            Some(object_type) => {
                let space = self.connection.space.as_deref().unwrap_or("default");
                format!(
                    "no events of {object_type} {} in the space {space}\nadvice: try{wider} another --space; only events that \
                     name the object as primary are found by it",
                    self.selection.ids.join(", ")
                )
            }
        }
    }
}
