//! The flags by which a command is told which events it is about; every command that asks takes the same.

use super::Failure;
use crate::{
    query::kql,
    time::{Clock as _, SystemClock},
};

#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The type of saved objects, such as `order`; without it all events that the key may see
    #[arg(value_name = "TYPE", requires = "ids")]
    pub(super) object_type: Option<String>,
    /// Their ids
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// A filter in the language of Kibana's search bar
    #[arg(long, value_name = "TEXT")]
    kql: Option<String>,
    /// Only events where the field is this; may be repeated, and all must hold
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    is: Vec<(String, String)>,
    /// Only events where the field is not this; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = condition)]
    not: Vec<(String, String)>,
    /// The first moment, as a date or as a duration before now such as 24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<String>,
    /// The last moment, likewise
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<String>,
}

impl Selection {
    pub(super) fn parameters(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let named = [("start", self.start.clone()), ("end", self.end.clone()), ("filter", self.filter()?)];
        Ok(named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// Whether there is anything that keeps events out, other than whose they are.
    pub(super) fn is_narrowed(&self) -> bool {
        let times = [&self.start, &self.end];
        times.into_iter().any(Option::is_some) || self.kql.is_some() || !self.is.is_empty() || !self.not.is_empty()
    }

    /// A filter that stands alone goes as it was typed, so that the place of an error is the typed one. With others it is
    /// read first, for in parentheses `a) or (b` would be something else.
    fn filter(&self) -> Result<Option<String>, Failure> {
        let alone = self.is.is_empty() && self.not.is_empty();
        if let Some(text) = self.kql.as_ref().filter(|_| !alone) {
            kql::parse(text, SystemClock.now()).map_err(|error| Failure::local(error.pointed()))?;
        }
        let typed = self.kql.iter().filter(|text| alone || !text.trim().is_empty());
        let mut parts: Vec<String> = typed.map(|text| if alone { text.clone() } else { format!("({text})") }).collect();
        parts.extend(self.is.iter().map(|(field, value)| format!("{field}:{}", kql::quote(value))));
        parts.extend(self.not.iter().map(|(field, value)| format!("not {field}:{}", kql::quote(value))));
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

    use super::Selection;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        selection: Selection,
    }

    #[test]
    fn conditions_are_written_into_the_filter_and_mean_their_very_text() {
        let typed =
            |arguments: &[&str]| Typed::try_parse_from([&["x"], arguments].concat()).unwrap().selection.filter();
        let filter = |arguments: &[&str]| typed(arguments).unwrap();
        assert_eq!(filter(&[]), None);
        assert_eq!(filter(&["--kql", "a:b or"]).unwrap(), "a:b or");
        let all = filter(&["--kql", "a or b", "--is", "user.name=a*=\"b", "--not", "tags=x y"]);
        assert_eq!(all.unwrap(), r#"(a or b) and user.name:"a*=\"b" and not tags:"x y""#);
        assert!(typed(&["--kql", "a) or (b", "--is", "tags=x"]).is_err());
        assert!(Typed::try_parse_from(["x", "--is", "a or b=c"]).is_err());
    }
}
