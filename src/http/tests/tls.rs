//! TLS over real sockets.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{net::TcpListener, time::timeout};

use crate::http::{Connections, PerAddress, Tls, serve};

const LONG: Duration = Duration::from_secs(60);
const LIMITS: Connections =
    Connections { max: 10, first_head_timeout: LONG, header_timeout: LONG, write_timeout: LONG, drain: LONG };

/// Writes a new pair; returns the certificate.
fn write_pair(folder: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

fn open(folder: &Path) -> Result<Tls, String> {
    Tls::open(&folder.join("cert.pem"), &folder.join("key.pem")).map_err(|error| error.to_string())
}

async fn start(tls: Arc<Tls>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    tokio::spawn(serve(listener, Some(tls), router, std::future::pending(), LIMITS, PerAddress::unbounded()));
    address
}

/// A client that trusts only this certificate.
fn client(certificate: &str, address: SocketAddr) -> reqwest::Client {
    let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_built_in_root_certs(false);
    client.add_root_certificate(certificate).resolve("localhost", address).build().unwrap()
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> Option<String> {
    let answer = client.get(format!("https://localhost:{}/", address.port())).send().await.ok()?;
    Some(answer.text().await.unwrap())
}

#[tokio::test]
async fn connections_are_encrypted_and_authenticated() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_pair(folder.path());
    let address = start(Arc::new(open(folder.path()).unwrap())).await;
    assert_eq!(ask(&client(&certificate, address), address).await.as_deref(), Some("hello"));
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    assert_eq!(ask(&client(&other, address), address).await, None);
    assert!(reqwest::get(format!("http://{address}/")).await.is_err(), "plain HTTP gets no answer");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_for_new_connections_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_pair(folder.path());
    let tls = Arc::new(open(folder.path()).unwrap());
    let address = start(Arc::clone(&tls)).await;
    let watched = Arc::clone(&tls);
    tokio::spawn(async move { watched.watch(Duration::from_millis(5)).await });
    let open_before = client(&first, address);
    assert!(ask(&open_before, address).await.is_some());

    // A certificate without its key, as in the middle of a renewal, and then an invalid certificate.
    let good = fs::read(folder.path().join("key.pem")).unwrap();
    write_pair(folder.path());
    fs::write(folder.path().join("key.pem"), &good).unwrap();
    assert!(ask(&client(&first, address), address).await.is_some());
    fs::write(folder.path().join("cert.pem"), "nothing").unwrap();
    assert!(ask(&client(&first, address), address).await.is_some());

    let second = write_pair(folder.path());
    let renewed = async {
        while ask(&client(&second, address), address).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), renewed).await.unwrap();
    assert!(ask(&client(&first, address), address).await.is_none());
    assert!(ask(&open_before, address).await.is_some(), "a connection that was open goes on");
}

#[tokio::test]
async fn the_error_for_mismatched_files_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(open(folder.path()).err().unwrap().contains("cert.pem"));
    write_pair(folder.path());
    let key = fs::read(path("key.pem")).unwrap();
    fs::write(path("key.pem"), "nothing").unwrap();
    assert!(open(folder.path()).err().unwrap().contains("expected a PEM private key in"));
    write_pair(folder.path());
    fs::write(path("key.pem"), key).unwrap();
    assert!(open(folder.path()).err().unwrap().contains("cannot be used together"));
    fs::write(path("cert.pem"), "").unwrap();
    assert!(open(folder.path()).err().unwrap().contains("expected PEM certificates in"));
}
