//! Handles: 64-bit numbers inside of opaque pointers, never addresses.
//!
//! A handle names a slot of a table, and which of the slot's tenants it means. Whatever is not the handle of a present
//! tenant (freed, of another kind, random bits, a real pointer) is `stale_handle`; nothing is dereferenced to find out.
//! A tenant in use is pinned: freeing it at the same time, even in the same thread further up, only says that its last
//! user drops it.
//!
//! After a fork the child begins with an empty set of tables, as another thread may have held a lock of the old one.
//! The old handles are looked up without any lock, and are `forked`; but for those of tenants that go on in the child.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};

use libsession_core::{Error, ErrorKind, Result};

use crate::config::Draft;
use crate::event::Telling;
use crate::manager::Open;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a handle is a 64-bit number inside of a pointer");

const INDEX_BITS: u32 = 24;
const SHARD_BITS: u32 = 4;
const SHARDS: usize = 1 << SHARD_BITS;
const GENERATIONS: u64 = (1 << 28) - 1;
/// Slots of a shard's first segment; each further one has twice as many.
const FIRST: usize = 64;
const SEGMENTS: usize = (INDEX_BITS - FIRST.ilog2()) as usize;

// A handle, from its low bits: index 24, shard 4, kind 4, epoch 4, generation 28.
const KIND_AT: u32 = INDEX_BITS + SHARD_BITS;
const EPOCH_AT: u32 = KIND_AT + 4;
const GENERATION_AT: u32 = EPOCH_AT + 4;

/// What a handle can stand for.
pub(crate) trait Tenant: Send + Sync + Sized + 'static {
    /// Bits 28 to 31 of its handles; never 0.
    const KIND: u64;
    /// For messages.
    const NAME: &'static str;
    /// Pin counters of a slot: one, or one for each shard of threads where all threads use the same handle.
    const COUNTERS: usize;
    /// Where they live.
    fn table(tables: &Tables) -> &Table<Self>;
    /// Whether this one, of before a fork, may be used in the child: called there.
    fn goes_on(&self) -> bool {
        false
    }
}

/// Every table of one process.
pub(crate) struct Tables {
    epoch: u32,
    /// Those of the process that this one was forked from.
    parent: *const Tables,
    pub configs: Table<Draft>,
    pub clocks: Table<crate::clock::Hands>,
    pub managers: Table<Arc<Open>>,
    pub requests: Table<libsession_core::Request>,
    pub events: Table<Telling>,
    pub groups: Table<crate::groups::Telling>,
    pub sinks: Table<crate::log::Sink>,
    pub tickets: Table<libsession_core::Ticket>,
    pub completions: Table<Arc<crate::completions::Completions>>,
    /// For the exit hook.
    pub open: Mutex<Vec<Weak<Open>>>,
    /// Where the results of asynchronous calls wait, for a manager that is closed or freed.
    pub queues: Mutex<Vec<Weak<crate::completions::Completions>>>,
    /// Held by who registers or unregisters an event class, or makes a manager's descriptor.
    pub changing: Mutex<()>,
}

// SAFETY: `parent` points to tables that are never freed, and that are only read through atomics.
unsafe impl Sync for Tables {}
// SAFETY: as above.
unsafe impl Send for Tables {}

static CURRENT: AtomicPtr<Tables> = AtomicPtr::new(ptr::null_mut());
static EPOCH: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

extern "C" fn in_child() {
    EPOCH.fetch_add(1, Ordering::SeqCst);
    crate::exit::forked();
}

/// How many forks lie between the first process that used the library and this one.
pub(crate) fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// The tables of this process.
pub(crate) fn tables() -> &'static Tables {
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: what was once in CURRENT is never freed.
    if let Some(tables) = unsafe { current.as_ref() }
        && tables.epoch == EPOCH.load(Ordering::Relaxed)
    {
        return tables;
    }
    new_tables(current)
}

#[cold]
fn new_tables(parent: *mut Tables) -> &'static Tables {
    if parent.is_null() {
        WATCH.call_once(|| {
            // SAFETY: the handler only adds to an atomic, which is async-signal-safe, and the library is never unloaded.
            let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            if status != 0 {
                log::warn!(target: "libsession", "forks can't be watched: pthread_atfork failed with {status}");
            }
        });
    }
    let new = Box::into_raw(Box::new(Tables {
        epoch: EPOCH.load(Ordering::SeqCst),
        parent,
        configs: Table::new(),
        clocks: Table::new(),
        managers: Table::new(),
        requests: Table::new(),
        events: Table::new(),
        groups: Table::new(),
        sinks: Table::new(),
        tickets: Table::new(),
        completions: Table::new(),
        open: Mutex::default(),
        queues: Mutex::default(),
        changing: Mutex::default(),
    }));
    match CURRENT.compare_exchange(parent, new, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: it is in CURRENT now, and what is there is never freed.
        Ok(_) => unsafe { &*new },
        Err(other) => {
            // SAFETY: nobody else saw `new`; `other` was in CURRENT and is never freed.
            unsafe {
                drop(Box::from_raw(new));
                &*other
            }
        }
    }
}

/// One kind of tenants.
pub(crate) struct Table<T: Tenant> {
    shards: [Shard<T>; SHARDS],
}

struct Shard<T: Tenant> {
    segments: [OnceLock<Box<[Slot<T>]>>; SEGMENTS],
    free: Mutex<FreeList>,
}

#[derive(Default)]
struct FreeList {
    /// Given back.
    indexes: Vec<u32>,
    /// How many there ever were.
    used: usize,
}

struct Slot<T> {
    /// The present tenant's handle; 0 when there is none.
    handle: AtomicU64,
    /// The last generation that lived here. Written by whoever owns the slot.
    generation: AtomicU32,
    /// 1 while a freed tenant waits for its last user, 2 while somebody looks whether that has gone.
    leaving: AtomicU32,
    pins: Box<[Pins]>,
    /// Written while `handle` and `pins` say that nobody looks.
    body: UnsafeCell<Option<T>>,
}

/// A counter with a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Pins(AtomicU64);

// SAFETY: `body` is written only by the thread that took the slot from the free list before it publishes the handle, or
// by the one that won `leaving` after every pin was gone; it is read only under a pin that was taken before `handle` was
// seen to be the tenant's.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

thread_local! {
    static MY_SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// This thread's shard: threads are dealt out in turn.
fn my_shard() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    MY_SHARD.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) as usize % SHARDS);
        }
        mine.get()
    })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Tenant> Table<T> {
    fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard {
                segments: std::array::from_fn(|_| OnceLock::new()),
                free: Mutex::default(),
            }),
        }
    }

    /// The slot that a handle names, whoever lives there.
    fn slot(&self, handle: u64) -> Option<&Slot<T>> {
        let shard = (handle >> INDEX_BITS) as usize % SHARDS;
        self.shards[shard].slot(handle as usize & ((1 << INDEX_BITS) - 1))
    }
}

impl<T: Tenant> Shard<T> {
    fn slot(&self, index: usize) -> Option<&Slot<T>> {
        // Segment n begins at index FIRST * (2^n - 1).
        let place = index + FIRST;
        let segment = (place.ilog2() - FIRST.ilog2()) as usize;
        let slots = self.segments.get(segment)?.get()?;
        slots.get(place - (FIRST << segment))
    }

    fn grow(&self, index: usize) {
        let place = index + FIRST;
        let segment = (place.ilog2() - FIRST.ilog2()) as usize;
        let Some(segment_cell) = self.segments.get(segment) else { return };
        segment_cell.get_or_init(|| (0..FIRST << segment).map(|_| Slot::new(T::COUNTERS)).collect());
    }
}

impl<T> Slot<T> {
    fn new(counters: usize) -> Self {
        Self {
            handle: AtomicU64::new(0),
            generation: AtomicU32::new(first_generation()),
            leaving: AtomicU32::new(0),
            pins: (0..counters).map(|_| Pins::default()).collect(),
            body: UnsafeCell::new(None),
        }
    }

    fn unused(&self) -> bool {
        self.pins.iter().all(|pins| pins.0.load(Ordering::SeqCst) == 0)
    }
}

/// Where a slot's generations begin: not at 1, so that a number that looks like a small handle is none.
fn first_generation() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    static SEED: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    SEED.get_or_init(RandomState::new).hash_one(count) as u32
}

/// Takes a tenant in and returns its handle as the opaque pointer. Errors: `internal` beyond 2^28 handles.
pub(crate) fn insert<T: Tenant, P>(tenant: T) -> Result<*mut P> {
    let tables = tables();
    let shard_at = my_shard();
    let shard = &T::table(tables).shards[shard_at];
    let index = {
        let mut free = lock(&shard.free);
        match free.indexes.pop() {
            Some(index) => index as usize,
            None if free.used + FIRST >= 1 << INDEX_BITS => {
                return Err(Error::new(ErrorKind::Internal, format!("too many {}s are open at once", T::NAME)));
            }
            None => {
                let index = free.used;
                shard.grow(index);
                free.used += 1;
                index
            }
        }
    };
    let Some(slot) = shard.slot(index) else {
        return Err(Error::new(ErrorKind::Internal, format!("no slot for a {}", T::NAME)));
    };
    let generation = u64::from(slot.generation.load(Ordering::Relaxed)) % GENERATIONS + 1;
    slot.generation.store(generation as u32, Ordering::Relaxed);
    // SAFETY: this thread took the slot from the free list, and no handle of it is published: nobody reads `body`.
    unsafe { *slot.body.get() = Some(tenant) };
    let handle = generation << GENERATION_AT
        | u64::from(tables.epoch % 16) << EPOCH_AT
        | T::KIND << KIND_AT
        | (shard_at as u64) << INDEX_BITS
        | index as u64;
    slot.leaving.store(0, Ordering::SeqCst);
    slot.handle.store(handle, Ordering::SeqCst);
    Ok(ptr::without_provenance_mut(handle as usize))
}

/// A tenant that can't be dropped while this is there.
pub(crate) struct Pinned<T: Tenant> {
    slot: &'static Slot<T>,
    counter: usize,
    handle: u64,
    /// Released by the thread that pinned it.
    not_send: PhantomData<*const ()>,
}

impl<T: Tenant> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pin was taken before the handle was seen in the slot, so the body is there and is not written
        // before the pin is gone (see `leave`).
        match unsafe { (*self.slot.body.get()).as_ref() } {
            Some(tenant) => tenant,
            None => unreachable!("a pinned slot has a tenant"),
        }
    }
}

impl<T: Tenant> Drop for Pinned<T> {
    fn drop(&mut self) {
        self.slot.pins[self.counter].0.fetch_sub(1, Ordering::SeqCst);
        if self.slot.handle.load(Ordering::SeqCst) != self.handle {
            leave(self.slot, self.handle);
        }
    }
}

/// The tenant of a handle. Errors: `invalid` for NULL, `forked`, `stale_handle`.
pub(crate) fn pin<T: Tenant, P>(handle: *const P) -> Result<Pinned<T>> {
    let number = number::<T, P>(handle)?;
    let tables = tables();
    if is_of(number, tables)
        && let Some(slot) = T::table(tables).slot(number)
        && let Some(pinned) = pin_slot(slot, number)
    {
        return Ok(pinned);
    }
    inherited(number, tables)
}

/// Whether a handle may have been given out by this process: epochs come again after 16 forks.
fn is_of(number: u64, tables: &Tables) -> bool {
    (number >> EPOCH_AT) % 16 == u64::from(tables.epoch % 16)
}

fn pin_slot<T: Tenant>(slot: &'static Slot<T>, number: u64) -> Option<Pinned<T>> {
    let counter = if T::COUNTERS == 1 { 0 } else { my_shard() % T::COUNTERS };
    slot.pins[counter].0.fetch_add(1, Ordering::SeqCst);
    if slot.handle.load(Ordering::SeqCst) == number {
        return Some(Pinned { slot, counter, handle: number, not_send: PhantomData });
    }
    slot.pins[counter].0.fetch_sub(1, Ordering::SeqCst);
    if slot.leaving.load(Ordering::SeqCst) == 1 {
        leave(slot, number);
    }
    None
}

/// The slot of a process that this one was forked from.
fn slot_of_ancestor<T: Tenant>(number: u64, tables: &Tables) -> Option<&'static Slot<T>> {
    let mut ancestor = tables.parent;
    // SAFETY: tables are never freed, and their slots' handles are atomics: no lock of the parent process is touched.
    while let Some(tables) = unsafe { ancestor.as_ref() } {
        let slot = T::table(tables).slot(number);
        if let Some(slot) = slot.filter(|slot| slot.handle.load(Ordering::SeqCst) == number) {
            return Some(slot);
        }
        ancestor = tables.parent;
    }
    None
}

/// A tenant of before the fork, if it goes on in the child.
#[cold]
fn inherited<T: Tenant>(number: u64, tables: &Tables) -> Result<Pinned<T>> {
    let Some(slot) = slot_of_ancestor::<T>(number, tables) else { return Err(stale(T::NAME)) };
    match pin_slot(slot, number) {
        Some(pinned) if pinned.goes_on() => Ok(pinned),
        Some(_) => Err(forked(T::NAME)),
        None => Err(stale(T::NAME)),
    }
}

/// Ends a tenant's stay; it is dropped at once, or by its last user. Errors: as [`pin`].
pub(crate) fn remove<T: Tenant, P>(handle: *const P) -> Result<()> {
    let number = number::<T, P>(handle)?;
    let tables = tables();
    let own = if is_of(number, tables) { T::table(tables).slot(number) } else { None };
    let slot = match own.filter(|slot| slot.handle.load(Ordering::SeqCst) == number) {
        Some(slot) => slot,
        None => inherited::<T>(number, tables)?.slot,
    };
    if slot.handle.compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        slot.leaving.store(1, Ordering::SeqCst);
        leave(slot, number);
        return Ok(());
    }
    Err(stale(T::NAME))
}

/// Drops a freed tenant if nobody uses it any more, and gives its slot back. The slot's place is the handle's.
fn leave<T: Tenant>(slot: &'static Slot<T>, handle: u64) {
    loop {
        if slot.leaving.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        if slot.unused() {
            break;
        }
        slot.leaving.store(1, Ordering::SeqCst);
        // Whoever left while it was 2 did not clear up.
        if !slot.unused() {
            return;
        }
    }
    // SAFETY: `leaving` was won by one thread, after the handle was taken away; whoever pins the slot from then on does
    // not see its handle there, and whoever pinned it before was counted in `unused`, which saw nobody.
    let tenant = unsafe { (*slot.body.get()).take() };
    slot.leaving.store(0, Ordering::SeqCst);
    let tables = tables();
    // The slot of a process that this one was forked from is not used again: its lock may be held by a thread that is not
    // here.
    if is_of(handle, tables) && T::table(tables).slot(handle).is_some_and(|own| ptr::eq(own, slot)) {
        let shard = (handle >> INDEX_BITS) as usize % SHARDS;
        let index = handle as u32 & ((1 << INDEX_BITS) - 1);
        lock(&T::table(tables).shards[shard].free).indexes.push(index);
    }
    drop(tenant);
}

fn number<T: Tenant, P>(handle: *const P) -> Result<u64> {
    if handle.is_null() {
        return Err(Error::invalid(format!("the {} is NULL", T::NAME)));
    }
    let number = handle.addr() as u64;
    if number >> KIND_AT & 15 == T::KIND { Ok(number) } else { Err(stale(T::NAME)) }
}

fn forked(name: &str) -> Error {
    Error::new(
        ErrorKind::Forked,
        format!("this {name} was made before the fork; make one in the child, or use a shared store"),
    )
}

fn stale(name: &str) -> Error {
    Error::new(ErrorKind::StaleHandle, format!("this is not the handle of a {name}, or it was freed"))
}
