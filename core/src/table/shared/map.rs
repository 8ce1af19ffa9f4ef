//! The three files that all processes of a machine map. The only place that turns mapped bytes into references.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

use super::directory::{failed, free, open};
use super::layout::{Handing, Head, LAYOUT, MAGIC, RECORDS, Record, SEGMENT, SharedSlot};
use crate::error::{Error, ErrorKind, Result};
use crate::table::slot::INDEX_BITS;

const HEAD: &str = "hot.head";
const SLOTS: &str = "hot.slots";
const REQUESTS: &str = "hot.requests";
/// What a machine writes that this one understands.
const ENDIAN: u32 = 0x0102_0304;
/// Most numbers of a growing file.
const MOST: u32 = 1 << INDEX_BITS;
/// Segments of one leaf of a directory.
const LEAF: usize = 128;
/// How long another process that makes a file longer is waited for.
const GROWING: Duration = Duration::from_secs(1);

/// What may be mapped.
///
/// # Safety
/// Every pattern of bits is a valid value, and everything in it is atomic: other processes write it at any time.
unsafe trait Shared: Sync {}

// SAFETY: atomics at fixed offsets, and wrappers of them.
unsafe impl Shared for Head {}
// SAFETY: the same.
unsafe impl Shared for SharedSlot {}
// SAFETY: the same.
unsafe impl Shared for Record {}

/// The hot files of a store, mapped. What is mapped stays where it is until this is dropped.
pub(super) struct Map {
    head: Mapping<Head>,
    slots: Growing<SharedSlot, SEGMENT>,
    records: Growing<Record, RECORDS>,
}

impl Map {
    /// Makes fresh files, zeroed, with room for one segment each, and puts them in the place of older ones. To be called
    /// by whoever has the setup lock, with nobody else alive. Whether what they hold is whole is for the caller to mark:
    /// until it has written the cookie there is none.
    ///
    /// # Errors
    /// `unavailable`: no room. The older files are then as they were.
    pub fn create(dir: &Path) -> Result<Self> {
        let names = [HEAD, SLOTS, REQUESTS];
        let fresh = names.map(|name| format!("{name}.new"));
        Self::make(dir, &fresh)
            .and_then(|map| {
                let path = dir.join(HEAD);
                let renamed = (|| {
                    // Without a head there is no hot file: whoever dies in between leaves none rather than half of one.
                    remove(&path)?;
                    for at in [1, 2, 0] {
                        fs::rename(dir.join(&fresh[at]), dir.join(names[at]))?;
                    }
                    Ok(())
                })();
                renamed.map(|()| map).map_err(|error: io::Error| failed(&path, "it can't be replaced", &error))
            })
            .inspect_err(|_| {
                for name in &fresh {
                    let _what_is_left_is_replaced_next_time = remove(&dir.join(name));
                }
            })
    }

    fn make(dir: &Path, [head, slots, records]: &[String; 3]) -> Result<Self> {
        let make = |name: &String, size: usize| {
            let path = dir.join(name);
            let file = remove(&path)
                .and_then(|()| open(dir, name, true))
                .map_err(|error| failed(&path, "it can't be made", &error))?;
            allocate(dir, name, &file, 0, size)?;
            Ok::<_, Error>(file)
        };
        let head = Mapping::<Head>::new(&make(head, size_of::<Head>())?, 0, 1)
            .map_err(|error| failed(dir, "hot.head can't be mapped", &error))?;
        let slots = Growing::new(dir, SLOTS, make(slots, SEGMENT * size_of::<SharedSlot>())?);
        let records = Growing::new(dir, REQUESTS, make(records, RECORDS * size_of::<Record>())?);
        let first = head.get();
        first.slots.grown.store(SEGMENT as u32, Ordering::Relaxed);
        first.records.grown.store(RECORDS as u32, Ordering::Relaxed);
        first.layout.store(LAYOUT, Ordering::Relaxed);
        first.endian.store(ENDIAN, Ordering::Relaxed);
        first.magic.store(MAGIC, Ordering::Release);
        Ok(Self { head, slots, records })
    }

    /// Maps the files that are there. `None`: one is missing, of another layout or machine, or shorter than it must be;
    /// they are to be made anew. To be called by whoever has the setup lock.
    pub fn open(dir: &Path) -> Result<Option<Self>> {
        let file = |name: &str| match open(dir, name, false) {
            Ok(file) => {
                let path = dir.join(name);
                let size = file.metadata().map_err(|error| failed(&path, "it can't be looked at", &error))?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&dir.join(name), "it can't be opened", &error)),
        };
        let (Some(head), Some(slots), Some(records)) = (file(HEAD)?, file(SLOTS)?, file(REQUESTS)?) else {
            return Ok(None);
        };
        if head.1 != size_of::<Head>() as u64 || !is_ours(&head.0) {
            return Ok(None);
        }
        let head = Mapping::<Head>::new(&head.0, 0, 1)
            .map_err(|error| failed(&dir.join(HEAD), "it can't be mapped", &error))?;
        let fits = |handing: &Handing, per: usize, size: usize, is: u64| {
            let grown = handing.grown.load(Ordering::Acquire);
            grown <= MOST && (grown as usize).is_multiple_of(per) && u64::from(grown) * size as u64 <= is
        };
        if !fits(&head.get().slots, SEGMENT, size_of::<SharedSlot>(), slots.1)
            || !fits(&head.get().records, RECORDS, size_of::<Record>(), records.1)
        {
            return Ok(None);
        }
        let (slots, records) = (Growing::new(dir, SLOTS, slots.0), Growing::new(dir, REQUESTS, records.0));
        Ok(Some(Self { head, slots, records }))
    }

    /// What is there once.
    pub fn head(&self) -> &Head {
        self.head.get()
    }

    /// The slot of a number; `None` if the file has not grown so far.
    #[inline]
    pub fn slot(&self, index: u32) -> Option<&SharedSlot> {
        self.slots.get(index, &self.head().slots)
    }

    /// The record of a number; `None` if the file has not grown so far.
    #[inline]
    pub fn record(&self, index: u32) -> Option<&Record> {
        self.records.get(index, &self.head().records)
    }

    /// Makes room for one more segment of slots, unless somebody else did meanwhile: there are more afterwards.
    ///
    /// # Errors
    /// `unavailable`: no room on the disk; nothing changed.
    pub fn grow_slots(&self, me: u32, alive: &dyn Fn(u32) -> bool) -> Result<()> {
        self.slots.grow(&self.head().slots, me, alive)
    }

    /// The same for records.
    ///
    /// # Errors
    /// As [`grow_slots`](Self::grow_slots).
    pub fn grow_records(&self, me: u32, alive: &dyn Fn(u32) -> bool) -> Result<()> {
        self.records.grow(&self.head().records, me, alive)
    }
}

/// A file that only ever grows, by whole segments, each mapped when it is first asked for.
struct Growing<T: Shared, const PER: usize> {
    dir: PathBuf,
    name: &'static str,
    file: File,
    /// Two steps: leaves of [`LEAF`] segments. Pointers that are set once, so that a fork finds none half-way.
    top: Box<[AtomicPtr<Leaf<T>>]>,
}

type Leaf<T> = [AtomicPtr<T>; LEAF];

impl<T: Shared, const PER: usize> Growing<T, PER> {
    fn new(dir: &Path, name: &'static str, file: File) -> Self {
        let leaves = (MOST as usize).div_ceil(PER * LEAF);
        let top = (0..leaves).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Self { dir: dir.to_owned(), name, file, top }
    }

    #[inline]
    fn get(&self, index: u32, handing: &Handing) -> Option<&T> {
        let (segment, at) = (index as usize / PER, index as usize % PER);
        let leaf = self.top.get(segment / LEAF)?.load(Ordering::Acquire);
        // SAFETY: a leaf that is not null was published by `map` and is freed when `self` is dropped.
        let start = match unsafe { leaf.as_ref() } {
            Some(leaf) => leaf[segment % LEAF].load(Ordering::Acquire),
            None => ptr::null_mut(),
        };
        let start = match NonNull::new(start) {
            Some(start) => start,
            None => self.map(segment, handing)?,
        };
        // SAFETY: a segment is `PER` values, `at` is less, and it stays mapped until `self` is dropped. The file is as
        // long as the segment reaches: it was when it was mapped, and nobody shortens it.
        Some(unsafe { start.add(at).as_ref() })
    }

    #[cold]
    fn map(&self, segment: usize, handing: &Handing) -> Option<NonNull<T>> {
        if segment * PER >= handing.grown.load(Ordering::Acquire) as usize {
            return None;
        }
        let leaf = self.leaf(self.top.get(segment / LEAF)?);
        let offset = (segment * PER * size_of::<T>()) as u64;
        let mapping = match Mapping::<T>::new(&self.file, offset, PER) {
            Ok(mapping) => mapping,
            Err(error) => {
                let error = failed(&self.dir.join(self.name), "it can't be mapped", &error);
                log::error!(target: "libsession", "{error}");
                return None;
            }
        };
        let cell = &leaf[segment % LEAF];
        match cell.compare_exchange(ptr::null_mut(), mapping.start.as_ptr(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(mapping.keep()),
            // Another thread was faster; this one's mapping goes.
            Err(other) => NonNull::new(other),
        }
    }

    fn leaf(&self, cell: &AtomicPtr<Leaf<T>>) -> &Leaf<T> {
        let mut leaf = cell.load(Ordering::Acquire);
        if leaf.is_null() {
            let new = Box::into_raw(Box::new([const { AtomicPtr::new(ptr::null_mut()) }; LEAF]));
            leaf = match cell.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(other) => {
                    // SAFETY: it comes from a box, and was not published.
                    drop(unsafe { Box::from_raw(new) });
                    other
                }
            };
        }
        // SAFETY: it is not null, was published, and is freed when `self` is dropped.
        unsafe { &*leaf }
    }

    fn grow(&self, handing: &Handing, me: u32, alive: &dyn Fn(u32) -> bool) -> Result<()> {
        let seen = handing.grown.load(Ordering::Acquire);
        // A grower that died left a longer file at most: its part is zero still, and is allocated again.
        let since = Instant::now();
        if handing.growing.lock_while(me, alive, &mut || since.elapsed() < GROWING).is_none() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "store {}: another process makes {} longer, for {} ms by now, and does not go on: it is stopped or hangs; \
                     nothing was changed; continue it or end it, and try again",
                    self.dir.display(),
                    self.name,
                    since.elapsed().as_millis()
                ),
            ));
        }
        let grown = handing.grown.load(Ordering::Acquire);
        let done = if grown != seen {
            Ok(())
        } else if grown >= MOST {
            Err(Error::new(
                ErrorKind::Unavailable,
                format!("store {}: {} is full: it has all {MOST} that it can", self.dir.display(), self.name),
            ))
        } else {
            let from = grown as usize * size_of::<T>();
            allocate(&self.dir, self.name, &self.file, from, PER * size_of::<T>())
                .map(|()| handing.grown.store(grown + PER as u32, Ordering::Release))
        };
        handing.growing.unlock();
        done
    }
}

impl<T: Shared, const PER: usize> Drop for Growing<T, PER> {
    fn drop(&mut self) {
        for leaf in &mut self.top {
            let leaf = *leaf.get_mut();
            if leaf.is_null() {
                continue;
            }
            // SAFETY: it comes from a box, was published once, and nobody has a reference to it any more.
            let leaf = unsafe { Box::from_raw(leaf) };
            for start in leaf.iter().filter_map(|start| NonNull::new(start.load(Ordering::Relaxed))) {
                drop(Mapping { start, count: PER });
            }
        }
    }
}

/// A mapped part of a file, which is unmapped with it.
struct Mapping<T: Shared> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: what is behind the pointer is shared by processes already: atomics alone.
unsafe impl<T: Shared> Send for Mapping<T> {}
// SAFETY: the same.
unsafe impl<T: Shared> Sync for Mapping<T> {}

impl<T: Shared> Mapping<T> {
    /// Maps `count` values from `offset`, which the file must be long enough for.
    fn new(file: &File, offset: u64, count: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses where, so that nothing that is mapped is touched.
        let start = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                count * size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                offset,
            )?
        };
        match NonNull::new(start.cast::<T>()) {
            Some(start) => Ok(Self { start, count }),
            None => Err(io::Error::other("mapped to address 0")),
        }
    }

    fn get(&self) -> &T {
        // SAFETY: it is mapped while `self` lives, at the start of a page, and any bits are a value.
        unsafe { self.start.as_ref() }
    }

    fn keep(self) -> NonNull<T> {
        std::mem::ManuallyDrop::new(self).start
    }
}

impl<T: Shared> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a reference into it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.count * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "a part of a file can't be unmapped");
    }
}

/// Whether the head was written by this layout on such a machine.
fn is_ours(file: &File) -> bool {
    let mut first = [0; 16];
    file.read_exact_at(&mut first, 0).is_ok() && {
        let expected = [&MAGIC.to_ne_bytes()[..], &LAYOUT.to_ne_bytes(), &ENDIAN.to_ne_bytes()].concat();
        first[..] == expected[..]
    }
}

/// Gives the file blocks of the disk, zeroed: a hole would be a signal instead of an error when the disk is full.
fn allocate(dir: &Path, name: &str, file: &File, from: usize, size: usize) -> Result<()> {
    let end = (from + size) as u64;
    // Past it the kernel would send a signal that ends the process.
    if getrlimit(Resource::Fsize).current.is_some_and(|most| end > most) {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "store {}: {name} must grow to {} KiB, which is more than this process may write to a file (ulimit -f)",
                dir.display(),
                end >> 10
            ),
        ));
    }
    let done = match rustix::fs::fallocate(file, FallocateFlags::empty(), from as u64, size as u64) {
        // The file system can't: nobody has used this part, so that zeros may be written.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, from as u64, size),
        other => other.map_err(io::Error::from),
    };
    done.map_err(|error| {
        let _keeps_the_blocks_at_worst = file.set_len(from as u64);
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Error::new(
                ErrorKind::Unavailable,
                format!("no room for {} KiB of {name} in {}: {}", size >> 10, dir.display(), free(dir)),
            ),
            _ => failed(&dir.join(name), "it can't grow", &error),
        }
    })
}

fn write_zeros(file: &File, mut at: u64, mut left: usize) -> io::Result<()> {
    let zeros = [0; 1 << 16];
    while left > 0 {
        let some = left.min(zeros.len());
        file.write_all_at(&zeros[..some], at)?;
        (at, left) = (at + some as u64, left - some);
    }
    file.sync_data()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
