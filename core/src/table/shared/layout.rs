//! What all processes of a machine map: plain atomics at fixed offsets, no pointer, every step recoverable when it is
//! abandoned half-way. A change of anything here raises [`LAYOUT`].

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::word::Word;
use crate::reason::EndReason;
use crate::table::slot::Slot;

/// The first bytes of the head: "lses.hot".
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"lses.hot");
/// The version of this layout.
pub(super) const LAYOUT: u32 = 6;
/// Most processes (managers) at once. Participants are numbered from 1; 0 is nobody.
pub(super) const PARTICIPANTS: usize = 1024;
/// Arrivals that are remembered.
pub(super) const ARRIVALS: usize = 4096;
/// Denials that wait for a transaction that takes them into the accounts: so many at most cost whoever writes next little.
pub(super) const DENIALS: usize = 256;
/// Bytes of a name that is kept with a denial: of who has a longer one each is written at once.
pub(super) const NAME: usize = 128;
/// Most applications.
pub(super) const APPLICATIONS: usize = 256;
/// Room for counts of ends by reason.
pub(super) const REASONS: usize = 32;
/// Slots of one segment of `hot.slots`: 1 MiB.
pub(super) const SEGMENT: usize = 8192;
/// Records of one segment of `hot.requests`: 1 MiB.
pub(super) const RECORDS: usize = 32_768;

const _: () = {
    assert!(EndReason::ALL.len() <= REASONS);
    assert!(size_of::<SharedSlot>() == 128 && size_of::<Record>() == 32 && size_of::<Participant>() == 256);
    assert!(size_of::<Denial>() == 64);
    assert!(SEGMENT * size_of::<SharedSlot>() == 1 << 20 && RECORDS * size_of::<Record>() == 1 << 20);
};

/// The file `hot.head`.
#[repr(C, align(4096))]
pub(super) struct Head {
    pub magic: AtomicU64,
    pub layout: AtomicU32,
    /// 0x01020304 as this machine writes it.
    pub endian: AtomicU32,
    /// The same two numbers as in the books: this hot file and they belong together.
    pub cookie: [AtomicU64; 2],
    /// The machine's boot id: deadlines of another boot are not comparable.
    pub boot: [AtomicU64; 2],
    /// Raised by every rebuild.
    pub epoch: AtomicU64,
    /// Engine time 0 on the monotonic clock (milliseconds; may be negative after a reboot).
    pub base_ms: AtomicI64,
    /// The time suspended that does not count: boot-time clock less monotonic clock at engine time 0.
    pub base_gap: AtomicI64,
    /// Not 0: a sync failed; everything that writes answers `poisoned` until the store is reopened by all.
    pub poisoned: AtomicU32,
    /// 1: the time is the manual clock below.
    pub manual: AtomicU32,
    pub manual_ms: AtomicU64,
    pub manual_suspended: AtomicU64,
    pub manual_wall_offset: AtomicI64,
    pub writing: Writing,
    pub due: DueWords,
    pub arrivals: Arrivals,
    pub denials: Denials,
    pub slots: Handing,
    pub records: Handing,
    pub counters: Counters,
    pub participants: [Participant; PARTICIPANTS],
}

/// Who writes the books.
#[repr(C, align(128))]
pub(super) struct Writing {
    /// Held over every transaction.
    pub word: Word,
    /// Raised by everybody who gets the word: while it stands the same one writes.
    pub turn: AtomicU32,
    /// Commits so far, and how many of them are on the disk.
    pub committed: AtomicU64,
    pub synced: AtomicU64,
    /// Who may have committed what the counters do not know yet; 0 for nobody.
    pub counting: AtomicU32,
}

/// What falls due.
#[repr(C, align(128))]
pub(super) struct DueWords {
    /// The participant that reaps; 0 for none.
    pub leader: AtomicU32,
    /// Slots to be filed anew: the first of a chain through [`Tail::due`], index + 1; 0 for none.
    pub chain: AtomicU32,
    /// The earliest instant filed since the reaper last looked.
    pub earliest: AtomicU64,
    /// When the leader was last seen at work.
    pub beat: AtomicU64,
    /// Raised when the reaper must look at every slot again (a process died, the machine was suspended).
    pub rescan: AtomicU64,
    /// The value of `rescan` that the reaper's wheel was filled for.
    pub filled: AtomicU64,
    /// The earliest instant at which a unit may have lingered long enough; an earlier one costs a look into the books.
    pub lingering: AtomicU64,
}

/// Sessions that were charged to a pool, or became another kind of session there, in their order: each process sees by it who
/// came since it looked at all. Written by whoever has the writer's word.
#[repr(C, align(128))]
pub(super) struct Arrivals {
    /// How many there were.
    pub next: AtomicU64,
    /// The locators of the last of them.
    pub last: [AtomicU64; ARRIVALS],
}

/// Denials that are not in the accounts yet. Written and read by whoever has the writer's word, but for the two numbers.
#[repr(C, align(128))]
pub(super) struct Denials {
    /// How many there were so far: raised when the entry is whole.
    pub noted: AtomicU64,
    /// So many of them are in the books, or more: whoever dies after the commit has not told it here.
    pub written: AtomicU64,
    /// The last of them, each at its number.
    pub ring: [Denial; DENIALS],
    /// Whom each of them names.
    pub names: [Named; DENIALS],
}

/// A session that was refused for want of a unit.
#[repr(C, align(64))]
pub(super) struct Denial {
    /// Engine time.
    pub at: AtomicU64,
    pub session: [AtomicU64; 2],
    /// The units in use.
    pub in_use: AtomicU64,
    /// How many records the pool keeps.
    pub keep: AtomicU64,
    /// How many commits the lifecycle log of the process keeps.
    pub keep_log: AtomicU64,
    pub pool: AtomicU32,
    pub reason: AtomicU32,
    /// Bytes of the user's name in the books; 0 for a session that is its own holder.
    pub named: AtomicU32,
}

/// The name of a user who was refused.
pub(super) type Named = [AtomicU64; NAME / 8];

/// Numbers handed out of a growing file.
#[repr(C, align(128))]
pub(super) struct Handing {
    /// Numbers below this exist in the file.
    pub grown: AtomicU32,
    /// Numbers below this were handed out.
    pub next: AtomicU32,
    /// A stack of free numbers through [`Tail::due`]: a tag in the high half, index + 1 in the low half. (Slots only.)
    pub free: AtomicU64,
    /// Held while the file grows.
    pub growing: Word,
    _pad: AtomicU32,
}

/// Counters of the table: caches, rebuilt from the books.
#[repr(C, align(128))]
pub(super) struct Counters {
    pub live: AtomicU64,
    pub peak: AtomicU64,
    pub created: AtomicU64,
    pub damaged: AtomicU64,
    pub replaced_uses: AtomicU64,
    pub order: AtomicU64,
    /// Versions of data given out.
    pub versions: AtomicU64,
    pub tombstones: AtomicU64,
    /// Rows of the outbox not yet acknowledged.
    pub outbox: AtomicU64,
    /// Raised when the outbox may have something for a process that found nothing there before.
    pub offers: AtomicU64,
    pub ended: [AtomicU64; REASONS],
    pub applications: [AtomicU64; APPLICATIONS],
}

/// A process (a manager) that has the store open. Alive is whoever holds byte `number` of `proc.lock`.
#[repr(C, align(128))]
pub(super) struct Participant {
    /// 0 free, 1 in use. Only the kernel's lock tells whether it is alive.
    pub state: AtomicU32,
    /// For people only: process ids mean nothing in another container.
    pub pid: AtomicU32,
    /// Raised and woken to tell it something: its keeper looks at everything.
    pub bell: AtomicU32,
    /// How many of its threads wait for locks of sessions.
    pub waiting: AtomicU32,
    pub started_ms: AtomicU64,
    /// A random number of this opening: tells two users of one number apart.
    pub instance: AtomicU64,
    /// Begun here less finished here.
    pub in_flight: AtomicI64,
    /// When its keeper was last seen.
    pub beat: AtomicU64,
    /// Language and version, for people: bytes of a text, 0 after it.
    pub label: [AtomicU64; 8],
    /// Raised when units were set aside for one who waits there.
    pub called: AtomicU64,
    /// How many of its calls wait for license units.
    pub queued: AtomicU64,
    /// 1: it opened the store by what that says itself, and serves nobody.
    pub guest: AtomicU64,
    _room: [AtomicU64; 15],
}

impl Participant {
    /// Language and version, as it was given.
    pub fn label(&self) -> String {
        let bytes: Vec<u8> = self.label.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

/// A session's hot part: as in memory, and what in memory is cold.
#[repr(C, align(128))]
pub(super) struct SharedSlot {
    pub hot: Slot,
    pub tail: Tail,
}

/// What a request needs to know and the first 64 bytes have no room for. Written under `lock` unless said otherwise.
#[repr(C, align(64))]
pub(super) struct Tail {
    /// The lock of everything structural of this session; its owner is a participant.
    pub lock: Word,
    /// Bits of [`flags`].
    pub flags: AtomicU32,
    /// The first of its requests in flight, record + 1; of a free slot: the participant that took it, or 0.
    pub first: AtomicU32,
    /// The number of the last request.
    pub last: AtomicU32,
    /// A link of the chain of what is to be filed, or of free slots: 0 not in it, index + 1, or `u32::MAX` at its end.
    pub due: AtomicU32,
    /// Raised when a lock of the session was freed, or it ended.
    pub freed: AtomicU32,
    /// The version of the data in the books; 0: ask them.
    pub version: AtomicU64,
    /// The idle deadline that the books know. Moved by touches without the lock.
    pub saved: AtomicU64,
    /// The deadline that its classes were asked about.
    pub asked: AtomicU64,
    /// What is random of the public id: 8 bytes and 2, the lower half of the second word.
    pub random: AtomicU64,
    pub random_rest: AtomicU32,
    /// What was spent suspended before its creation, at most 49 days of it.
    pub slept: AtomicU32,
}

/// Bits of [`Tail::flags`].
pub(super) mod flags {
    pub const HAD_REQUEST: u32 = 1;
    pub const END_REQUESTED: u32 = 2;
    /// Its data can't be read.
    pub const DAMAGED: u32 = 4;
    /// It has older tokens: ask the books about a strange one.
    pub const REPLACED: u32 = 16;
    /// Its classes are not empty: it is asked before its deadline.
    pub const CLASSES: u32 = 32;
    /// It keeps a trace.
    pub const TRACE: u32 = 64;
    /// It was asked to end, and the last of its requests has counted as finished.
    pub const ENDING: u32 = 128;
    /// It takes its unit at the second request.
    pub const LAZY_REQUEST: u32 = 256;
    /// It takes its unit at the first write.
    pub const LAZY_WRITE: u32 = 512;
    /// How many wait for its lock: the upper half, in units of this.
    pub const WAITER: u32 = 1 << 16;
}

/// A request in flight. Owned by a participant; linked to its session.
#[repr(C, align(32))]
pub(super) struct Record {
    /// The session's locator; 0 with `kind` 0 for a free record.
    pub session: AtomicU64,
    /// When it began.
    pub start: AtomicU64,
    /// Its number within the session.
    pub number: AtomicU32,
    /// The next of the same session, record + 1.
    pub next: AtomicU32,
    /// 0 free, else 1 + touch + 3 × lock.
    pub kind: AtomicU32,
    /// The participant whose it is, in flight or free.
    pub owner: AtomicU32,
}
