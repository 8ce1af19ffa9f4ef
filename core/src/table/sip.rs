//! A keyed hash for what is not secret, or dies with the process.

/// A key of SipHash-1-3 with 128 bits: a token's verifier and the masks of locators.
///
/// It is written out because a length that is known when it is compiled leaves a third of the work: each touch does it once.
pub(super) struct Sip([u64; 4]);

/// One round over the four words of the state.
macro_rules! round {
    ($a:ident, $b:ident, $c:ident, $d:ident) => {
        $a = $a.wrapping_add($b);
        $c = $c.wrapping_add($d);
        $b = $b.rotate_left(13) ^ $a;
        $d = $d.rotate_left(16) ^ $c;
        $a = $a.rotate_left(32).wrapping_add($d);
        $c = $c.wrapping_add($b);
        $d = $d.rotate_left(21) ^ $a;
        $b = $b.rotate_left(17) ^ $c;
        $c = $c.rotate_left(32);
    };
}

impl Sip {
    /// The state that this key begins with.
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

    /// Both halves of the hash of these bytes.
    #[inline]
    pub fn hash<const LENGTH: usize>(&self, bytes: &[u8; LENGTH]) -> [u64; 2] {
        let [mut a, mut b, mut c, mut d] = self.whole(bytes);
        let low = a ^ b ^ c ^ d;
        b ^= 0xdd;
        round!(a, b, c, d);
        round!(a, b, c, d);
        round!(a, b, c, d);
        [low, a ^ b ^ c ^ d]
    }

    /// The first half.
    #[inline]
    pub fn half<const LENGTH: usize>(&self, bytes: &[u8; LENGTH]) -> u64 {
        let [a, b, c, d] = self.whole(bytes);
        a ^ b ^ c ^ d
    }

    /// The state that the first half is told from.
    #[inline(always)]
    fn whole<const LENGTH: usize>(&self, bytes: &[u8; LENGTH]) -> [u64; 4] {
        let [mut a, mut b, mut c, mut d] = self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = LENGTH as u8;
        for word in words {
            let word = u64::from_le_bytes(*word);
            d ^= word;
            round!(a, b, c, d);
            a ^= word;
        }
        let last = u64::from_le_bytes(last);
        d ^= last;
        round!(a, b, c, d);
        a ^= last;
        c ^= 0xee;
        round!(a, b, c, d);
        round!(a, b, c, d);
        round!(a, b, c, d);
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use siphasher::sip128::{Hasher128 as _, SipHasher13};

    use super::*;

    fn agrees<const LENGTH: usize>() {
        for _ in 0..50 {
            let (key, bytes) = (crate::id::random(), crate::id::random::<LENGTH>());
            let mut hasher = SipHasher13::new_with_key(&key);
            hasher.write(&bytes);
            let known = hasher.finish128();
            let sip = Sip::new(key);
            assert_eq!(sip.hash(&bytes), [known.h1, known.h2], "{key:?} {bytes:?}");
            assert_eq!(sip.half(&bytes), known.h1, "{key:?} {bytes:?}");
        }
    }

    #[test]
    fn it_is_siphash_of_every_length_in_use_and_of_others() {
        agrees::<0>();
        agrees::<7>();
        agrees::<8>();
        agrees::<10>();
        agrees::<24>();
        agrees::<33>();
    }
}
