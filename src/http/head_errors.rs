//! Gives the answers that hyper itself makes to a head it cannot read the form of all others.
//!
//! Such an answer, to a head that is not HTTP or is too long, is a status without a body, and no service sees the request. It
//! is recognized when it is written: all others have the header `x-request-id`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    REQUEST_ID,
    answer::{ERROR_HEADER, ErrorAnswer, reason},
    request_id,
};
use crate::error::ErrorCode;

/// Answers of hyper itself are shorter than this, in bytes.
const LONGEST: usize = 256;

pub(super) struct HeadErrors<S> {
    stream: S,
    /// The answer that is being written in place of hyper's, and how much of it was.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> HeadErrors<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, instead: None }
    }
}

/// Returns the answer in place of these bytes, if they are an answer of hyper itself.
fn instead_of(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > LONGEST || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3))?;
    let (code, message) = match status {
        "400" => (ErrorCode::InvalidRequest, "the head of the request is not HTTP"),
        "414" | "431" => (ErrorCode::HeadTooLarge, "the head of the request is too long"),
        _ => return None,
    };
    if text.contains(REQUEST_ID) {
        return None;
    }
    let status = StatusCode::from_u16(code.status()).ok()?;
    let body = ErrorAnswer { status_code: status.as_u16(), error: reason(status).into(), message: message.into() };
    let body = serde_json::to_string(&body).ok()?;
    let (id, code) = (request_id(&HeaderMap::new()), code.name());
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: \
         close\r\n{ERROR_HEADER}: {code}\r\n{REQUEST_ID}: {}\r\n\r\n",
        body.len(),
        id.to_str().ok()?
    );
    Some((head + &body).into_bytes())
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadErrors<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> HeadErrors<S> {
    /// Writes what stands in place of these bytes; `None` if nothing does.
    fn poll_instead(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() {
            self.instead = Some((instead_of(bytes)?, 0));
        }
        let (answer, written) = self.instead.as_mut()?;
        while let Some(rest) = answer.get(*written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(more)) => *written += more,
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(bytes.len())))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_instead(cx, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && let Some(written) = self.poll_instead(cx, only)
        {
            return Poll::Ready(ready!(written));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
