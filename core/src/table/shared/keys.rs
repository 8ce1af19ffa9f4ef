//! What tokens and ids are made of: the same in every process, and nothing to be stolen from the files.

use sha2::{Digest as _, Sha256};

use crate::id::{SessionId, Token};
use crate::table::sip::Sip;
use crate::table::slot::Place;

/// The bits of a locator.
const LOCATOR: u64 = (1 << 48) - 1;

/// The key of ids, which are public. Tokens have none: their secret is hashed by a function that no key opens, so that
/// whoever reads the files can make no token.
pub(super) struct Keys {
    id: Sip,
}

impl Keys {
    pub fn new(id: [u8; 16]) -> Self {
        Self { id: Sip::new(id) }
    }

    /// Where a token leads, and its verifier.
    #[inline]
    pub fn open(&self, token: &Token) -> (Place, [u64; 2]) {
        let (verifier, mask) = digest(&token.secret);
        (Place::from_locator(token.locator ^ mask), verifier)
    }

    /// The token with this secret that leads to a place, and its verifier.
    pub fn seal(&self, place: Place, secret: [u8; 24]) -> (Token, [u64; 2]) {
        let (verifier, mask) = digest(&secret);
        (Token::new(place.locator() ^ mask, secret), verifier)
    }

    pub fn id(&self, place: Place, random: [u8; 10]) -> SessionId {
        let mut bytes = [0; 16];
        let locator = place.locator() ^ self.id.half(&random) & LOCATOR;
        bytes[..6].copy_from_slice(&locator.to_le_bytes()[..6]);
        bytes[6..].copy_from_slice(&random);
        SessionId(bytes)
    }

    pub fn place_of_id(&self, id: SessionId) -> Place {
        let (mut locator, mut random) = ([0; 8], [0; 10]);
        locator[..6].copy_from_slice(&id.0[..6]);
        random.copy_from_slice(&id.0[6..]);
        Place::from_locator(u64::from_le_bytes(locator) ^ self.id.half(&random) & LOCATOR)
    }

    /// A fresh id and a fresh token.
    pub fn names(&self, place: Place) -> (SessionId, Token) {
        let random: [u8; 34] = crate::id::random();
        let (mut id, mut secret) = ([0; 10], [0; 24]);
        id.copy_from_slice(&random[..10]);
        secret.copy_from_slice(&random[10..]);
        (self.id(place, id), self.seal(place, secret).0)
    }
}

/// The verifier and the mask of a locator: disjoint bytes of one hash.
#[inline]
fn digest(secret: &[u8; 24]) -> ([u64; 2], u64) {
    let hash = Sha256::digest(secret);
    let word = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[from..from + 8]);
        u64::from_le_bytes(bytes)
    };
    ([word(0), word(8)], word(16) & LOCATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let keys = Keys::new([7; 16]);
        let place = Place { index: 77, generation: 5 };
        let (id, token) = keys.names(place);
        assert_eq!(keys.open(&token).0, place);
        assert_eq!(keys.place_of_id(id), place);
        assert_eq!(Keys::new([7; 16]).open(&token), keys.open(&token));
    }
}
