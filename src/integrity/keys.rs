//! The keys that seal events.
//!
//! S, the event seal secret, has at least 32 random bytes and is kept with the deployment's other secrets, never in a
//! store. Each chain has its own sequence of keys: K(0) = HKDF-SHA-256(S, salt = chain id, info = "annals seal 1"),
//! K(n+1) = HMAC(K(n), "next"). The events of epoch n are sealed with M = HMAC(K(n), "mac").

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::leaf::Epoch;
use crate::event::{ChainId, LeafHash};

type HmacSha256 = Hmac<Sha256>;

/// Length of the MAC in a seal.
pub const MAC_BYTES: usize = 16;

/// S, the event seal secret.
pub struct SealSecret(Zeroizing<Vec<u8>>);

#[derive(Debug, thiserror::Error)]
#[error("the seal secret must have at least 32 bytes, but has {0}")]
pub struct ShortSecret(usize);

impl SealSecret {
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, ShortSecret> {
        if bytes.len() < 32 { Err(ShortSecret(bytes.len())) } else { Ok(Self(bytes)) }
    }
}

/// The keys of one chain at one epoch; they only move forward.
#[derive(Clone)]
pub struct ChainKeys {
    epoch: Epoch,
    key: Zeroizing<[u8; 32]>,
    /// Initialised with M, so that the key schedule is not repeated for every event.
    mac: HmacSha256,
    check: [u8; MAC_BYTES],
}

impl ChainKeys {
    /// The keys of epoch 0.
    pub fn first(secret: &SealSecret, chain: ChainId) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        // HKDF refuses only outputs of more than 255 hashes; this is one.
        let _ = Hkdf::<Sha256>::new(Some(chain.as_bytes()), &secret.0).expand(b"annals seal 1", key.as_mut_slice());
        let check = truncate(&derive(&key, b"annals key check 1"));
        let mac = prepared(&derive(&key, b"mac"));
        Self { epoch: Epoch(0), key, mac, check }
    }

    /// Distinguishes a wrong secret from tampering: HMAC(K(0), "annals key check 1"), kept in the chain's opening
    /// record.
    pub fn check_value(&self) -> [u8; MAC_BYTES] {
        self.check
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Moves forward to this epoch, irreversibly; a past epoch changes nothing.
    pub fn advance(&mut self, epoch: Epoch) {
        if epoch <= self.epoch {
            return;
        }
        while self.epoch < epoch {
            self.key = derive(&self.key, b"next");
            self.epoch = Epoch(self.epoch.0 + 1);
        }
        self.mac = prepared(&derive(&self.key, b"mac"));
    }

    /// The first 16 bytes of HMAC-SHA-256(M, leaf hash).
    pub fn mac(&self, leaf: &LeafHash) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(&leaf.0);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        truncate(&full)
    }
}

fn truncate(full: &[u8; 32]) -> [u8; MAC_BYTES] {
    let mut short = [0; MAC_BYTES];
    short.iter_mut().zip(full).for_each(|(to, from)| *to = *from);
    short
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn prepared(key: &[u8; 32]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn derive(key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = prepared(key);
    mac.update(label);
    Zeroizing::new(mac.finalize().into_bytes().into())
}
