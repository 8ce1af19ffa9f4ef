//! What tokens and ids are made of: keys that die with the table.

use super::slot::Place;
use crate::id::{SessionId, Token};
use crate::table::sip::Sip;

/// The table's own keys: they die with it.
pub(super) struct Keys {
    token: Sip,
    id: Sip,
}

/// The bits of a locator.
const LOCATOR: u64 = (1 << 48) - 1;

impl Keys {
    pub(super) fn new() -> Self {
        Self { token: Sip::new(crate::id::random()), id: Sip::new(crate::id::random()) }
    }

    /// Where a token leads, and its verifier. One hash is both: the verifier never leaves the table, and of the mask
    /// nobody learns more than that it hides a locator.
    #[inline]
    pub(super) fn open(&self, token: &Token) -> (Place, [u64; 2]) {
        let verifier = self.token.hash(&token.secret);
        (Place::from_locator(token.locator ^ verifier[0] & LOCATOR), verifier)
    }

    /// The token with this secret that leads to a place, and its verifier.
    pub(super) fn seal(&self, place: Place, secret: [u8; 24]) -> (Token, [u64; 2]) {
        let verifier = self.token.hash(&secret);
        (Token::new(place.locator() ^ verifier[0] & LOCATOR, secret), verifier)
    }

    pub(super) fn id(&self, place: Place, random: [u8; 10]) -> SessionId {
        let mut bytes = [0; 16];
        let locator = place.locator() ^ self.id.half(&random) & LOCATOR;
        bytes[..6].copy_from_slice(&locator.to_le_bytes()[..6]);
        bytes[6..].copy_from_slice(&random);
        SessionId(bytes)
    }

    /// A fresh id, and a fresh token with its verifier: the generator is asked once.
    pub(super) fn names(&self, place: Place) -> (SessionId, Token, [u64; 2]) {
        let random: [u8; 34] = crate::id::random();
        let (mut id, mut secret) = ([0; 10], [0; 24]);
        id.copy_from_slice(&random[..10]);
        secret.copy_from_slice(&random[10..]);
        let (token, verifier) = self.seal(place, secret);
        (self.id(place, id), token, verifier)
    }

    pub(super) fn place_of_id(&self, id: SessionId) -> Place {
        let (mut locator, mut random) = ([0; 8], [0; 10]);
        locator[..6].copy_from_slice(&id.0[..6]);
        random.copy_from_slice(&id.0[6..]);
        Place::from_locator(u64::from_le_bytes(locator) ^ self.id.half(&random) & LOCATOR)
    }
}
