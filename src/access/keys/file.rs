//! `api-keys.json` in the data folder, mode 0600.
//!
//! Version 2: `{"version": 2, "keys": [{"name", "sha256", "created", "created_by"?, "expires"?, "grants": [{"role",
//! "spaces"?, "providers"?}]}]}`. `sha256` is the hash of the key's text, in lower-case hex; times are as in events;
//! `created_by` is the caller who created the key. In version 1 a key had neither `created_by`, `expires` nor `grants`,
//! and had the rights of an admin.

use serde::{Deserialize, Serialize};

use super::{Key, KeyInfo};
use crate::{
    access::principal::{Grant, GrantText, Role},
    event::{Hex, UnixMillis},
    time::format_time,
};

const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    version: u32,
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    sha256: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    grants: Vec<GrantText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstKeysFile {
    #[expect(dead_code, reason = "it was looked at before")]
    version: u32,
    keys: Vec<FirstKeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstKeyEntry {
    name: String,
    sha256: String,
    created: String,
}

/// The contents of a file.
pub(super) struct Parsed {
    pub(super) keys: Vec<Key>,
    /// Whether it has an older version and needs rewriting.
    pub(super) is_old: bool,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let bad = |error: serde_json::Error| format!("not a file of API keys: {error}");
    let Versioned { version } = serde_json::from_slice(bytes).map_err(bad)?;
    let entries = match version {
        1 => {
            serde_json::from_slice::<FirstKeysFile>(bytes).map_err(bad)?.keys.into_iter().map(KeyEntry::from).collect()
        }
        VERSION => serde_json::from_slice::<KeysFile>(bytes).map_err(bad)?.keys,
        other => return Err(format!("expected version {VERSION}, found {other}")),
    };
    if entries.is_empty() {
        return Err("expected at least one key, found none".to_owned());
    }
    let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        if entry.name.is_empty() || keys.iter().any(|key| key.info.name == entry.name) {
            return Err(format!("keys[{index}].name: expected a unique name, found {:?}", entry.name));
        }
        keys.push(read(entry).map_err(|reason| format!("keys[{index}].{reason}"))?);
    }
    Ok(Parsed { keys, is_old: version != VERSION })
}

impl From<FirstKeyEntry> for KeyEntry {
    fn from(FirstKeyEntry { name, sha256, created }: FirstKeyEntry) -> Self {
        let grants = vec![GrantText { role: Role::Admin, spaces: Vec::new(), providers: Vec::new() }];
        Self { name, sha256, created, created_by: None, expires: None, grants }
    }
}

fn read(entry: KeyEntry) -> Result<Key, String> {
    let KeyEntry { name, sha256, created, created_by, expires, grants } = entry;
    let sha256 = unhex(&sha256).ok_or("sha256: expected 64 hex digits")?;
    let grant = |(index, text)| Grant::read(text).map_err(|error| format!("grants[{index}].{error}"));
    let grants = grants.iter().enumerate().map(grant).collect::<Result<_, _>>()?;
    let expires = expires.as_deref().map(time).transpose().map_err(|text| format!("expires: {text}"))?;
    Ok(Key::new(KeyInfo { name, created, created_by, expires, grants }, sha256))
}

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::parse(text).ok_or_else(|| format!("expected a time, found {text:?}"))
}

pub(super) fn write(keys: &[Key]) -> serde_json::Result<Vec<u8>> {
    let entry = |key: &Key| KeyEntry {
        name: key.info.name.clone(),
        sha256: Hex(&key.sha256).to_string(),
        created: key.info.created.clone(),
        created_by: key.info.created_by.clone(),
        expires: key.info.expires.map(format_time),
        grants: key.info.grants.iter().map(Grant::text).collect(),
    };
    let file = KeysFile { version: VERSION, keys: keys.iter().map(entry).collect() };
    let mut bytes = serde_json::to_vec_pretty(&file)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| {
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            u8::try_from(high << 4 | low).ok()
        })
        .collect();
    bytes?.try_into().ok()
}
