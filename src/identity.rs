//! The writer's identity and the secrets it seals with: created at first start, kept in the data folder.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    event::{UnixMillis, Uuid},
    files,
    integrity::SealSecret,
    time::format_time,
};

const WRITER_FILE: &str = "writer.json";

#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error("the data folder {} cannot be created", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("{} {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

/// The folder with all files of one writer, locked while this value lives.
pub struct DataFolder {
    root: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if absent, accessible to its owner only, and locks it.
    pub fn open(root: &Path) -> Result<Self, DataFolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| DataFolderError::Io { path, source }
        };
        files::create_folder(root).map_err(|source| DataFolderError::Folder { path: root.to_owned(), source })?;
        let path = root.join("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io(&path))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataFolderError::InUse(root.to_owned())),
            Err(error) => Err(io(&path)(error.into())),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether a writer has ever used this folder.
    pub fn has_writer(&self) -> bool {
        self.path(WRITER_FILE).exists()
    }

    /// The path of the seal secret: the configured file, or else the folder's own.
    pub fn seal_secret(&self, configured: Option<&Path>) -> PathBuf {
        configured.map_or_else(|| self.path("seal.secret"), Path::to_owned)
    }
}

/// The writer's own identity and secrets.
pub struct Identity {
    /// `kibana.server_uuid`
    pub writer: String,
    pub seal_secret: SealSecret,
    signing_key: SigningKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WriterFile {
    format: u32,
    writer: String,
    created: String,
}

impl Identity {
    /// Reads the identity or creates a new one. `secret_file`, if given, holds the seal secret instead of the data
    /// folder's own file.
    pub fn open(folder: &DataFolder, secret_file: Option<&Path>, now: UnixMillis) -> Result<Self, DataFolderError> {
        let writer = writer_file(&folder.path(WRITER_FILE), now)?;
        let secret = folder.seal_secret(secret_file);
        if secret_file.is_none() {
            create_if_absent(&secret, || Ok(Zeroizing::new(STANDARD.encode(random::<32>()?).into_bytes())))?;
        }
        let seal_secret = read_secret(&secret)?;
        let signing_key = signing_key(&folder.path("signing-key.pem"))?;
        Ok(Self { writer, seal_secret, signing_key })
    }

    /// The Ed25519 public key for this writer's checkpoints, in base64.
    pub fn verifier_key(&self) -> String {
        STANDARD.encode(self.signing_key.verifying_key().as_bytes())
    }
}

fn writer_file(path: &Path, now: UnixMillis) -> Result<String, DataFolderError> {
    create_if_absent(path, || {
        let file = WriterFile { format: 1, writer: Uuid::v4(random()?).to_string(), created: format_time(now) };
        Ok(Zeroizing::new(serde_json::to_vec_pretty(&file).map_err(io::Error::from)?))
    })?;
    let bytes = read(path)?;
    let invalid = |reason: String| DataFolderError::Invalid { path: path.to_owned(), reason };
    let file: WriterFile = serde_json::from_slice(&bytes).map_err(|error| invalid(format!("is not valid: {error}")))?;
    if file.format != 1 {
        return Err(invalid(format!("has format {}, written by a newer version", file.format)));
    }
    Ok(file.writer)
}

fn signing_key(path: &Path) -> Result<SigningKey, DataFolderError> {
    create_if_absent(path, || {
        let pem = SigningKey::from_bytes(&random::<32>()?).to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
        Ok(Zeroizing::new(pem.as_bytes().to_vec()))
    })?;
    let text = read(path)?;
    let invalid =
        || DataFolderError::Invalid { path: path.to_owned(), reason: "is not a private key in PKCS #8".to_owned() };
    SigningKey::from_pkcs8_pem(std::str::from_utf8(&text).map_err(|_| invalid())?).map_err(|_| invalid())
}

/// Reads a secret's file, which holds its base64 or the raw bytes.
pub(crate) fn read_secret(path: &Path) -> Result<SealSecret, DataFolderError> {
    let bytes = read(path)?;
    let decoded = Zeroizing::new(STANDARD.decode(bytes.trim_ascii()).unwrap_or_else(|_| bytes.to_vec()));
    SealSecret::new(decoded).map_err(|error| DataFolderError::Invalid {
        path: path.to_owned(),
        reason: format!("contains no usable seal secret: {error}"),
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, DataFolderError> {
    let io = |source| DataFolderError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "users other than the owner can read this file");
    }
    files::read(path).map(Zeroizing::new).map_err(io)
}

fn create_if_absent(path: &Path, make: impl FnOnce() -> io::Result<Zeroizing<Vec<u8>>>) -> Result<(), DataFolderError> {
    if path.exists() {
        return Ok(());
    }
    make()
        .and_then(|bytes| files::replace(path, &bytes))
        .map_err(|source| DataFolderError::Io { path: path.to_owned(), source })
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
