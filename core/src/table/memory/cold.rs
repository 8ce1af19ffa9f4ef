//! The cold part of a session: 40 bytes, and more only for sessions that have more.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::requests::RequestRecord;
use crate::clock::Millis;
use crate::data::Tree;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{LockMode, TouchKind};
use crate::session::Client;
use crate::table::extension::Extension;
use crate::table::grave::Replaced;
use crate::table::{Attachment, Taken, Wake};

/// Lines of a trace.
const MAX_TRACE: usize = 64;

/// Sized so that it fills 48 bytes with its lock.
pub(super) struct Cold {
    tree: Option<Arc<Tree>>,
    extra: Option<Box<Extra>>,
    /// The number of the last request.
    last: NonZeroU32,
    /// The wall clock at the creation, less what it should have been: see [`Cold::set_wall`].
    wall: i32,
    /// What is random of the public id; its place is the rest.
    random: [u8; 10],
    one: One,
}

/// A request in flight in 6 bytes, its number is the last one; and two marks of the session.
#[derive(Clone, Copy, Default)]
struct One([u8; 6]);

const START_BITS: u32 = 42;
const HAD_REQUEST: u64 = 1 << 46;
const END_REQUESTED: u64 = 1 << 47;

impl One {
    fn word(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    fn set(&mut self, word: u64) {
        let [a, b, c, d, e, f, _, _] = word.to_le_bytes();
        self.0 = [a, b, c, d, e, f];
    }

    fn mark(&mut self, mark: u64, on: bool) {
        self.set(if on { self.word() | mark } else { self.word() & !mark });
    }

    /// 4 bits of kind: 0 for no request, else 1 + touch + 3 × lock.
    fn request(self) -> Option<(Millis, TouchKind, LockMode)> {
        let kind = (self.word() >> START_BITS & 15).checked_sub(1)?;
        let touch = TOUCHES.get((kind % 3) as usize)?;
        let lock = LOCKS.get((kind / 3) as usize)?;
        Some((self.word() & ((1 << START_BITS) - 1), *touch, *lock))
    }

    fn set_request(&mut self, request: Option<(Millis, TouchKind, LockMode)>) {
        let bits = request.map_or(0, |(start, touch, lock)| {
            let position = |found: Option<usize>| found.unwrap_or(0) as u64;
            let touch = position(TOUCHES.iter().position(|known| *known == touch));
            let lock = position(LOCKS.iter().position(|known| *known == lock));
            (1 + touch + 3 * lock) << START_BITS | start.min((1 << START_BITS) - 1)
        });
        self.set(self.word() & (HAD_REQUEST | END_REQUESTED) | bits);
    }
}

const TOUCHES: [TouchKind; 3] = [TouchKind::Activity, TouchKind::Keepalive, TouchKind::None];
const LOCKS: [LockMode; 3] = [LockMode::Exclusive, LockMode::Shared, LockMode::None];

/// What few sessions have.
#[derive(Default)]
pub(super) struct Extra {
    pub user: Option<Arc<str>>,
    /// Who is charged, if not the session itself.
    pub holder: Option<Arc<str>>,
    /// Its event classes, if they are not its first application's.
    pub classes: Option<Arc<[ClassRef]>>,
    pub client: Option<Box<Client>>,
    /// The requests in flight while there are several.
    requests: Vec<RequestRecord>,
    pub replaced: Vec<Replaced>,
    /// What was spent suspended before its creation.
    pub slept: Millis,
    /// When it took its unit, if that was later than its creation.
    pub licensed: Millis,
    /// The wall clock at the creation, if it was stepped far.
    wall: Option<i64>,
    damaged: bool,
    rare: Option<Box<Rare>>,
}

/// What fewer have.
#[derive(Default)]
pub(super) struct Rare {
    pub waiters: VecDeque<(u64, LockMode, Wake)>,
    pub attachments: Vec<(Box<str>, Attachment)>,
    pub told: Vec<ClassRef>,
    pub extension: Extension,
    pub trace: Option<VecDeque<String>>,
    /// The features that it took, in the order taken.
    pub takes: Vec<Taken>,
}

impl Cold {
    #[inline]
    pub fn new(id: SessionId, data: Tree) -> Self {
        let mut random = [0; 10];
        random.copy_from_slice(&id.0[6..]);
        let tree = (!data.is_empty()).then(|| Arc::new(data));
        Self { tree, extra: None, last: NonZeroU32::MIN, wall: 0, random, one: One::default() }
    }

    /// What is random of its id.
    pub fn random(&self) -> [u8; 10] {
        self.random
    }

    /// Whether it is the session with this id, if it lies at this id's place.
    pub fn is(&self, id: SessionId) -> bool {
        self.random == id.0[6..]
    }

    pub fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub fn rare(&self) -> Option<&Rare> {
        self.extra.as_ref()?.rare.as_deref()
    }

    pub fn rare_mut(&mut self) -> &mut Rare {
        self.extra_mut().rare.get_or_insert_default()
    }

    /// The features that it took, in the order taken.
    pub fn takes(&self) -> &[Taken] {
        self.rare().map_or(&[], |rare| &rare.takes)
    }

    /// Takes away the tokens that were rotated away.
    #[inline]
    pub fn take_replaced(&mut self) -> Vec<Replaced> {
        self.extra.as_mut().map_or_else(Vec::new, |extra| std::mem::take(&mut extra.replaced))
    }

    /// Takes away what its end has to tell: the classes that were told already, and its attachments.
    pub fn take_told(&mut self) -> (Vec<ClassRef>, Vec<Attachment>) {
        let rare = self.extra.as_mut().and_then(|extra| extra.rare.take()).map_or_else(Rare::default, |rare| *rare);
        (rare.told, rare.attachments.into_iter().map(|(_, object)| object).collect())
    }

    pub fn user(&self) -> Option<&Arc<str>> {
        self.extra.as_ref()?.user.as_ref()
    }

    /// Keeps the wall clock at the creation as its distance from what it is expected to be.
    #[inline]
    pub fn set_wall(&mut self, wall: i64, expected: i64) {
        match i32::try_from(wall.saturating_sub(expected)) {
            Ok(distance) => self.wall = distance,
            Err(_) => self.extra_mut().wall = Some(wall),
        }
    }

    pub fn wall(&self, expected: i64) -> i64 {
        let own = self.extra.as_ref().and_then(|extra| extra.wall);
        own.unwrap_or_else(|| expected.saturating_add(i64::from(self.wall)))
    }

    // --- data ---
    /// The tree to be changed; `None` if it can't be read.
    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        if self.damaged() {
            return None;
        }
        Some(Arc::make_mut(self.tree.get_or_insert_default()))
    }

    /// Has another tree.
    pub fn set_tree(&mut self, tree: Arc<Tree>) {
        self.tree = Some(tree);
    }

    /// Shows the tree; `false` if it can't be read.
    pub fn read(&self, look: &mut dyn FnMut(&Tree)) -> bool {
        match &self.tree {
            _ if self.damaged() => return false,
            Some(tree) => look(tree),
            None => look(&Tree::default()),
        }
        true
    }

    /// A snapshot; `None` if it can't be read.
    #[inline]
    pub fn snapshot(&self) -> Option<Arc<Tree>> {
        match &self.tree {
            _ if self.damaged() => None,
            Some(tree) => Some(tree.clone()),
            None => Some(Arc::default()),
        }
    }

    /// The last snapshot: the data goes with it.
    pub fn take_snapshot(&mut self) -> Option<Arc<Tree>> {
        if self.damaged() { None } else { Some(self.tree.take().unwrap_or_default()) }
    }

    pub fn bytes(&self) -> Option<usize> {
        if self.damaged() { None } else { Some(self.tree.as_ref().map_or(0, |tree| tree.bytes_used())) }
    }

    pub fn damaged(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.damaged)
    }

    /// Makes the data unreadable; what it was is dropped by whoever holds no lock.
    pub fn damage(&mut self) -> Option<Arc<Tree>> {
        self.extra_mut().damaged = true;
        self.tree.take()
    }

    // --- marks ---
    pub fn had_request(&self) -> bool {
        self.one.word() & HAD_REQUEST != 0
    }

    pub fn end_requested(&self) -> bool {
        self.one.word() & END_REQUESTED != 0
    }

    pub fn set_end_requested(&mut self, on: bool) {
        self.one.mark(END_REQUESTED, on);
    }

    #[inline]
    pub fn trace(&mut self, line: impl FnOnce() -> String) {
        let rare = self.extra.as_mut().and_then(|extra| extra.rare.as_mut());
        if let Some(trace) = rare.and_then(|rare| rare.trace.as_mut()) {
            if trace.len() == MAX_TRACE {
                trace.pop_front();
            }
            trace.push_back(line());
        }
    }

    /// Moves everyone who waits for the lock behind those who are to be woken already.
    #[inline]
    pub fn move_waiters(&mut self, woken: &mut VecDeque<(u64, LockMode, Wake)>) {
        if let Some(rare) = self.extra.as_mut().and_then(|extra| extra.rare.as_mut()) {
            woken.append(&mut rare.waiters);
        }
    }

    /// Takes everyone who waits for the lock.
    pub fn take_waiters(&mut self) -> VecDeque<(u64, LockMode, Wake)> {
        match self.extra.as_mut().and_then(|extra| extra.rare.as_mut()) {
            Some(rare) if !rare.waiters.is_empty() => std::mem::take(&mut rare.waiters),
            _ => VecDeque::new(),
        }
    }

    /// Forgets one who waits.
    pub fn forget_waiter(&mut self, watch: u64) -> Option<(u64, LockMode, Wake)> {
        let waiters = &mut self.extra.as_mut()?.rare.as_mut()?.waiters;
        let position = waiters.iter().position(|(number, _, _)| *number == watch)?;
        waiters.remove(position)
    }

    // --- requests ---
    /// Takes a request in; tells its number.
    pub fn add_request(&mut self, start: Millis, touch: TouchKind, lock: LockMode) -> u32 {
        self.one.mark(HAD_REQUEST, true);
        let before: Vec<_> = if self.is_busy() { self.requests().collect() } else { Vec::new() };
        self.last = self.last.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let number = self.last.get();
        if before.is_empty() {
            self.one.set_request(Some((start, touch, lock)));
        } else {
            self.one.set_request(None);
            let requests = &mut self.extra_mut().requests;
            *requests = before;
            requests.push(RequestRecord { number, start, touch, lock });
        }
        number
    }

    pub fn remove_request(&mut self, number: u32) {
        if self.one.request().is_some() {
            if number == self.last.get() {
                self.one.set_request(None);
            }
        } else if let Some(extra) = &mut self.extra {
            extra.requests.retain(|record| record.number != number);
            if extra.requests.is_empty() {
                extra.requests = Vec::new();
            }
        }
    }

    /// Changes how a request in flight holds the session; tells how it did before.
    pub fn set_lock(&mut self, number: u32, lock: LockMode) -> Option<LockMode> {
        if let Some((start, touch, before)) = self.one.request().filter(|_| number == self.last.get()) {
            self.one.set_request(Some((start, touch, lock)));
            return Some(before);
        }
        let record = self.extra.as_mut()?.requests.iter_mut().find(|record| record.number == number)?;
        Some(std::mem::replace(&mut record.lock, lock))
    }

    /// The requests in flight; most sessions have one at most.
    #[inline]
    pub fn requests(&self) -> impl Iterator<Item = RequestRecord> + '_ {
        let number = self.last.get();
        let one = self.one.request().map(|(start, touch, lock)| RequestRecord { number, start, touch, lock });
        let more = self.extra.as_ref().map_or(&[][..], |extra| &extra.requests);
        one.into_iter().chain(more.iter().copied())
    }

    pub fn request(&self, number: u32) -> Option<RequestRecord> {
        self.requests().find(|record| record.number == number)
    }

    /// Whether a request is in flight.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.one.request().is_some() || self.extra.as_ref().is_some_and(|extra| !extra.requests.is_empty())
    }

    /// Whether a request stops the idle clock.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.requests().any(|record| record.touch == TouchKind::Activity)
    }

    /// The request that began first.
    #[inline]
    pub fn earliest(&self) -> Option<RequestRecord> {
        self.requests().min_by_key(|record| record.start)
    }

    /// Who stands in the way of a lock; not the request `except`.
    pub fn blocker(&self, mode: LockMode, except: u32) -> Option<RequestRecord> {
        self.requests().filter(|record| record.number != except).find(|record| match mode {
            LockMode::Exclusive => record.lock != LockMode::None,
            LockMode::Shared => record.lock == LockMode::Exclusive,
            LockMode::None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cold() -> Cold {
        Cold::new(SessionId([7; 16]), Tree::default())
    }

    #[test]
    fn a_cold_part_fills_48_bytes_with_its_lock() {
        assert_eq!(std::mem::size_of::<Option<Cold>>(), 40);
        assert_eq!(std::mem::size_of::<super::super::region::ColdCell>(), 48);
    }

    #[test]
    fn requests_survive_being_one_and_being_several() {
        let mut cold = cold();
        for touch in TOUCHES {
            for lock in LOCKS {
                let first = cold.add_request(crate::clock::NEVER, touch, lock);
                let record = cold.request(first).expect("in flight");
                assert_eq!((record.start, record.touch, record.lock), (crate::clock::NEVER, touch, lock));
                let second = cold.add_request(5, TouchKind::None, LockMode::None);
                assert_eq!(cold.requests().count(), 2);
                assert_eq!(cold.earliest().map(|record| record.number), Some(second));
                assert_eq!(cold.set_lock(first, LockMode::Shared), Some(lock));
                cold.remove_request(second);
                assert_eq!(cold.requests().map(|record| record.number).collect::<Vec<_>>(), [first]);
                cold.remove_request(first);
                assert!(!cold.is_busy() && cold.had_request());
            }
        }
        let number = cold.add_request(1, TouchKind::Activity, LockMode::Shared);
        assert_eq!(cold.set_lock(number, LockMode::None), Some(LockMode::Shared));
        assert_eq!(cold.set_lock(number - 1, LockMode::None), None);
        cold.remove_request(number - 1);
        assert!(cold.is_active());
    }

    #[test]
    fn marks_and_requests_leave_each_other_alone() {
        let mut cold = cold();
        cold.set_end_requested(true);
        let number = cold.add_request(9, TouchKind::Keepalive, LockMode::Exclusive);
        cold.remove_request(number);
        assert!(cold.end_requested() && cold.had_request());
        cold.set_end_requested(false);
        assert!(!cold.end_requested() && cold.had_request());
    }

    #[test]
    fn the_wall_clock_survives_near_and_far_steps() {
        for wall in [0, 1_767_225_600_000, i64::MAX, -5] {
            for expected in [0, 1_767_225_599_000, 1] {
                let mut cold = cold();
                cold.set_wall(wall, expected);
                assert_eq!(cold.wall(expected), wall);
            }
        }
    }
}
