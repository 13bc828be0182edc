//! What the head of a request says: query parameters, names in the path, the space.

use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::request::Parts,
};

use super::operation::{Kind, Parameter};
use crate::{
    error::{ErrorCode, Failure},
    event::Space,
};

/// The query parameters of a request, each of which a route has to take; [`Parameters::finish`] refuses the rest.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { pairs: pairs.collect() }
    }

    /// The parameter's value; refused if it was given more than once.
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
        Err(invalid(parameter.name, format_args!("expected value of type [{expected}] but got [Array]")))
    }

    pub(super) fn has(&self, parameter: &Parameter) -> bool {
        self.pairs.iter().any(|(key, _)| key == parameter.name)
    }

    /// All values of the parameter, in order.
    pub(super) fn texts(&mut self, parameter: &Parameter) -> Vec<String> {
        self.pairs.extract_if(.., |(key, _)| key == parameter.name).map(|(_, value)| value).collect()
    }

    /// A whole number, written as JavaScript would read it: ` 2 `, `1e1`; the default where it is absent.
    pub(super) fn number(&mut self, parameter: &Parameter) -> Result<u64, Failure> {
        let name = parameter.name;
        let Kind::Number { range, .. } = &parameter.kind else {
            return Err(Failure::internal(format!("the parameter {name} is no number")));
        };
        let Some(text) = self.text(parameter)? else {
            return Ok(range.default);
        };
        let number = number(&text).ok_or_else(|| invalid(name, "expected value of type [number] but got [string]"))?;
        if number < range.min as f64 {
            return Err(invalid(name, format_args!("Value must be equal to or greater than [{}].", range.min)));
        }
        if number > range.max as f64 {
            return Err(invalid(name, format_args!("Value must be equal to or lower than [{}].", range.max)));
        }
        if number.fract() != 0.0 {
            return Err(invalid(name, format_args!("expected a whole number but got [{}]", text.trim())));
        }
        Ok(number as u64)
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "definition for this key is missing")),
        }
    }
}

/// What a number may be, and what it is when it is not given. Bounds are below 2^53.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberRange {
    pub(super) default: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// The largest whole number that every JSON reader keeps exactly.
pub(super) const MAX_SAFE: u64 = (1 << 53) - 1;

/// An error about a query parameter, worded as Kibana does.
pub(super) fn invalid(name: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("[request query.{name}]: {reason}"))
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !is_decimal { None } else { text.parse().ok().filter(|number: &f64| number.is_finite()) }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Failure::invalid("[request query]: expected name=value pairs joined by &"))?;
        Ok(Self { pairs })
    }
}

/// The names in the path, decoded.
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    /// The part of the path that the route calls so.
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

/// The space that the path begins with, or the default one. What cannot name a space is not found.
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
