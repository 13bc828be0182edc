//! Reads request bodies in bounded memory.
//!
//! Memory for a body is reserved as it arrives, in steps that double, and not when it is announced: a client that sends nothing
//! takes none. A body that arrives too slowly is answered with 408. If no memory becomes free in time, the answer is 503. This
//! bounds the memory of all bodies, no matter what is sent and how slowly.

use std::{io::Read, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, header},
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::RETRY_AFTER;
use crate::{
    error::{ErrorCode, Failure},
    memory_budget::{Exhausted, MemoryBudget, Reservation},
};

/// The first step of a reservation, in bytes.
const FIRST_STEP: usize = 64 << 10;

/// How long a body that has begun may wait for more memory, while it keeps what it has from others.
const GROWTH_TIMEOUT: Duration = Duration::from_secs(5);

/// How slowly a body may arrive.
#[derive(Clone, Copy, Debug)]
pub struct BodyPace {
    /// Maximum pause, also before the first byte.
    pub pause: Duration,
    /// Minimum of bytes per second, on average after the first pause.
    pub bytes_per_second: u32,
}

impl BodyPace {
    pub const DEFAULT: Self = Self { pause: Duration::from_secs(5), bytes_per_second: 1024 };

    /// Returns until when the next bytes must arrive.
    fn next(&self, begun: Instant, last: Instant, received: usize) -> Instant {
        let on_average = Duration::from_secs_f64(received as f64 / f64::from(self.bytes_per_second.max(1)));
        (last + self.pause).min(begun + self.pause + on_average)
    }
}

/// The bodies that a route accepts.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) content_types: &'static [&'static str],
    /// Maximum bytes of a body, after decompression.
    pub(super) limit: usize,
}

/// The memory for a caller's body, and how long it may take.
pub(super) struct Reading<'a> {
    pub(super) budget: &'a MemoryBudget,
    pub(super) caller: &'a str,
    pub(super) pace: BodyPace,
    pub(super) deadline: Instant,
}

/// A body as it was sent, possibly compressed. Dropping it releases its memory.
#[derive(Debug)]
pub(super) struct Sent {
    bytes: Vec<u8>,
    encoding: Encoding,
    limit: usize,
    memory: Reservation,
}

/// A decompressed body. Like [`Sent`], it owns its memory.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) bytes: Vec<u8>,
    _memory: Reservation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

impl Reading<'_> {
    pub(super) async fn body(self, headers: &HeaderMap, body: Body, expected: Expected) -> Result<Sent, Failure> {
        check_type(headers, expected.content_types)?;
        let encoding = Encoding::of(headers)?;
        let limit = expected.limit;
        let declared = declared_length(headers);
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let (bytes, mut memory) = self.collect(body, declared.unwrap_or(limit), limit).await?;
        let plain = match encoding {
            Encoding::Identity => 0,
            Encoding::Gzip => limit,
        };
        memory.shrink_to(bytes.len());
        memory.grow_to(bytes.len() + plain, self.growth_deadline()).await.map_err(busy)?;
        Ok(Sent { bytes, encoding, limit, memory })
    }

    /// `likely` is the size that the body will probably have.
    async fn collect(&self, body: Body, likely: usize, limit: usize) -> Result<(Vec<u8>, Reservation), Failure> {
        let mut chunks = body.into_data_stream();
        let mut begun = Instant::now();
        let mut last = begun;
        let mut memory = None;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next(&mut chunks, self.pace.next(begun, last, bytes.len())).await? {
            let length = bytes.len() + chunk.len();
            if length > limit {
                return Err(too_large(limit));
            }
            last = Instant::now();
            let memory = match &mut memory {
                Some(memory) => memory,
                none => {
                    let first = FIRST_STEP.min(likely).max(length);
                    none.insert(self.budget.reserve(self.caller, first, self.deadline).await.map_err(busy)?)
                }
            };
            if length > memory.bytes() {
                let step = (2 * memory.bytes()).min(likely).max(length);
                memory.grow_to(step, self.growth_deadline()).await.map_err(busy)?;
            }
            // The client could not help the wait for memory.
            begun += last.elapsed();
            last = Instant::now();
            bytes.reserve_exact(memory.bytes().min(limit) - bytes.len());
            bytes.extend_from_slice(&chunk);
        }
        match memory {
            Some(memory) => Ok((bytes, memory)),
            None => Ok((bytes, self.budget.reserve(self.caller, 0, self.deadline).await.map_err(busy)?)),
        }
    }

    async fn next(&self, chunks: &mut axum::body::BodyDataStream, by: Instant) -> Result<Option<Bytes>, Failure> {
        let chunk = timeout_at(by.min(self.deadline), chunks.next())
            .await
            .map_err(|_| Failure::new(ErrorCode::BodyTimeout, "the body did not arrive in time"))?;
        chunk.transpose().map_err(|_| Failure::invalid("the body ended before it was complete"))
    }

    fn growth_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + GROWTH_TIMEOUT)
    }
}

pub(super) fn busy(Exhausted: Exhausted) -> Failure {
    Failure::new(ErrorCode::Busy, "too much is being processed at once; try again later").retry_after(RETRY_AFTER)
}

impl Sent {
    /// Whether decompressing it may take so long that it belongs on a blocking thread.
    pub(super) fn is_large(&self) -> bool {
        self.encoding == Encoding::Gzip || self.bytes.len() > 64 * 1024
    }

    /// Decompresses the body; fails once it exceeds the limit.
    pub(super) fn decode(self) -> Result<Plain, Failure> {
        let Self { bytes, encoding, limit, mut memory } = self;
        let bytes = match encoding {
            Encoding::Identity => bytes,
            Encoding::Gzip => {
                let guess = bytes.len().saturating_mul(4).min(limit);
                gunzip(bytes.as_slice(), Vec::with_capacity(guess), limit)?
            }
        };
        memory.shrink_to(bytes.len());
        Ok(Plain { bytes, _memory: memory })
    }
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(encoding) = single(headers, header::CONTENT_ENCODING)? else {
            return Ok(Self::Identity);
        };
        match encoding.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            other => Err(unsupported(format!("content-encoding: expected gzip or none, found {other}"))),
        }
    }
}

fn gunzip(compressed: impl Read, mut bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Failure> {
    let one_too_many = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(compressed).take(one_too_many).read_to_end(&mut bytes);
    if bytes.len() > limit {
        return Err(too_large(limit));
    }
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::invalid(format!("the body is not gzip, contrary to its content-encoding: {error}"))),
    }
}

/// Checks the content type; a missing one is accepted.
fn check_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Failure> {
    let Some(found) = single(headers, header::CONTENT_TYPE)? else {
        return Ok(());
    };
    let (essence, parameters) = found.split_once(';').unwrap_or((found, ""));
    let is_accepted = accepted.iter().any(|accepted| essence.trim().eq_ignore_ascii_case(accepted));
    if is_accepted && parameters.split(';').all(is_utf8) {
        return Ok(());
    }
    Err(unsupported(format!("content-type: expected {} in UTF-8, found {found}", accepted.join(" or "))))
}

/// Returns `false` only for a `charset` parameter other than UTF-8.
fn is_utf8(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) | None => true,
    }
}

fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| unsupported(format!("{name}: expected ASCII text")))?;
            Ok(Some(text.trim()))
        }
        (Some(_), Some(_)) => Err(unsupported(format!("{name}: expected one, found several"))),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn unsupported(message: String) -> Failure {
    Failure::new(ErrorCode::UnsupportedMediaType, message)
}

fn too_large(limit: usize) -> Failure {
    Failure::new(ErrorCode::TooLarge, format!("the body has more than {limit} bytes"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use futures_util::{FutureExt, stream};

    use super::*;

    const LIMIT: usize = 1 << 20;
    const EXPECTED: Expected = Expected { content_types: &["application/json"], limit: LIMIT };

    fn in_secs(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    fn reading<'a>(budget: &'a MemoryBudget, caller: &'a str) -> Reading<'a> {
        Reading { budget, caller, pace: BodyPace::DEFAULT, deadline: in_secs(60) }
    }

    async fn read(budget: &MemoryBudget, caller: &str, body: Body) -> Result<Sent, Failure> {
        reading(budget, caller).body(&HeaderMap::new(), body, EXPECTED).await
    }

    /// A body that sends a chunk of this size each time this many seconds have passed.
    fn drip(chunk: usize, secs: u64) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            Some((Ok::<_, std::io::Error>(vec![b' '; chunk]), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_memory_as_it_arrives() {
        let budget = MemoryBudget::new(8 * LIMIT, LIMIT);
        let all = budget.free_units();
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
        let chunks = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let mut reading = Box::pin(read(&budget, "a", Body::from_stream(chunks)));
        assert!((&mut reading).now_or_never().is_none());
        assert_eq!(budget.free_units(), all, "nothing has arrived");
        for (sent, taken) in [(1, 64), (64 << 10, 128), (64 << 10, 256), (1, 256)] {
            sender.send(Ok(vec![b' '; sent])).await.unwrap();
            assert!((&mut reading).now_or_never().is_none());
            assert_eq!(all - budget.free_units(), taken);
        }
        drop(sender);
        let sent = reading.await.unwrap();
        assert_eq!(all - budget.free_units(), 129);
        let plain = sent.decode().unwrap();
        assert_eq!((plain.bytes.len(), all - budget.free_units()), ((128 << 10) + 2, 129));
        drop(plain);
        assert_eq!(budget.free_units(), all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_or_trickles_is_refused() {
        let budget = MemoryBudget::new(8 * LIMIT, LIMIT);
        let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        for (body, secs) in [(never, 5), (drip(1, 1), 5), (drip(100_000, 6), 5), (drip(500, 1), 8)] {
            let begun = Instant::now();
            assert_eq!(read(&budget, "a", body).await.unwrap_err().code, ErrorCode::BodyTimeout);
            assert_eq!(begun.elapsed().as_secs(), secs);
        }
        let steady = drip(2000, 1);
        assert_eq!(read(&budget, "a", steady).await.unwrap_err().code, ErrorCode::BodyTimeout, "at the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_a_share_of_the_memory() {
        let budget = MemoryBudget::new(4 * LIMIT, LIMIT);
        let full = || Body::from(vec![b' '; LIMIT]);
        let held = read(&budget, "a", full()).await.unwrap();
        let waiting = read(&budget, "a", Body::from("{}"));
        let others: Vec<_> = ["b", "c"].map(|other| read(&budget, other, full())).into_iter().collect();
        let (refused, others) = tokio::join!(waiting, futures_util::future::join_all(others));
        assert_eq!(
            (refused.as_ref().unwrap_err().code, refused.unwrap_err().retry_after),
            (ErrorCode::Busy, Some(RETRY_AFTER))
        );
        assert!(others.iter().all(Result::is_ok));
        drop(held);
        read(&budget, "a", Body::from("{}")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_cannot_grow_is_refused_soon_and_another_completes() {
        let budget = MemoryBudget::new(LIMIT, LIMIT);
        let body = |secs| {
            let late = async move {
                tokio::time::sleep(Duration::from_secs(secs)).await;
                Ok::<_, std::io::Error>(vec![b' '; LIMIT / 2])
            };
            Body::from_stream(stream::iter([Ok(vec![b' '; LIMIT / 2])]).chain(stream::once(late)))
        };
        let (first, second) = tokio::join!(read(&budget, "a", body(1)), read(&budget, "b", body(2)));
        assert_eq!(first.unwrap_err().code, ErrorCode::Busy);
        assert_eq!(second.unwrap().bytes.len(), LIMIT);
    }

    /// Repeats the same gzip member; panics if a reader reads far beyond the limit.
    struct Members<'a> {
        member: &'a [u8],
        rest: &'a [u8],
        begun: usize,
    }

    impl Read for Members<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.rest.is_empty() {
                self.begun += 1;
                assert!(self.begun < 200, "{} times the limit was decompressed", self.begun);
                self.rest = self.member;
            }
            self.rest.read(buffer)
        }
    }

    #[test]
    fn decompression_of_an_endless_body_stops_at_the_limit() {
        let mut member = GzEncoder::new(Vec::new(), Compression::best());
        member.write_all(&[b' '; LIMIT]).unwrap();
        let member = member.finish().unwrap();
        let mut members = Members { member: &member, rest: &[], begun: 0 };
        assert_eq!(gunzip(&mut members, Vec::new(), LIMIT).unwrap_err().code, ErrorCode::TooLarge);
    }

    #[tokio::test]
    async fn there_is_memory_to_decompress_a_body() {
        let budget = MemoryBudget::new(2 * LIMIT, 2 * LIMIT);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let sent = reading(&budget, "a").body(&headers, Body::from("not gzip"), EXPECTED).await.unwrap();
        assert!(sent.is_large());
        assert_eq!(sent.decode().unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
