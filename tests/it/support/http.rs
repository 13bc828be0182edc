//! Plain HTTP for tests, which are blocking threads.

use std::{fs, sync::LazyLock, time::Duration};

use serde_json::Value;
use tokio::runtime::Runtime;

/// The runtime of clients and proxies.
pub(super) static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| client().build().unwrap());

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60))
}

/// Superuser's access to an engine that has users and a private authority.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) ca_file: String,
    pub(crate) password_file: String,
    password: String,
    client: reqwest::Client,
}

impl Access {
    pub(crate) const LOGIN: &str = "elastic";

    pub(crate) fn new([ca_file, password_file]: [String; 2]) -> Self {
        let ca = reqwest::Certificate::from_pem(&fs::read(&ca_file).unwrap()).unwrap();
        let password = fs::read_to_string(&password_file).unwrap().trim().to_owned();
        let client = client().add_root_certificate(ca).build().unwrap();
        Self { ca_file, password_file, password, client }
    }
}

#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: String,
    pub(crate) key: Option<&'a str>,
    pub(crate) access: Option<&'a Access>,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'a str,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, url: String) -> Self {
        Self { method, url, key: None, access: None, body: Vec::new(), content_type: "application/json" }
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn access(mut self, access: Option<&'a Access>) -> Self {
        self.access = access;
        self
    }

    /// `Err` if there was no complete answer.
    pub(crate) fn send(self) -> Result<Answer, String> {
        let client = self.access.map_or(&*CLIENT, |access| &access.client);
        let mut request = client.request(self.method.parse().unwrap(), &self.url);
        if let Some(access) = self.access {
            request = request.basic_auth(Access::LOGIN, Some(&access.password));
        }
        if let Some(key) = self.key {
            request = request.header("authorization", format!("ApiKey {key}"));
        }
        if !self.body.is_empty() {
            request = request.header("content-type", self.content_type).body(self.body);
        }
        RUNTIME.block_on(async {
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status().as_u16();
            let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?.to_vec();
            Ok(Answer { status, retry_after, body })
        })
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}
