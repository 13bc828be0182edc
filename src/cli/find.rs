//! `annals find`

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format, Reader},
    selection::{Parameters, Selection},
    shape::Shape,
    sort::Sorting,
    zone::Zone,
};
use crate::client::{Api, ApiError, questions::FoundPage};

/// Events that are asked for at once on the way to a limit.
const AT_ONCE: u64 = 500;

/// Finds events, by the saved objects that they refer to or by a filter
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  annals find order 7\n  annals find order 7 8 --start 24h --sort @timestamp:desc --per-page 50\n  \
                        annals find order 7 --output ndjson | jq .message\n  \
                        annals find --kql 'event.outcome:failure and not user.name:ann' --start 1d\n  \
                        annals find --contains message=invoice --limit 50000 --output csv --columns @timestamp,user.name,message"
)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// The page, from 1
    #[arg(long, default_value_t = 1, conflicts_with = "limit")]
    page: u64,
    /// How many events a page has
    #[arg(long, default_value_t = 10, value_name = "COUNT", conflicts_with = "limit")]
    per_page: u64,
    /// In place of a page the first so many events, however many that are
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    sorting: Sorting,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    zone: Zone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let format = args.shape.format(Format::usual())?;
    let mut parameters = args.sorting.parameters()?;
    parameters.extend(args.selection.parameters(&args.zone)?);
    parameters.extend(args.shape.parameter(format));
    let question = Question { args, api: args.connection.connect()?, parameters };
    block_on(async {
        match args.limit {
            None => question.page(format).await,
            Some(limit) if format == Format::Json => question.whole(limit).await,
            Some(limit) => question.pages(limit, format).await,
        }
    })
}

struct Question<'a> {
    args: &'a Args,
    api: Api,
    parameters: Parameters,
}

impl Question<'_> {
    async fn page(&self, format: Format) -> Result<(), Failure> {
        let Args { page, per_page, shape, zone, .. } = self.args;
        let found = self.ask([("page", page.to_string()), ("per_page", per_page.to_string())]).await?;
        let shown = match format {
            Format::Json => json(&found)?,
            Format::Table | Format::Ndjson | Format::Csv => shape.printer(format, zone).lines(documents(&found))?,
        };
        output::print(&shown)?;
        self.args.explain(*page, &found)
    }

    /// Prints page after page as they come.
    async fn pages(&self, limit: u64, format: Format) -> Result<(), Failure> {
        let mut printer = self.args.shape.printer(format, &self.args.zone);
        let mut pages = self.up_to(limit);
        let mut total = 0;
        while let Some(found) = pages.next().await? {
            if output::show(&printer.lines(documents(&found))?)? == Reader::Gone {
                return Ok(());
            }
            total = found.total;
        }
        self.args.explain_limit(limit - pages.left, total)
    }

    /// All pages as one.
    async fn whole(&self, limit: u64) -> Result<(), Failure> {
        let mut pages = self.up_to(limit);
        let Some(mut whole) = pages.next().await? else { return Ok(()) };
        while let Some(found) = pages.next().await? {
            whole.data.extend(found.data);
            whole.next = found.next;
        }
        whole.per_page = limit;
        output::print(&json(&whole)?)?;
        self.args.explain_limit(count(&whole), whole.total)
    }

    fn up_to(&self, limit: u64) -> Pages<'_> {
        Pages { question: self, after: Some(String::new()), left: limit }
    }

    async fn ask(&self, place: [(&'static str, String); 2]) -> Result<FoundPage, ApiError> {
        let Selection { object_type, ids, .. } = &self.args.selection;
        let parameters: Parameters = place.into_iter().chain(self.parameters.iter().cloned()).collect();
        self.api.find(object_type.as_deref(), ids, &parameters).await
    }
}

/// The pages up to a limit of events, which is at least one.
struct Pages<'a> {
    question: &'a Question<'a>,
    after: Option<String>,
    left: u64,
}

impl Pages<'_> {
    /// `None` at the end of the events or of the limit.
    async fn next(&mut self) -> Result<Option<FoundPage>, ApiError> {
        let Some(after) = self.after.take().filter(|_| self.left > 0) else { return Ok(None) };
        let place = [("after", after), ("per_page", self.left.min(AT_ONCE).to_string())];
        let found = self.question.ask(place).await?;
        self.left = self.left.saturating_sub(count(&found));
        self.after.clone_from(&found.next);
        Ok(Some(found))
    }
}

fn documents(found: &FoundPage) -> impl Iterator<Item = &str> {
    found.data.iter().map(|document| document.get())
}

fn count(found: &FoundPage) -> u64 {
    u64::try_from(found.data.len()).unwrap_or(u64::MAX)
}

fn json(found: &FoundPage) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec(found).map_err(Failure::local)?;
    text.push(b'\n');
    Ok(text)
}

impl Args {
    /// What the page does not show by itself, on standard error: why it is empty, or that there is more.
    fn explain(&self, page: u64, found: &FoundPage) -> Result<(), Failure> {
        let FoundPage { per_page, total, .. } = *found;
        let shown = count(found);
        let before = page.saturating_sub(1).saturating_mul(per_page);
        let hint = if total == 0 {
            self.explain_nothing()
        } else if per_page == 0 {
            format!("{total} in all")
        } else if shown == 0 {
            format!("no events on page {page}; the last of {total} is on page {}", total.div_ceil(per_page))
        } else if before + shown < total {
            format!("events {} to {} of {total}; --page {} has the next", before + 1, before + shown, page + 1)
        } else {
            return Ok(());
        };
        Ok(output::complain(&hint)?)
    }

    fn explain_limit(&self, shown: u64, total: u64) -> Result<(), Failure> {
        let hint = match shown < total {
            _ if total == 0 => self.explain_nothing(),
            true => format!("{shown} of {total} events; --limit shows more, and `annals export` all"),
            false => return Ok(()),
        };
        Ok(output::complain(&hint)?)
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
