//! TLS for the listener: reads the certificate and its key from files, and reloads them when they change.
//!
//! New connections use the renewed pair; open connections continue. A pair that cannot be used is reported and the previous
//! one is kept, so that a half-written renewal does not break the service.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use zeroize::Zeroizing;

/// A certificate and key that are reloaded when their files change.
pub struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    opened: Pair,
    current: RwLock<TlsAcceptor>,
}

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("server.tls: cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("server.tls.cert_file: expected PEM certificates in {}", path.display())]
    Certificates { path: PathBuf },
    #[error("server.tls.key_file: expected a PEM private key in {}", path.display())]
    Key { path: PathBuf },
    #[error("server.tls: the certificate in {} and the key in {} cannot be used together", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Tls {
    pub fn open(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let (cert_file, key_file) = (cert_file.to_owned(), key_file.to_owned());
        let opened = read(&cert_file, &key_file)?;
        let current = RwLock::new(opened.acceptor(&cert_file, &key_file)?);
        Ok(Self { cert_file, key_file, opened, current })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks periodically whether the files have changed; never returns.
    pub async fn watch(&self, every: Duration) {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Pair> = None;
        loop {
            turns.tick().await;
            let found = read(&self.cert_file, &self.key_file);
            if found.as_ref().is_ok_and(|found| found == last.as_ref().unwrap_or(&self.opened)) {
                continue;
            }
            let renewed = found.and_then(|pair| {
                let acceptor = pair.acceptor(&self.cert_file, &self.key_file);
                last = Some(pair);
                acceptor
            });
            match renewed {
                Ok(acceptor) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
                    tracing::info!(file = %self.cert_file.display(), "the certificate has changed and is used from now on");
                }
                Err(error) => {
                    let reason = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, reason, "the certificate has changed and cannot be used; the one before is kept");
                }
            }
        }
    }
}

fn read(cert_file: &Path, key_file: &Path) -> Result<Pair, TlsError> {
    let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source });
    Ok(Pair { cert: read(cert_file)?, key: Zeroizing::new(read(key_file)?) })
}

impl Pair {
    fn acceptor(&self, cert_file: &Path, key_file: &Path) -> Result<TlsAcceptor, TlsError> {
        let bad_certificates = || TlsError::Certificates { path: cert_file.to_owned() };
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&self.cert).collect::<Result<_, _>>().map_err(|_| bad_certificates())?;
        if certificates.is_empty() {
            return Err(bad_certificates());
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Key { path: key_file.to_owned() })?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key));
        let mut config =
            config.map_err(|source| TlsError::Pair { cert: cert_file.to_owned(), key: key_file.to_owned(), source })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
