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

/// The innermost things that are under way on a thread. Without a destructor: it is also there while the thread, or the
/// process, ends.
pub(super) struct Stack<T> {
    items: [Option<T>; MAX_DEPTH],
    depth: usize,
}

impl<T: Copy> Stack<T> {
    pub const fn new() -> Self {
        Self { items: [None; MAX_DEPTH], depth: 0 }
    }

    pub fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.depth) {
            *place = Some(item);
        }
        self.depth += 1;
    }

    pub fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.items.iter().take(self.depth).flatten().any(is)
    }
}

thread_local! {
    static FRAMES: RefCell<Stack<Frame>> = const { RefCell::new(Stack::new()) };
}

/// Whether a callback of any manager runs on this thread.
pub(crate) fn inside_callback() -> bool {
    depth() > 0
}

/// How deep callbacks are nested on this thread.
pub(crate) fn depth() -> usize {
    FRAMES.with_borrow(Stack::depth)
}

/// Whether a callback of this manager runs on this thread.
pub(crate) fn inside(manager: u64) -> bool {
    FRAMES.with_borrow(|frames| frames.any(|frame| frame.manager == manager))
}

/// Whether a decider about this session runs on this thread.
pub(crate) fn deciding(manager: u64, session: SessionId) -> bool {
    FRAMES
        .with_borrow(|frames| frames.any(|frame| frame.manager == manager && frame.session == session && frame.decides))
}

/// Whether a callback about this session runs on this thread.
pub(crate) fn about(manager: u64, session: SessionId) -> bool {
    FRAMES.with_borrow(|frames| frames.any(|frame| frame.manager == manager && frame.session == session))
}

/// Whether a callback of this registration runs on this thread.
pub(crate) fn inside_class(manager: u64, class: u64) -> bool {
    FRAMES.with_borrow(|frames| frames.any(|frame| frame.manager == manager && frame.class == class))
}

/// Runs `body` as a callback.
pub(crate) fn enter<R>(frame: Frame, body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            FRAMES.with_borrow_mut(Stack::pop);
        }
    }
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
    let _leave = Leave;
    body()
}
