//! Paths that reach an operation under another one.

use axum::{
    extract::Request,
    http::{Method, Uri, uri::PathAndQuery},
};

const OURS: &str = "/api/event_log/";

/// The prefix of both finds by saved object in version 8 of Kibana.
const KIBANA: &str = "/internal/event_log/";

/// Object types with names that routes have too, and the same names encoded, which these routes do not match.
const SHADOWED: [(&str, &str); 2] = [("events", "%65vents"), ("providers", "%70roviders")];

/// Replaces the path by that of the operation which is meant, before the request is routed.
pub(super) async fn resolve(mut request: Request) -> Request {
    if let Some(path) = meant(request.method(), request.uri().path())
        && let Some(uri) = with_path(request.uri(), &path)
    {
        *request.uri_mut() = uri;
    }
    request
}

/// Returns the path that is meant, if it is another one.
fn meant(method: &Method, path: &str) -> Option<String> {
    let in_space = path.strip_prefix("/s/").and_then(|rest| rest.find('/')).map_or(0, |end| "/s/".len() + end);
    let (space, path) = path.split_at_checked(in_space)?;
    let is_post = *method == Method::POST;
    let (rest, is_kibanas) = match path.strip_prefix(KIBANA) {
        Some(rest) => (rest, true),
        None => (path.strip_prefix(OURS)?, false),
    };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [_, _, "_find"] if is_kibanas && !is_post => Some(format!("{space}{OURS}{rest}")),
        [object_type, operation] if is_post && operation.starts_with('_') => {
            let shadowed = SHADOWED.iter().find(|(name, _)| name == object_type);
            let object_type = shadowed.map_or(*object_type, |(_, encoded)| encoded);
            let is_other = shadowed.is_some() || is_kibanas;
            (is_other && (!is_kibanas || *operation == "_find"))
                .then(|| format!("{space}{OURS}{object_type}/{operation}"))
        }
        _ => None,
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_paths_of_finds_are_resolved_and_no_others() {
        let (get, post) = (Method::GET, Method::POST);
        for (method, path, expected) in [
            (&post, "/api/event_log/events/_find", "/api/event_log/%65vents/_find"),
            (&post, "/s/team/api/event_log/providers/_count", "/s/team/api/event_log/%70roviders/_count"),
            (&get, "/internal/event_log/alert/1/_find", "/api/event_log/alert/1/_find"),
            (&post, "/internal/event_log/alert/_find", "/api/event_log/alert/_find"),
            (&post, "/s/team/internal/event_log/events/_find", "/s/team/api/event_log/%65vents/_find"),
        ] {
            assert_eq!(meant(method, path).as_deref(), Some(expected), "{method} {path}");
        }
        for (method, path) in [
            (&post, "/api/event_log/events"),
            (&post, "/api/event_log/events/"),
            (&post, "/api/event_log/alert/_find"),
            (&post, "/api/event_log/dead_letters/_replay"),
            (&get, "/api/event_log/events/_find"),
            (&Method::PUT, "/api/event_log/providers/_find"),
            (&post, "/internal/event_log/events"),
            (&post, "/internal/event_log/alert/_count"),
            (&get, "/internal/event_log/_find"),
            (&get, "/internal/event_log/alert/1/_export"),
            (&get, "/s/team"),
            (&get, "/s/"),
        ] {
            assert_eq!(meant(method, path), None, "{method} {path}");
        }
    }
}
