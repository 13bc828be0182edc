//! All differences between the engines. The other modules treat both alike.
//!
//! | | Elasticsearch | OpenSearch |
//! | --- | --- | --- |
//! | identified by | `GET /` has no `version.distribution` | `version.distribution` is `opensearch` |
//! | mappings | `flattened`, `version`, stored `_source` set | `flat_object`, `keyword`, `_source` is stored by default |
//! | runs policies | ILM, where it is built in and allowed | ISM, where the plugin is installed |
//! | links an index to its policy by | `index.lifecycle.name` in each index | patterns in the policy itself |
//! | terms of labels | name and value apart | joined by `=`; sorted and counted by scripts |
//! | point in time | `_pit`; of no index, an empty one | `_search/point_in_time`, from 2.4 on; of no index, none |
//!
//! Where an engine has neither ILM nor ISM, Annals performs rollovers itself, on the conditions of the same policy.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Answer, Client, MAX_ANSWER, require_answer},
    labels::LabelTerms,
    lifecycle::Policy,
    names::IndexNames,
    search,
};
use crate::store::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flavor {
    pub(super) product: Product,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

/// Who executes the lifecycle policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// Elasticsearch's index lifecycle management.
    Ilm,
    /// OpenSearch's index state management.
    Ism,
    /// Annals itself, which only does rollovers.
    Own,
}

impl Flavor {
    /// Detects the engine, and installs the policy if there is none of this name.
    pub(super) async fn detect(client: &Client, names: &IndexNames, policy: &Policy) -> Result<Self, StoreError> {
        let product = Product::detect(client).await?;
        let managed = match product {
            Product::Elasticsearch => Lifecycle::Ilm,
            Product::OpenSearch => Lifecycle::Ism,
        };
        let lifecycle = if managed.ensure_policy(client, names, policy).await? { managed } else { Lifecycle::Own };
        Ok(Self { product, lifecycle })
    }
}

impl Product {
    async fn detect(client: &Client) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Root {
            version: Version,
        }
        #[derive(Deserialize)]
        struct Version {
            #[serde(default)]
            distribution: Option<String>,
            number: String,
        }
        let answer = client.get("").await?;
        let Root { version: Version { distribution, number } } = answer.json()?;
        let major = number.split('.').next().and_then(|major| major.parse::<u32>().ok());
        match (distribution.as_deref(), major) {
            (Some("opensearch"), Some(2..)) => Ok(Self::OpenSearch),
            (None, Some(8..)) => Ok(Self::Elasticsearch),
            (distribution, _) => {
                let found = format!("{} {number}", distribution.unwrap_or("elasticsearch"));
                let reason = format!("expected Elasticsearch 8 or later or OpenSearch 2 or later, found {found}");
                Err(StoreError::Refused { reason })
            }
        }
    }

    pub(super) const fn label_terms(self) -> LabelTerms {
        match self {
            Self::Elasticsearch => LabelTerms::Exact,
            Self::OpenSearch => LabelTerms::Joined,
        }
    }

    /// Returns the settings and mappings generated for this engine.
    pub(super) const fn index_template(self) -> &'static str {
        match self {
            Self::Elasticsearch => include_str!("../../../mappings/elasticsearch.json"),
            Self::OpenSearch => include_str!("../../../mappings/opensearch.json"),
        }
    }
}

impl Product {
    /// Opens a point in time over these indices and returns its id, or `None` if there is no index.
    pub(super) async fn open_point(
        self,
        client: &Client,
        indices: &str,
        preference: &str,
        keep_alive: &str,
    ) -> Result<Option<String>, StoreError> {
        #[derive(Deserialize)]
        struct Opened {
            #[serde(alias = "pit_id")]
            id: String,
        }
        let (call, whole) = match self {
            Self::Elasticsearch => ("_pit", "allow_partial_search_results=false"),
            Self::OpenSearch => ("_search/point_in_time", "allow_partial_pit_creation=false"),
        };
        let copies = format!("{whole}&preference={preference}");
        let path = format!("{indices}/{call}?keep_alive={keep_alive}&{copies}&{}", search::INDICES);
        let answer = require_answer(client.search(&path, "", MAX_ANSWER).await?)?;
        if !answer.is_success() {
            return match self {
                _ if no_such_service(&answer) => Err(no_points(&answer)),
                // OpenSearch cannot open a point over no indices.
                Self::OpenSearch if answer.status == 400 && !has_indices(client, indices).await? => Ok(None),
                Self::Elasticsearch | Self::OpenSearch => Err(answer.failure()),
            };
        }
        answer.json().map(|Opened { id }| Some(id))
    }

    /// Closes a point in time. Errors are ignored, as the engine closes it by itself in the end.
    pub(super) async fn close_point(self, client: &Client, id: &str) {
        let (path, body) = match self {
            Self::Elasticsearch => ("_pit", json!({"id": id})),
            Self::OpenSearch => ("_search/point_in_time", json!({"pit_id": [id]})),
        };
        drop(client.delete_with(path, body.to_string()).await);
    }
}

fn no_points(answer: &Answer) -> StoreError {
    let reason =
        "this engine has no points in time, which are needed to read many events: OpenSearch has them since 2.4";
    StoreError::Refused { reason: format!("{reason}: {}", answer.error()) }
}

async fn has_indices(client: &Client, indices: &str) -> Result<bool, StoreError> {
    let path = format!("{indices}?{}&filter_path=*.settings.index.uuid", search::INDICES);
    let found: BTreeMap<String, Value> = client.get(&path).await?.json()?;
    Ok(!found.is_empty())
}

impl Lifecycle {
    /// Returns the settings that link an index to its policy.
    pub(super) fn index_settings(self, policy: &str, alias: &str) -> Option<(&'static str, Value)> {
        match self {
            Self::Ilm => Some(("lifecycle", json!({"name": policy, "rollover_alias": alias}))),
            Self::Ism => Some(("plugins", json!({"index_state_management": {"rollover_alias": alias}}))),
            Self::Own => None,
        }
    }

    /// Creates the policy if it is absent; returns `false` if the engine runs no policies of this kind. An existing
    /// policy belongs to the operator and is left as it is.
    async fn ensure_policy(self, client: &Client, names: &IndexNames, policy: &Policy) -> Result<bool, StoreError> {
        let (path, body) = match self {
            Self::Ilm => (format!("_ilm/policy/{}", names.policy()), policy.as_ilm()),
            Self::Ism => (format!("_plugins/_ism/policies/{}", names.policy()), policy.as_ism(&names.pattern())),
            Self::Own => return Ok(false),
        };
        let found = client.get(&path).await?;
        match found.status {
            200..300 => return Ok(true),
            404 => {}
            400 | 405 | 410 if no_such_service(&found) => return Ok(false),
            _ => return Err(found.failure()),
        }
        let created = client.put(&path, body.to_string()).await?;
        // 409: another writer was faster.
        if created.is_success() || created.status == 409 { Ok(true) } else { Err(created.failure()) }
    }
}

/// Recognises the answers for a path that no plugin handles, and for one that a hosted product withholds.
fn no_such_service(answer: &Answer) -> bool {
    let error = answer.error();
    error.reason.starts_with("no handler found") || error.is("api_not_available_exception") || answer.status == 405
}
