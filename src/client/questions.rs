//! What can be asked of a server's events.

use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::api::{Api, ApiError, FoundPage, json_body};

/// The values of a field, the most frequent first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Values {
    pub terms: Vec<Term>,
    /// How many different values there are in all.
    pub distinct: u64,
    /// How many events have none.
    pub without: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Term {
    /// A text, a number or a boolean.
    pub value: Value,
    pub count: u64,
}

impl Api {
    /// Finds events by the saved objects that they refer to. The parameters are those of the endpoint.
    pub async fn find(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<FoundPage, ApiError> {
        let request = self.question(object_type, ids, "_find")?;
        self.send(request.query(parameters)).await?.read()
    }

    /// How many events there are about saved objects, or of all that the caller may see.
    pub async fn count(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<u64, ApiError> {
        #[derive(Deserialize)]
        struct Counted {
            count: u64,
        }
        let request = self.question(object_type, ids, "_count")?;
        Ok(self.send(request.query(parameters)).await?.read::<Counted>()?.count)
    }

    /// The most frequent values of a field.
    pub async fn values(
        &self,
        object_type: Option<&str>,
        ids: &[String],
        parameters: &[(&str, String)],
    ) -> Result<Values, ApiError> {
        let request = self.question(object_type, ids, "_aggregate")?;
        self.send(request.query(parameters)).await?.read()
    }

    /// One event by its `event.id`, byte for byte as it came.
    pub async fn event(&self, id: &str) -> Result<Box<RawValue>, ApiError> {
        self.send(self.request(Method::GET, self.url(&["api", "event_log", "events", id])?)).await?.read()
    }

    /// About one object, several, or without a type about everything.
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
            (None, _) => self.request(Method::GET, self.url(&["api", "event_log", what])?),
            (Some(object_type), [id]) => {
                self.request(Method::GET, self.url(&["api", "event_log", object_type, id, what])?)
            }
            (Some(object_type), ids) => self
                .request(Method::POST, self.url(&["api", "event_log", object_type, what])?)
                .header(header::CONTENT_TYPE, "application/json")
                .header("kbn-xsrf", "annals")
                .body(json_body(&Ids { ids })?),
        })
    }
}
