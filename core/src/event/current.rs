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

/// Where this thread's stack is: below the frame of who asks, by as much for everybody. Stacks grow downwards.
#[inline(never)]
pub(super) fn here() -> usize {
    let place = 0_u8;
    std::hint::black_box(std::ptr::from_ref(&place)).addr()
}

/// The innermost things that are under way on a thread. Without a destructor: it is also there while the thread, or the
/// process, ends.
///
/// Each knows where on the stack it is. A callback that is left by `longjmp` never says that it is over; it is known by the
/// stack, which has shrunk beyond it. One that changes to another stack in the midst of itself may be taken for left: then
/// nobody is told that he is inside of it.
pub(super) struct Stack<T> {
    items: [Option<(T, usize)>; MAX_DEPTH],
    depth: usize,
}

impl<T: Copy> Stack<T> {
    pub const fn new() -> Self {
        Self { items: [None; MAX_DEPTH], depth: 0 }
    }

    /// Begins one at a place of the stack; returns what to [`leave`](Self::leave) to.
    pub fn enter(&mut self, item: T, at: usize) -> usize {
        // Where the new one is, none can be any more.
        self.forget(|place| place <= at);
        let outer = self.depth;
        if let Some(place) = self.items.get_mut(outer) {
            *place = Some((item, at));
        }
        self.depth += 1;
        outer
    }

    /// Ends what was begun, and whatever in it did not end itself.
    pub fn leave(&mut self, outer: usize) {
        self.depth = self.depth.min(outer);
    }

    /// What is under way, asked for at a place of the stack.
    pub fn at(&mut self, at: usize) -> &Self {
        if self.depth > 0 {
            self.forget(|place| place < at);
        }
        self
    }

    fn forget(&mut self, is_left: impl Fn(usize) -> bool) {
        // Those that are too deep to be known are deeper on the stack, too.
        let known = self.depth.min(MAX_DEPTH);
        let left = self.items[..known].iter().rev().take_while(|item| item.is_some_and(|(_, place)| is_left(place)));
        let left = left.count();
        if left > 0 {
            self.depth = known - left;
        }
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn any(&self, is: impl Fn(&T) -> bool) -> bool {
        self.items.iter().take(self.depth).flatten().any(|(item, _)| is(item))
    }
}

crate::sync::thread_local! {
    static FRAMES: RefCell<Stack<Frame>> = const { RefCell::new(Stack::new()) };
}

/// Whether a callback of any manager runs on this thread.
pub(crate) fn inside_callback() -> bool {
    depth() > 0
}

/// How deep callbacks are nested on this thread.
pub(crate) fn depth() -> usize {
    let at = here();
    FRAMES.with(|frames| frames.borrow_mut().at(at).depth())
}

/// Whether a callback of this manager runs on this thread.
pub(crate) fn inside(manager: u64) -> bool {
    any(|frame| frame.manager == manager)
}

/// Whether a decider about this session runs on this thread.
pub(crate) fn deciding(manager: u64, session: SessionId) -> bool {
    any(|frame| frame.manager == manager && frame.session == session && frame.decides)
}

/// Whether a callback about this session runs on this thread.
pub(crate) fn about(manager: u64, session: SessionId) -> bool {
    any(|frame| frame.manager == manager && frame.session == session)
}

/// Whether a callback of this registration runs on this thread.
pub(crate) fn inside_class(manager: u64, class: u64) -> bool {
    any(|frame| frame.manager == manager && frame.class == class)
}

fn any(is: impl Fn(&Frame) -> bool) -> bool {
    let at = here();
    FRAMES.with(|frames| frames.borrow_mut().at(at).any(is))
}

/// Runs `body` as a callback. Not inlined, so that each has a place of its own on the stack.
#[inline(never)]
pub(crate) fn enter<R>(frame: Frame, body: impl FnOnce() -> R) -> R {
    struct Leave(usize);
    impl Drop for Leave {
        fn drop(&mut self) {
            FRAMES.with(|frames| frames.borrow_mut().leave(self.0));
        }
    }
    let at = here();
    let _leave = Leave(FRAMES.with(|frames| frames.borrow_mut().enter(frame, at)));
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_forgotten_as_soon_as_the_stack_is_shorter() {
        let mut stack = Stack::new();
        assert_eq!(stack.enter('a', 900), 0);
        assert_eq!(stack.enter('b', 800), 1);
        assert_eq!(stack.enter('c', 700), 2);
        // Deeper, or in the innermost one itself: all are there.
        assert_eq!((stack.at(650).depth(), stack.at(700).depth()), (3, 3));
        // Out of `c` and `b`, in `a`.
        assert!(!stack.at(850).any(|item| *item != 'a'));
        assert_eq!(stack.depth(), 1);
        // Another one at the place of one that was left.
        assert_eq!(stack.enter('d', 800), 1);
        assert_eq!(stack.enter('e', 800), 1);
        assert!(!stack.any(|item| *item == 'd') && stack.any(|item| *item == 'e'));
        stack.leave(0);
        assert_eq!(stack.at(0).depth(), 0);
    }

    #[test]
    fn what_is_too_deep_to_be_known_is_left_with_the_deepest_that_is_known() {
        let mut stack = Stack::new();
        for depth in 0..MAX_DEPTH + 3 {
            assert_eq!(stack.enter((), 1000 - depth), depth);
        }
        assert_eq!(stack.at(900).depth(), MAX_DEPTH + 3);
        assert_eq!(stack.at(1000 - MAX_DEPTH + 2).depth(), MAX_DEPTH - 1);
        stack.leave(3);
        assert_eq!(stack.depth(), 3);
    }

    #[test]
    fn callbacks_know_of_each_other_by_the_real_stack() {
        let frame = |class| Frame { manager: 7, class, session: SessionId([7; 16]), decides: false };
        enter(frame(1), || {
            enter(frame(2), || assert!(inside_class(7, 1) && inside_class(7, 2) && depth() == 2));
            assert!(inside_class(7, 1) && !inside_class(7, 2) && depth() == 1);
        });
        assert!(!inside(7) && depth() == 0);
    }
}
