//! The lifecycle policy, `ilm/policy.json`, translated for each engine.

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::{Map, Value, json};

/// The policy in Elasticsearch's format. It may only contain rollover, and deletion some time after it, which every
/// engine supports. Anything else fails to load, so that no engine silently runs a different policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// The unchanged file.
    source: Value,
    phases: Phases,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: Body,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default, rename = "_meta")]
    _meta: Value,
    phases: Phases,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phases {
    hot: Hot,
    #[serde(default)]
    delete: Option<Delete>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hot {
    #[serde(default, rename = "min_age")]
    _min_age: Option<String>,
    actions: HotActions,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HotActions {
    rollover: Conditions,
}

/// When to roll over: as soon as one condition is met.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Conditions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_size: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_docs: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// The age since the rollover.
    min_age: String,
    #[serde(rename = "actions")]
    _actions: DeleteActions,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteActions {
    #[serde(rename = "delete")]
    _delete: Map<String, Value>,
}

impl Policy {
    /// Returns the built-in policy.
    pub(super) fn built_in() -> Result<Self, serde_json::Error> {
        Self::read(include_str!("../../../ilm/policy.json"))
    }

    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let File { policy: Body { phases, .. } } = serde_json::from_str(text)?;
        let Conditions { max_size, max_age, max_docs } = &phases.hot.actions.rollover;
        if max_size.is_none() && max_age.is_none() && max_docs.is_none() {
            return Err(serde_json::Error::custom("a rollover without max_size, max_age or max_docs never happens"));
        }
        Ok(Self { source: serde_json::from_str(text)?, phases })
    }

    /// Returns the body of `PUT _ilm/policy/…`.
    pub(super) fn as_ilm(&self) -> Value {
        self.source.clone()
    }

    /// Returns the body of `PUT _plugins/_ism/policies/…`, for indices of these names.
    pub(super) fn as_ism(&self, pattern: &str) -> Value {
        let Conditions { max_size, max_age, max_docs } = &self.phases.hot.actions.rollover;
        let mut rollover = Map::new();
        rollover.extend(max_size.clone().map(|size| ("min_size".to_owned(), size.into())));
        rollover.extend(max_age.clone().map(|age| ("min_index_age".to_owned(), age.into())));
        rollover.extend(max_docs.map(|count| ("min_doc_count".to_owned(), count.into())));
        let (to_delete, delete) = match &self.phases.delete {
            Some(Delete { min_age, .. }) => (
                vec![json!({"state_name": "delete", "conditions": {"min_rollover_age": min_age}})],
                Some(json!({"name": "delete", "actions": [{"delete": {}}], "transitions": []})),
            ),
            None => (Vec::new(), None),
        };
        let hot = json!({"name": "hot", "actions": [{"rollover": rollover}], "transitions": to_delete});
        let states: Vec<Value> = [hot].into_iter().chain(delete).collect();
        json!({"policy": {
            "description": "Event log of Annals. Created if absent, never changed afterwards.",
            "default_state": "hot",
            "states": states,
            "ism_template": [{"index_patterns": [pattern], "priority": 100}],
        }})
    }

    /// Returns the body of `POST {alias}/_rollover/…`, with the same conditions, in a form that all engines accept.
    pub(super) fn as_rollover(&self) -> Value {
        json!({"conditions": self.phases.hot.actions.rollover})
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"policy":{"phases":{
        "hot":{"actions":{"rollover":{"max_size":"50gb","max_age":"30d"}}},
        "delete":{"min_age":"90d","actions":{"delete":{}}}}}}"#;

    #[test]
    fn the_built_in_policy_is_understood_whole() {
        let policy = Policy::built_in().unwrap();
        assert!(policy.phases.delete.is_some());
        assert!(policy.as_rollover()["conditions"].as_object().is_some_and(|conditions| !conditions.is_empty()));
    }

    #[test]
    fn every_engine_gets_the_same_policy() {
        let policy = Policy::read(POLICY).unwrap();
        assert_eq!(policy.as_ilm(), serde_json::from_str::<Value>(POLICY).unwrap());
        assert_eq!(policy.as_rollover(), json!({"conditions": {"max_size": "50gb", "max_age": "30d"}}));
        let ism = policy.as_ism(".annals-event-log-*");
        assert_eq!(
            ism["policy"]["states"],
            json!([
                {"name": "hot", "actions": [{"rollover": {"min_size": "50gb", "min_index_age": "30d"}}],
                 "transitions": [{"state_name": "delete", "conditions": {"min_rollover_age": "90d"}}]},
                {"name": "delete", "actions": [{"delete": {}}], "transitions": []},
            ])
        );
        assert_eq!(ism["policy"]["ism_template"][0]["index_patterns"], json!([".annals-event-log-*"]));
        assert_eq!(ism["policy"]["default_state"], "hot");
    }

    #[test]
    fn a_policy_that_not_every_engine_supports_is_refused() {
        let refused = |from: &str, to: &str| Policy::read(&POLICY.replace(from, to)).unwrap_err().to_string();
        assert!(refused("max_age", "max_primary_shard_docs").contains("unknown field `max_primary_shard_docs`"));
        assert!(refused("\"delete\":{\"min_age\"", "\"warm\":{\"min_age\"").contains("unknown field `warm`"));
        assert!(refused("\"max_size\":\"50gb\",\"max_age\":\"30d\"", "").contains("never happens"));
    }
}
