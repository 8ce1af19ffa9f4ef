//! What belongs to the host: user data with its destructor, and calls into the host that must return.

use std::ffi::c_void;
use std::io::Write as _;

/// Frees what belongs to a callback, an attachment or a hook. Called exactly once, on any thread, with no lock held.
/// Must not throw, longjmp or end its thread.
#[allow(non_camel_case_types)]
pub type lses_drop_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// A pointer of the host; its destructor runs when this is dropped.
pub(crate) struct UserData {
    pointer: *mut c_void,
    drop: lses_drop_fn,
}

// SAFETY: the library never looks behind the pointer, and the host is told that its functions are called on any thread.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    pub(crate) fn new(pointer: *mut c_void, drop: lses_drop_fn) -> Self {
        Self { pointer, drop }
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }

    /// Gives the pointer back to the host, undropped.
    pub(crate) fn give_back(mut self) -> *mut c_void {
        self.drop = None;
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            let saved = crate::status::save();
            let escape = Escape::from("a drop function", "");
            // SAFETY: the host passed the function for this pointer, and `take` makes it once.
            unsafe { drop(self.pointer) };
            escape.returned();
            std::mem::drop(saved);
        }
    }
}

/// Stands on the stack while the host's code runs: if that is left by an exception, or by the end of its thread, the
/// process ends here, with a message that names the culprit, and not somewhere later.
pub(crate) struct Escape<'a> {
    what: &'a str,
    class: &'a str,
    armed: bool,
}

impl<'a> Escape<'a> {
    pub(crate) fn from(what: &'a str, class: &'a str) -> Self {
        Self { what, class, armed: true }
    }

    pub(crate) fn returned(mut self) {
        self.armed = false;
    }
}

impl Drop for Escape<'_> {
    fn drop(&mut self) {
        if self.armed {
            let of = if self.class.is_empty() { "" } else { " of event class " };
            let text = format!(
                "libsession: {}{of}{} was left by an exception or by the end of its thread; this can't go on\n",
                self.what, self.class
            );
            drop(std::io::stderr().write_all(text.as_bytes()));
            std::process::abort();
        }
    }
}
