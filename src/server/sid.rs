//! Session and socket ids: 20 characters of URL-safe base64 over 15 bytes, as the official server makes them: 12 random bytes and a
//! 24-bit number. Ours is the slot of what the id names, so that an id leads to it without a map; secrecy and uniqueness rest on
//! the 96 random bits.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Characters of an id; adapters and cluster engines of the official server test for this length.
pub const SID_LEN: usize = 20;
const RANDOM_LEN: usize = 12;
const RAW_LEN: usize = 15;

/// Ids whose random bytes are had in one system call.
const RANDOM_AHEAD: usize = 32;

thread_local! {
    /// Random bytes that are not used yet, the last first.
    static RANDOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn random(into: &mut [u8]) -> Result<(), getrandom::Error> {
    RANDOM.with_borrow_mut(|ahead| {
        if ahead.len() < into.len() {
            ahead.resize(RANDOM_AHEAD * RANDOM_LEN, 0);
            getrandom::fill(ahead).inspect_err(|_| ahead.clear())?;
        }
        let used = ahead.len() - into.len();
        into.copy_from_slice(&ahead[used..]);
        // Nothing that an id was made of stays in memory.
        ahead[used..].fill(0);
        ahead.truncate(used);
        Ok(())
    })
}

/// An id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; SID_LEN]);

impl Sid {
    /// A new id for the tenant of `slot` (24 bits). The error is the operating system's, when it has no random bytes.
    pub fn new(slot: u32) -> Result<Sid, getrandom::Error> {
        let mut raw = [0u8; RAW_LEN];
        random(&mut raw[..RANDOM_LEN])?;
        raw[RANDOM_LEN..].copy_from_slice(&slot.to_be_bytes()[1..]);
        let mut text = [0u8; SID_LEN];
        // 15 bytes are exactly 20 characters.
        URL_SAFE_NO_PAD.encode_slice(raw, &mut text).map_err(|_| getrandom::Error::UNEXPECTED)?;
        Ok(Sid(text))
    }

    /// The slot that an id of this form names; its tenant must still be compared with the whole id.
    pub fn slot(text: &str) -> Option<u32> {
        if text.len() != SID_LEN {
            return None;
        }
        let mut raw = [0u8; RAW_LEN];
        URL_SAFE_NO_PAD.decode_slice(text, &mut raw).ok()?;
        Some(u32::from_be_bytes([0, raw[RANDOM_LEN], raw[RANDOM_LEN + 1], raw[RANDOM_LEN + 2]]))
    }

    /// The 20 characters.
    pub fn as_str(&self) -> &str {
        // Base64 is ASCII; an empty text would be compared with and found unequal.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Sid {
    /// Only the public tail: an Engine.IO sid is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sid(…{})", &self.as_str()[SID_LEN - 4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_twenty_characters_and_leads_to_its_slot() {
        for slot in [0, 1, 65_536, (1 << 24) - 1] {
            let sid = Sid::new(slot).unwrap();
            assert_eq!(sid.as_str().len(), SID_LEN);
            assert_eq!(Sid::slot(sid.as_str()), Some(slot));
        }
        assert_ne!(Sid::new(1).unwrap(), Sid::new(1).unwrap());
    }

    #[test]
    fn other_text_names_no_slot() {
        for text in ["", "short", "not base64 at all!!!", "éééééééééé", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(Sid::slot(text), None, "{text}");
        }
    }
}
