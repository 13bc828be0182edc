//! Requests to other systems about a caller: bounded in time and size, and never redirected.

use std::{error::Error, io, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, StatusCode, Url, header::HeaderValue, redirect::Policy};
use rustls::CertificateError;

use crate::ca_file::{self, CaFileError};

const MAX_ANSWER: usize = 4 << 20;

/// Another system, with the addresses of its nodes.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// Its section of `access` in the configuration.
    section: &'static str,
    http: Client,
    urls: Vec<Url>,
}

/// A request to a node.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Relative to the node's address, without a leading slash.
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'static str, &'a str)>,
    pub(super) body: Option<Vec<u8>>,
}

pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// No node gave a usable answer about the caller. The reason contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Why the client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("{0:?}: expected an http or https address without user or password")]
    BadUrl(String),
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    #[error("the client cannot be created")]
    Client(#[source] reqwest::Error),
}

impl Remote {
    pub(super) fn new(
        section: &'static str,
        urls: &[String],
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, RemoteError> {
        let urls = urls.iter().map(|url| parse_url(url)).collect::<Result<_, _>>()?;
        let mut http = Client::builder()
            .timeout(timeout)
            .no_proxy()
            .redirect(Policy::none())
            .user_agent(concat!("annals/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            http =
                ca_file::read_for_reqwest(path)?.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        Ok(Self { section, http: http.build().map_err(RemoteError::Client)?, urls })
    }

    /// The answer of the first node that gives one; failing nodes are skipped.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Response, Unavailable> {
        let mut reason = "no address is configured".to_owned();
        for url in &self.urls {
            match self.ask_node(url, request).await {
                Ok(answer) if answer.status.is_server_error() => reason = format!("{url} answered {}", answer.status),
                Ok(answer) => return Ok(answer),
                Err(error) => reason = format!("{url}: {error}"),
            }
        }
        Err(Unavailable(reason))
    }

    async fn ask_node(&self, url: &Url, request: &Request<'_>) -> Result<Response, String> {
        let mut at = url.clone();
        at.set_path(&format!("{}/{}", url.path().trim_end_matches('/'), request.path));
        let mut call = self.http.request(request.method.clone(), at);
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| format!("the header {name} cannot be sent"))?;
            value.set_sensitive(true);
            call = call.header(*name, value);
        }
        if let Some(body) = &request.body {
            call = call.header("content-type", "application/json").body(body.clone());
        }
        let mut response = call.send().await.map_err(|error| self.reason(&error))?;
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.reason(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, body: body.freeze() })
    }

    /// The innermost reason; the outer ones repeat the address.
    fn reason(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return "no answer in time".to_owned();
        }
        let mut reason: &(dyn Error + 'static) = error;
        while let Some(inner) = inner(reason) {
            reason = inner;
        }
        match reason.downcast_ref() {
            // The latter error means an authority with the name of a trusted one but another key.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => format!(
                "its certificate is not from a trusted authority; put the certificate of your own authority into the file \
                 that access.{}.ca_file names",
                self.section
            ),
            _ => reason.to_string(),
        }
    }
}

/// The error inside an I/O error, which does not report it as its source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

impl Response {
    /// An answer that says nothing about the caller.
    pub(super) fn unexpected(&self, what: impl std::fmt::Display) -> Unavailable {
        Unavailable(format!("unexpected answer with status {}: {what}", self.status.as_u16()))
    }
}

pub(super) fn parse_url(text: &str) -> Result<Url, RemoteError> {
    let bad = || RemoteError::BadUrl(text.split_once('@').map_or(text, |(_, host)| host).to_owned());
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain { Ok(url) } else { Err(bad()) }
}
