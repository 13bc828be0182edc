//! Access as a whole, with other systems that follow a script, and with the real secured engine.

mod authority;
mod lockout;
mod secured;

use std::{
    collections::VecDeque,
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    serve::Listener,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::config::{Config, Flag, Sources};

pub(in crate::access) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A scripted stand-in for another system. It repeats the last answer forever, and records request heads.
pub(in crate::access) struct Other {
    pub(in crate::access) url: String,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    script: Arc<Mutex<VecDeque<(u16, Value)>>>,
}

impl Other {
    pub(in crate::access) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::at(url, listener)
    }

    /// Starts one that speaks TLS with a certificate of its own authority; also returns the authority's certificate.
    pub(in crate::access) async fn start_over_tls() -> (Self, String) {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        (Self::at(url, listener), authority.pem())
    }

    fn at<L: Listener<Addr: Debug>>(url: String, listener: L) -> Self {
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let script: Arc<Mutex<VecDeque<(u16, Value)>>> = Arc::default();
        let (record, answers) = (Arc::clone(&seen), Arc::clone(&script));
        let router = Router::new().fallback(move |request: Request| {
            record.lock().unwrap().push((format!("{} {}", request.method(), request.uri()), request.headers().clone()));
            let mut answers = answers.lock().unwrap();
            let (status, body) =
                if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap();
            async move { (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response() }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen, script }
    }

    /// Replaces the script from now on.
    pub(in crate::access) fn answers(&self, script: impl IntoIterator<Item = (u16, Value)>) {
        *self.script.lock().unwrap() = script.into_iter().collect();
    }

    pub(in crate::access) fn seen(&self) -> Vec<(String, HeaderMap)> {
        self.seen.lock().unwrap().drain(..).collect()
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // A client that does not trust it hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

pub(in crate::access) struct Log {
    pub(in crate::access) access: Access,
    pub(in crate::access) key: String,
    _folder: TempDir,
}

impl Log {
    pub(in crate::access) fn new(settings: &[(&str, &str)]) -> Self {
        let flag = |(key, value): &(&str, &str)| Flag {
            name: "--set".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let sources = Sources { flags: settings.iter().map(flag).collect(), ..Sources::default() };
        let config = Config::load(&sources).unwrap().access;
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys::open(folder.path(), NOW).unwrap());
        let key = std::fs::read_to_string(folder.path().join("admin.key")).unwrap().trim().to_owned();
        Self { access: Access::new(&config, keys).unwrap(), key, _folder: folder }
    }

    pub(in crate::access) async fn ask(&self, credentials: &Credentials) -> Identified {
        self.access.identify(credentials, None, NOW).await
    }

    pub(in crate::access) async fn name(&self, authorization: &str) -> Option<String> {
        match self.ask(&shown(authorization)).await {
            Identified::Known(principal) => Some(principal.to_string()),
            Identified::Unknown(_) => None,
            other @ (Identified::Unavailable(_) | Identified::Locked(_)) => panic!("{other:?}"),
        }
    }
}

pub(in crate::access) fn shown(authorization: &str) -> Credentials {
    Credentials::default().with_authorization(authorization)
}

pub(in crate::access) fn basic(login: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:secret")))
}

pub(in crate::access) fn text(role: Role, spaces: &[&str]) -> GrantText {
    GrantText { role, spaces: spaces.iter().map(|name| (*name).to_owned()).collect(), providers: Vec::new() }
}

/// The result of asking whether a reader may read these objects.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::access) enum Asked {
    ByRole,
    ByAuthority,
    Refused,
    Unavailable,
}

impl Log {
    pub(in crate::access) async fn principal(&self, credentials: &Credentials) -> Arc<Principal> {
        match self.ask(credentials).await {
            Identified::Known(principal) => principal,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::access) async fn permit(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        space: &str,
        object_type: &str,
        ids: &[&str],
    ) -> Asked {
        let objects = crate::query::ObjectScope {
            space: crate::event::Space::parse(space).unwrap(),
            object_type: object_type.to_owned(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        match self.access.permit(principal, credentials, objects).await {
            Ok(permit) if permit.is_by_role() => Asked::ByRole,
            Ok(_) => Asked::ByAuthority,
            Err(Denied::Refused) => Asked::Refused,
            Err(Denied::Unavailable(_)) => Asked::Unavailable,
        }
    }
}

pub(in crate::access) fn caller(realm: Realm, name: &str, grants: &[GrantText]) -> Principal {
    let grants = grants.iter().map(|grant| Grant::read(grant).unwrap()).collect();
    Principal { name: name.to_owned(), realm, grants }
}
