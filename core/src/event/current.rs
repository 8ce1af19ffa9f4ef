//! Which callbacks run on this thread, innermost last.

use std::cell::RefCell;

use crate::id::SessionId;

/// How deep callbacks may be nested on one thread.
pub(crate) const MAX_DEPTH: usize = 16;

/// One running callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Which manager called it.
    pub manager: u64,
    /// The class's registration.
    pub class: u64,
    /// The session it is about.
    pub session: SessionId,
    /// Whether it decides, so that its caller waits under the session's request.
    pub decides: bool,
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Whether a callback of any manager runs on this thread.
pub(crate) fn inside_callback() -> bool {
    FRAMES.with_borrow(|frames| !frames.is_empty())
}

/// How deep callbacks are nested on this thread.
pub(crate) fn depth() -> usize {
    FRAMES.with_borrow(Vec::len)
}

/// Whether a callback of this manager runs on this thread.
pub(crate) fn inside(manager: u64) -> bool {
    FRAMES.with_borrow(|frames| frames.iter().any(|frame| frame.manager == manager))
}

/// Whether a decider about this session runs on this thread.
pub(crate) fn deciding(manager: u64, session: SessionId) -> bool {
    FRAMES.with_borrow(|frames| {
        frames.iter().any(|frame| frame.manager == manager && frame.session == session && frame.decides)
    })
}

/// Whether a callback about this session runs on this thread.
pub(crate) fn about(manager: u64, session: SessionId) -> bool {
    FRAMES.with_borrow(|frames| frames.iter().any(|frame| frame.manager == manager && frame.session == session))
}

/// Whether a callback of this registration runs on this thread.
pub(crate) fn inside_class(manager: u64, class: u64) -> bool {
    FRAMES.with_borrow(|frames| frames.iter().any(|frame| frame.manager == manager && frame.class == class))
}

/// Runs `body` as a callback.
pub(crate) fn enter<R>(frame: Frame, body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            FRAMES.with_borrow_mut(Vec::pop);
        }
    }
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
    let _leave = Leave;
    body()
}
