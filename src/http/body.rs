//! Reads request bodies in bounded memory.
//!
//! Memory for the largest possible size of a body is reserved before the body is read. If no memory becomes free before the
//! request's deadline, the answer is 503. This bounds the memory of all bodies, no matter what is sent and how slowly.

use std::{io::Read, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, header},
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::{
    error::{ErrorCode, Failure},
    memory_budget::{MemoryBudget, Reservation},
};

const BUSY: &str = "too much is being received at once; try again later";

/// Reads bodies within a memory budget.
pub(super) struct Bodies {
    budget: MemoryBudget,
}

/// The bodies that a route accepts.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) content_types: &'static [&'static str],
    /// Maximum bytes of a body, after decompression.
    pub(super) limit: usize,
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
    memory: Reservation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

impl Bodies {
    /// `concurrent` is the maximum of bytes in all bodies together; it is raised to what one compressed body of `largest`
    /// bytes needs.
    pub(super) fn new(concurrent: usize, largest: usize) -> Self {
        Self { budget: MemoryBudget::of(concurrent.max(largest.saturating_mul(2))) }
    }

    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        expected: Expected,
        deadline: Instant,
    ) -> Result<Sent, Failure> {
        check_type(headers, expected.content_types)?;
        let encoding = Encoding::of(headers)?;
        let limit = expected.limit;
        let declared = declared_length(headers);
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let plain = match encoding {
            Encoding::Identity => 0,
            Encoding::Gzip => limit,
        };
        let reserved = self.budget.reserve(declared.unwrap_or(limit) + plain, deadline).await;
        let memory = reserved.map_err(|_| Failure::new(ErrorCode::Busy, BUSY).retry_after(Duration::from_secs(1)))?;
        let bytes = timeout_at(deadline, collect(body, declared.unwrap_or(0), limit))
            .await
            .map_err(|_| Failure::new(ErrorCode::BodyTimeout, "the body did not arrive in time"))??;
        let mut sent = Sent { bytes, encoding, limit, memory };
        sent.memory.shrink_to(sent.bytes.len() + plain);
        Ok(sent)
    }
}

async fn collect(body: Body, declared: usize, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(declared);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::invalid("the body ended before it was complete"))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl Sent {
    /// Whether decompressing or checking may take so long that it belongs on a blocking thread.
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
        Ok(Plain { bytes, memory })
    }
}

impl Plain {
    /// Frees the bytes but keeps their reservation, for data derived from them.
    pub(super) fn into_memory(self) -> Reservation {
        self.memory
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

    fn in_millis(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    fn never() -> Body {
        Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>())
    }

    #[tokio::test]
    async fn without_memory_for_a_body_the_answer_is_busy() {
        let bodies = Bodies::new(2 * LIMIT, LIMIT);
        let headers = HeaderMap::new();
        let mut first = Box::pin(bodies.read(&headers, never(), EXPECTED, in_millis(60_000)));
        let mut second = Box::pin(bodies.read(&headers, never(), EXPECTED, in_millis(60_000)));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());

        let third = bodies.read(&headers, Body::from("{}"), EXPECTED, in_millis(10)).await.unwrap_err();
        assert_eq!((third.code, third.retry_after), (ErrorCode::Busy, Some(Duration::from_secs(1))));

        drop(first);
        bodies.read(&headers, Body::from("{}"), EXPECTED, in_millis(60_000)).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_reserves_only_its_size_and_releases_it_when_dropped() {
        let bodies = Bodies::new(2 * LIMIT, LIMIT);
        let all = bodies.budget.free_units();
        let sent = bodies.read(&HeaderMap::new(), Body::from(vec![b' '; 5000]), EXPECTED, in_millis(60_000)).await;
        assert_eq!(all - bodies.budget.free_units(), 5);
        let plain = sent.unwrap().decode().unwrap();
        assert_eq!(all - bodies.budget.free_units(), 5);
        let memory = plain.into_memory();
        assert_eq!(all - bodies.budget.free_units(), 5);
        drop(memory);
        assert_eq!(bodies.budget.free_units(), all);
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
    async fn there_is_always_memory_for_one_body() {
        let bodies = Bodies::new(0, LIMIT);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let sent = bodies.read(&headers, Body::from("not gzip"), EXPECTED, in_millis(60_000)).await.unwrap();
        assert!(sent.is_large());
        assert_eq!(sent.decode().unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
