//! Checksums of rows: a row that is damaged, or lies where another lay, does not have the checksum of its fields.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The key of a store's checksums, kept in its books.
#[derive(Clone, Copy)]
pub(super) struct SealKey(pub [u8; 16]);

/// A checksum in the making.
pub(super) struct Seal(SipHasher13);

impl SealKey {
    /// Begins the checksum of a row of the table with this number.
    pub fn over(&self, table: u8) -> Seal {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u8(table);
        Seal(hasher)
    }
}

impl Seal {
    pub fn number(mut self, value: u64) -> Self {
        self.0.write(&value.to_le_bytes());
        self
    }

    pub fn signed(self, value: i64) -> Self {
        self.number(value.cast_unsigned())
    }

    pub fn bytes(self, value: &[u8]) -> Self {
        let mut this = self.number(value.len() as u64);
        this.0.write(value);
        this
    }

    /// Nothing, or bytes: told apart.
    pub fn maybe(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.number(1).bytes(value),
            None => self.number(0),
        }
    }

    pub fn done(self) -> i64 {
        self.0.finish().cast_signed()
    }
}
