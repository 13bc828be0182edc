//! A request for one event.

use super::fields;
use crate::{
    error::Failure,
    http::{parameters::Parameters, projection::Projection},
    query::{
        Order, PAGE_BYTES, Query, Scope, Sort,
        filter::{Filter, Subject, Test, Value},
    },
    schema,
};

#[derive(Debug)]
pub(in crate::http) struct EventRequest {
    filter: Filter,
    sort: Vec<Sort>,
    pub(in crate::http) projection: Projection,
}

impl EventRequest {
    pub(in crate::http) fn parse(mut parameters: Parameters, id: String) -> Result<Self, Failure> {
        let projection = fields::chosen(&mut parameters)?;
        parameters.finish()?;
        let field = |path: &str| schema::field(path).ok_or_else(|| Failure::internal(format!("no field {path}")));
        let by_time = Sort::by(field("@timestamp")?, Order::Ascending);
        let sort = vec![by_time.map_err(|error| Failure::internal(error.to_string()))?];
        let test = Test::OneOf(vec![Value::Text(id)]);
        let filter = Filter::value(Subject::Field(field("event.id")?), test);
        Ok(Self { filter: filter.map_err(|error| Failure::internal(error.to_string()))?, sort, projection })
    }

    /// The first in time of the events that have the id.
    pub(in crate::http) fn query(&self, scope: Scope) -> Query {
        Query {
            scope,
            start: None,
            end: None,
            filter: self.filter.clone(),
            sort: self.sort.clone(),
            after: None,
            offset: 0,
            limit: 1,
            bytes: PAGE_BYTES,
        }
    }
}
