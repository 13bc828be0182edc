//! Searches of one node: the calls whose answers may be of any size.
//!
//! An answer is read as it comes, and no further than is wanted; the official client's can only be read as a whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use elasticsearch::auth::Credentials;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};

use super::config::{ConfigError, ElasticConfig};

pub(super) struct Reader {
    http: Client,
    /// Ends in a slash.
    url: Url,
    credentials: Option<Credentials>,
}

/// An answer, without its body where that is larger than is wanted.
pub(super) struct Read {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

impl Reader {
    pub(super) fn new(config: &ElasticConfig, url: &Url) -> Result<Self, ConfigError> {
        let mut http = Client::builder().no_proxy();
        for authority in config.authorities()? {
            http = http.add_root_certificate(authority);
        }
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let http = http.build().map_err(|source| ConfigError::Reader { url: url.to_string(), source })?;
        Ok(Self { http, url, credentials: config.credentials()? })
    }

    /// Posts a question. Where the answer has more than `most` bytes, the connection is closed instead.
    pub(super) async fn ask(
        &self,
        path: &str,
        question: Bytes,
        most: usize,
        within: Duration,
    ) -> Result<Read, reqwest::Error> {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{}", self.url.path(), path.trim_start_matches('/')));
        url.set_query(query);
        let request = self.authorized(self.http.post(url));
        let request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        let mut response = request.timeout(within).body(question).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Read { status, headers, body: body(&mut response, most).await? })
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            None | Some(Credentials::Certificate(_)) => request,
            Some(Credentials::Basic(login, password)) => request.basic_auth(login, Some(password)),
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            Some(Credentials::EncodedApiKey(key)) => request.header(AUTHORIZATION, format!("ApiKey {key}")),
            Some(Credentials::ApiKey(id, key)) => {
                let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{id}:{key}"));
                request.header(AUTHORIZATION, format!("ApiKey {encoded}"))
            }
            Some(Credentials::AuthorizationHeader(value)) => request.header(AUTHORIZATION, value),
        }
    }
}

async fn body(response: &mut Response, most: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > most {
        return Ok(None);
    }
    let mut body = BytesMut::with_capacity(announced);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}
