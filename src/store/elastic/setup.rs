//! The resources of a stream, and how several writers that start at once create them.
//!
//! The order is: the lifecycle policy, then for each stream its index template, then its first index with the write
//! alias. Each step looks first and leaves existing resources alone; a step that another writer has just done counts as
//! done. Indices are always created under an explicit number, one above the highest that exists, so that of two writers
//! that create the next one, one succeeds and the other finds it.
//!
//! An index is **good** if it has its private alias, does not map fields dynamically, and has our mark in its mappings.
//! An index of a series that is not good was created while the template was gone (see below for why that matters), or
//! by an older Annals under a pinned version. It gets no events: the alias is rolled over to a good one.
//!
//! The operator's own fields are added to the template and to the write index that are there, before events are sent.
//!
//! Without its template a rollover would still create an index, with guessed mappings: references would not be nested,
//! and queries would find nothing. It would also lack the private alias that keeps appends exactly-once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    client::{Answer, Client},
    flavor::{Flavor, Lifecycle},
    lifecycle::Policy,
    names::{self, IndexNames},
    own_fields::OwnFields,
};
use crate::{
    event::{Hex, Stream},
    store::StoreError,
};

/// Marks the templates and indices that Annals made.
const MANAGED_BY: &str = "annals";

/// How often to try to create the next index while other writers try as well.
const ATTEMPTS: usize = 4;

/// The series of indices of one stream, which this module maintains.
pub(super) struct Series<'a> {
    pub(super) client: &'a Client,
    pub(super) names: &'a IndexNames,
    pub(super) flavor: Flavor,
    pub(super) own: &'a OwnFields,
    pub(super) alias: String,
}

/// `_meta` of a template and of an index's mappings.
#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    managed_by: Option<String>,
    /// The version of Annals.
    #[serde(default)]
    version: Option<String>,
    /// The hash of the template without its marks.
    #[serde(default)]
    hash: Option<String>,
}

/// The relevant parts of an index, or of one that a template would create.
#[derive(Clone, Debug, Default, Deserialize)]
struct Index {
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
    #[serde(default)]
    mappings: Mappings,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Alias {
    #[serde(default)]
    is_write_index: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Mappings {
    #[serde(default)]
    dynamic: Option<Value>,
    #[serde(default, rename = "_meta")]
    metadata: Metadata,
}

impl<'a> Series<'a> {
    pub(super) fn new(
        client: &'a Client,
        names: &'a IndexNames,
        flavor: Flavor,
        own: &'a OwnFields,
        stream: &Stream,
    ) -> Result<Self, StoreError> {
        Ok(Self { client, names, flavor, own, alias: names.alias(stream)? })
    }

    /// Installs the template if it is absent or by an older Annals, else adds the own fields that it lacks.
    pub(super) async fn ensure_template(&self) -> Result<(), StoreError> {
        let path = format!("_index_template/{}", names::template(&self.alias));
        let template = self.template()?;
        let part = if self.own.is_empty() { "._meta" } else { "" };
        let found = self.client.get(&format!("{path}?filter_path=index_templates.index_template{part}")).await?;
        let body = if found.status == 404 || template.replaces(&found)? {
            template.body
        } else {
            match self.extended(&found)? {
                Some(extended) => extended,
                None => return Ok(()),
            }
        };
        self.client.put(&path, body.to_string()).await?.accepted().map(drop)
    }

    /// Returns the template with the own fields that it lacks, if it lacks any.
    fn extended(&self, found: &Answer) -> Result<Option<Value>, StoreError> {
        /// What can be put; the engines add when it was.
        const PARTS: [&str; 7] =
            ["index_patterns", "template", "composed_of", "priority", "version", "_meta", "allow_auto_create"];
        if self.own.is_empty() {
            return Ok(None);
        }
        let mut found: Value = found.json()?;
        let Some(template) = found.pointer_mut("/index_templates/0/index_template") else { return Ok(None) };
        let place = format!("the index template {}", names::template(&self.alias));
        let Some(mappings) = template.pointer_mut("/template/mappings") else { return Ok(None) };
        if self.own.add_missing(properties(mappings)?, self.flavor.product, &place)?.is_empty() {
            return Ok(None);
        }
        let mut template = template.take();
        if let Value::Object(parts) = &mut template {
            parts.retain(|name, _| PARTS.contains(&name.as_str()));
        }
        Ok(Some(template))
    }

    /// Adds the own fields that an index lacks.
    async fn extend(&self, index: &str) -> Result<(), StoreError> {
        if self.own.are_mapped_by(index) {
            return Ok(());
        }
        let answer = self.client.get(&format!("{index}/_mapping?filter_path=*.mappings.properties")).await?;
        let mut found: BTreeMap<String, Value> = answer.json()?;
        let mapping = found.get_mut(index).and_then(|found| found.get_mut("mappings"));
        let mapping = mapping.ok_or_else(|| answer.unexpected(format_args!("no mapping of {index}")))?;
        let place = format!("the index {index}");
        let added = self.own.add_missing(properties(mapping)?, self.flavor.product, &place)?;
        if !added.is_empty() {
            let body = json!({"properties": added}).to_string();
            self.client.put(&format!("{index}/_mapping"), body).await?.accepted()?;
            tracing::info!(index, "the index now maps the fields of events.fields_file");
        }
        self.own.note_mapped_by(index);
        Ok(())
    }

    /// Returns the alias's write index if it is good, else creates one.
    pub(super) async fn ensure_index(&self) -> Result<String, StoreError> {
        let mut lost_to = None;
        for _ in 0..ATTEMPTS {
            let state = fetch_state(self.client, &self.alias).await?;
            if let Some((name, index)) = state.write_index()
                && self.is_good(name, index)?
            {
                self.extend(name).await?;
                return Ok(name.to_owned());
            }
            self.ensure_template().await?;
            let next = self.next(&state).await?;
            let answer = match &state.write_index {
                Some(_) => self.client.post(&format!("{}/_rollover/{next}", self.alias), "{}").await?,
                None => {
                    let aliases = json!({&self.alias: {"is_write_index": true, "is_hidden": true}});
                    self.client.put(&next, json!({"aliases": aliases}).to_string()).await?
                }
            };
            if !answer.is_success() && !is_lost_race(&answer) {
                return Err(answer.failure());
            }
            lost_to = Some(answer);
        }
        Err(match lost_to {
            Some(answer) => answer.unexpected(format_args!("{} still has no index to write to", self.alias)),
            None => StoreError::Refused { reason: format!("{} has no index to write to", self.alias) },
        })
    }

    /// Rolls over if the policy's conditions are met and the engine does not do so itself.
    pub(super) async fn roll_over_if_due(&self, policy: &Policy) -> Result<(), StoreError> {
        if self.flavor.lifecycle != Lifecycle::Own {
            return Ok(());
        }
        let state = fetch_state(self.client, &self.alias).await?;
        if state.write_index.is_none() {
            return Ok(());
        }
        self.ensure_template().await?;
        let path = format!("{}/_rollover/{}", self.alias, names::index(&self.alias, state.highest + 1));
        let answer = self.client.post(&path, policy.as_rollover().to_string()).await?;
        if is_lost_race(&answer) { Ok(()) } else { answer.accepted().map(drop) }
    }

    /// Returns the name of the next index, after checking that it will be good. With somebody else's template of a
    /// higher priority, it and every later one would be bad.
    async fn next(&self, state: &State) -> Result<String, StoreError> {
        #[derive(Deserialize)]
        struct Simulated {
            #[serde(default)]
            template: Index,
        }
        let next = names::index(&self.alias, state.highest + 1);
        let answer = self.client.post(&format!("_index_template/_simulate_index/{next}"), "").await?;
        let Simulated { template } = answer.json()?;
        if self.is_good(&next, &template)? {
            return Ok(next);
        }
        let ours = names::template(&self.alias);
        let reason = format!("the index {next} would not be made from the template {ours}: another one comes first");
        Err(StoreError::Refused { reason })
    }

    fn is_good(&self, name: &str, index: &Index) -> Result<bool, StoreError> {
        let Mappings { dynamic, metadata } = &index.mappings;
        let is_static = match dynamic {
            Some(Value::Bool(dynamic)) => !dynamic,
            Some(Value::String(dynamic)) => dynamic == "false",
            _ => false,
        };
        if !is_static || !metadata.is_made_by_annals() || !index.aliases.contains_key(&names::writer(name)) {
            return Ok(false);
        }
        Ok(!metadata.is_older() || metadata.hash.as_deref() == Some(&self.template()?.hash))
    }

    fn template(&self) -> Result<Template, StoreError> {
        Template::new(self)
    }
}

/// Returns the alias's current write index.
pub(super) async fn write_index(client: &Client, alias: &str) -> Result<Option<String>, StoreError> {
    Ok(fetch_state(client, alias).await?.write_index)
}

/// Reads all indices of a series, whether its alias has them or not.
async fn fetch_state(client: &Client, alias: &str) -> Result<State, StoreError> {
    let parameters = "ignore_unavailable=true&expand_wildcards=all\
                      &filter_path=*.aliases,*.mappings._meta,*.mappings.dynamic,*.settings.index.uuid";
    let answer = client.get(&format!("{alias},{alias}-*?{parameters}")).await?;
    let indices: BTreeMap<String, Index> = if answer.status == 404 { BTreeMap::new() } else { answer.json()? };
    if indices.contains_key(alias) {
        let reason = format!(
            "{alias} is an index, but has to be an alias: something wrote to it before it was set up. Move its \
             documents elsewhere and delete it"
        );
        return Err(StoreError::Refused { reason });
    }
    Ok(State::new(alias, indices))
}

/// Whether somebody else created the index, or the alias has moved on since it was read.
fn is_lost_race(answer: &Answer) -> bool {
    let error = answer.error();
    error.is("resource_already_exists_exception") || error.is("illegal_state_exception")
}

/// The state of a series.
struct State {
    alias_indices: BTreeMap<String, Index>,
    write_index: Option<String>,
    highest: u32,
}

impl State {
    fn new(alias: &str, indices: BTreeMap<String, Index>) -> Self {
        let of_series = |index: &str| names::alias_of(index).filter(|(of, _)| *of == alias).map(|(_, number)| number);
        let highest = indices.keys().filter_map(|index| of_series(index)).max().unwrap_or(0);
        let mut alias_indices = indices;
        alias_indices.retain(|_, index| index.aliases.contains_key(alias));
        // The only index of an alias is its write index unless it says otherwise.
        let alone = alias_indices.len() == 1;
        let is_written = |index: &Index| index.aliases.get(alias).is_some_and(|a| a.is_write_index.unwrap_or(alone));
        let write_index = alias_indices.iter().find(|(_, index)| is_written(index)).map(|(name, _)| name.clone());
        Self { alias_indices, write_index, highest }
    }

    /// Returns the write index of the alias.
    fn write_index(&self) -> Option<(&str, &Index)> {
        let name = self.write_index.as_deref()?;
        Some((name, self.alias_indices.get(name)?))
    }
}

impl Metadata {
    fn is_made_by_annals(&self) -> bool {
        self.managed_by.as_deref() == Some(MANAGED_BY)
    }

    /// Whether an earlier version of Annals made this.
    fn is_older(&self) -> bool {
        version_numbers(self.version.as_deref()) < version_numbers(Some(VERSION))
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the numbers of a version, for comparison.
fn version_numbers(version: Option<&str>) -> Vec<u64> {
    version.unwrap_or_default().split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// The index template of one stream.
struct Template {
    body: Value,
    hash: String,
}

impl Template {
    fn new(series: &Series<'_>) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Generated {
            #[serde(rename = "_meta")]
            meta: Map<String, Value>,
            template: Parts,
        }
        #[derive(Deserialize)]
        struct Parts {
            settings: Settings,
            mappings: Map<String, Value>,
        }
        #[derive(Deserialize)]
        struct Settings {
            index: Map<String, Value>,
        }
        let Generated { mut meta, template: Parts { settings: Settings { mut index }, mut mappings } } =
            serde_json::from_str(series.flavor.product.index_template())
                .map_err(|error| StoreError::Refused { reason: format!("built-in template: {error}") })?;
        let alias = &series.alias;
        if let Some((key, value)) = series.flavor.lifecycle.index_settings(&series.names.policy(), alias) {
            index.insert(key.to_owned(), value);
        }
        let patterns = json!([format!("{alias}-*")]);
        // Without the own fields, which do not make it another version of the template.
        let hash = fingerprint(&json!([patterns, index, mappings]));
        let metadata = json!({"managed_by": MANAGED_BY, "version": VERSION, "hash": hash});
        mappings.insert("_meta".to_owned(), metadata.clone());
        if let Value::Object(metadata) = metadata {
            meta.extend(metadata);
        }
        let mut mappings = Value::Object(mappings);
        series.own.add_missing(properties(&mut mappings)?, series.flavor.product, "the built-in template")?;
        let body = json!({
            "index_patterns": patterns,
            // If one stream's name begins with another's, the longer pattern has to win.
            "priority": 500 + alias.len(),
            "_meta": meta,
            "template": {
                // The engines substitute the index's name for `{index}`.
                "aliases": {names::writer("{index}"): {"is_hidden": true}},
                "settings": {"index": index},
                "mappings": mappings,
            },
        });
        Ok(Self { body, hash })
    }

    /// Whether this template has to replace the one found: if that has another hash but is not by a newer version.
    /// Changes by an operator are kept, as they do not change the mark.
    fn replaces(&self, found: &Answer) -> Result<bool, StoreError> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            index_templates: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            index_template: IndexTemplate,
        }
        #[derive(Default, Deserialize)]
        struct IndexTemplate {
            #[serde(default, rename = "_meta")]
            metadata: Metadata,
        }
        let Found { index_templates } = found.json()?;
        let metadata =
            index_templates.into_iter().next().map(|entry| entry.index_template.metadata).unwrap_or_default();
        if !metadata.is_made_by_annals() {
            let reason = "an index template of this name exists that Annals did not create: delete it";
            return Err(StoreError::Refused { reason: reason.to_owned() });
        }
        Ok(metadata.hash.as_deref() != Some(&self.hash)
            && version_numbers(metadata.version.as_deref()) <= version_numbers(Some(VERSION)))
    }
}

/// Returns the `properties` of a mapping.
fn properties(mapping: &mut Value) -> Result<&mut Map<String, Value>, StoreError> {
    let unreadable = || StoreError::Refused { reason: "a mapping is not an object".to_owned() };
    let mapping = mapping.as_object_mut().ok_or_else(unreadable)?;
    mapping.entry("properties").or_insert_with(|| json!({})).as_object_mut().ok_or_else(unreadable)
}

fn fingerprint(value: &Value) -> String {
    Hex(Sha256::digest(value.to_string()).get(..16).unwrap_or_default()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(indices: Value) -> State {
        State::new("a-general", serde_json::from_value(indices).unwrap_or_default())
    }

    #[test]
    fn the_write_index_is_the_one_that_says_so() {
        let found = state(json!({
            "a-general-000001": {"aliases": {"a-general": {"is_write_index": false}}},
            "a-general-000002": {"aliases": {"a-general": {"is_write_index": true}}},
            "a-general-000009": {"aliases": {}},
            "a-general-long-000012": {"aliases": {"a-general-long": {"is_write_index": true}}},
        }));
        assert_eq!(found.write_index.as_deref(), Some("a-general-000002"));
        assert_eq!(found.highest, 9, "an index counts that lost its alias, one of another stream does not");
    }

    #[test]
    fn an_alias_of_one_index_is_written_through_it() {
        let found = state(json!({"a-general-000001": {"aliases": {"a-general": {}}}}));
        assert_eq!(found.write_index.as_deref(), Some("a-general-000001"));
        let found = state(json!({
            "a-general-000001": {"aliases": {"a-general": {}}},
            "a-general-000002": {"aliases": {"a-general": {}}},
        }));
        assert_eq!(found.write_index, None);
        assert_eq!(state(json!({})).write_index, None);
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert!(version_numbers(Some("0.9.0")) < version_numbers(Some("0.10.0")));
        assert!(version_numbers(None) < version_numbers(Some("0.1.0")));
        assert_eq!(version_numbers(Some("1.2.3-rc")), version_numbers(Some("1.2.3")));
    }
}
