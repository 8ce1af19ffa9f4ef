//! Which library this is.

use std::ffi::c_char;

/// The number of the binary interface, as in the library's SONAME. It moves only when a program that was compiled with
/// an older header can't go on with this library.
pub const LSES_ABI_VERSION: u32 = 0;

/// The release's three numbers, each in one byte or two: `major << 16 | minor << 8 | patch`.
const fn packed() -> u32 {
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | number(env!("CARGO_PKG_VERSION_PATCH"))
}

const fn number(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let mut value = 0;
    let mut at = 0;
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    value
}

/// The version of the library that runs, packed as LSES_VERSION_NUMBER.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_version() -> u32 {
    packed()
}

/// The version of the library that runs as text, for example "0.1.0". Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The number of the binary interface of the library that runs; compare it with LSES_ABI_VERSION, as
/// lses_check_abi() does.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_abi_version() -> u32 {
    LSES_ABI_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_version_is_cargos() {
        let packed = lses_version();
        let text = format!("{}.{}.{}", packed >> 16, packed >> 8 & 255, packed & 255);
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
    }
}
