//! Parses the parameters of `_export`: selection, order and format.

use super::{fields, selection, sort};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{Parameter, Parameters},
    read::{CsvColumns, ExportRequest, Format},
};

const NAME: Parameter = Parameter::text("format", "`ndjson`, `json` or `csv`.").or("ndjson");
const FIELDS: Parameter = Parameter::text(
    "fields",
    "With `ndjson` and `json`: the fields to return, as paths separated by commas, with `*` for anything; an object includes \
     everything in it.",
)
.such_as("@timestamp,event.action,user");
const COLUMNS: Parameter = Parameter::text("columns", "With `csv`: the columns, as paths separated by commas.")
    .such_as("@timestamp,event.action,message");

pub(in crate::http) const FORMAT: [&Parameter; 3] = [&NAME, &FIELDS, &COLUMNS];

pub(in crate::http) fn export(
    mut parameters: Parameters,
    is_compressed: bool,
    now: UnixMillis,
) -> Result<ExportRequest, Failure> {
    let format = format(&mut parameters)?;
    let sort = sort::take(&mut parameters)?;
    let selection = selection::take(&mut parameters, now)?;
    parameters.finish()?;
    Ok(ExportRequest { selection, sort, format, is_compressed })
}

fn format(parameters: &mut Parameters) -> Result<Format, Failure> {
    let name = parameters.text(&NAME)?;
    let projection = fields::chosen(parameters, &FIELDS)?;
    let columns = fields::list(parameters, &COLUMNS)?;
    let is_csv = name.as_deref() == Some("csv");
    if columns.is_some() && !is_csv {
        return Err(Failure::parameter("columns", "belongs to the format csv; use fields for the others"));
    }
    match name.as_deref() {
        None | Some("ndjson") => Ok(Format::NdJson(projection)),
        Some("json") => Ok(Format::Json(projection)),
        Some("csv") if !projection.is_whole() => {
            Err(Failure::parameter("fields", "belongs to the other formats; use columns for csv"))
        }
        Some("csv") => Ok(Format::Csv(match columns {
            Some(columns) => CsvColumns::new(columns).map_err(|error| Failure::parameter(COLUMNS.name, error))?,
            None => CsvColumns::default(),
        })),
        Some(other) => {
            Err(Failure::parameter("format", format_args!("expected one of [ndjson, json, csv] but got [{other}]")))
        }
    }
}
