//! The flags by which a command is told which events it is about; every command that asks takes the same.

use super::{
    Failure,
    zone::{Edge, Zone},
};
use crate::{
    query::kql,
    time::{Clock as _, SystemClock},
};

/// Parameters of a request.
pub(super) type Parameters = Vec<(&'static str, String)>;

/// For the commands that ask about any number of objects.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The type of saved objects, such as `order`; without it all events that the key may see
    #[arg(value_name = "TYPE", requires = "ids")]
    pub(super) object_type: Option<String>,
    /// Their ids
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    times: Times,
}

/// For the commands that ask about one object, or about everything.
#[derive(Debug, clap::Args)]
pub(super) struct Object {
    /// The type of a saved object, such as `order`; without it all events that the key may see
    #[arg(value_name = "TYPE", requires = "id")]
    object_type: Option<String>,
    /// Its id
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Times {
    /// The first moment, as a date or as a duration before now such as 24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<String>,
    /// The last moment, likewise
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<String>,
}

/// All of them must hold.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// A filter in the language of Kibana's search bar; dates in it are UTC
    #[arg(long, value_name = "TEXT")]
    kql: Option<String>,
    /// Only events where the field is this; may be repeated, and all must hold
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    is: Vec<(String, String)>,
    /// Only events where the field is not this; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    not: Vec<(String, String)>,
    /// Only events where the field has this in it, by case; may be repeated
    #[arg(long, value_name = "FIELD=TEXT", value_parser = condition)]
    contains: Vec<(String, String)>,
}

impl Selection {
    pub(super) fn parameters(&self, zone: &Zone) -> Result<Parameters, Failure> {
        let mut parameters = self.times.parameters(zone);
        parameters.extend(self.filters.parameter()?);
        Ok(parameters)
    }

    /// Whether there is anything that keeps events out, other than whose they are.
    pub(super) fn is_narrowed(&self) -> bool {
        self.times.start.is_some() || self.times.end.is_some() || !self.filters.is_empty()
    }
}

impl Object {
    pub(super) fn named(&self) -> Option<(&str, &str)> {
        Some((self.object_type.as_deref()?, self.id.as_deref()?))
    }
}

impl Times {
    pub(super) fn parameters(&self, zone: &Zone) -> Parameters {
        let start = self.start.iter().map(|text| ("start", zone.read(text, Edge::First)));
        let end = self.end.iter().map(|text| ("end", zone.read(text, Edge::Last)));
        start.chain(end).collect()
    }
}

impl Filters {
    pub(super) fn parameter(&self) -> Result<Option<(&'static str, String)>, Failure> {
        Ok(self.text()?.map(|text| ("filter", text)))
    }

    fn is_empty(&self) -> bool {
        self.kql.is_none() && self.has_no_conditions()
    }

    fn has_no_conditions(&self) -> bool {
        self.is.is_empty() && self.not.is_empty() && self.contains.is_empty()
    }

    /// A filter that stands alone goes as it was typed, so that the place of an error is the typed one. With others it is
    /// read first, for in parentheses `a) or (b` would be something else.
    fn text(&self) -> Result<Option<String>, Failure> {
        let alone = self.has_no_conditions();
        if let Some(text) = self.kql.as_ref().filter(|_| !alone) {
            kql::parse(text, SystemClock.now()).map_err(|error| Failure::local(error.pointed()))?;
        }
        let typed = self.kql.iter().filter(|text| alone || !text.trim().is_empty());
        let mut parts: Vec<String> = typed.map(|text| if alone { text.clone() } else { format!("({text})") }).collect();
        parts.extend(self.is.iter().map(|(field, value)| format!("{field}:{}", kql::quote(value))));
        parts.extend(self.not.iter().map(|(field, value)| format!("not {field}:{}", kql::quote(value))));
        parts.extend(self.contains.iter().map(|(field, text)| kql::containing(field, text)));
        Ok((!parts.is_empty()).then(|| parts.join(" and ")))
    }
}

fn condition(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("expected FIELD=VALUE")?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '*');
    if field.is_empty() || !field.chars().all(is_name) {
        return Err(format!("expected FIELD=VALUE with the name of a field, found {text:?}"));
    }
    Ok((field.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::Filters;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        filters: Filters,
    }

    #[test]
    fn conditions_are_written_into_the_filter_and_mean_their_very_text() {
        let typed = |arguments: &[&str]| Typed::try_parse_from([&["x"], arguments].concat()).unwrap().filters.text();
        let filter = |arguments: &[&str]| typed(arguments).unwrap();
        assert_eq!(filter(&[]), None);
        assert_eq!(filter(&["--kql", "a:b or"]).unwrap(), "a:b or");
        let all = filter(&["--kql", "a or b", "--is", "user.name=a*=\"b", "--not", "tags=x y"]);
        assert_eq!(all.unwrap(), r#"(a or b) and user.name:"a*=\"b" and not tags:"x y""#);
        assert_eq!(filter(&["--contains", "tags=a*"]).unwrap(), r"tags:*a\**");
        assert!(typed(&["--kql", "a) or (b", "--is", "tags=x"]).is_err());
        assert!(typed(&["--kql", "a) or (b", "--contains", "tags=x"]).is_err());
        assert!(Typed::try_parse_from(["x", "--is", "a or b=c"]).is_err());
    }
}
