//! Bounds of a session's data, and the errors that tell they would be exceeded.

use super::subscript::{Subscript, path_text};
use crate::error::{Error, ErrorKind, Result};

/// The most levels that any tree or value may have, whatever [`Quotas::levels`] says.
pub const MAX_LEVELS: usize = 256;

/// How much data one session may hold.
///
/// All bounds are inclusive. Sizes are those of [`Value::bytes_used`](super::Value::bytes_used),
/// [`Subscript::bytes_used`] and [`Tree::bytes_used`](super::Tree::bytes_used): a measure that is the same in every
/// language, not the bytes of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of all nodes of a session. Default 1 MiB.
    pub session_bytes: usize,
    /// Subscripts in a path, and nested lists and maps in a value. Default 64, at most [`MAX_LEVELS`].
    pub levels: usize,
    /// Bytes of one value. Default 64 KiB.
    pub value_bytes: usize,
    /// Bytes of one subscript. Default 255.
    pub subscript_bytes: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { session_bytes: 1 << 20, levels: 64, value_bytes: 64 << 10, subscript_bytes: 255 }
    }
}

impl Quotas {
    /// Checks the length of `path` and the size of each subscript. Errors: `Quota`.
    pub fn check_path(&self, path: &[Subscript]) -> Result<()> {
        let levels = self.max_levels();
        if path.len() > levels {
            return Err(exceeded(&format!("path of {} subscripts", path.len()), path, &format!("{levels} levels")));
        }
        match path.iter().find(|subscript| subscript.bytes_used() > self.subscript_bytes) {
            None => Ok(()),
            Some(long) => Err(exceeded(
                &format!("subscript of {} bytes", long.bytes_used()),
                path,
                &format!("{} bytes a subscript", self.subscript_bytes),
            )),
        }
    }

    pub(super) fn max_levels(&self) -> usize {
        self.levels.min(MAX_LEVELS)
    }

    pub(super) fn check_session(&self, path: &[Subscript], bytes: usize) -> Result<()> {
        if bytes <= self.session_bytes {
            return Ok(());
        }
        Err(exceeded(
            &format!("data of {bytes} bytes with the change"),
            path,
            &format!("{} bytes a session", self.session_bytes),
        ))
    }
}

pub(super) fn exceeded(what: &str, path: &[Subscript], bound: &str) -> Error {
    let message = format!("{what} at {} exceeds the quota of {bound}; nothing was changed", path_text(path));
    Error::new(ErrorKind::Quota, message)
}
