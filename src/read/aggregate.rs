//! Aggregations: values of a field, counts over time, and statistics.

use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::{AnswerMemory, NamedInterval, ReadError, Reader, RequestedScope, Selection, buckets, error::answered};
use crate::{
    access::{self, Caller},
    audit::Action,
    event::UnixMillis,
    memory_budget::LARGEST_ANSWER,
    query::{
        Aggregate, Aggregation, Bucket, Interval, Key, MAX_BUCKETS, MAX_PARTS, NotAggregatable, ScopedQuery,
        Statistics, Subject, TooMany, gravity,
    },
    schema::{Field, LONGEST_VALUE},
    time::format_time,
};

#[derive(Debug)]
pub struct AggregateRequest {
    pub selection: Selection,
    pub requested: Requested,
}

/// An aggregation that its field supports and that is within the limits of an answer.
#[derive(Debug)]
pub struct Requested(Kind);

#[derive(Debug)]
enum Kind {
    Histogram {
        field: &'static Field,
        buckets: Buckets,
    },
    /// Terms, statistics or percentiles.
    Other(Aggregation),
}

/// Maximum number of percentages in one request.
const MAX_PERCENTS: usize = 20;

/// Bytes of a bucket and of its JSON, without its text.
const BUCKET_BYTES: usize = 256;
/// Bytes of a part from which a SQL store sums up calendar intervals.
const PART_BYTES: usize = 128;

/// Bytes of a unit of a text in UTF-16: as the store and we have it, in UTF-8, and in JSON with its escapes.
const BYTES_OF_UNIT: usize = 10;

const _: () = assert!(
    MAX_BUCKETS * (BUCKET_BYTES + BYTES_OF_UNIT * LONGEST_VALUE as usize) <= LARGEST_ANSWER,
    "there is memory for all values"
);

/// Bytes that a value of the field and its bucket take at most.
const fn max_bucket_bytes(field: &Field) -> usize {
    BUCKET_BYTES + BYTES_OF_UNIT * field.longest_value as usize
}

/// Maximum number of terms: fewer for texts so long that there would be no memory for more.
const fn max_terms(field: &Field) -> usize {
    let most = LARGEST_ANSWER / max_bucket_bytes(field);
    if most < MAX_BUCKETS { most } else { MAX_BUCKETS }
}

/// Why an aggregation is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadAggregation {
    #[error(transparent)]
    Field(#[from] NotAggregatable),
    /// For the number of terms.
    #[error("expected a number from [1] to [{most}]")]
    Limit { most: usize },
    #[error(transparent)]
    TooManyPercents(#[from] TooMany),
    #[error("expected numbers from [0] to [100] but got [{0}]")]
    Percent(f64),
}

/// The length of the buckets of a histogram.
#[derive(Debug)]
pub enum Buckets {
    /// Chosen from the time range of the events.
    Auto(TimeZone),
    Of(NamedInterval),
}

impl Requested {
    /// Requests the `limit` most frequent values of a field or a label.
    pub fn terms(subject: Subject, limit: usize) -> Result<Self, BadAggregation> {
        let most = max_terms(subject.field());
        if !(1..=most).contains(&limit) {
            return Err(BadAggregation::Limit { most });
        }
        Self::other(Aggregation::Terms { subject, limit })
    }

    /// Requests the number of events over time, by a date field.
    pub fn histogram(subject: Subject, buckets: Buckets) -> Result<Self, BadAggregation> {
        let field = field_of(&subject)?;
        Aggregation::Histogram { field, interval: Interval::Millis(1) }.check()?;
        Ok(Self(Kind::Histogram { field, buckets }))
    }

    pub fn statistics(subject: Subject) -> Result<Self, BadAggregation> {
        let field = field_of(&subject)?;
        Self::other(Aggregation::Statistics { field })
    }

    /// Requests percentiles; `percents` are from 0 to 100.
    pub fn percentiles(subject: Subject, percents: Vec<f64>) -> Result<Self, BadAggregation> {
        let field = field_of(&subject)?;
        TooMany::check(percents.len(), MAX_PERCENTS)?;
        match percents.iter().find(|percent| !(0.0..=100.0).contains(*percent)) {
            Some(percent) => Err(BadAggregation::Percent(*percent)),
            None => Self::other(Aggregation::Percentiles { field, percents }),
        }
    }

    fn other(aggregation: Aggregation) -> Result<Self, BadAggregation> {
        aggregation.check()?;
        Ok(Self(Kind::Other(aggregation)))
    }
}

/// Returns the field of an aggregation that takes no labels.
fn field_of(subject: &Subject) -> Result<&'static Field, NotAggregatable> {
    match subject {
        Subject::Field(field) => Ok(field),
        Subject::Label(label) => {
            Err(NotAggregatable { field: label.path(), reason: "a label is a text: its values can only be counted" })
        }
    }
}

/// The result of an aggregation.
#[derive(Debug)]
pub enum Aggregated {
    Terms {
        subject: Subject,
        buckets: Vec<Bucket>,
        distinct: u64,
        without: u64,
    },
    Histogram {
        field: &'static Field,
        /// The length of the buckets as text, such as `1h`.
        interval: String,
        /// The start and the number of events of each bucket, from the first to the last that has events.
        buckets: Vec<(UnixMillis, u64)>,
    },
    Statistics {
        field: &'static Field,
        statistics: Statistics,
    },
    Percentiles {
        field: &'static Field,
        /// Percentages with their values; `None` if there are no values.
        percentiles: Vec<(f64, Option<f64>)>,
    },
}

impl Reader {
    pub async fn aggregate(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        request: AggregateRequest,
        deadline: Instant,
    ) -> Result<(Aggregated, AnswerMemory), ReadError> {
        let AggregateRequest { selection, requested } = request;
        let (mut query, mut recorded) = (None, None);
        if !scope.is_empty() {
            let (permit, record) = self.permit(caller, scope, Action::Find, deadline).await?;
            query = Some(access::scope(permit, |scope| selection.query(scope, Vec::new())));
            recorded = Some(record);
        }
        let key = caller.principal.to_string();
        // As for pages, the turn comes first: each would otherwise wait for what the other holds.
        let _turn = self.turn(caller, deadline).await?;
        let mut memory = self.memory.answers.reserve(&key, requested.0.max_bytes(), deadline).await?;
        let events = Events { reader: self, query, deadline };
        let aggregated = async {
            match requested.0 {
                Kind::Histogram { field, buckets } => events.histogram(&selection, field, buckets).await,
                Kind::Other(aggregation) => {
                    let aggregate = events.aggregate(&aggregation).await?;
                    joined(aggregation, aggregate)
                }
            }
        };
        let aggregated = match recorded {
            Some(record) => record.before(aggregated).await?,
            None => aggregated.await?,
        };
        memory.shrink_to(aggregated.memory());
        Ok((aggregated, memory))
    }
}

impl Kind {
    /// Bytes that the result and its answer take at most.
    fn max_bytes(&self) -> usize {
        match self {
            Self::Histogram { .. } => MAX_BUCKETS * BUCKET_BYTES + MAX_PARTS * PART_BYTES,
            Self::Other(Aggregation::Terms { subject, limit }) => {
                limit.saturating_mul(max_bucket_bytes(subject.field()))
            }
            Self::Other(
                Aggregation::Histogram { .. } | Aggregation::Statistics { .. } | Aggregation::Percentiles { .. },
            ) => MAX_PERCENTS * BUCKET_BYTES,
        }
    }
}

impl Aggregated {
    /// Bytes that the result and its answer take at most.
    fn memory(&self) -> usize {
        match self {
            Self::Terms { buckets, .. } => {
                let escaped = |byte| if matches!(byte, 0..0x20 | b'"' | b'\\') { 6 } else { 1 };
                let of_key = |key: &Key| match key {
                    Key::Text(text) => text.len() + text.bytes().map(escaped).sum::<usize>(),
                    Key::Integer(_) | Key::Number(_) => 0,
                };
                buckets.iter().map(|bucket| BUCKET_BYTES + of_key(&bucket.value)).sum::<usize>() + BUCKET_BYTES
            }
            Self::Histogram { buckets, .. } => (buckets.len() + 1) * BUCKET_BYTES,
            Self::Statistics { .. } | Self::Percentiles { .. } => MAX_PERCENTS * BUCKET_BYTES,
        }
    }
}

/// The events to aggregate.
struct Events<'a> {
    reader: &'a Reader,
    /// `None` if there are none.
    query: Option<ScopedQuery>,
    deadline: Instant,
}

impl Events<'_> {
    async fn aggregate(&self, aggregation: &Aggregation) -> Result<Aggregate, ReadError> {
        match &self.query {
            Some(query) => answered(self.deadline, self.reader.index.aggregate(query, aggregation)).await,
            None => Ok(of_nothing(aggregation)),
        }
    }

    /// Returns the earliest and the latest value of a date field; `None` if no event has one.
    async fn extent(&self, field: &'static Field) -> Result<Option<(UnixMillis, UnixMillis)>, ReadError> {
        let statistics = match self.aggregate(&Aggregation::Statistics { field }).await? {
            Aggregate::Statistics(statistics) => statistics,
            other @ (Aggregate::Terms { .. } | Aggregate::Histogram(_) | Aggregate::Percentiles(_)) => {
                return Err(misfit(&other));
            }
        };
        let millis = |number: f64| UnixMillis(number as i64);
        Ok(statistics.min.zip(statistics.max).map(|(min, max)| (millis(min), millis(max))))
    }

    async fn histogram(
        &self,
        selection: &Selection,
        field: &'static Field,
        buckets: Buckets,
    ) -> Result<Aggregated, ReadError> {
        let bounds = selection.start.zip(selection.end).filter(|_| field.path == "@timestamp");
        // The time range of the events may be far shorter than the bounds.
        let extent = match bounds.filter(|bounds| fits(&buckets, *bounds)) {
            Some(bounds) => Some(bounds),
            None => self.extent(field).await?,
        };
        let NamedInterval { name, interval } = chosen(buckets, extent, field)?;
        match self.aggregate(&Aggregation::Histogram { field, interval }).await? {
            Aggregate::Histogram(buckets) => Ok(Aggregated::Histogram { field, interval: name, buckets }),
            other @ (Aggregate::Terms { .. } | Aggregate::Statistics(_) | Aggregate::Percentiles(_)) => {
                Err(misfit(&other))
            }
        }
    }
}

fn of_nothing(aggregation: &Aggregation) -> Aggregate {
    match aggregation {
        Aggregation::Terms { .. } => Aggregate::Terms { buckets: Vec::new(), distinct: 0, without: 0 },
        Aggregation::Histogram { .. } => Aggregate::Histogram(Vec::new()),
        Aggregation::Statistics { .. } => Aggregate::Statistics(Statistics::default()),
        Aggregation::Percentiles { percents, .. } => Aggregate::Percentiles(vec![None; percents.len()]),
    }
}

/// Whether the buckets of this time range fit into an answer.
fn fits(buckets: &Buckets, (first, last): (UnixMillis, UnixMillis)) -> bool {
    match buckets {
        Buckets::Auto(_) => true,
        Buckets::Of(named) => named.interval.spans(first, last).is_ok(),
    }
}

/// Returns the interval; fails if its buckets do not fit into an answer.
fn chosen(
    buckets: Buckets,
    extent: Option<(UnixMillis, UnixMillis)>,
    field: &Field,
) -> Result<NamedInterval, ReadError> {
    let (first, last) = extent.unwrap_or((UnixMillis(0), UnixMillis(0)));
    let fits = fits(&buckets, (first, last));
    match buckets {
        Buckets::Auto(zone) => Ok(buckets::auto(first, last, &zone)),
        Buckets::Of(named) if fits => Ok(named),
        Buckets::Of(named) => Err(ReadError::Interval(format!(
            "[{}] makes more than [{MAX_BUCKETS}] intervals of {} from {} to {}; expected a longer one, or [auto]",
            named.name,
            field.path,
            format_time(first),
            format_time(last)
        ))),
    }
}

fn joined(aggregation: Aggregation, aggregate: Aggregate) -> Result<Aggregated, ReadError> {
    match (aggregation, aggregate) {
        (Aggregation::Terms { subject, .. }, Aggregate::Terms { mut buckets, distinct, without }) => {
            // A stable sort, so others stay the most frequent first.
            buckets.sort_by_key(|bucket| gravity(subject.field(), &bucket.value));
            Ok(Aggregated::Terms { subject, buckets, distinct, without })
        }
        (Aggregation::Statistics { field }, Aggregate::Statistics(statistics)) => {
            Ok(Aggregated::Statistics { field, statistics })
        }
        (Aggregation::Percentiles { field, percents }, Aggregate::Percentiles(values)) => {
            Ok(Aggregated::Percentiles { field, percentiles: percents.into_iter().zip(values).collect() })
        }
        (_, other) => Err(misfit(&other)),
    }
}

fn misfit(aggregate: &Aggregate) -> ReadError {
    ReadError::internal(format!("the store returned another kind of result: {aggregate:?}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn unsupported_fields_and_exceeded_limits_are_refused() {
        let (action, time) = (schema::field("event.action").unwrap(), schema::field("@timestamp").unwrap());
        let duration = schema::field("event.duration").unwrap();
        for (limit, is_ok) in [(0, false), (1, true), (MAX_BUCKETS, true), (MAX_BUCKETS + 1, false)] {
            assert_eq!(Requested::terms(action.into(), limit).is_ok(), is_ok, "{limit}");
        }
        assert!(matches!(
            Requested::histogram(action.into(), Buckets::Auto(TimeZone::UTC)),
            Err(BadAggregation::Field(_))
        ));
        assert!(Requested::histogram(time.into(), Buckets::Auto(TimeZone::UTC)).is_ok());
        assert!(matches!(Requested::statistics(action.into()), Err(BadAggregation::Field(_))));
        for (percents, is_ok) in [
            (vec![0.0, 100.0], true),
            (vec![50.0; MAX_PERCENTS], true),
            (vec![50.0; MAX_PERCENTS + 1], false),
            (vec![-0.1], false),
            (vec![100.1], false),
            (vec![f64::NAN], false),
        ] {
            assert_eq!(Requested::percentiles(duration.into(), percents.clone()).is_ok(), is_ok, "{percents:?}");
        }
    }
}
