//! Opening and closing a store: who else has it, what the hot files are worth, what time it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use super::books::{self, Books, SessionRow};
use super::cache::Cache;
use super::due::Filed;
use super::guest::{self, Company};
use super::keeper::Keeper;
use super::keys::Keys;
use super::layout::{APPLICATIONS, PARTICIPANTS};
use super::line::Line;
use super::map::Map;
use super::processes::Processes;
use super::visit::Held;
use super::{Local, SharedOptions, SharedTable};
use crate::clock::{Clock, Millis, NEVER, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::reason::{EndReason, ThreadKind};
use crate::sync::Mutex;
use crate::table::slot::{FREE, Place, State};
use crate::table::*;

/// How long another process that opens the store is waited for.
pub(super) const SETUP: Duration = Duration::from_secs(30);
/// How long administrators' processes are waited for, where the configuration changes.
const GUESTS: Duration = Duration::from_secs(10);
/// How often is looked whether they are gone.
const LOOK: Duration = Duration::from_millis(20);
/// Tombstones that there is room for, however few sessions there may be.
const MIN_GRAVES: u64 = 65_536;
/// Rows that are read at once.
const ROWS: usize = 1024;
/// Sessions that one commit ends at the first opening.
const BATCH: usize = 256;
/// Whether the store was made for tests: a number in the books.
const FOR_TESTS: &str = "for_tests";
/// A cache of this many bytes.
const CACHE: usize = 16 << 20;

/// What the books know of time.
struct Past {
    ms: Millis,
    suspended: Millis,
    wall: i64,
}

impl SharedTable {
    /// Opens the store in a directory, which is made if its parent is there.
    ///
    /// # Errors
    /// `invalid`: the directory can't hold a store, or other processes have it open with another configuration.
    /// `unavailable`: the disk is full or read-only, the format is newer, or too many processes have it open.
    /// `corrupt`: the files are not what they should be.
    pub fn open(dir: &Path, config: TableConfig, options: SharedOptions) -> Result<Arc<Self>> {
        if config.applications.len() > APPLICATIONS {
            return Err(Error::invalid(format!(
                "{} applications are configured; a shared store knows at most {APPLICATIONS}",
                config.applications.len()
            )));
        }
        if options.guest {
            guest::check_there(dir)?;
        }
        let processes = Arc::new(Processes::open(dir)?);
        let seats = processes.clone();
        let mut setup = seats.setup(SETUP)?;
        let books = if options.guest { Books::open_as_they_are(dir)? } else { Books::open(dir)? };
        let manual = options.clock.manual().is_some();
        check_kind(&books, dir, manual)?;
        let cookie = numbers(secret(&books, "cookie")?);
        let until = Instant::now() + GUESTS;
        let (known, company) = loop {
            let known = Map::open(dir)?.filter(|map| read(&map.head().cookie) == cookie);
            let company = guest::company(&processes, known.as_ref());
            // Guests stay for a moment, and go by the configuration that they found.
            if options.guest || company != Company::Guests || goes_by(&books, &config)? || Instant::now() >= until {
                break (known, company);
            }
            drop(setup);
            std::thread::sleep(LOOK);
            setup = seats.setup(SETUP)?;
        };
        let alone = company == Company::Nobody;
        let boot = boot_id();
        // What a machine left behind that stopped may be torn.
        if let Some(map) = known.as_ref().filter(|map| alone && read(&map.head().boot) == boot) {
            // Before the pools have other numbers.
            let denials = &map.head().denials;
            let written = books.write(|ledger| denials.write(ledger).and_then(|_| ledger.denials_written()))?;
            denials.go_on(written);
        }
        settle_names(&books, &config, &options, alone)?;
        if known.is_none() && !alone {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the hot files in {} are not those of its books, and other processes have the store open: all must see \
                     the same directory, not copies of it; stop them and open it again",
                    dir.display()
                ),
            ));
        }
        let past = past(&books)?;
        let (map, fresh) = match known {
            Some(map) if !alone || (read(&map.head().boot) == boot && map.head().poisoned.load(Relaxed) == 0) => {
                (map, false)
            }
            _ => (Map::create(dir)?, true),
        };
        let head = map.head();
        if fresh {
            for (word, value) in head.boot.iter().zip(boot) {
                word.store(value, Relaxed);
            }
            begin_time(&map, &past, &options.clock);
            head.denials.go_on(books.glance(|pages| pages.denials_written())?);
        }
        let map = Arc::new(map);
        let head = map.head();
        let clock = match &options.clock {
            Clock::Manual(clock) => {
                clock.share(Arc::new(Words(map.clone())));
                options.clock.clone()
            }
            Clock::System(_) => {
                Clock::System(Arc::new(SystemClock::based(head.base_ms.load(Relaxed), head.base_gap.load(Relaxed))))
            }
        };
        if alone {
            for participant in &head.participants {
                participant.state.store(0, Relaxed);
                participant.in_flight.store(0, Relaxed);
                participant.waiting.store(0, Relaxed);
                participant.queued.store(0, Relaxed);
                participant.instance.store(0, Relaxed);
            }
        }
        let me = take_number(&processes, &map, dir)?;
        let instance = u64::from_le_bytes(crate::id::random());
        let graves = config.max_sessions.max(MIN_GRAVES);
        let keys = Keys::new(secret(&books, "id_key")?);
        let pools = config.pools.iter().map(|pool| Arc::new(PoolInForce::new(pool.clone(), 0))).collect();
        let local = Local { pools: Mutex::new(pools), ..Local::default() };
        let table = Arc::new_cyclic(|weak| Self {
            config,
            options,
            clock,
            keys,
            me,
            instance,
            graves,
            map,
            books,
            processes,
            cache: Cache::new(CACHE),
            filed: Mutex::new(Filed::default()),
            keeper: Keeper::new(),
            local,
            line: Line::default(),
            disk: Arc::default(),
            shutting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            weak: weak.clone(),
        });
        table.come_in();
        if alone {
            table.rebuild(fresh)?;
            // The mark that the hot files are whole.
            for (word, value) in table.map.head().cookie.iter().zip(cookie) {
                word.store(value, Release);
            }
        } else if company == Company::Guests && !table.options.guest {
            table.settle_pools(table.at())?;
            table.repair_pools()?;
        } else {
            table.join_pools()?;
        }
        drop(setup);
        table.ring_others(false);
        Ok(table)
    }

    /// Takes a seat among the processes.
    fn come_in(&self) {
        let participant = self.participant(self.me);
        participant.pid.store(crate::fork::process(), Relaxed);
        participant.instance.store(self.instance, Relaxed);
        participant.started_ms.store(self.clock.now().ms, Relaxed);
        participant.in_flight.store(0, Relaxed);
        participant.waiting.store(0, Relaxed);
        participant.queued.store(0, Relaxed);
        participant.guest.store(self.options.guest.into(), Relaxed);
        let mut label = [0; 64];
        let length = self.options.label.len().min(label.len());
        label[..length].copy_from_slice(&self.options.label.as_bytes()[..length]);
        for (word, bytes) in participant.label.iter().zip(label.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        participant.state.store(1, Release);
    }

    /// Makes the hot files say what the books say: nobody else has the store open.
    fn rebuild(&self, fresh: bool) -> Result<()> {
        let head = self.map.head();
        head.epoch.fetch_add(1, AcqRel);
        head.writing.word.unlock();
        head.slots.growing.unlock();
        head.records.growing.unlock();
        head.slots.free.store(0, Relaxed);
        head.due.chain.store(0, Relaxed);
        head.due.leader.store(0, Relaxed);
        head.due.earliest.store(NEVER, Relaxed);
        head.due.rescan.fetch_add(1, AcqRel);
        head.poisoned.store(0, Relaxed);
        let at = self.at();
        // Requests are of processes that are not any more.
        for number in 0..head.records.next.load(Acquire) {
            if let Some(record) = self.map.record(number) {
                record.session.store(0, Relaxed);
                record.kind.store(0, Relaxed);
                record.next.store(0, Relaxed);
                record.owner.store(0, Relaxed);
            }
        }
        head.records.next.store(0, Relaxed);
        let generation = if fresh { self.books.glance(|pages| pages.last_generation())? + 1 } else { 0 };
        let mut index = 0;
        let mut from = 0;
        let mut down = Vec::new();
        loop {
            let page = self.books.glance(|pages| pages.sessions(from, ROWS))?;
            for row in page.rows {
                self.grow_to(row.slot)?;
                self.free_slots(index..row.slot, generation);
                index = row.slot + 1;
                let place = Place { index: row.slot, generation: row.generation };
                let session = SessionRef { id: self.keys.id(place, row.random), place: place.locator() };
                if self.restore(at, row)? {
                    down.push(session);
                }
            }
            for slot in page.bad {
                self.put_away(slot)?;
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        self.free_slots(index..head.slots.next.load(Acquire).max(index), generation);
        self.recount_counters()?;
        if self.options.guest {
            self.join_pools()?;
            // What ran out is ended by who serves, and its callbacks are called.
            down.clear();
        } else {
            self.settle_pools(at)?;
        }
        self.repair_pools()?;
        self.forget_waiters()?;
        self.release_letters()?;
        for batch in down.chunks(BATCH) {
            let writer = self.writer()?;
            let mut due = Vec::with_capacity(batch.len());
            for session in batch {
                if let Some(held) = self.hold(Place::from_locator(session.place).index)?.filter(Held::taken) {
                    let (deadline, _) = self.deadline_of(at.now, &held);
                    due.push((held, EndReason::ExpiredWhileDown, Some(deadline)));
                }
            }
            self.end_many(&writer, at, due, ThreadKind::Reaper)?;
            self.done(writer, false)?;
        }
        Ok(())
    }

    /// Makes room for slots up to this one.
    fn grow_to(&self, index: u32) -> Result<()> {
        while index >= self.map.head().slots.grown.load(Acquire) {
            self.map.grow_slots(self.me, &|number| self.processes.alive(number))?;
        }
        Ok(())
    }

    /// Puts a row into its slot; tells whether it ran out while nobody was there.
    fn restore(&self, at: At, mut row: SessionRow) -> Result<bool> {
        self.map.head().slots.next.fetch_max(row.slot + 1, AcqRel);
        let slot = self.map.slot(row.slot).ok_or_else(|| Error::new(ErrorKind::Internal, "a slot is missing"))?;
        slot.tail.lock.unlock();
        slot.tail.first.store(0, Relaxed);
        slot.tail.due.store(0, Relaxed);
        let Some(held) = self.hold_raw(row.slot) else { return Ok(false) };
        let kept = self.learn(&held, &mut row);
        self.fill(&held, &row);
        held.publish(State::new(row.generation, kept));
        held.file(None);
        let (deadline, _) = self.deadline_of(at.now, &held);
        Ok(deadline <= at.now.ms)
    }

    fn free_slots(&self, range: std::ops::Range<u32>, generation: u64) {
        for index in range {
            let Some(slot) = self.map.slot(index) else { return };
            slot.tail.lock.unlock();
            slot.tail.due.store(0, Relaxed);
            slot.tail.first.store(self.me, Relaxed);
            slot.hot.file(None);
            let before = slot.hot.state();
            let next =
                if before.deadline() == FREE { before.generation().max(generation) } else { before.generation() + 1 };
            slot.hot.publish(State::new(next, FREE));
            self.give_slot(index);
        }
    }

    /// A session whose record can't be read is put into quarantine and is not there any more.
    fn put_away(&self, slot: u32) -> Result<()> {
        let writer = self.writer()?;
        let done = writer.commit(|ledger| ledger.quarantine(slot, "its row can't be read"));
        self.done(writer, false)?;
        self.map.head().counters.damaged.fetch_add(1, Relaxed);
        ::log::error!(target: "libsession", "the record of slot {slot} can't be read: it is in quarantine");
        done
    }

    /// What was to be delivered again by processes that are not any more is there again.
    fn release_letters(&self) -> Result<()> {
        let writer = self.writer()?;
        let done = writer.commit(|ledger| ledger.release_all_letters());
        self.done(writer, false)?;
        done
    }
}

/// Takes a slot that nobody else can have.
impl SharedTable {
    fn hold_raw(&self, index: u32) -> Option<Held<'_>> {
        let slot = self.map.slot(index)?;
        slot.tail.lock.try_lock(self.me).then(|| Held::new(self, index, slot))
    }
}

/// Has the books count as this configuration does.
fn settle_names(books: &Books, config: &TableConfig, options: &SharedOptions, alone: bool) -> Result<()> {
    if options.guest {
        return if goes_by(books, config)? { Ok(()) } else { Err(guest::changed(books.dir())) };
    }
    let names = books::Names {
        applications: config.applications.iter().map(|rule| rule.name.clone()).collect(),
        pools: config.pools.iter().map(|pool| pool.name.as_str().into()).collect(),
    };
    let text = canonical(config);
    // Beside others nothing is written: their writers would be waited for in SQLite, where nobody has a turn.
    if !alone && goes_by(books, config)? {
        return Ok(());
    }
    books.write(|ledger| {
        ledger.settle_names(&names, &text, alone)?;
        if ledger.meta(books::KEPT)?.as_deref() == Some(options.kept.as_bytes()) {
            return Ok(());
        }
        ledger.set_meta(books::KEPT, options.kept.as_bytes())
    })
}

/// Whether the books go by this configuration.
fn goes_by(books: &Books, config: &TableConfig) -> Result<bool> {
    let known = books.glance(|pages| pages.meta(books::CONFIGURATION))?;
    Ok(known.as_deref() == Some(canonical(config).as_bytes()))
}

fn read(words: &[std::sync::atomic::AtomicU64; 2]) -> [u64; 2] {
    [words[0].load(Relaxed), words[1].load(Relaxed)]
}

/// The first number that nobody has.
fn take_number(processes: &Processes, map: &Map, dir: &Path) -> Result<u32> {
    // Not always the first: who was stopped for long and looks for an owner of before should not find another.
    let first = crate::fork::process();
    for offset in 0..PARTICIPANTS as u32 {
        let number = first.wrapping_add(offset) % PARTICIPANTS as u32 + 1;
        let participant = &map.head().participants[number as usize - 1];
        // The seat of a process that died is not taken before it is buried.
        if participant.state.load(Acquire) == 0 && processes.take(number)? {
            return Ok(number);
        }
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("{PARTICIPANTS} managers have the store {} open already: close some", dir.display()),
    ))
}

/// What must be the same in all processes, one line for each thing.
fn canonical(config: &TableConfig) -> String {
    let mut text = format!(
        "max_sessions {}\nmax_request {} ms\ntombstone {} ms\nidle_counts_suspend {}\nquotas {:?}\n",
        config.max_sessions, config.max_request, config.tombstone, config.idle_counts_suspend, config.quotas
    );
    text += &config.agreement;
    for rule in &config.applications {
        text += &lines(&format!("rules of application '{}'", rule.name), rule);
    }
    // What their limits are the books say: see `pools`.
    let pools: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    text += &format!("pools {pools:?}\n");
    text
}

/// A directory made for tests keeps their clock, and no other has one.
fn check_kind(books: &Books, dir: &Path, manual: bool) -> Result<()> {
    let made = books.glance(|pages| pages.meta_number(FOR_TESTS))?;
    let made = match made {
        Some(made) => made != 0,
        None => {
            books.write(|ledger| ledger.set_meta_number(FOR_TESTS, u64::from(manual)))?;
            manual
        }
    };
    match made {
        made if made == manual => Ok(()),
        true => Err(Error::invalid(format!(
            "the store {} was made for tests, with a manual clock: open it with one, or name another directory",
            dir.display()
        ))),
        false => Err(Error::invalid(format!(
            "the store {} runs on the system's clock: a manual clock needs a directory of its own, made for tests",
            dir.display()
        ))),
    }
}

fn past(books: &Books) -> Result<Option<Past>> {
    books.read(|pages| {
        let (ms, suspended) = (pages.meta_number("last_ms")?, pages.meta_number("last_suspended")?);
        let wall = pages.meta_number("last_wall")?;
        Ok(ms.map(|ms| Past { ms, suspended: suspended.unwrap_or(0), wall: wall.unwrap_or(0).cast_signed() }))
    })
}

/// Notes where engine time is, for the case that the hot files are lost.
pub(super) fn set_past(ledger: &mut books::Ledger<'_>, at: At) -> Result<()> {
    ledger.set_meta_number("last_ms", at.now.ms)?;
    ledger.set_meta_number("last_suspended", at.now.suspended)?;
    ledger.set_meta_number("last_wall", at.wall.cast_unsigned())
}

/// Random bytes that the store was made with.
fn secret(books: &Books, key: &str) -> Result<[u8; 16]> {
    let known = books.glance(|pages| pages.meta(key))?;
    if let Some(known) = known.and_then(|bytes| bytes.try_into().ok()) {
        return Ok(known);
    }
    let fresh: [u8; 16] = crate::id::random();
    books.write(|ledger| ledger.set_meta(key, &fresh))?;
    Ok(fresh)
}

fn numbers(bytes: [u8; 16]) -> [u64; 2] {
    let word = |from: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[from..from + 8]);
        u64::from_le_bytes(word)
    };
    [word(0), word(8)]
}

/// Engine time goes on where it was; what passed on the wall clock meanwhile has passed.
fn begin_time(map: &Map, past: &Option<Past>, clock: &Clock) {
    let head = map.head();
    let (now, wall) = clock.both();
    let (ms, suspended) = match past {
        Some(past) => {
            let down = u64::try_from(wall.saturating_sub(past.wall)).unwrap_or(0);
            let down = if clock.manual().is_some() { 0 } else { down };
            (past.ms.saturating_add(down), past.suspended)
        }
        None => (now.ms, now.suspended),
    };
    let (base_ms, base_gap) = SystemClock::bases(ms, suspended);
    head.base_ms.store(base_ms, Relaxed);
    head.base_gap.store(base_gap, Relaxed);
    head.manual.store(u32::from(clock.manual().is_some()), Relaxed);
    head.manual_ms.store(ms, Relaxed);
    head.manual_suspended.store(suspended, Relaxed);
    let elapsed = i64::try_from(ms.saturating_add(suspended)).unwrap_or(i64::MAX);
    head.manual_wall_offset.store(wall.saturating_sub(elapsed), Relaxed);
}

/// The manual clock of a store made for tests: words in its head.
struct Words(Arc<Map>);

impl crate::clock::ManualWords for Words {
    fn ms(&self) -> &AtomicU64 {
        &self.0.head().manual_ms
    }

    fn suspended(&self) -> &AtomicU64 {
        &self.0.head().manual_suspended
    }

    fn wall_offset(&self) -> &AtomicI64 {
        &self.0.head().manual_wall_offset
    }

    fn moved(&self) {
        for participant in &self.0.head().participants {
            if participant.state.load(Acquire) != 0 {
                participant.bell.fetch_add(1, AcqRel);
                super::word::wake_all(&participant.bell);
            }
        }
    }
}

/// The machine's boot, as two numbers.
fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let word = |range: std::ops::Range<usize>| {
        digits.get(range).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(1)
    };
    [word(0..16), word(16..32)]
}
