//! Fields as a request names them.

use crate::{
    error::Failure,
    http::parameters::{Parameter, Parameters, invalid},
    read::{Projection, Selector},
    schema::{self, Field, closest},
};

pub(in crate::http) const FIELDS: Parameter = Parameter::text(
    "fields",
    "What to return of each event: paths separated by commas, with `*` for anything; an object stands for all that is in it.",
)
.such_as("@timestamp,event.action,user");

/// As many names as a request may have in one list.
const MAX_NAMES: usize = 200;

/// The field of this path, which the parameter `name` holds.
pub(super) fn named(path: &str, name: &str) -> Result<&'static Field, Failure> {
    schema::field(path).ok_or_else(|| unknown(path, name))
}

/// `fields` alone.
pub(in crate::http) fn projection(mut parameters: Parameters) -> Result<Projection, Failure> {
    let projection = chosen(&mut parameters, &FIELDS)?;
    parameters.finish()?;
    Ok(projection)
}

/// What the parameter chooses of each document: all of it where it is absent.
pub(super) fn chosen(parameters: &mut Parameters, parameter: &Parameter) -> Result<Projection, Failure> {
    match list(parameters, parameter)? {
        None => Ok(Projection::whole()),
        Some(names) => {
            let selectors: Result<Vec<_>, _> = names.iter().map(|name| selector(name)).collect();
            Ok(Projection::of(selectors?))
        }
    }
}

fn selector(text: &str) -> Result<Selector, Failure> {
    let selector = Selector::new(text);
    if selector.is_of_known_fields() { Ok(selector) } else { Err(unknown(text, "fields")) }
}

/// The names in a parameter, separated by commas, or the parameter given several times; `None` where it is absent.
pub(super) fn list(parameters: &mut Parameters, parameter: &Parameter) -> Result<Option<Vec<String>>, Failure> {
    let texts = parameters.texts(parameter);
    if texts.is_empty() {
        return Ok(None);
    }
    let names: Vec<_> = texts.iter().flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(invalid(parameter.name, "expected names of fields separated by commas, found an empty one"));
    }
    if names.len() > MAX_NAMES {
        let reason = format!("array size is [{}], but cannot be greater than [{MAX_NAMES}]", names.len());
        return Err(invalid(parameter.name, reason));
    }
    Ok(Some(names))
}

pub(super) fn unknown(path: &str, name: &str) -> Failure {
    let hint = match closest(path, schema::FIELDS.iter().map(|field| field.path)) {
        Some(near) => format!(", did you mean [{near}]?"),
        None => String::new(),
    };
    invalid(name, format_args!("there is no field [{}]{hint}", shortened(path)))
}

/// A caller's own text, as far as it helps to be told it.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
