//! The flag that sets the sort order.

use super::{CliError, selection::Parameters};

#[derive(Debug, clap::Args)]
pub(super) struct SortArgs {
    /// The field to sort by, or a label such as labels.team; may be repeated
    #[arg(long, value_name = "FIELD[:asc|desc]", value_parser = key)]
    sort: Vec<SortKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct SortKey {
    sort_field: String,
    sort_order: &'static str,
}

impl SortArgs {
    pub(super) fn parameters(&self) -> Result<Parameters, CliError> {
        Ok(match self.sort.as_slice() {
            [] => Vec::new(),
            [only] => vec![("sort_field", only.sort_field.clone()), ("sort_order", only.sort_order.to_owned())],
            several => vec![("sort", serde_json::to_string(several).map_err(CliError::local)?)],
        })
    }
}

fn key(text: &str) -> Result<SortKey, String> {
    let (field, order) = match text.rsplit_once(':') {
        None => (text, "asc"),
        Some((field, "asc")) => (field, "asc"),
        Some((field, "desc")) => (field, "desc"),
        Some(_) => return Err("expected FIELD, FIELD:asc or FIELD:desc".to_owned()),
    };
    if field.is_empty() {
        return Err("expected the name of a field".to_owned());
    }
    Ok(SortKey { sort_field: field.to_owned(), sort_order: order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_ascend_unless_told_otherwise() {
        let expected = |field: &str, order| SortKey { sort_field: field.to_owned(), sort_order: order };
        assert_eq!(key("@timestamp"), Ok(expected("@timestamp", "asc")));
        assert_eq!(key("event.start:desc"), Ok(expected("event.start", "desc")));
        assert_eq!(key("labels.a:b:desc"), Ok(expected("labels.a:b", "desc")));
        assert!(key("event.start:down").is_err() && key(":asc").is_err());
    }
}
