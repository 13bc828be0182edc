//! PEM files with certificates of certificate authorities.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reqwest::Certificate;

/// Why a `ca_file` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    #[error("ca_file: cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("ca_file: expected PEM certificates in {}", path.display())]
    NoCertificates { path: PathBuf },
}

/// The file parsed by `parse`, which returns `None` for bytes that are not certificates.
pub(crate) fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, CaFileError> {
    let pem = fs::read(path).map_err(|source| CaFileError::Read { path: path.to_owned(), source })?;
    parse(&pem).ok_or_else(|| CaFileError::NoCertificates { path: path.to_owned() })
}

/// The certificates, at least one, for a reqwest client.
pub(crate) fn read_for_reqwest(path: &Path) -> Result<Vec<Certificate>, CaFileError> {
    read(path, |pem| Certificate::from_pem_bundle(pem).ok().filter(|certificates| !certificates.is_empty()))
}
