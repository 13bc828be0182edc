//! Searches on one node: the calls whose answers have no size limit.
//!
//! An answer is read as a stream and only up to a limit; the official client can only read whole answers. Nor does it
//! limit the time for connecting, so nodes are probed from here too.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};

use super::config::{ConfigError, ElasticConfig};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct SearchClient {
    http: Client,
    /// Ends in a slash.
    url: Url,
    authorization: Option<HeaderValue>,
}

/// An answer, without its body if that is larger than allowed.
pub(super) struct SearchResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl SearchClient {
    pub(super) fn new(config: &ElasticConfig, url: &Url) -> Result<Self, ConfigError> {
        // The engine would compress every answer. Both sides are near each other, so compressing costs more than
        // sending.
        let mut http = Client::builder().no_proxy().no_gzip().connect_timeout(CONNECT_TIMEOUT);
        for authority in config.authorities()? {
            http = http.add_root_certificate(authority);
        }
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let http = http.build().map_err(|source| ConfigError::SearchClient { url: url.to_string(), source })?;
        Ok(Self { http, url, authorization: config.authorization()? })
    }

    /// Posts a query. Closes the connection if the answer has more than `max_bytes` bytes.
    pub(super) async fn ask(
        &self,
        path: &str,
        question: Bytes,
        max_bytes: usize,
        within: Duration,
    ) -> Result<SearchResponse, reqwest::Error> {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{}", self.url.path(), path.trim_start_matches('/')));
        url.set_query(query);
        let request = self.request(Method::POST, url, within).header(CONTENT_TYPE, "application/json");
        let mut response = request.body(question).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(SearchResponse { status, headers, body: body(&mut response, max_bytes).await? })
    }

    /// Whether the node answers at all.
    pub(super) async fn answers(&self, within: Duration) -> bool {
        self.request(Method::HEAD, self.url.clone(), within).send().await.is_ok()
    }

    fn request(&self, method: Method, url: Url, within: Duration) -> RequestBuilder {
        let request = self.http.request(method, url).timeout(within).header(ACCEPT, "application/json");
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }
}

async fn body(response: &mut Response, max_bytes: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > max_bytes {
        return Ok(None);
    }
    let mut body = BytesMut::with_capacity(announced);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}
