//! A fake engine with given answers, for cases that the real engines at hand cannot produce.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Response},
};
use serde_json::{Value, json};

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Method and path.
    pub(super) call: String,
    /// The query string.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Status, headers and body.
pub(super) struct Reply(u16, Vec<(&'static str, String)>, String);

/// Leaves out the length of a reply.
const IN_CHUNKS: &str = "x-in-chunks";

impl Reply {
    pub(super) fn in_chunks(self) -> Self {
        self.with(IN_CHUNKS, "")
    }

    pub(super) fn with(mut self, header: &'static str, value: &str) -> Self {
        self.1.push((header, value.to_owned()));
        self
    }
}

pub(super) fn reply(status: u16, body: Value) -> Reply {
    text(status, &body.to_string())
}

pub(super) fn text(status: u16, body: &str) -> Reply {
    Reply(status, Vec::new(), body.to_owned())
}

pub(super) fn error(status: u16, kind: &str, reason: &str) -> Reply {
    reply(status, json!({"error": {"type": kind, "reason": reason}, "status": status}))
}

pub(super) struct Fake {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts an engine that answers each request by its `METHOD path`.
    pub(super) async fn start(answer: impl Fn(&Asked) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let handler = move |request: Request| async move {
            let call = format!("{} {}", request.method(), request.uri().path());
            let query = request.uri().query().unwrap_or_default().to_owned();
            let headers = request.headers().clone();
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let asked = Asked { call, query, headers, body: String::from_utf8(body.to_vec()).unwrap() };
            let Reply(status, headers, body) = answer(&asked);
            log.lock().unwrap().push(asked);
            let mut response = Response::builder().status(status).header("content-type", "application/json");
            let is_in_chunks = headers.iter().any(|(name, _)| *name == IN_CHUNKS);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let chunk = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body.clone())]);
            response.body(if is_in_chunks { Body::from_stream(chunk) } else { Body::from(body) }).unwrap()
        };
        tokio::spawn(axum::serve(listener, Router::new().fallback(handler)).into_future());
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.call).collect()
    }

    /// Returns the last body sent by this call.
    pub(super) fn sent(&self, call: &str) -> Value {
        let body = self.asked().into_iter().rev().find(|asked| asked.call == call).unwrap().body;
        serde_json::from_str(&body).unwrap()
    }
}
