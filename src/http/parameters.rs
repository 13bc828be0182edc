//! Request parameters: their descriptions, which the API document uses too, and their parsing.

use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::request::Parts,
};

use crate::{
    error::{ErrorCode, Failure},
    event::Space,
};

/// A parameter in the path or the query of a request.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) location: Location,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
    pub(super) example: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Path,
    Query,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text {
        default: Option<&'static str>,
    },
    Number {
        range: NumberRange,
        /// The maximum in the API document, if larger numbers are refused by another check than the range.
        maximum: Option<u64>,
    },
}

impl Parameter {
    pub(super) const fn path(name: &'static str, doc: &'static str, example: &'static str) -> Self {
        let kind = Kind::Text { default: None };
        Self { name, location: Location::Path, kind, doc, example: Some(example) }
    }

    pub(super) const fn text(name: &'static str, doc: &'static str) -> Self {
        Self { name, location: Location::Query, kind: Kind::Text { default: None }, doc, example: None }
    }

    pub(super) const fn number(name: &'static str, range: NumberRange, doc: &'static str) -> Self {
        Self { name, location: Location::Query, kind: Kind::Number { range, maximum: None }, doc, example: None }
    }

    /// Sets the maximum in the API document; another check than the range refuses larger numbers.
    pub(super) const fn of_use_up_to(self, maximum: u64) -> Self {
        match self.kind {
            Kind::Number { range, .. } => Self { kind: Kind::Number { range, maximum: Some(maximum) }, ..self },
            Kind::Text { .. } => self,
        }
    }

    pub(super) const fn or(self, default: &'static str) -> Self {
        Self { kind: Kind::Text { default: Some(default) }, ..self }
    }

    pub(super) const fn such_as(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }
}

/// The query parameters of a request. A route takes the ones that it knows; [`Parameters::finish`] refuses the rest.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { pairs: pairs.collect() }
    }

    /// Takes the parameter's value; fails if it was given more than once.
    pub(super) fn text(&mut self, parameter: &Parameter) -> Result<Option<String>, Failure> {
        let mut values = self.texts(parameter);
        let value = values.pop();
        if values.is_empty() {
            return Ok(value);
        }
        let expected = match parameter.kind {
            Kind::Text { .. } => "string",
            Kind::Number { .. } => "number",
        };
        Err(Failure::parameter(parameter.name, format_args!("expected value of type [{expected}] but got [Array]")))
    }

    pub(super) fn has(&self, parameter: &Parameter) -> bool {
        self.pairs.iter().any(|(key, _)| key == parameter.name)
    }

    /// Takes all values of the parameter, in order.
    pub(super) fn texts(&mut self, parameter: &Parameter) -> Vec<String> {
        self.pairs.extract_if(.., |(key, _)| key == parameter.name).map(|(_, value)| value).collect()
    }

    /// Takes a whole number in a format that JavaScript accepts, such as ` 2 ` or `1e1`; the default if it is absent.
    pub(super) fn number(&mut self, parameter: &Parameter) -> Result<u64, Failure> {
        let name = parameter.name;
        let Kind::Number { range, .. } = &parameter.kind else {
            return Err(Failure::internal(format!("the parameter {name} is not a number")));
        };
        let Some(text) = self.text(parameter)? else {
            return Ok(range.default);
        };
        let number = number(&text)
            .ok_or_else(|| Failure::parameter(name, "expected value of type [number] but got [string]"))?;
        if number < range.min as f64 {
            return Err(Failure::parameter(
                name,
                format_args!("Value must be equal to or greater than [{}].", range.min),
            ));
        }
        if number > range.max as f64 {
            return Err(Failure::parameter(
                name,
                format_args!("Value must be equal to or lower than [{}].", range.max),
            ));
        }
        if number.fract() != 0.0 {
            return Err(Failure::parameter(name, format_args!("expected a whole number but got [{}]", text.trim())));
        }
        Ok(number as u64)
    }

    /// Fails if any parameter has not been taken.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(Failure::parameter(name, "definition for this key is missing")),
        }
    }
}

/// The range of a number, and its default. Bounds are below 2^53.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberRange {
    pub(super) default: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// The largest whole number that every JSON parser represents exactly.
pub(super) const MAX_SAFE: u64 = (1 << 53) - 1;

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !is_decimal { None } else { text.parse().ok().filter(|number: &f64| number.is_finite()) }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(&parts.uri)
            .map_err(|_| Failure::invalid("[request query]: expected name=value pairs joined by &"))?;
        if is_repaired(parts.uri.query().unwrap_or_default(), &pairs) {
            return Err(Failure::invalid("[request query]: expected UTF-8, percent-encoded"));
        }
        Ok(Self { pairs })
    }
}

/// Whether bytes that are not UTF-8 were replaced when the query was decoded: it then has more replacement characters
/// than were sent.
fn is_repaired(query: &str, pairs: &[(String, String)]) -> bool {
    let count = |text: &str| text.matches(char::REPLACEMENT_CHARACTER).count();
    let decoded: usize = pairs.iter().map(|(name, value)| count(name) + count(value)).sum();
    decoded > 0 && decoded > query.to_ascii_uppercase().matches("%EF%BF%BD").count()
}

/// The named segments of the path, decoded.
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    /// Takes the path segment with this name in the route.
    pub(super) fn take(&mut self, name: &str) -> Result<String, Failure> {
        let mut found = self.0.extract_if(.., |(key, _)| key == name);
        found.next().map(|(_, value)| value).ok_or_else(|| Failure::internal(format!("no {name} in the path")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::invalid("[request params]: expected UTF-8, percent-encoded"))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// The space in the path, or the default space. An invalid name is not found.
pub(super) struct InSpace(pub(super) Option<Space>);

impl<S: Send + Sync> FromRequestParts<S> for InSpace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let mut names = Names::from_request_parts(parts, state).await?;
        let Ok(name) = names.take("space") else {
            return Ok(Self(None));
        };
        let space = Space::parse(&name).map_err(|error| Failure::new(ErrorCode::NotFound, error.to_string()))?;
        Ok(Self(space))
    }
}
