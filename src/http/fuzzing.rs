//! Encodes and decodes the opaque texts of this interface without a server, as requests do, for fuzz targets and tests.
//! An error is the message that the caller would get.

use axum::http::{HeaderMap, HeaderValue};

use super::{answer, parameters::Parameters, request};
use crate::{
    error::Failure,
    event::UnixMillis,
    query::{PageEnd, Place, Scope, Sort, Visible},
    read::{self, Begin, FindRequest},
};

const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

const EVERYTHING: Scope = Scope::Visible(Visible::Everything);

/// A query with this `sort`; a cursor is only valid for its query.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub sort: &'a str,
    /// Relative times count from the time of the first page, which is in the cursor.
    pub start: Option<&'a str>,
}

impl Question<'_> {
    fn request(self, after: &str) -> Result<FindRequest, Failure> {
        let mut pairs = vec![("after", after), ("sort", self.sort)];
        pairs.extend(self.start.map(|start| ("start", start)));
        request::find(Parameters::of(&pairs), NOW)
    }

    /// Returns the `next` of an answer whose last document is this one.
    pub fn cursor_behind(self, document: &[u8]) -> Result<String, String> {
        let request = self.request("").map_err(message)?;
        request.cursor_behind(document, &EVERYTHING).map_err(|error| error.to_string())
    }

    /// Decodes an `after`; returns its place and the sort order of that place.
    pub fn place_after(self, after: &str) -> Result<(Place, Vec<Sort>), String> {
        let request = self.request(after).map_err(message)?;
        let place = request.after(&EVERYTHING).map_err(|error| message(error.into()))?;
        let query = request.query(EVERYTHING, place);
        match query.after {
            Some(PageEnd::Event(place)) => Ok((place, query.sort)),
            Some(PageEnd::Document(_)) => Err("the cursor is not that of an event".to_owned()),
            None => Err("no cursor was given".to_owned()),
        }
    }
}

/// Decodes a `last-event-id` and encodes it again; empty if it has no positions.
pub fn last_event_id(bytes: &[u8]) -> Result<String, String> {
    let mut headers = HeaderMap::new();
    headers.insert("last-event-id", HeaderValue::from_bytes(bytes).map_err(|error| error.to_string())?);
    match request::tail(Parameters::of(&[]), &headers, NOW).map_err(message)?.begin {
        Begin::Resumed(positions) => Ok(positions.encode()),
        Begin::Now | Begin::Since(_) => Ok(String::new()),
    }
}

/// Encodes a content as a [token](read::encode_token).
pub fn sealed(content: &[u8]) -> String {
    read::encode_token(1, content)
}

/// Decodes a token of this version.
pub fn opened(text: &str) -> Option<Vec<u8>> {
    read::decode_token(1, text).ok()
}

fn message(failure: Failure) -> String {
    answer::message(&failure).into_owned()
}
