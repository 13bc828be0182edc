//! Parses names of fields.

use crate::{
    error::Failure,
    http::parameters::{Parameter, Parameters},
    query::Subject,
    read::Projection,
    schema::UnknownField,
};

pub(in crate::http) const FIELDS: Parameter = Parameter::text(
    "fields",
    "The fields to return, as paths separated by commas, with `*` for anything; an object includes everything in it.",
)
.such_as("@timestamp,event.action,user");

/// Returns the field or the label with this path, which is the value of the parameter `name`.
pub(super) fn named(path: &str, name: &str) -> Result<Subject, Failure> {
    Subject::at(path).ok_or_else(|| Failure::parameter(name, UnknownField::new(path)))
}

/// Parses a request whose only parameter is `fields`.
pub(in crate::http) fn projection(mut parameters: Parameters) -> Result<Projection, Failure> {
    let projection = chosen(&mut parameters, &FIELDS)?;
    parameters.finish()?;
    Ok(projection)
}

/// Returns the projection that the parameter selects; without the parameter, the whole document.
pub(super) fn chosen(parameters: &mut Parameters, parameter: &Parameter) -> Result<Projection, Failure> {
    match list(parameters, parameter)? {
        None => Ok(Projection::whole()),
        Some(names) => Projection::of(&names).map_err(|error| Failure::parameter(parameter.name, error)),
    }
}

/// Returns the names in a parameter, which are separated by commas or in repeated parameters; `None` if it is absent.
pub(super) fn list(parameters: &mut Parameters, parameter: &Parameter) -> Result<Option<Vec<String>>, Failure> {
    let texts = parameters.texts(parameter);
    if texts.is_empty() {
        return Ok(None);
    }
    let names: Vec<_> = texts.iter().flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Failure::parameter(
            parameter.name,
            "expected names of fields separated by commas, found an empty one",
        ));
    }
    Ok(Some(names))
}
