//! A keyed hash for what is not secret, or dies with the process.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A key of SipHash-1-3 with 128 bits: a token's verifier and the masks of locators.
pub(super) struct Sip(pub [u8; 16]);

impl Sip {
    /// Both halves of the hash of these bytes.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> [u64; 2] {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(bytes);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }
}
