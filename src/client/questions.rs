//! Queries about events.

use reqwest::{Method, Url, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    api::{Api, ApiError, json_body},
    export::{Export, ExportFormat},
    streams::ResponseStream,
    tail::{self, Tail},
};
use crate::wire::{CountAnswer, FindAnswer, TermsAnswer};

impl Api {
    /// Finds events, by the saved objects that they refer to. The parameters are those of the endpoint.
    pub async fn find(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<FindAnswer, ApiError> {
        let request = self.question(object_type, ids, "_find")?;
        self.send(request.query(parameters)).await?.read()
    }

    /// Counts events about saved objects, or all that the caller may see.
    pub async fn count(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<u64, ApiError> {
        let request = self.question(object_type, ids, "_count")?;
        Ok(self.send(request.query(parameters)).await?.read::<CountAnswer>()?.count)
    }

    /// The most frequent values of a field.
    pub async fn values(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<TermsAnswer, ApiError> {
        let request = self.question(object_type, ids, "_aggregate")?;
        self.send(request.query(parameters)).await?.read()
    }

    /// One event by its `event.id`, byte for byte as it was logged.
    pub async fn event(&self, id: &str, parameters: &[(&str, String)]) -> Result<Box<RawValue>, ApiError> {
        let request = self.request(Method::GET, self.url(&["api", "event_log", "events", id])?);
        self.send(request.query(parameters)).await?.read()
    }

    /// All matching events. The endpoint's timeout applies to each part of the answer.
    pub async fn export(
        &self,
        object: Option<(&str, &str)>,
        format: ExportFormat,
        is_compressed: bool,
        parameters: &[(&str, String)],
    ) -> Result<Export, ApiError> {
        let coding = if is_compressed { "gzip" } else { "identity" };
        let request = self.request(Method::GET, self.url_about(object, "_export")?);
        let request = request.header(header::TE, "trailers").header(header::ACCEPT_ENCODING, coding);
        let request = request.query(&[("format", format.name())]).query(parameters);
        let stream = ResponseStream::open(self, request, self.timeout).await?;
        let is_compressed = stream.head().get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
        Ok(Export::new(stream, format, is_compressed))
    }

    /// New events as they are stored. `last_id`, from a message of an earlier tail, resumes that one.
    pub async fn tail(
        &self,
        object: Option<(&str, &str)>,
        last_id: Option<&str>,
        parameters: &[(&str, String)],
    ) -> Result<Tail, ApiError> {
        let mut request = self.request(Method::GET, self.url_about(object, "_tail")?);
        request = request.header(header::ACCEPT, tail::CONTENT_TYPE).query(parameters);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let stream = ResponseStream::open(self, request, tail::IDLE_TIMEOUT.max(self.timeout)).await?;
        Tail::new(stream)
    }

    fn url_about(&self, object: Option<(&str, &str)>, what: &str) -> Result<Url, ApiError> {
        match object {
            None => self.url(&["api", "event_log", what]),
            Some((object_type, id)) => self.url(&["api", "event_log", object_type, id, what]),
        }
    }

    /// Requests events about one object, several objects or, without a type, everything.
    fn question(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        what: &str,
    ) -> Result<reqwest::RequestBuilder, ApiError> {
        #[derive(Serialize)]
        struct Ids<'a> {
            ids: &'a [String],
        }
        Ok(match (object_type, ids) {
            (None, _) => self.request(Method::GET, self.url_about(None, what)?),
            (Some(object_type), [id]) => self.request(Method::GET, self.url_about(Some((object_type, id)), what)?),
            (Some(object_type), ids) => self
                .request(Method::POST, self.url(&["api", "event_log", object_type, what])?)
                .header(header::CONTENT_TYPE, "application/json")
                .header("kbn-xsrf", "annals")
                .body(json_body(&Ids { ids })?),
        })
    }
}
