//! Small lists of values as MessagePack, for columns that few rows fill.

use std::sync::Arc;

use rmp::decode::{self, bytes::Bytes};
use rmp::encode;

/// Writes values one behind the other. Writing to memory never fails.
#[derive(Default)]
pub(super) struct Packer(Vec<u8>);

impl Packer {
    pub fn list(&mut self, len: usize) -> &mut Self {
        let _ = encode::write_array_len(&mut self.0, u32::try_from(len).unwrap_or(u32::MAX));
        self
    }

    pub fn number(&mut self, value: u64) -> &mut Self {
        let _ = encode::write_uint(&mut self.0, value);
        self
    }

    pub fn signed(&mut self, value: i64) -> &mut Self {
        let _ = encode::write_sint(&mut self.0, value);
        self
    }

    pub fn real(&mut self, value: f64) -> &mut Self {
        let _ = encode::write_f64(&mut self.0, value);
        self
    }

    pub fn flag(&mut self, value: bool) -> &mut Self {
        let _ = encode::write_bool(&mut self.0, value);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        let _ = encode::write_str(&mut self.0, value);
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let _ = encode::write_bin(&mut self.0, value);
        self
    }

    pub fn nothing(&mut self) -> &mut Self {
        let _ = encode::write_nil(&mut self.0);
        self
    }

    pub fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.nothing(),
        }
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`Packer`] wrote; `None` for whatever it did not write.
pub(super) struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<T, E>(&mut self, read: impl FnOnce(&mut Bytes<'a>) -> Result<T, E>) -> Option<T> {
        let mut bytes = Bytes::new(self.0);
        let value = read(&mut bytes).ok()?;
        self.0 = bytes.remaining_slice();
        Some(value)
    }

    fn cut(&mut self, len: u32) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(len as usize)?;
        self.0 = rest;
        Some(value)
    }

    /// The length of a list; never more than what is left could hold.
    pub fn list(&mut self) -> Option<usize> {
        let len = self.take(decode::read_array_len)? as usize;
        (len <= self.0.len()).then_some(len)
    }

    /// A list of values that `one` reads.
    pub fn all<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.list()?).map(|_| one(self)).collect()
    }

    pub fn number(&mut self) -> Option<u64> {
        self.take(decode::read_int::<u64, _>)
    }

    pub fn flag(&mut self) -> Option<bool> {
        self.take(decode::read_bool)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let len = self.take(decode::read_str_len)?;
        std::str::from_utf8(self.cut(len)?).ok()
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.take(decode::read_bin_len)?;
        self.cut(len)
    }

    /// A text or nothing.
    pub fn maybe_text(&mut self) -> Option<Option<&'a str>> {
        match self.take(decode::read_nil) {
            Some(()) => Some(None),
            None => self.text().map(Some),
        }
    }

    pub fn shared(&mut self) -> Option<Arc<str>> {
        self.text().map(Arc::from)
    }

    /// Everything was read.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_again() {
        let mut packer = Packer::default();
        packer.list(2).number(u64::MAX).text("ä").flag(true).maybe_text(None).maybe_text(Some("x")).bytes(&[1, 2]);
        let bytes = packer.done();
        let mut unpacker = Unpacker::new(&bytes);
        assert_eq!(unpacker.list(), Some(2));
        assert_eq!(unpacker.number(), Some(u64::MAX));
        assert_eq!(unpacker.text(), Some("ä"));
        assert_eq!(unpacker.flag(), Some(true));
        assert_eq!(unpacker.maybe_text(), Some(None));
        assert_eq!(unpacker.maybe_text(), Some(Some("x")));
        assert_eq!(unpacker.bytes(), Some(&[1, 2][..]));
        assert_eq!(unpacker.end(), Some(()));
    }

    #[test]
    fn whatever_is_cut_or_foreign_is_none() {
        let mut packer = Packer::default();
        packer.list(1).text("abc");
        let bytes = packer.done();
        for len in 0..bytes.len() {
            let mut unpacker = Unpacker::new(&bytes[..len]);
            assert!(unpacker.all(Unpacker::text).is_none(), "{len}");
        }
        assert!(Unpacker::new(&[0xdd, 0xff, 0xff, 0xff, 0xff]).list().is_none());
    }
}
