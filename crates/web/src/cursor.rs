//! Cursors: a place in a list, signed for this one list. So a cursor that was made up, changed or taken from another list is
//! refused. Module [`crate::list`] says what a place is.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// How many bytes of a signature are kept: 128 bits.
const TAG_BYTES: usize = 16;

/// The longest cursor. The longest place is after a name in the metadata of a promotion, which has at most 32 KiB. No address has
/// more than 64 KiB.
const CURSOR_BYTES_MAX: usize = 48 << 10;

/// Signs the places of one list, and checks their signatures.
#[derive(Debug, Clone)]
pub(crate) struct Seal(pub(crate) Hmac<Sha256>);

impl Seal {
    /// The cursor of a place: its signature followed by its JSON text.
    pub(crate) fn close(&self, place: &impl Serialize) -> serde_json::Result<String> {
        let place = serde_json::to_vec(place)?;
        let tag = self.0.clone().chain_update(&place).finalize().into_bytes();
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&tag[..TAG_BYTES], &place].concat()))
    }

    /// The place of a cursor. A cursor with another signature is not read at all.
    pub(crate) fn open<T: DeserializeOwned>(&self, cursor: &str) -> Option<T> {
        serde_json::from_slice(&self.signed(cursor)?).ok()
    }

    /// What this seal has signed in a cursor; `None` for a cursor that it did not sign. Signatures are compared in constant time.
    pub(crate) fn signed(&self, cursor: &str) -> Option<Vec<u8>> {
        if cursor.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let place = (bytes.len() >= TAG_BYTES).then(|| bytes.split_off(TAG_BYTES))?;
        let signed = self.0.clone().chain_update(&place);
        signed.verify_truncated_left(&bytes).ok()?;
        Some(place)
    }
}
