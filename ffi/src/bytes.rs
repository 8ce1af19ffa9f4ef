//! Texts, buffers and sized structs across the border.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::time::Duration;

use libsession_core::{Error, Result};

/// A time or number that is not given: the default applies, or there is none.
pub(crate) const LSES_UNSET: i64 = i64::MIN;
/// A length: the text ends at its NUL.
const NTS: usize = usize::MAX;

/// A text: UTF-8 with its length in bytes. In what the library is given, `len` may be LSES_NTS for a text that ends at its
/// NUL, and `data` NULL for none. In what the library gives, `data[len]` is NUL, and `data` is NULL for none; the owner is
/// named where it is given.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_str {
    /// The bytes.
    pub data: *const c_char,
    /// How many, without the NUL.
    pub len: usize,
}

impl Default for lses_str {
    fn default() -> Self {
        Self { data: ptr::null(), len: 0 }
    }
}

/// Bytes that the library allocated and the caller owns: give them back with lses_buf_free(), never with free().
/// `data[len]` is NUL; `data` is NULL in an empty buffer.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct lses_buf {
    /// The bytes.
    pub data: *mut c_char,
    /// How many, without the NUL.
    pub len: usize,
    /// How many were allocated. The library's.
    pub cap: usize,
}

impl lses_buf {
    const EMPTY: lses_buf = lses_buf { data: ptr::null_mut(), len: 0, cap: 0 };

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let cap = bytes.len() + 1;
        // SAFETY: `cap` is not 0. The bytes are `malloc`ed so that they outlive every copy of this library.
        let data = unsafe { libc::malloc(cap) }.cast::<u8>();
        if data.is_null() {
            return Err(Error::new(libsession_core::ErrorKind::Internal, format!("no memory for {cap} bytes")));
        }
        // SAFETY: `data` has room for the bytes and the NUL.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            *data.add(bytes.len()) = 0;
        }
        Ok(Self { data: data.cast(), len: bytes.len(), cap })
    }
}

/// Frees what a buffer holds and makes it empty. NULL and an empty buffer are fine.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_buf_free(buf: *mut lses_buf) {
    // SAFETY: the caller passes NULL or a buffer, which holds nothing or what `from_bytes` allocated.
    unsafe {
        if let Some(buf) = buf.as_mut() {
            libc::free(buf.data.cast());
            *buf = lses_buf::EMPTY;
        }
    }
}

/// Bytes that the host passes, as long as the call lasts. Errors: `invalid`.
///
/// # Safety
/// `data` is NULL or has `len` bytes (or a NUL, if `len` is LSES_NTS) that nobody changes meanwhile.
pub(crate) unsafe fn bytes<'a>(data: *const c_char, len: usize, what: &str) -> Result<&'a [u8]> {
    if data.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(Error::invalid(format!("the {what} is NULL"))) };
    }
    if len == NTS {
        // SAFETY: the caller says that the text ends at a NUL.
        return Ok(unsafe { CStr::from_ptr(data) }.to_bytes());
    }
    if len > isize::MAX as usize {
        return Err(Error::invalid(format!("the {what} can't have {len} bytes")));
    }
    // SAFETY: the caller passes `len` bytes.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A text that the host passes, as long as the call lasts. Errors: `invalid`.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(data: *const c_char, len: usize, what: &str) -> Result<&'a str> {
    // SAFETY: as the caller says.
    let bytes = unsafe { bytes(data, len, what) }?;
    std::str::from_utf8(bytes)
        .map_err(|error| Error::invalid(format!("the {what} is not UTF-8 at byte {}", error.valid_up_to())))
}

/// As [`text`], where NULL means that there is none.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn optional_text<'a>(data: *const c_char, len: usize, what: &str) -> Result<Option<&'a str>> {
    if data.is_null() && (len == 0 || len == NTS) {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    unsafe { text(data, len, what) }.map(Some)
}

impl lses_str {
    /// As [`optional_text`].
    ///
    /// # Safety
    /// As [`bytes`].
    pub(crate) unsafe fn get<'a>(&self, what: &str) -> Result<Option<&'a str>> {
        // SAFETY: as the caller says.
        unsafe { optional_text(self.data, self.len, what) }
    }

    /// As [`owned`](Self::owned), of a client's fact: one that is over its bound is not read any further.
    ///
    /// # Safety
    /// As [`bytes`].
    pub(crate) unsafe fn fact(&self, what: &str, bound: usize) -> Result<Option<String>> {
        let over = |told| Err(Error::invalid(format!("client.{what} of {told} is over the bound of {bound}")));
        if self.len != NTS && self.len > bound {
            return over(format!("{} bytes", self.len));
        }
        // SAFETY: the caller says that the text ends at a NUL.
        if self.len == NTS && !self.data.is_null() && unsafe { libc::strnlen(self.data, bound + 1) } > bound {
            return over(format!("{} bytes or more", bound + 1));
        }
        // SAFETY: as the caller says.
        unsafe { self.owned(what) }
    }

    /// As [`get`](Self::get), owned.
    ///
    /// # Safety
    /// As [`bytes`].
    pub(crate) unsafe fn owned(&self, what: &str) -> Result<Option<String>> {
        // SAFETY: as the caller says.
        Ok(unsafe { self.get(what) }?.map(str::to_string))
    }
}

/// A place for a result, checked before anything is done.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// A place that must be there. Errors: `invalid`.
    pub(crate) fn required(place: *mut T, what: &str) -> Result<Self> {
        if place.is_null() { Err(Error::invalid(format!("{what} is NULL"))) } else { Ok(Self(place)) }
    }

    /// A place that may be NULL: then the result is not wanted.
    pub(crate) fn optional(place: *mut T) -> Self {
        Self(place)
    }

    /// Whether the result is wanted.
    pub(crate) fn wanted(&self) -> bool {
        !self.0.is_null()
    }

    pub(crate) fn set(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the host passes a place for one `T`; it need not hold one yet.
            unsafe { self.0.write(value) };
        }
    }
}

impl<T> Out<*mut T> {
    /// A place for a handle: NULL from now on, until there is one. Errors: `invalid`.
    pub(crate) fn handle(place: *mut *mut T, what: &str) -> Result<Self> {
        let out = Self::required(place, what)?;
        out.set(ptr::null_mut());
        Ok(out)
    }
}

impl Out<lses_buf> {
    /// A place for bytes: empty from now on, until there are some. Errors: `invalid`.
    pub(crate) fn buf(place: *mut lses_buf, what: &str) -> Result<Self> {
        let out = Self::required(place, what)?;
        out.set(lses_buf::EMPTY);
        Ok(out)
    }

    /// As [`buf`](Self::buf), but it may be NULL.
    pub(crate) fn optional_buf(place: *mut lses_buf) -> Self {
        let out = Self::optional(place);
        out.set(lses_buf::EMPTY);
        out
    }

    /// Copies bytes into a buffer of the caller and returns where they are.
    pub(crate) fn fill(&self, bytes: &[u8]) -> Result<lses_str> {
        if self.0.is_null() {
            return Ok(lses_str::default());
        }
        let buf = lses_buf::from_bytes(bytes)?;
        let place = lses_str { data: buf.data, len: buf.len };
        self.set(buf);
        Ok(place)
    }
}

/// Copies a short text and its NUL into a place of the host that may be NULL. The place has room for `N` bytes.
pub(crate) fn put_text<const N: usize>(place: *mut c_char, text: &str) {
    if place.is_null() || text.len() >= N {
        return;
    }
    // SAFETY: the host passes a place for `N` bytes.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), text.len());
        *place.add(text.len()) = 0;
    }
}

/// A struct of the host that begins with its size.
///
/// # Safety
/// `#[repr(C)]`, without padding, the first field is `size: usize`, and every bit pattern is valid.
pub(crate) unsafe trait Sized32: Copy {
    /// For messages.
    const NAME: &'static str;
    /// The size of its first version.
    const FIRST: usize;
    /// What is not given.
    fn unset() -> Self;
}

/// Copies a sized struct of the host; what its version does not have is unset. NULL is all unset.
///
/// Errors: `invalid` for a size below the first version's, or above this one's with anything but zeros behind.
///
/// # Safety
/// `place` is NULL or has as many bytes as its first field says.
pub(crate) unsafe fn read<T: Sized32>(place: *const T) -> Result<T> {
    let mut value = T::unset();
    if place.is_null() {
        return Ok(value);
    }
    // SAFETY: the host passes at least a size; it need not be aligned for this.
    let size = unsafe { place.cast::<usize>().read_unaligned() };
    check_size::<T>(size)?;
    // SAFETY: the host passes `size` bytes, and the part that both versions know fits into `value`.
    unsafe {
        ptr::copy_nonoverlapping(place.cast::<u8>(), (&raw mut value).cast::<u8>(), size.min(size_of::<T>()));
        for at in size_of::<T>()..size {
            if *place.cast::<u8>().add(at) != 0 {
                return Err(Error::invalid(format!(
                    "{} has {size} bytes, this library knows {}, and what is behind is not 0",
                    T::NAME,
                    size_of::<T>()
                )));
            }
        }
    }
    Ok(value)
}

pub(crate) fn check_size<T: Sized32>(size: usize) -> Result<()> {
    if size < T::FIRST {
        return Err(Error::invalid(format!(
            "{}.size is {size} and must be at least {}; begin with {}_INIT",
            T::NAME,
            T::FIRST,
            T::NAME.to_uppercase()
        )));
    }
    if size > 1 << 16 {
        return Err(Error::invalid(format!("{}.size is {size}, over the bound of 65536", T::NAME)));
    }
    Ok(())
}

/// A place for a sized struct: the host's size says how much of it is wanted.
pub(crate) struct SizedOut<T> {
    place: *mut T,
    size: usize,
}

impl<T: Sized32> SizedOut<T> {
    /// Errors: `invalid` for a size below the first version's. NULL is fine if `optional`.
    ///
    /// # Safety
    /// As [`read`].
    pub(crate) unsafe fn new(place: *mut T, what: &str, optional: bool) -> Result<Self> {
        if place.is_null() {
            let out = Self { place, size: 0 };
            return if optional { Ok(out) } else { Err(Error::invalid(format!("{what} is NULL"))) };
        }
        // SAFETY: the host passes at least a size.
        let size = unsafe { place.cast::<usize>().read_unaligned() };
        check_size::<T>(size)?;
        Ok(Self { place, size })
    }

    /// Writes as much as the host has room for; the size stays the host's.
    pub(crate) fn set(&self, value: &T) {
        if self.place.is_null() {
            return;
        }
        let head = size_of::<usize>();
        let known = self.size.min(size_of::<T>());
        // SAFETY: the host has room for `size` bytes, `value` has `size_of::<T>()`, and both begin with the size.
        unsafe {
            ptr::copy_nonoverlapping(
                (&raw const *value).cast::<u8>().add(head),
                self.place.cast::<u8>().add(head),
                known - head,
            );
        }
    }
}

/// A duration: milliseconds, 0 or more. Errors: `invalid`.
pub(crate) fn duration(ms: i64, what: &str) -> Result<Duration> {
    match u64::try_from(ms) {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) if ms == LSES_UNSET => Err(Error::invalid(format!("{what} is not set"))),
        Err(_) => Err(Error::invalid(format!("{what} of {ms} ms is negative"))),
    }
}

/// A duration that may be unset. Errors: `invalid`.
pub(crate) fn optional_duration(ms: i64, what: &str) -> Result<Option<Duration>> {
    if ms == LSES_UNSET { Ok(None) } else { duration(ms, what).map(Some) }
}

/// A timeout: 0 is never. Errors: `invalid`.
pub(crate) fn timeout(ms: i64, what: &str) -> Result<Option<Duration>> {
    Ok(Some(duration(ms, what)?).filter(|timeout| !timeout.is_zero()))
}

/// Milliseconds of a duration, for the host.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// As [`ms`], LSES_UNSET if there is none.
pub(crate) fn optional_ms(duration: Option<Duration>) -> i64 {
    duration.map_or(LSES_UNSET, ms)
}

/// A number of the host that names a member of a vocabulary. Errors: `invalid`.
pub(crate) fn member<T>(found: Option<T>, what: &str, code: u32) -> Result<T> {
    found.ok_or_else(|| Error::invalid(format!("{what} {code} is not known")))
}

/// As [`member`], where 0 means that it is not given.
pub(crate) fn optional_member<T>(from_code: impl Fn(u32) -> Option<T>, what: &str, code: u32) -> Result<Option<T>> {
    if code == 0 { Ok(None) } else { member(from_code(code), what, code).map(Some) }
}

/// 0 or 1. Errors: `invalid`.
pub(crate) fn flag(value: i32, what: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::invalid(format!("{what} {value} is neither 0 nor 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Sample {
        size: usize,
        one: u64,
        two: u64,
    }

    // SAFETY: repr(C), three words, all bit patterns valid.
    unsafe impl Sized32 for Sample {
        const NAME: &'static str = "sample";
        const FIRST: usize = 16;

        fn unset() -> Self {
            Self { size: 24, one: 7, two: 7 }
        }
    }

    fn read_words(words: &[usize]) -> Result<(u64, u64)> {
        // SAFETY: the tests say as many bytes as there are.
        unsafe { read(words.as_ptr().cast::<Sample>()) }.map(|sample| (sample.one, sample.two))
    }

    #[test]
    fn a_struct_of_any_version_is_read_within_its_size() {
        assert_eq!(read_words(&[24, 1, 2]), Ok((1, 2)));
        assert_eq!(read_words(&[16, 1]), Ok((1, 7)));
        assert_eq!(read_words(&[40, 1, 2, 0, 0]), Ok((1, 2)));
        for wrong in [&[40, 1, 2, 0, 3][..], &[8], &[0], &[usize::MAX]] {
            assert!(read_words(wrong).is_err(), "{wrong:?}");
        }
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { read(ptr::null::<Sample>()) }, Ok(Sample::unset()));
    }

    #[test]
    fn a_result_is_written_within_the_hosts_size() {
        let mut words = [16usize, 0, 9];
        // SAFETY: 16 of its 24 bytes are said to be there.
        let out = unsafe { SizedOut::new(words.as_mut_ptr().cast::<Sample>(), "out", false) }.expect("a place");
        out.set(&Sample { size: 24, one: 1, two: 2 });
        assert_eq!(words, [16, 1, 9]);
    }
}
