//! `server.json` in the data folder: where the server that runs on the folder listens, for commands on the same machine.
//!
//! ```json
//! {"format":1,"address":"127.0.0.1:6780","cert_file":"/etc/annals/cert.pem"}
//! ```
//!
//! The server holds a lock (`flock`) on this very file for as long as it listens, and removes the file before it stops
//! listening. A file without a lock was left by a server that was killed, and another program may listen there by now.
//! Each server writes a new file, and locks it before the file gets its name, so the lock vouches for the contents.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

const NAME: &str = "server.json";
const FORMAT: u32 = 1;

/// How to connect to a server from its own machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerAddress {
    format: u32,
    address: SocketAddr,
    /// The certificate of the server; without one, the server speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
}

impl ServerAddress {
    /// `listen` is the address that the server listens on; a relative path begins at the working directory.
    pub fn new(listen: SocketAddr, cert_file: Option<&Path>) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let cert_file = cert_file.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        Self { format: FORMAT, address: SocketAddr::new(ip, listen.port()), cert_file }
    }

    pub fn url(&self) -> String {
        let scheme = if self.cert_file.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Whether secrets can be sent there: they do not leave this machine, or only encrypted, to the holder of the certificate.
    pub fn is_private(&self) -> bool {
        self.address.ip().is_loopback() || self.cert_file.is_some()
    }
}

/// The file of a listening server; dropping it removes the file.
pub struct ServerFile {
    path: PathBuf,
    _locked: File,
}

impl ServerFile {
    /// Replaces the file of an earlier server of this data folder. The folder's own lock must be held.
    pub fn create(data_dir: &Path, address: &ServerAddress) -> io::Result<Self> {
        let path = data_dir.join(NAME);
        let beside = data_dir.join(format!("{NAME}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(&serde_json::to_vec(address)?)?;
        fs::rename(&beside, &path)?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        // If it stays, it is not locked.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the address of the server that listens on behalf of this data folder; `None` if none does.
pub fn running_server(data_dir: &Path) -> io::Result<Option<ServerAddress>> {
    let mut file = match File::open(data_dir.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Shared, so that two commands do not take each other for the server.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let address: ServerAddress = serde_json::from_str(&text)?;
    if address.format != FORMAT {
        return Err(io::Error::other(format!("it has format {}, written by a newer version", address.format)));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn address(listen: &str, cert_file: Option<&str>) -> ServerAddress {
        ServerAddress::new(listen.parse().unwrap(), cert_file.map(Path::new))
    }

    #[test]
    fn a_server_is_found_while_it_listens_and_its_file_is_not_believed_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(running_server(folder.path()).unwrap(), None);
        let listening = address("127.0.0.1:6780", None);
        let file = ServerFile::create(folder.path(), &listening).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for _ in 0..2 {
            assert_eq!(running_server(folder.path()).unwrap().as_ref(), Some(&listening));
        }
        let left = fs::read(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        fs::write(&path, left).unwrap();
        // Another command may look at the same moment.
        let other = File::open(&path).unwrap();
        flock(&other, FlockOperation::NonBlockingLockShared).unwrap();
        assert_eq!(running_server(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_over_the_loopback_and_is_private_there_or_with_a_certificate() {
        let check = |listen: &str, cert_file, url: &str, is_private| {
            let address = address(listen, cert_file);
            assert_eq!((address.url().as_str(), address.is_private()), (url, is_private));
        };
        check("0.0.0.0:1", None, "http://127.0.0.1:1", true);
        check("[::]:1", None, "http://[::1]:1", true);
        check("192.0.2.7:1", None, "http://192.0.2.7:1", false);
        check("192.0.2.7:1", Some("/cert.pem"), "https://192.0.2.7:1", true);
    }
}
