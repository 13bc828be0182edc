//! The flags that select events; they are the same for every query command.

use super::{
    CliError,
    zone::{Bound, ZoneArgs},
};
use crate::{
    query::kql,
    time::{Clock as _, SystemClock},
};

/// Parameters of a request.
pub(super) type Parameters = Vec<(&'static str, String)>;

/// The objects of a command that takes any number of them.
#[derive(Debug, clap::Args)]
pub(super) struct SelectionArgs {
    /// The type of the saved objects, such as `order`; by default all events that the key may see are selected
    #[arg(value_name = "TYPE", requires = "ids")]
    pub(super) object_type: Option<String>,
    /// Their ids
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    times: TimeRangeArgs,
}

/// The object of a command that takes at most one.
#[derive(Debug, clap::Args)]
pub(super) struct ObjectArgs {
    /// The type of the saved object, such as `order`; by default all events that the key may see are selected
    #[arg(value_name = "TYPE", requires = "id")]
    object_type: Option<String>,
    /// Its id
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct TimeRangeArgs {
    /// The first moment, as a date or as a duration before now such as 24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<String>,
    /// The last moment, in the same format
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<String>,
}

/// Filters, all of which must match.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// A filter in the language of Kibana's search bar (KQL); dates in it are UTC
    #[arg(long, value_name = "TEXT")]
    kql: Option<String>,
    /// Only events where the field has this value; may be repeated, and all must match
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    is: Vec<(String, String)>,
    /// Only events where the field does not have this value; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    not: Vec<(String, String)>,
    /// Only events where the field contains this text, case-sensitively; may be repeated
    #[arg(long, value_name = "FIELD=TEXT", value_parser = condition)]
    contains: Vec<(String, String)>,
}

impl SelectionArgs {
    pub(super) fn parameters(&self, zone: &ZoneArgs) -> Result<Parameters, CliError> {
        let mut parameters = self.times.parameters(zone);
        parameters.extend(self.filters.parameter()?);
        Ok(parameters)
    }

    /// Whether a time or a filter excludes events.
    pub(super) fn is_narrowed(&self) -> bool {
        self.times.start.is_some() || self.times.end.is_some() || !self.filters.is_empty()
    }
}

impl ObjectArgs {
    pub(super) fn named(&self) -> Option<(&str, &str)> {
        Some((self.object_type.as_deref()?, self.id.as_deref()?))
    }
}

impl TimeRangeArgs {
    pub(super) fn parameters(&self, zone: &ZoneArgs) -> Parameters {
        let start = self.start.iter().map(|text| ("start", zone.read(text, Bound::Start)));
        let end = self.end.iter().map(|text| ("end", zone.read(text, Bound::End)));
        start.chain(end).collect()
    }
}

impl FilterArgs {
    pub(super) fn parameter(&self) -> Result<Option<(&'static str, String)>, CliError> {
        Ok(self.text()?.map(|text| ("filter", text)))
    }

    fn is_empty(&self) -> bool {
        self.kql.is_none() && self.has_no_conditions()
    }

    fn has_no_conditions(&self) -> bool {
        self.is.is_empty() && self.not.is_empty() && self.contains.is_empty()
    }

    /// Returns the combined filter. A single one is sent as typed, so that positions in error messages are right.
    /// Combined ones are parsed first, because `a) or (b` would change its meaning within parentheses.
    fn text(&self) -> Result<Option<String>, CliError> {
        let alone = self.has_no_conditions();
        if let Some(text) = self.kql.as_ref().filter(|_| !alone) {
            kql::parse(text, SystemClock.now()).map_err(|error| CliError::local(error.render()))?;
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

    use super::FilterArgs;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        filters: FilterArgs,
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
