//! The credentials that a caller presents. They are never printed.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::keys;
use crate::units::Secret;

/// As lenient as another system's decoder may be, so that one password is not tried under several encodings of its
/// login.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The credentials of one request.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    authorization: Option<Authorization>,
    /// The cookie of a Kibana session.
    session: Option<Secret>,
}

#[derive(Clone, Debug)]
struct Authorization {
    scheme: Scheme,
    /// The whole header value.
    header_value: Secret,
    /// The part after the scheme.
    credentials: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    ApiKey,
    Bearer,
    Basic,
}

impl Credentials {
    /// Takes the value of an `authorization` header, if its scheme is known; basic credentials must name a login.
    pub fn with_authorization(mut self, value: &str) -> Self {
        self.authorization = Authorization::parse(value);
        self
    }

    pub fn with_session(mut self, cookie: &str) -> Self {
        self.session = Some(Secret::new(cookie));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.authorization.is_none() && self.session.is_none()
    }

    /// Whether there is only a session cookie, which browsers send on their own: changes then need proof of intent.
    pub fn is_session_alone(&self) -> bool {
        self.authorization.is_none() && self.session.is_some()
    }

    /// The token that may be one of this log's own keys.
    pub(super) fn key(&self) -> Option<&str> {
        let authorization = self.authorization.as_ref()?;
        match authorization.scheme {
            Scheme::ApiKey | Scheme::Bearer => Some(authorization.credentials.expose()),
            Scheme::Basic => None,
        }
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        let authorization = self.authorization.as_ref()?;
        (authorization.scheme == Scheme::Bearer).then(|| authorization.credentials.expose())
    }

    /// The header as received, unless it holds one of this log's own keys, which no other system may see.
    pub(super) fn authorization(&self) -> Option<&str> {
        let authorization = self.authorization.as_ref()?;
        let is_own = authorization.credentials.expose().starts_with(keys::PREFIX);
        (!is_own).then(|| authorization.header_value.expose())
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_ref().map(Secret::expose)
    }

    /// The login that basic credentials name, verified or not.
    pub(super) fn login(&self) -> Option<String> {
        let authorization = self.authorization.as_ref().filter(|it| it.scheme == Scheme::Basic)?;
        login_of(authorization.credentials.expose())
    }

    /// A hash under which the credentials may be cached; they cannot be guessed from it without the salt.
    pub(super) fn digest(&self, salt: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(salt);
        for part in [self.authorization(), self.session()] {
            let part = part.unwrap_or_default();
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

impl Authorization {
    fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (scheme, credentials) = value.split_once(' ')?;
        let known = [("ApiKey", Scheme::ApiKey), ("Bearer", Scheme::Bearer), ("Basic", Scheme::Basic)];
        let (_, scheme) = known.into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name))?;
        let credentials = credentials.trim();
        if scheme == Scheme::Basic && login_of(credentials).is_none() {
            return None;
        }
        Some(Self { scheme, header_value: Secret::new(value), credentials: Secret::new(credentials) })
    }
}

/// The login that basic credentials name.
fn login_of(credentials: &str) -> Option<String> {
    let decoded = Zeroizing::new(LENIENT.decode(credentials).ok()?);
    let login = decoded.get(..decoded.iter().position(|byte| *byte == b':')?)?;
    Some(String::from_utf8_lossy(login).chars().take(256).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Credentials {
        Credentials::default().with_authorization(value)
    }

    #[test]
    fn schemes_are_case_insensitive_and_unknown_ones_are_ignored() {
        assert_eq!(shown("apikey  x ").key(), Some("x"));
        assert_eq!(shown("BEARER x").bearer(), Some("x"));
        assert_eq!(shown("ApiKey x").bearer(), None);
        assert_eq!(shown("Basic eDp5").key(), None);
        for nothing in ["", "x", "ApiKey", "Digest x", "Negotiate x"] {
            assert!(shown(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn own_keys_are_shown_to_nobody_else() {
        assert_eq!(shown("ApiKey annals_x").authorization(), None);
        assert_eq!(shown("Bearer  annals_x").authorization(), None);
        assert_eq!(shown("ApiKey abc").authorization(), Some("ApiKey abc"));
    }

    #[test]
    fn the_login_of_basic_credentials_is_known() {
        let basic = format!("Basic {}", LENIENT.encode("alice:pass:word!"));
        for spelling in [basic.as_str(), basic.trim_end_matches('='), &basic.replace("IQ==", "IR==")] {
            assert_eq!(shown(spelling).login().as_deref(), Some("alice"), "{spelling}");
        }
        let in_latin_1 = shown(&format!("Basic {}", LENIENT.encode(b"j\xf6rg:x")));
        assert_eq!(in_latin_1.login().as_deref(), Some("j\u{fffd}rg"));
        assert!(!format!("{:?}", shown(&basic)).contains(&basic));
    }

    /// Otherwise each attempt would be a new subject whose failures nobody counts.
    #[test]
    fn basic_credentials_without_a_login_are_ignored() {
        for nobody in ["Basic !", "Basic YWxpY2U", "Basic YWxpY2U6eA==YWxpY2U6eA", "Basic YWxp Y2U6eA=="] {
            assert!(shown(nobody).is_empty(), "{nobody}");
        }
    }

    #[test]
    fn different_credentials_have_different_digests() {
        let digests = [
            shown("ApiKey a").digest(&[0; 32]),
            shown("ApiKey a").digest(&[1; 32]),
            shown("Bearer a").digest(&[0; 32]),
            shown("ApiKey a").with_session("s").digest(&[0; 32]),
            Credentials::default().with_session("s").digest(&[0; 32]),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests.iter().skip(index + 1).any(|other| other == digest));
        }
    }
}
