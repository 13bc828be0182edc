//! What fuzz targets and tests of texts that anyone may hand in need: the texts that this program gives out, made without a
//! server, and read as requests read them. A refusal is the message that the caller would get.

use axum::http::{HeaderMap, HeaderValue};

use super::{answer, parameters::Parameters, request};
use crate::{
    error::Failure,
    event::UnixMillis,
    query::{Place, Scope, Sort, Visible},
    read::{self, Begin, FindRequest},
};

const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

const EVERYTHING: Scope = Scope::Visible(Visible::Everything);

/// A question with this `sort`, to which cursors belong.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub sort: &'a str,
    /// Times before now count from when the first page was asked for, which the cursor says.
    pub start: Option<&'a str>,
}

impl Question<'_> {
    fn request(self, after: &str) -> Result<FindRequest, Failure> {
        let mut pairs = vec![("after", after), ("sort", self.sort)];
        pairs.extend(self.start.map(|start| ("start", start)));
        request::find(Parameters::of(&pairs), NOW)
    }

    /// The `next` of an answer that ends in this document.
    pub fn cursor_behind(self, document: &[u8]) -> Result<String, String> {
        let request = self.request("").map_err(message)?;
        request.cursor_behind(document, &EVERYTHING).map_err(|error| error.to_string())
    }

    /// Where an `after` leads, and the order that this is a place in.
    pub fn place_after(self, after: &str) -> Result<(Place, Vec<Sort>), String> {
        let request = self.request(after).map_err(message)?;
        let place = request.after(&EVERYTHING).map_err(|error| message(error.into()))?;
        let query = request.query(EVERYTHING, place);
        query.after.map(|place| (place, query.sort)).ok_or_else(|| "no cursor was given".to_owned())
    }
}

/// What a `last-event-id` says, written anew; empty if it says nothing.
pub fn last_event_id(bytes: &[u8]) -> Result<String, String> {
    let mut headers = HeaderMap::new();
    headers.insert("last-event-id", HeaderValue::from_bytes(bytes).map_err(|error| error.to_string())?);
    match request::tail(Parameters::of(&[]), &headers, NOW).map_err(message)?.begin {
        Begin::Resumed(positions) => Ok(positions.encode()),
        Begin::Now | Begin::Since(_) => Ok(String::new()),
    }
}

/// The text of this content; see [tokens](read::encode_token).
pub fn sealed(content: &[u8]) -> String {
    read::encode_token(1, content)
}

/// The content of a text of this version.
pub fn opened(text: &str) -> Option<Vec<u8>> {
    read::decode_token(1, text).ok()
}

fn message(failure: Failure) -> String {
    answer::message(&failure).into_owned()
}
