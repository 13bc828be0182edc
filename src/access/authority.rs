//! The authority that decides whether a caller may read a saved object, and so the events about it.
//!
//! It is asked, with the caller's own credentials, only about callers whose role does not let them read everything in
//! the space. Any answer but a clear yes is a no; if the authority is unavailable, the request fails.

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    AccessError, Credentials, Principal, Realm,
    config::{AccessConfig, AuthorityKind, TYPE_IN_PRIVILEGE},
    identify::kibana::{INTERNAL_ORIGIN, cookie},
    object_grant::ObjectGrant,
    remote::{Remote, Request, Unavailable},
    rules::matches,
};
use crate::{event::Space, query::ObjectScope};

/// Maximum number of objects per request to Kibana, which answers with their full contents.
const BATCH_OBJECTS: usize = 100;

fn name_of(space: Option<&Space>) -> &str {
    space.map_or("default", Space::as_str)
}

pub(super) enum Authority {
    /// Only callers who may read by role.
    Roles,
    Grants(Vec<ObjectGrant>),
    /// Kibana's privileges, which Elasticsearch keeps.
    Engine {
        remote: Remote,
        application: String,
        privilege: String,
    },
    /// A caller who gets the object from Kibana may read the events about it.
    Kibana {
        remote: Remote,
        cookie: String,
    },
}

impl Authority {
    pub(super) fn new(config: &AccessConfig) -> Result<Self, AccessError> {
        let AccessConfig { elasticsearch, kibana, .. } = config;
        let at = |section, urls: &[String], ca_file: Option<&std::path::Path>| {
            Remote::new(section, urls, ca_file, config.timeout)
                .map_err(|source| AccessError::Remote { section, source })
        };
        Ok(match config.authority {
            AuthorityKind::Roles => Self::Roles,
            AuthorityKind::Grants => Self::Grants(config.grants.values().cloned().collect()),
            AuthorityKind::Elasticsearch => Self::Engine {
                remote: at("elasticsearch", &elasticsearch.urls, elasticsearch.ca_file.as_deref())?,
                application: elasticsearch.application.clone(),
                privilege: elasticsearch.privilege.clone(),
            },
            AuthorityKind::Kibana => Self::Kibana {
                remote: at("kibana", &kibana.urls, kibana.ca_file.as_deref())?,
                cookie: kibana.cookie.clone(),
            },
        })
    }

    /// Whether the caller may read all of these objects.
    pub(super) async fn allows(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        objects: &ObjectScope,
    ) -> Result<bool, Unavailable> {
        match self {
            Self::Roles => Ok(false),
            Self::Grants(grants) => Ok(is_granted(grants, principal, objects)),
            Self::Engine { .. } | Self::Kibana { .. } if !is_known_to_elastic(principal) => Ok(false),
            Self::Engine { .. } | Self::Kibana { .. } if !is_valid_type(&objects.object_type) => Ok(false),
            Self::Engine { remote, application, privilege } => {
                let privilege = privilege.replace(TYPE_IN_PRIVILEGE, &objects.object_type);
                has_privilege(remote, credentials, application, &privilege, objects.space.as_ref()).await
            }
            Self::Kibana { remote, cookie } => can_get_all(remote, cookie, credentials, objects).await,
        }
    }
}

fn is_granted(grants: &[ObjectGrant], principal: &Principal, objects: &ObjectScope) -> bool {
    let about: Vec<_> = grants.iter().filter(|grant| grant.is_about(principal, objects)).collect();
    let patterns = || about.iter().flat_map(|grant| &grant.ids);
    objects.ids.iter().all(|id| patterns().any(|pattern| matches(id, pattern)))
}

/// Other credentials must not be shown to Elasticsearch and Kibana.
fn is_known_to_elastic(principal: &Principal) -> bool {
    match principal.realm {
        Realm::Elasticsearch | Realm::Kibana => true,
        Realm::ApiKey | Realm::Oidc => false,
    }
}

/// Types come from the caller and become part of privilege names.
fn is_valid_type(object_type: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=256).contains(&object_type.len()) && object_type.bytes().all(fits)
}

async fn has_privilege(
    remote: &Remote,
    credentials: &Credentials,
    application: &str,
    privilege: &str,
    space: Option<&Space>,
) -> Result<bool, Unavailable> {
    #[derive(Deserialize)]
    struct HasPrivileges {
        has_all_requested: bool,
    }
    let Some(authorization) = credentials.authorization() else { return Ok(false) };
    let resource = format!("space:{}", name_of(space));
    let asked = json!({
        "application": [{"application": application, "privileges": [privilege], "resources": [resource]}]
    });
    let request = Request {
        method: Method::POST,
        path: "_security/user/_has_privileges",
        headers: vec![("authorization", authorization)],
        body: Some(asked.to_string().into_bytes()),
    };
    let answer = remote.ask(&request).await?;
    match answer.status {
        StatusCode::OK => {
            let answered: HasPrivileges =
                serde_json::from_slice(&answer.body).map_err(|error| answer.unexpected(error))?;
            Ok(answered.has_all_requested)
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
        _ => Err(answer.unexpected("expected whether the privilege is granted")),
    }
}

#[derive(PartialEq, Eq, Serialize)]
struct RequestedObject<'a> {
    #[serde(rename = "type")]
    object_type: &'a str,
    id: &'a str,
}

#[derive(Deserialize)]
struct SavedObjects {
    saved_objects: Vec<SavedObject>,
}

#[derive(Deserialize)]
struct SavedObject {
    #[serde(rename = "type")]
    object_type: String,
    id: String,
    error: Option<serde_json::Value>,
}

async fn can_get_all(
    remote: &Remote,
    cookie_name: &str,
    credentials: &Credentials,
    objects: &ObjectScope,
) -> Result<bool, Unavailable> {
    let cookie = cookie(credentials, cookie_name);
    let mut headers = vec![INTERNAL_ORIGIN, ("kbn-xsrf", "annals")];
    match (credentials.authorization(), &cookie) {
        (Some(authorization), _) => headers.push(("authorization", authorization)),
        (None, Some(cookie)) => headers.push(("cookie", cookie)),
        (None, None) => return Ok(false),
    }
    let path = match &objects.space {
        Some(space) => format!("s/{}/api/saved_objects/_bulk_get", space.as_str()),
        None => "api/saved_objects/_bulk_get".to_owned(),
    };
    for ids in objects.ids.chunks(BATCH_OBJECTS) {
        let wanted: Vec<_> = ids.iter().map(|id| RequestedObject { object_type: &objects.object_type, id }).collect();
        let body = serde_json::to_vec(&wanted).map_err(|error| Unavailable(error.to_string()))?;
        let request = Request { method: Method::POST, path: &path, headers: headers.clone(), body: Some(body) };
        let answer = remote.ask(&request).await?;
        match answer.status {
            StatusCode::OK => {
                let found: SavedObjects =
                    serde_json::from_slice(&answer.body).map_err(|error| answer.unexpected(error))?;
                let is_given =
                    |wanted: &RequestedObject<'_>| found.saved_objects.iter().any(|object| object.matches(wanted));
                if !wanted.iter().all(is_given) {
                    return Ok(false);
                }
            }
            // A type that Kibana does not know or does not serve, a missing space, a caller without access, or the
            // login page.
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER => return Ok(false),
            _ => return Err(answer.unexpected("expected saved objects")),
        }
    }
    Ok(true)
}

impl SavedObject {
    /// Missing and forbidden objects are in the answer too, with an error.
    fn matches(&self, wanted: &RequestedObject<'_>) -> bool {
        self.error.is_none() && self.object_type == wanted.object_type && self.id == wanted.id
    }
}
