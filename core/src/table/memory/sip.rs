//! SipHash-1-3 with 128 bits, of whole words: a token's verifier and the masks of locators, in a few nanoseconds.

/// A key, ready to hash.
#[derive(Clone, Copy)]
pub(super) struct Sip([u64; 4]);

impl Sip {
    pub fn new(key: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(key);
        let (low, high) = (key as u64, (key >> 64) as u64);
        Self([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Both halves of the hash of these bytes. Inlined, so that a known length costs nothing.
    #[inline(always)]
    pub fn hash(&self, bytes: &[u8]) -> [u64; 2] {
        let mut v = self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            absorb(&mut v, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        absorb(&mut v, u64::from_le_bytes(last) | (bytes.len() as u64) << 56);
        v[2] ^= 0xee;
        finish(&mut v);
        let first = v[0] ^ v[1] ^ v[2] ^ v[3];
        v[1] ^= 0xdd;
        finish(&mut v);
        [first, v[0] ^ v[1] ^ v[2] ^ v[3]]
    }
}

#[inline(always)]
fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

#[inline(always)]
fn finish(v: &mut [u64; 4]) {
    round(v);
    round(v);
    round(v);
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use siphasher::sip128::{Hasher128 as _, SipHasher13};

    use super::*;

    #[test]
    fn it_is_siphash_1_3_with_128_bits() {
        let key = std::array::from_fn(|at| at as u8 * 11);
        let bytes: Vec<u8> = (0..40).map(|at| at as u8 ^ 0x5a).collect();
        for length in 0..bytes.len() {
            let mut known = SipHasher13::new_with_key(&key);
            known.write(&bytes[..length]);
            let hash = known.finish128();
            assert_eq!(Sip::new(key).hash(&bytes[..length]), [hash.h1, hash.h2], "{length} bytes");
        }
    }
}
