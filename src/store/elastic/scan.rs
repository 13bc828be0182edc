//! Reads many events in parts: all at one point in time, each part after the last event of the previous one. Large
//! pages are read this way too.
//!
//! The size of events is unknown before they are read. An answer that turns out to be too large is abandoned while it
//! is received, and fewer events are requested.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    ElasticStore,
    client::{Answer, MAX_ANSWER, unavailable},
    labels::LabelTerms,
    order::{self, After, Seen},
    point::Point,
    search::{self, SearchAnswer, with},
};
use crate::{
    query::{Key, PageEnd, Query, Sort},
    store::{IndexError, Page, Scan, count_within},
};

/// The most events in a part: the engines' default for `index.max_result_window`.
const PART_EVENTS: u64 = 10_000;

/// The intended size of a part, in bytes.
const PART_BYTES: usize = 16 << 20;

/// How many events are requested as long as their size is unknown.
const FIRST_PART_EVENTS: u64 = 200;

/// Pages of at most this many events are read with a single search.
const SINGLE_SEARCH_EVENTS: u64 = 100;

/// Returns the matching events, up to the query's bytes.
pub(super) async fn page(store: &ElasticStore, query: &Query) -> Result<Page, IndexError> {
    if query.limit <= SINGLE_SEARCH_EVENTS {
        let terms = store.label_terms(search::has_labels(query)).await?;
        let body = search::page(query, terms, &store.search_timeout())?;
        if let Some(answer) = store.search_within(body, max_answer_bytes(query.limit, query.bytes)).await? {
            return Ok(search::read_page(&answer, query)?);
        }
    }
    read_in_parts(store, query).await
}

async fn read_in_parts(store: &ElasticStore, query: &Query) -> Result<Page, IndexError> {
    let mut scan = ElasticScan::open(store, query).await?;
    // The engines cannot skip events after a place, so these are read.
    let mut to_skip = 0;
    match &query.after {
        None => scan.first = First::OfPage { offset: query.offset },
        Some(_) => {
            scan.first = First::OfPage { offset: 0 };
            to_skip = query.offset;
        }
    }
    let mut page = Page::default();
    while to_skip > 0 {
        let skipped = scan.next(to_skip).await?.len() as u64;
        to_skip = if skipped == 0 { 0 } else { to_skip - skipped };
    }
    loop {
        let left = query.limit.saturating_sub(page.documents.len() as u64);
        let documents = if left == 0 || scan.bytes == 0 { Vec::new() } else { scan.next(left).await? };
        if documents.is_empty() {
            break;
        }
        scan.bytes = scan.bytes.saturating_sub(total_bytes(&documents));
        page.documents.extend(documents);
    }
    page.total = scan.total;
    let end = query.offset + page.documents.len() as u64;
    let has_more = scan.point.is_some() && (query.after.is_some() || end < page.total);
    page.is_cut = has_more && (page.documents.len() as u64) < query.limit;
    page.end = scan.end;
    Ok(page)
}

/// Returns the size limit for an answer with this many events whose documents may take this many bytes.
fn max_answer_bytes(events: u64, bytes: usize) -> usize {
    const OF_ONE: usize = 1 << 10;
    let around = usize::try_from(events).unwrap_or(usize::MAX).saturating_mul(OF_ONE).saturating_add(1 << 20);
    bytes.saturating_mul(2).saturating_add(around).min(MAX_ANSWER)
}

fn total_bytes(documents: &[Bytes]) -> usize {
    documents.iter().map(Bytes::len).sum()
}

pub(super) struct ElasticScan {
    /// `None` at the end.
    pub(super) point: Option<Point>,
    /// The body of each search, without its size and place.
    body_template: Value,
    sort: Vec<Sort>,
    terms: LabelTerms,
    after: Option<After>,
    /// The end of what was read, as that of a page.
    end: Option<Vec<Option<Key>>>,
    /// The most events for the next part, derived from the size of the previous ones.
    part: u64,
    /// How many bytes may still be read at once.
    bytes: usize,
    first: First,
    /// The number of all matches, known after the first part of a page.
    total: u64,
}

/// Whether the next part is the first of a page.
enum First {
    OfPage { offset: u64 },
    OfNothing,
}

impl ElasticScan {
    pub(super) async fn open(store: &ElasticStore, query: &Query) -> Result<Self, IndexError> {
        let point = Point::open(store).await?;
        let terms = store.label_terms(search::has_labels(query)).await?;
        let keys = order::keys(&query.sort, terms);
        let body_template = with(search::matching(query, None, terms), "timeout", store.search_timeout());
        let body_template = with(with(body_template, "track_total_hits", false), "sort", keys);
        let after = query.after.as_ref().map(|end| order::after(end, &query.sort, terms)).transpose()?;
        let end = query.after.as_ref().and_then(PageEnd::of_document).map(<[_]>::to_vec);
        let sort = query.sort.clone();
        let point = Some(point).filter(|point| !point.is_empty());
        let (part, first) = (FIRST_PART_EVENTS, First::OfNothing);
        Ok(Self { point, body_template, sort, terms, after, end, part, bytes: query.bytes, first, total: 0 })
    }

    /// How many documents to request for `size` new ones.
    fn with_seen(&self, size: u64) -> u64 {
        let seen = self.after.as_ref().map_or(0, |after| after.seen.len());
        size.saturating_add(seen).min(PART_EVENTS)
    }

    fn body(&self, size: u64) -> Value {
        let body = with(self.body_template.clone(), "size", self.with_seen(size));
        let body = match self.first {
            First::OfPage { offset } => with(with(body, "from", offset), "track_total_hits", true),
            First::OfNothing => body,
        };
        match &self.after {
            Some(after) => with(body, "search_after", after.values.clone()),
            None => body,
        }
    }

    /// Reads an answer that was to have at most `size` events.
    fn take(&mut self, answer: &Answer, size: u64) -> Result<Vec<Bytes>, IndexError> {
        let requested = self.with_seen(size);
        let Some(point) = &mut self.point else { return Ok(Vec::new()) };
        let mut found = point.read(answer)?;
        let mut is_last = (found.len() as u64) < requested;
        if let Some(after) = &self.after {
            found.leave_out(&after.seen);
        }
        let mut documents = found.documents(answer);
        if requested > size {
            is_last &= documents.len() as u64 <= size;
            documents.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        }
        if let First::OfPage { .. } = self.first {
            self.total = found.total(answer)?;
            self.first = First::OfNothing;
        }
        let wanted = count_within(&documents, self.bytes);
        self.go_on_behind(&found, wanted, answer)?;
        if is_last && wanted == documents.len() {
            self.point = None;
        }
        let wished = PART_BYTES.min(self.bytes.max(1)) as u64;
        self.part = (wished.saturating_mul(size) / (total_bytes(&documents) as u64).max(1)).clamp(1, PART_EVENTS);
        documents.truncate(wanted);
        Ok(documents)
    }

    fn go_on_behind(&mut self, found: &SearchAnswer<'_>, count: usize, answer: &Answer) -> Result<(), IndexError> {
        let Some(Value::Array(values)) = found.sort_values_of(count, answer)? else { return Ok(()) };
        let end = found.end(count, &self.sort, self.end.as_deref());
        self.after = Some(match &end {
            // Elasticsearch may have added a value that distinguishes what ties; here it has not.
            Some(end) if values.len() < end.len() => {
                order::after(&PageEnd::Document(end.clone()), &self.sort, self.terms)?
            }
            Some(_) | None => After { values, seen: Seen::default() },
        });
        self.end = end;
        Ok(())
    }
}

#[async_trait]
impl Scan for ElasticScan {
    /// May be called again after a failure. It then requests fewer events, in case the answer was too large.
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError> {
        let mut size = limit.min(self.part);
        while size > 0 {
            let body = self.body(size);
            let Some(point) = &self.point else { break };
            self.part = size.div_ceil(2);
            let max_bytes = if size == 1 { MAX_ANSWER } else { max_answer_bytes(size, self.bytes) };
            match point.search_within(body, max_bytes).await? {
                Some(answer) => return self.take(&answer, size),
                None if size == 1 => {
                    return Err(unavailable(format!("an event has more than {MAX_ANSWER} bytes")).into());
                }
                None => size = size.div_ceil(8),
            }
        }
        Ok(Vec::new())
    }

    async fn close(self: Box<Self>) {
        if let Some(point) = self.point {
            point.close().await;
        }
    }
}
