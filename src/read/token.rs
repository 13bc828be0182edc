//! Tokens: opaque texts such as cursors, which clients keep and send back.
//!
//! **Format.** Base64url without padding of a version byte, the content, and the first 8 bytes of the SHA-256 of both. The
//! checksum detects damage, not forgery, so a content must not grant anything that a caller could not request anyway.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const CHECK_BYTES: usize = 8;

/// Why a text is not a token of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// Not a token.
    Foreign,
    OtherVersion,
    Damaged,
}

pub(crate) fn encode(version: u8, content: &[u8]) -> String {
    let mut bytes = [&[version], content].concat();
    let check = check_of(&bytes);
    bytes.extend(check);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(version: u8, text: &str) -> Result<Vec<u8>, BadToken> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken::Foreign)?;
    let is_ours = bytes.first() == Some(&version);
    let wrong = if is_ours { BadToken::Damaged } else { BadToken::Foreign };
    let (checked, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(wrong)?;
    if check_of(checked) != *check {
        return Err(wrong);
    }
    match checked.split_first() {
        Some((_, content)) if is_ours => Ok(content.to_vec()),
        Some(_) => Err(BadToken::OtherVersion),
        None => Err(BadToken::Foreign),
    }
}

fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    first_bytes(Sha256::digest(bytes).as_slice())
}

/// Returns the first bytes of a digest.
pub(super) fn first_bytes<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}

/// Takes `N` bytes from the front.
pub(super) fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_content_round_trips_only_in_its_own_version(content: Vec<u8>, version: u8) {
            let text = encode(version, &content);
            prop_assert_eq!(decode(version, &text), Ok(content));
            prop_assert_eq!(decode(version.wrapping_add(1), &text), Err(BadToken::OtherVersion));
        }

        #[test]
        fn any_text_is_refused(text in "\\PC{0,200}") {
            prop_assert!(decode(1, &text).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(1, &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn a_truncated_or_changed_text_is_refused(content: Vec<u8>, at: prop::sample::Index) {
            let text = encode(1, &content);
            prop_assert!(decode(1, &text[..at.index(text.len())]).is_err());
            let mut changed = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at.index(changed.len());
            *changed.get_mut(at).unwrap() ^= 1;
            prop_assert!(decode(1, &URL_SAFE_NO_PAD.encode(changed)).is_err());
        }
    }
}
