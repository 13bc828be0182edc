//! The API keys that open this log.
//!
//! `api-keys.json` in the data folder, mode 0600, holds a name, the SHA-256 of the key's text and a time for each key; the
//! text itself is nowhere but with its owner. A key is `annals_` and 256 random bits in base64url, so a plain hash is enough:
//! there is nothing to guess. The first start makes one key, `admin`, and leaves its text in `admin.key`, mode 0600, from
//! where the operator takes it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::Principal;
use crate::{event::UnixMillis, files, time::format_time};

const KEYS_FILE: &str = "api-keys.json";
const ADMIN_FILE: &str = "admin.key";
const ADMIN: &str = "admin";
const VERSION: u32 = 1;

/// The keys that are known.
pub struct Keys {
    keys: Vec<Key>,
}

struct Key {
    name: String,
    sha256: [u8; 32],
}

/// Why the keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{}: cannot be {what}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{}: {reason}; mend it, or move it away to have a new admin key made", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("no random bytes for a new key: {0}")]
    Random(String),
}

impl KeysError {
    fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, source }
    }
}

/// The file as it is on disk.
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
    /// Lower-case hex.
    sha256: String,
    created: String,
}

impl Keys {
    /// Reads the keys of this data folder; makes the folder and the admin key if there are no keys yet.
    pub fn open(data_dir: &Path, now: UnixMillis) -> Result<Self, KeysError> {
        let path = data_dir.join(KEYS_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(data_dir, &path, now)?,
            Err(source) => return Err(KeysError::io(&path, "read", source)),
        };
        warn_if_exposed(&path);
        warn_if_exposed(&data_dir.join(ADMIN_FILE));
        parse(&bytes).map_err(|reason| KeysError::Corrupt { path, reason })
    }

    /// Who this key belongs to. Takes the same time whether and wherever it is found.
    pub fn principal(&self, key: &str) -> Option<Principal> {
        let presented = hash(key);
        let mut found = u64::MAX;
        for (index, key) in (0_u64..).zip(&self.keys) {
            let same: Choice = key.sha256.ct_eq(&presented);
            found.conditional_assign(&index, same);
        }
        let key = self.keys.get(usize::try_from(found).ok()?)?;
        Some(Principal { name: key.name.clone() })
    }
}

/// The text goes to disk before its hash does: a crash between the two leads to a new key at the next start, never to a
/// log that nobody can open.
fn create(data_dir: &Path, path: &Path, now: UnixMillis) -> Result<Vec<u8>, KeysError> {
    fs::create_dir_all(data_dir).map_err(|source| KeysError::io(data_dir, "created", source))?;
    let admin = data_dir.join(ADMIN_FILE);
    let text = random_key()?;
    let line = Zeroizing::new(format!("{}\n", text.as_str()));
    files::replace(&admin, line.as_bytes()).map_err(|source| KeysError::io(&admin, "written", source))?;
    let entry = KeyEntry { name: ADMIN.to_owned(), sha256: hex(&hash(&text)), created: format_time(now) };
    let file = KeysFile { version: VERSION, keys: vec![entry] };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| KeysError::io(path, "written", error.into()))?;
    bytes.push(b'\n');
    files::replace(path, &bytes).map_err(|source| KeysError::io(path, "written", source))?;
    tracing::info!(file = %admin.display(), "made the API key `admin`");
    Ok(bytes)
}

fn random_key() -> Result<Zeroizing<String>, KeysError> {
    let mut bits = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bits.as_mut_slice()).map_err(|error| KeysError::Random(error.to_string()))?;
    Ok(Zeroizing::new(format!("annals_{}", URL_SAFE_NO_PAD.encode(bits.as_slice()))))
}

fn parse(bytes: &[u8]) -> Result<Keys, String> {
    let file: KeysFile = serde_json::from_slice(bytes).map_err(|error| format!("not a file of API keys: {error}"))?;
    if file.version != VERSION {
        return Err(format!("expected version {VERSION}, found {}", file.version));
    }
    if file.keys.is_empty() {
        return Err("expected at least one key, found none".to_owned());
    }
    let mut keys: Vec<Key> = Vec::with_capacity(file.keys.len());
    for (index, entry) in file.keys.into_iter().enumerate() {
        let sha256 = unhex(&entry.sha256).ok_or_else(|| format!("keys[{index}].sha256: expected 64 hex digits"))?;
        if entry.name.is_empty() || keys.iter().any(|key| key.name == entry.name) {
            return Err(format!("keys[{index}].name: expected a name of its own, found {:?}", entry.name));
        }
        keys.push(Key { name: entry.name, sha256 });
    }
    Ok(Keys { keys })
}

fn warn_if_exposed(path: &Path) {
    if is_exposed(path) {
        tracing::warn!(file = %path.display(), "others than the owner can open this file: set its mode to 600");
    }
}

fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn admin_key(folder: &Path) -> String {
        fs::read_to_string(folder.join(ADMIN_FILE)).unwrap().trim().to_owned()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_one_key_that_later_starts_know() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let keys = Keys::open(&data, NOW).unwrap();
        let admin = admin_key(&data);
        assert_eq!(keys.principal(&admin), Some(Principal { name: "admin".to_owned() }));

        let again = Keys::open(&data, UnixMillis(0)).unwrap();
        assert_eq!(admin_key(&data), admin);
        assert!(again.principal(&admin).is_some());
    }

    #[test]
    fn only_the_very_key_opens() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), NOW).unwrap();
        let admin = admin_key(folder.path());
        for wrong in ["", "admin", &admin.to_uppercase(), &admin[1..], &format!("{admin} "), &hex(&hash(&admin))] {
            assert_eq!(keys.principal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_key_has_its_own_name() {
        let file = format!(
            r#"{{"version":1,"keys":[{{"name":"a","sha256":"{}","created":""}},{{"name":"b","sha256":"{}","created":""}}]}}"#,
            hex(&hash("one")),
            hex(&hash("two"))
        );
        let keys = parse(file.as_bytes()).unwrap();
        assert_eq!(keys.principal("one").unwrap().name, "a");
        assert_eq!(keys.principal("two").unwrap().name, "b");
    }

    #[test]
    fn the_folder_holds_no_key_but_the_admins_and_nobody_else_can_read_either_file() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path(), NOW).unwrap();
        let stored = fs::read_to_string(folder.path().join(KEYS_FILE)).unwrap();
        assert!(!stored.contains(&admin_key(folder.path())));
        assert!(stored.contains("2023-11-14T22:13:20.000Z"), "{stored}");
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, [ADMIN_FILE, KEYS_FILE]);
        assert!(files.iter().all(|file| mode(&folder.path().join(file)) == 0o600));
    }

    #[test]
    fn a_crash_before_the_hash_is_kept_leads_to_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path(), NOW).unwrap();
        let lost = admin_key(folder.path());
        fs::remove_file(folder.path().join(KEYS_FILE)).unwrap();
        let keys = Keys::open(folder.path(), NOW).unwrap();
        assert!(keys.principal(&lost).is_none());
        assert!(keys.principal(&admin_key(folder.path())).is_some());
    }

    #[test]
    fn a_file_that_others_can_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEYS_FILE);
        Keys::open(folder.path(), NOW).unwrap();
        assert!(!is_exposed(&path));
        for exposed in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
            assert!(is_exposed(&path), "{exposed:o}");
        }
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it_and_is_left_alone() {
        let good = hex(&hash("x"));
        let entry = |name: &str, sha256: &str| format!(r#"{{"name":"{name}","sha256":"{sha256}","created":""}}"#);
        let file = |keys: &str| format!(r#"{{"version":1,"keys":[{keys}]}}"#);
        let cases = [
            (String::new(), "not a file of API keys"),
            ("{".to_owned(), "not a file of API keys"),
            (r#"{"version":2,"keys":[]}"#.to_owned(), "expected version 1, found 2"),
            (file(""), "expected at least one key"),
            (file(&entry("a", "12")), "keys[0].sha256: expected 64 hex digits"),
            (file(&entry("a", &"é".repeat(32))), "keys[0].sha256: expected 64 hex digits"),
            (file(&format!("{},{}", entry("a", &good), entry("a", &good))), "keys[1].name"),
            (file(&entry("", &good)), "keys[0].name"),
            (file(&entry("a", &good).replace("name", "nick")), "nick"),
        ];
        for (text, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(KEYS_FILE);
            fs::write(&path, &text).unwrap();
            let error = Keys::open(folder.path(), NOW).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains(KEYS_FILE), "{text:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
