//! `_export`: which events, in which order, and how they are written.

use super::{Selection, fields, sort};
use crate::{
    columns::{Columns, USUAL},
    error::Failure,
    event::UnixMillis,
    http::{
        export::Format,
        parameters::{Parameters, invalid},
        projection::Selector,
    },
    query::{Query, Scope, Sort},
};

#[derive(Debug)]
pub(in crate::http) struct ExportRequest {
    selection: Selection,
    sort: Vec<Sort>,
    pub(in crate::http) format: Format,
}

impl ExportRequest {
    pub(in crate::http) fn parse(mut parameters: Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let format = format(&mut parameters)?;
        let sort = sort::take(&mut parameters)?;
        let selection = Selection::take(&mut parameters, now)?;
        parameters.finish()?;
        Ok(Self { selection, sort, format })
    }

    pub(in crate::http) fn query(&self, scope: Scope) -> Query {
        self.selection.query(scope, self.sort.clone())
    }
}

fn format(parameters: &mut Parameters) -> Result<Format, Failure> {
    let name = parameters.take("format", "string")?;
    let projection = fields::chosen(parameters)?;
    let columns = fields::list(parameters, "columns")?;
    let is_csv = name.as_deref() == Some("csv");
    if columns.is_some() && !is_csv {
        return Err(invalid("columns", "belongs to the format csv; use fields for the others"));
    }
    match name.as_deref() {
        None | Some("ndjson") => Ok(Format::NdJson(projection)),
        Some("json") => Ok(Format::Json(projection)),
        Some("csv") if !projection.is_whole() => {
            Err(invalid("fields", "belongs to the other formats; use columns for csv"))
        }
        Some("csv") => known(columns).map(Format::Csv),
        Some(other) => Err(invalid("format", format_args!("expected one of [ndjson, json, csv] but got [{other}]"))),
    }
}

fn known(columns: Option<Vec<String>>) -> Result<Columns, Failure> {
    let columns = columns.unwrap_or_else(|| USUAL.map(str::to_owned).to_vec());
    for column in &columns {
        if column.contains('*') || !Selector::new(column).is_of_known_fields() {
            return Err(fields::unknown(column, "columns"));
        }
    }
    Ok(Columns::new(columns))
}
