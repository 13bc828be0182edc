//! The log's own API keys.
//!
//! A key is `annals_` and 256 random bits in base64url. It cannot be guessed, so a plain hash of it is enough; only its
//! owner has its text. The first start creates one key, `admin`, and writes its text to `admin.key`, mode 0600, for the
//! operator to collect. Keys are created and revoked only through the service's API while it runs; a change is on disk
//! before it takes effect.

mod file;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::principal::{Grant, Principal, Realm, Role};
use crate::{event::UnixMillis, files, time::format_time, units::Secret};

const KEYS_FILE: &str = "api-keys.json";
const ADMIN_FILE: &str = "admin.key";
const ADMIN: &str = "admin";
/// Prefix of every key, so that a leaked key is recognised and no key is ever shown to another system.
pub(super) const PREFIX: &str = "annals_";
/// Maximum number of keys; each request is compared with all of them.
const MAX_KEYS: usize = 10_000;
/// Maximum size of one key's grants as text: they are in an event, too.
const MAX_GRANTS_BYTES: usize = 64 << 10;

pub struct Keys {
    path: PathBuf,
    current: RwLock<Arc<Vec<Key>>>,
    /// Held while the file is written, so that concurrent changes do not overwrite one another.
    changing: Mutex<()>,
    /// The latest time at which a key was looked up: a clock that is set back must not make an expired key valid again.
    latest: AtomicI64,
}

#[derive(Clone)]
struct Key {
    info: KeyInfo,
    principal: Arc<Principal>,
    sha256: [u8; 32],
}

impl Key {
    fn new(info: KeyInfo, sha256: [u8; 32]) -> Self {
        let principal = Principal { name: info.name.clone(), realm: Realm::ApiKey, grants: info.grants.clone() };
        Self { info, principal: Arc::new(principal), sha256 }
    }
}

/// The public properties of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    pub name: String,
    /// A time as in events.
    pub created: String,
    pub created_by: Option<String>,
    pub expires: Option<UnixMillis>,
    pub grants: Vec<Grant>,
}

impl KeyInfo {
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn is_permanent_admin(&self) -> bool {
        self.expires.is_none() && self.grants.iter().any(|grant| grant.role() == Role::Admin)
    }
}

/// The properties of a key to create.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub grants: Vec<Grant>,
    pub expires: Option<UnixMillis>,
}

/// The result of looking up a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLookup {
    /// A valid key.
    Key(Arc<Principal>),
    /// The key of this name has expired.
    Expired {
        name: String,
    },
    Unknown,
}

/// Why the keys cannot be read or created.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{}: cannot be {what}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{}: {reason}; fix it, or move it away to get a new admin key", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("no random bytes for a new key: {0}")]
    Random(String),
}

impl KeysError {
    fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, source }
    }
}

/// Why a change of the keys was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("name: expected 1 to 64 letters, digits, dots, hyphens and underscores, and not only dots; found {0:?}")]
    BadName(String),
    #[error("grants: expected at least one")]
    NoGrants,
    #[error("grants: expected at most {MAX_GRANTS_BYTES} bytes of roles, spaces and providers; found {0}")]
    LargeGrants(usize),
    #[error("expires: expected a time in the future")]
    Past,
    #[error("a key named {0:?} already exists")]
    NameTaken(String),
    #[error("there is no key named {0:?}")]
    Absent(String),
    #[error("{0:?} is the last admin key without expiry; create another one first")]
    LastAdmin(String),
    #[error("there are already {MAX_KEYS} keys, the maximum")]
    TooMany,
    #[error(transparent)]
    Write(#[from] KeysError),
}

impl Keys {
    /// Reads the keys of this data folder; creates the folder and the admin key if there are no keys yet.
    pub fn open(data_dir: &Path, now: UnixMillis) -> Result<Self, KeysError> {
        let path = data_dir.join(KEYS_FILE);
        let bytes = match files::read_if_exists(&path).map_err(|source| KeysError::io(&path, "read", source))? {
            Some(bytes) => bytes,
            None => create(data_dir, &path, now)?,
        };
        warn_if_exposed(&path);
        warn_if_exposed(&data_dir.join(ADMIN_FILE));
        let corrupt = |reason| KeysError::Corrupt { path: path.clone(), reason };
        let file::Parsed { keys, is_old } = file::parse(&bytes).map_err(corrupt)?;
        if is_old {
            write(&path, &keys)?;
            tracing::info!(file = %path.display(), "upgraded the key file to the format of this version");
        }
        Ok(Self { path, current: RwLock::new(Arc::new(keys)), changing: Mutex::new(()), latest: AtomicI64::new(now.0) })
    }

    /// The owner of this key. Takes the same time wherever the key is found, and if it is not.
    pub fn look_up(&self, key: &str, now: UnixMillis) -> KeyLookup {
        let now = UnixMillis(self.latest.fetch_max(now.0, Ordering::Relaxed).max(now.0));
        let digest = hash(key);
        let keys = self.current();
        let mut found = u64::MAX;
        for (index, key) in (0_u64..).zip(keys.iter()) {
            let same: Choice = key.sha256.ct_eq(&digest);
            found.conditional_assign(&index, same);
        }
        match usize::try_from(found).ok().and_then(|index| keys.get(index)) {
            Some(key) if key.info.is_expired(now) => KeyLookup::Expired { name: key.info.name.clone() },
            Some(key) => KeyLookup::Key(Arc::clone(&key.principal)),
            None => KeyLookup::Unknown,
        }
    }

    /// All keys, in order of creation.
    pub fn list(&self) -> Vec<KeyInfo> {
        self.current().iter().map(|key| key.info.clone()).collect()
    }

    /// Creates a key, which is valid and on disk on return. Its text is returned only here. `record` is called once
    /// nothing but the disk can prevent that; its failure does. Blocks on the disk.
    pub fn create<E: From<ChangeError>>(
        &self,
        new: NewKey,
        by: &Principal,
        now: UnixMillis,
        record: impl FnOnce(&KeyInfo) -> Result<(), E>,
    ) -> Result<(KeyInfo, Secret), E> {
        check_new(&new, now)?;
        let NewKey { name, grants, expires } = new;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.current().to_vec();
        if keys.iter().any(|key| key.info.name == name) {
            return Err(ChangeError::NameTaken(name).into());
        }
        if keys.len() >= MAX_KEYS {
            return Err(ChangeError::TooMany.into());
        }
        let text = random_key().map_err(ChangeError::from)?;
        let created_by = Some(by.to_string());
        let info = KeyInfo { name, created: format_time(now), created_by, expires, grants };
        keys.push(Key::new(info.clone(), hash(&text)));
        record(&info)?;
        self.replace(keys).map_err(ChangeError::from)?;
        Ok((info, Secret::new(text.as_str())))
    }

    /// Revokes a key from the next request on. `record` is called as in [`Self::create`]. Blocks on the disk.
    pub fn revoke<E: From<ChangeError>>(
        &self,
        name: &str,
        record: impl FnOnce(&KeyInfo) -> Result<(), E>,
    ) -> Result<KeyInfo, E> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.current().to_vec();
        let Some(at) = keys.iter().position(|key| key.info.name == name) else {
            return Err(ChangeError::Absent(name.to_owned()).into());
        };
        let Key { info, .. } = keys.remove(at);
        if !keys.iter().any(|key| key.info.is_permanent_admin()) {
            return Err(ChangeError::LastAdmin(name.to_owned()).into());
        }
        record(&info)?;
        self.replace(keys).map_err(ChangeError::from)?;
        Ok(info)
    }

    fn replace(&self, keys: Vec<Key>) -> Result<(), KeysError> {
        write(&self.path, &keys)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    fn current(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn check_new(new: &NewKey, now: UnixMillis) -> Result<(), ChangeError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_plain = (1..=64).contains(&new.name.len()) && new.name.bytes().all(fits);
    // Otherwise the name could not be the end of a URL path.
    if !is_plain || new.name.bytes().all(|byte| byte == b'.') {
        return Err(ChangeError::BadName(new.name.chars().take(64).collect()));
    }
    if new.grants.is_empty() {
        return Err(ChangeError::NoGrants);
    }
    let bytes = new.grants.iter().map(|grant| grant.text().bytes()).sum();
    if bytes > MAX_GRANTS_BYTES {
        return Err(ChangeError::LargeGrants(bytes));
    }
    if new.expires.is_some_and(|expires| expires <= now) { Err(ChangeError::Past) } else { Ok(()) }
}

/// Writes the key's text to disk before its hash: a crash in between leads to a new key at the next start, never to a
/// log that nobody can access.
fn create(data_dir: &Path, path: &Path, now: UnixMillis) -> Result<Vec<u8>, KeysError> {
    files::create_folder(data_dir).map_err(|source| KeysError::io(data_dir, "created", source))?;
    let admin = data_dir.join(ADMIN_FILE);
    let text = random_key()?;
    let line = Zeroizing::new(format!("{}\n", text.as_str()));
    files::replace(&admin, line.as_bytes()).map_err(|source| KeysError::io(&admin, "written", source))?;
    let grants = vec![Grant::admin()];
    let info = KeyInfo { name: ADMIN.to_owned(), created: format_time(now), created_by: None, expires: None, grants };
    let bytes = write(path, &[Key::new(info, hash(&text))])?;
    tracing::info!(file = %admin.display(), "created the API key `admin`");
    Ok(bytes)
}

/// Returns the bytes written.
fn write(path: &Path, keys: &[Key]) -> Result<Vec<u8>, KeysError> {
    let bytes = file::write(keys).map_err(|error| KeysError::io(path, "written", error.into()))?;
    files::replace(path, &bytes).map_err(|source| KeysError::io(path, "written", source))?;
    Ok(bytes)
}

fn random_key() -> Result<Zeroizing<String>, KeysError> {
    let mut bits = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bits.as_mut_slice()).map_err(|error| KeysError::Random(error.to_string()))?;
    Ok(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits.as_slice()))))
}

fn warn_if_exposed(path: &Path) {
    if is_exposed(path) {
        tracing::warn!(file = %path.display(), "users other than the owner can open this file: set its mode to 600");
    }
}

fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
