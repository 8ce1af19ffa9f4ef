//! License pools: how they are configured, and what they tell.

use std::ffi::c_char;
use std::time::Duration;

use libsession_core::config::{Overdraft, Pool, Reservation, TradeFailure};
use libsession_core::license::{Audit, AuditRecord, HolderUsage, Usage};
use libsession_core::{AtSessionLimit, DenyReason, Error, Evict, Result, UnitRule};

use crate::bytes::{
    LSES_UNSET, Out, Sized32, SizedOut, check_size, lses_buf, lses_str, member, ms, optional_member, read, text,
};
use crate::config::{choice, lses_config, optional_count, texts as text_list};
use crate::guard::{done, guard};
use crate::handle::{self, lock};
use crate::json::{self, int, list, map, opt_text, texts, uint};
use crate::manager::{lses_manager, open};
use crate::names::{LSES_TRADE_FAILURE_KEEP, LSES_TRADE_FAILURE_REFUSE};
use crate::session::info_json;
use crate::status::{LSES_OK, lses_status, nothing};

/// Units of a pool that are set apart for some. Begin with LSES_RESERVATION_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_reservation {
    /// sizeof(lses_reservation): the same in all of a list.
    pub size: usize,
    /// For whom: users by name, or "user:NAME", and groups as "group:NAME". Who is in several reservations has the first.
    pub members: *const lses_str,
    /// How many: at least 1.
    pub member_count: usize,
    /// How many units: at least 1.
    pub units: u64,
    /// Whether nobody else may use the units meanwhile. With LSES_NO they only count as used by their members, who are told so
    /// in the accounts, and who get them back: when they find no other unit, a session that has none of the reserved ones is
    /// evicted for them, whatever `evict` says. 0: LSES_YES.
    pub hard: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), ends on 8 bytes without padding, and any bits are numbers or pointers.
unsafe impl Sized32 for lses_reservation {
    const NAME: &'static str = "lses_reservation";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self { size: size_of::<Self>(), members: std::ptr::null(), member_count: 0, units: 0, hard: 0, reserved: 0 }
    }
}

/// Most reservations that are read; the engine's own bound is lower.
const MOST_RESERVATIONS: usize = 10_000;

/// A limited set of license units. Begin with LSES_POOL_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_pool {
    /// sizeof(lses_pool).
    pub size: usize,
    /// Its name: 1 to 128 bytes.
    pub name: lses_str,
    /// Units there are.
    pub capacity: u64,
    /// The step of the staircase, the cliff of `iris`, the limit of `hard`: 1 to 1,000,000. Default 25.
    pub max_connections: i64,
    /// Most sessions of one holder. Default: any number.
    pub max_sessions_per_holder: i64,
    /// Most units that `anonymous` sessions may hold together. Default: as many as there are.
    pub anonymous_cap: i64,
    /// `on_pool_low` when fewer units than this are available. Default 0: never.
    pub low: i64,
    /// How many audit records are kept. Default 10,000.
    pub audit_records: i64,
    /// How a holder with several sessions is charged (LSES_UNIT_RULE_...). 0: `staircase`.
    pub unit_rule: u32,
    /// What becomes of a login whose license can't be traded (LSES_TRADE_FAILURE_...). 0: `keep`.
    pub trade_failure: u32,
    /// Whether a user at several clients is several holders, `user@client`: a client is what it is for `anonymous_per_client`. 0:
    /// LSES_NO.
    pub holder_per_client: u32,
    /// Whether a unit that lingers (but not one within `min_hold_ms`) is given to somebody else when no other is free. 0:
    /// LSES_YES.
    pub reclaim: u32,
    /// `on_pool_recovered` when so many units are available again after it was low or exhausted; until then neither is told
    /// again. Default: `low`, at least 1.
    pub recovered: i64,
    /// How long a user keeps a unit that no session of theirs needs any more, in ms, to come back to it free. Default 0.
    /// A session that is its own holder can't come back, and a unit that is traded goes along: neither lingers.
    pub linger_ms: i64,
    /// How long a unit is held at least, in ms, from when it was taken. Default 0. A user who takes another one meanwhile holds
    /// all until the last of these times is over.
    pub min_hold_ms: i64,
    /// The same for units that `anonymous` sessions take. Default: `min_hold_ms`.
    pub anonymous_min_hold_ms: i64,
    /// Units that may be in use beyond the capacity. Default 0. Not with `overdraft_percent`.
    pub overdraft: i64,
    /// The same as so many of a hundred of the capacity, rounded down. Default 0.
    pub overdraft_percent: i64,
    /// For how long in ms units may be given beyond the capacity, from when it was passed until use is back within it; who
    /// has one then keeps it. Default: any time.
    pub overdraft_time_ms: i64,
    /// Units of the capacity that only `administrators` get, when they find no other. Default 0.
    pub break_glass: i64,
    /// Units set apart for some, at most 64 reservations; with `break_glass` no more units than the capacity.
    pub reservations: *const lses_reservation,
    /// How many.
    pub reservation_count: usize,
    /// For whom `break_glass` is: members as in a reservation. They are in no reservation.
    pub administrators: *const lses_str,
    /// How many.
    pub administrator_count: usize,
    /// The only users that are let in, members as in a reservation. Default: none named, everybody.
    pub include: *const lses_str,
    /// How many.
    pub include_count: usize,
    /// Users that are not let in, even if `include` names them.
    pub exclude: *const lses_str,
    /// How many.
    pub exclude_count: usize,
    /// Most `anonymous` sessions of one client, by `address`: one IPv4 address, or one IPv6 network of 64 bits; a port counts
    /// for nothing, and what is no address counts as it is written. A login leaves them. Sessions without an address are not
    /// bounded. 1 or more. Default: any number.
    pub anonymous_per_client: i64,
    /// Most who may wait for units of the pool, of all processes together: up to 1,000,000; the next is refused at once. Default 0:
    /// nobody waits.
    pub queue: i64,
    /// Which sessions are ended, with reason `evicted`, for a unit that somebody needs and nothing else gives
    /// (LSES_EVICT_...): the longest idle first. Never one with a request in flight or within `min_hold_ms`, one of the same
    /// user, or one whose unit counts as reserved; for an anonymous session only other anonymous ones; for a feature none. Of a
    /// user all sessions go that it takes to free a unit, or none. 0: `none`.
    pub evict: u32,
    /// What becomes of a login beyond `max_sessions_per_holder`, or beyond the limit of `hard` (LSES_AT_SESSION_LIMIT_...). Where
    /// one of the user's own sessions is ended for it, that is one step with the login, and that session may have a request in
    /// flight. 0: `deny`.
    pub at_session_limit: u32,
    /// How long in ms a session must have been idle to be evicted for somebody else. Default 0.
    pub evict_idle_ms: i64,
    /// `linger_ms` where the last session to need the unit took its license as a `lazy` one. Default: `linger_ms`. There is none
    /// for `anonymous` sessions: a login makes them `named` ones.
    pub lazy_linger_ms: i64,
    /// `min_hold_ms` of units that `lazy` sessions take, but for features. Default: `min_hold_ms`.
    pub lazy_min_hold_ms: i64,
}

// SAFETY: repr(C), ends on 8 bytes without padding (asserted in the layout test), and any bits are numbers or pointers.
unsafe impl Sized32 for lses_pool {
    const NAME: &'static str = "lses_pool";
    const FIRST: usize = std::mem::offset_of!(Self, recovered);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            name: lses_str::default(),
            capacity: 0,
            max_connections: LSES_UNSET,
            max_sessions_per_holder: LSES_UNSET,
            anonymous_cap: LSES_UNSET,
            low: LSES_UNSET,
            audit_records: LSES_UNSET,
            unit_rule: 0,
            trade_failure: 0,
            holder_per_client: 0,
            reclaim: 0,
            recovered: LSES_UNSET,
            linger_ms: LSES_UNSET,
            min_hold_ms: LSES_UNSET,
            anonymous_min_hold_ms: LSES_UNSET,
            overdraft: LSES_UNSET,
            overdraft_percent: LSES_UNSET,
            overdraft_time_ms: LSES_UNSET,
            break_glass: LSES_UNSET,
            reservations: std::ptr::null(),
            reservation_count: 0,
            administrators: std::ptr::null(),
            administrator_count: 0,
            include: std::ptr::null(),
            include_count: 0,
            exclude: std::ptr::null(),
            exclude_count: 0,
            anonymous_per_client: LSES_UNSET,
            queue: LSES_UNSET,
            evict: 0,
            at_session_limit: 0,
            evict_idle_ms: LSES_UNSET,
            lazy_linger_ms: LSES_UNSET,
            lazy_min_hold_ms: LSES_UNSET,
        }
    }
}

impl lses_pool {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    unsafe fn to_core(self) -> Result<Pool> {
        // SAFETY: as the caller says.
        let name = unsafe { self.name.owned("name of the pool") }?.unwrap_or_default();
        let mut pool = Pool::new(name, self.capacity);
        if let Some(rule) = optional_member(UnitRule::from_code, "unit_rule", self.unit_rule)? {
            pool.unit_rule = rule;
        }
        if let Some(count) = optional_count(self.max_connections, "max_connections")? {
            pool.max_connections = count;
        }
        pool.max_sessions_per_holder = optional_count(self.max_sessions_per_holder, "max_sessions_per_holder")?;
        pool.anonymous_cap = optional_count(self.anonymous_cap, "anonymous_cap")?;
        pool.anonymous_per_client = optional_count(self.anonymous_per_client, "anonymous_per_client")?;
        pool.queue = optional_count(self.queue, "queue")?.unwrap_or(pool.queue);
        pool.low = optional_count(self.low, "low")?.unwrap_or(pool.low);
        pool.audit_records = optional_count(self.audit_records, "audit_records")?.unwrap_or(pool.audit_records);
        pool.holder_per_client = choice(self.holder_per_client, "holder_per_client")?.unwrap_or(false);
        pool.trade_failure = match self.trade_failure {
            0 | LSES_TRADE_FAILURE_KEEP => TradeFailure::Keep,
            LSES_TRADE_FAILURE_REFUSE => TradeFailure::Refuse,
            other => member(None, "trade_failure", other)?,
        };
        let time = |ms, what| Ok(optional_count::<u64>(ms, what)?.map(Duration::from_millis));
        pool.recovered = optional_count(self.recovered, "recovered")?;
        pool.linger = time(self.linger_ms, "linger_ms")?.unwrap_or_default();
        pool.min_hold = time(self.min_hold_ms, "min_hold_ms")?.unwrap_or_default();
        pool.anonymous_min_hold = time(self.anonymous_min_hold_ms, "anonymous_min_hold_ms")?;
        pool.lazy_linger = time(self.lazy_linger_ms, "lazy_linger_ms")?;
        pool.lazy_min_hold = time(self.lazy_min_hold_ms, "lazy_min_hold_ms")?;
        pool.reclaim = choice(self.reclaim, "reclaim")?.unwrap_or(true);
        let units = optional_count(self.overdraft, "overdraft")?;
        let percent = optional_count(self.overdraft_percent, "overdraft_percent")?;
        pool.overdraft = match (units, percent) {
            (None, None) => Overdraft::None,
            (Some(units), None) => Overdraft::Units(units),
            (None, Some(percent)) => Overdraft::Percent(percent),
            (Some(units), Some(percent)) => {
                return Err(Error::invalid(format!(
                    "overdraft {units} and overdraft_percent {percent} are both set: name one of them"
                )));
            }
        };
        pool.overdraft_time = time(self.overdraft_time_ms, "overdraft_time_ms")?;
        pool.evict = optional_member(Evict::from_code, "evict", self.evict)?.unwrap_or(pool.evict);
        let at_limit = optional_member(AtSessionLimit::from_code, "at_session_limit", self.at_session_limit)?;
        pool.at_session_limit = at_limit.unwrap_or(pool.at_session_limit);
        pool.evict_idle = time(self.evict_idle_ms, "evict_idle_ms")?.unwrap_or_default();
        pool.break_glass = optional_count(self.break_glass, "break_glass")?.unwrap_or(0);
        // SAFETY: as the caller says.
        unsafe {
            pool.reservations = self.reservations()?;
            pool.administrators = text_list(self.administrators, self.administrator_count, "administrators")?;
            pool.include = text_list(self.include, self.include_count, "users to include")?;
            pool.exclude = text_list(self.exclude, self.exclude_count, "users to exclude")?;
        }
        Ok(pool)
    }

    /// # Safety
    /// As in [`Self::to_core`].
    unsafe fn reservations(&self) -> Result<Vec<Reservation>> {
        if self.reservation_count > 0 && self.reservations.is_null() {
            return Err(Error::invalid("the list of reservations is NULL"));
        }
        if self.reservation_count > MOST_RESERVATIONS {
            let count = self.reservation_count;
            return Err(Error::invalid(format!("{count} reservations are over the bound of {MOST_RESERVATIONS}")));
        }
        if self.reservation_count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: the host passes at least one, which begins with its size; that is how far apart they are.
        let size = unsafe { self.reservations.cast::<usize>().read_unaligned() };
        check_size::<lses_reservation>(size)?;
        let read_one = |at| {
            // SAFETY: the host passes so many reservations of this size, whose texts are as the caller says.
            let (one, members) = unsafe {
                let one = read(self.reservations.byte_add(at * size))?;
                if one.size != size {
                    let other = one.size;
                    return Err(Error::invalid(format!("one reservation has the size {other}, the first one {size}")));
                }
                (one, text_list(one.members, one.member_count, "members of a reservation")?)
            };
            Ok(Reservation { members, units: one.units, hard: choice(one.hard, "hard")?.unwrap_or(true) })
        };
        (0..self.reservation_count).map(read_one).collect()
    }
}

/// Adds a license pool.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_add_pool(config: *mut lses_config, pool: *const lses_pool) -> lses_status {
    done(|| {
        let draft = handle::pin::<crate::config::Draft, _>(config)?;
        if pool.is_null() {
            return Err(Error::invalid("the pool is NULL"));
        }
        // SAFETY: the host passes a struct that begins with its size, and texts that last as long as the call.
        let pool = unsafe { read(pool)?.to_core() }?;
        lock(&draft.0).pools.push(pool);
        Ok(())
    })
}

/// The use of one pool at one instant, in numbers. Begin with LSES_USAGE_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_usage {
    /// sizeof(lses_usage).
    pub size: usize,
    /// Units there are.
    pub capacity: u64,
    /// Units charged.
    pub in_use: u64,
    /// `capacity - in_use`.
    pub available: u64,
    /// The most there ever were in use.
    pub high_water: u64,
    /// When that was: wall time, milliseconds since 1970.
    pub high_water_at: i64,
    /// Sessions refused so far.
    pub denials: u64,
    /// How many holders there are.
    pub holders: u64,
    /// Units among those in use that no session needs any more: they linger, or are held for their minimal time.
    pub lingering: u64,
    /// Units in use beyond the capacity that were given as overdraft.
    pub overdrawn: u64,
    /// Units in use beyond the capacity because it was lowered meanwhile: they stay with who has them and drain.
    pub excess: u64,
    /// How many wait for units.
    pub waiting: u64,
    /// Units among those in use that are set aside for who waits, to be fetched within half a second.
    pub offered: u64,
    /// Sessions evicted so far, for others or for one more of their user.
    pub evicted: u64,
    /// Units among those available that anybody may have: `available = free + reserved + break_glass`.
    pub free: u64,
    /// Units among those available that hard reservations set apart, and their members don't hold: nobody else may have them.
    pub reserved: u64,
    /// Units of soft reservations that their members don't hold: others may use them, until a member needs one.
    pub reserved_soft: u64,
    /// Units among those available that only administrators may have. Where a lowered capacity or an overdraft left less than
    /// is set apart, what there is counts as `reserved` first.
    pub break_glass: u64,
    /// Of the denials, those because no unit was free. By why they are counted since there is the pool; a store that was made
    /// by an earlier version has counted them in `denials` alone until this one opened it.
    pub denials_pool_exhausted: u64,
    /// Those because the holder, or the client of an anonymous session, had as many as it may.
    pub denials_holder_limit: u64,
    /// Those because the user is on the exclude list, or not on the include list.
    pub denials_excluded: u64,
    /// Those because what was free is reserved for others.
    pub denials_reserved: u64,
}

// SAFETY: repr(C), words only.
unsafe impl Sized32 for lses_usage {
    const NAME: &'static str = "lses_usage";
    const FIRST: usize = std::mem::offset_of!(Self, lingering);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            capacity: 0,
            in_use: 0,
            available: 0,
            high_water: 0,
            high_water_at: 0,
            denials: 0,
            holders: 0,
            lingering: 0,
            overdrawn: 0,
            excess: 0,
            waiting: 0,
            offered: 0,
            evicted: 0,
            free: 0,
            reserved: 0,
            reserved_soft: 0,
            break_glass: 0,
            denials_pool_exhausted: 0,
            denials_holder_limit: 0,
            denials_excluded: 0,
            denials_reserved: 0,
        }
    }
}

/// The use of a pool. `out_usage` takes the numbers, `out_json` (a buffer to free) all of it; either may be NULL:
/// `{"pool","capacity","in_use","available","free","reserved","reserved_soft","break_glass","lingering","overdrawn","excess",
/// "waiting","offered","high_water","high_water_at","denials","denials_by_reason":{"pool_exhausted","holder_limit","excluded",
/// "reserved"},"evicted","holders":
/// [{"holder","kind" ("user"; "session", one that is its own holder; "lingering", one whose units all linger; "mixed", one
/// some of whose units linger),"connections","units","active_ms","lingering","release_ms" (null if none lingers)}]}`.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_usage(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    out_usage: *mut lses_usage,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes a struct that begins with its size.
        let numbers = unsafe { SizedOut::new(out_usage, "out_usage", true) }?;
        let json = Out::optional_buf(out_json);
        // SAFETY: the host passes a text with its length.
        let usage = open(manager)?.core.usage(unsafe { text(pool, pool_len, "pool") }?)?;
        if json.wanted() {
            json.fill(json::text(&usage_json(&usage)).as_bytes())?;
        }
        numbers.set(&lses_usage {
            size: 0,
            capacity: usage.capacity,
            in_use: usage.in_use,
            available: usage.available,
            high_water: usage.high_water,
            high_water_at: usage.high_water_at,
            denials: usage.denials,
            holders: usage.holders.len() as u64,
            lingering: usage.lingering,
            overdrawn: usage.overdrawn,
            excess: usage.excess,
            waiting: usage.waiting,
            offered: usage.offered,
            evicted: usage.evicted,
            free: usage.free,
            reserved: usage.reserved,
            reserved_soft: usage.reserved_soft,
            break_glass: usage.break_glass,
            denials_pool_exhausted: usage.denials_by_reason.of(DenyReason::PoolExhausted),
            denials_holder_limit: usage.denials_by_reason.of(DenyReason::HolderLimit),
            denials_excluded: usage.denials_by_reason.of(DenyReason::Excluded),
            denials_reserved: usage.denials_by_reason.of(DenyReason::Reserved),
        });
        Ok(())
    })
}

fn holder_json(holder: &HolderUsage) -> json::Value {
    map([
        ("holder", holder.holder.as_ref().into()),
        ("kind", holder.kind.into()),
        ("connections", uint(holder.connections)),
        ("units", uint(holder.units)),
        ("active_ms", int(ms(holder.active))),
        ("lingering", uint(holder.lingering)),
        ("release_ms", json::opt_ms(holder.release_in)),
    ])
}

/// Why a holder has units of a pool, and when they come back, as JSON in a buffer to free: `{"pool","holder" (as in
/// lses_manager_usage()),"sessions":[(as in lses_manager_list()), at most 100],"text"}`; `text` is what an administrator
/// reads. LSES_ABSENT if it has none.
///
/// Threads: any. Time in proportion to the live sessions; blocks nobody. May be called from a callback. Errors:
/// LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_explain_unit(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    holder: *const c_char,
    holder_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes texts with their lengths.
        let (pool, holder) = unsafe { (text(pool, pool_len, "pool")?, text(holder, holder_len, "holder")?) };
        let Some(explain) = open(manager)?.core.explain_unit(pool, holder)? else {
            return Ok(nothing(&format!("holder '{holder}' has no unit of pool '{pool}'")));
        };
        let explain = map([
            ("pool", explain.pool.as_ref().into()),
            ("holder", holder_json(&explain.holder)),
            ("sessions", list(explain.sessions.iter().map(info_json))),
            ("text", explain.text.as_str().into()),
        ]);
        out.fill(json::text(&explain).as_bytes())?;
        Ok(LSES_OK)
    })
}

fn usage_json(usage: &Usage) -> json::Value {
    let holders = usage.holders.iter().map(holder_json);
    map([
        ("pool", usage.pool.as_ref().into()),
        ("capacity", uint(usage.capacity)),
        ("in_use", uint(usage.in_use)),
        ("available", uint(usage.available)),
        ("free", uint(usage.free)),
        ("reserved", uint(usage.reserved)),
        ("reserved_soft", uint(usage.reserved_soft)),
        ("break_glass", uint(usage.break_glass)),
        ("lingering", uint(usage.lingering)),
        ("overdrawn", uint(usage.overdrawn)),
        ("excess", uint(usage.excess)),
        ("waiting", uint(usage.waiting)),
        ("offered", uint(usage.offered)),
        ("high_water", uint(usage.high_water)),
        ("high_water_at", int(usage.high_water_at)),
        ("denials", uint(usage.denials)),
        (
            "denials_by_reason",
            map(usage.denials_by_reason.iter().map(|(reason, denials)| (reason.name(), uint(denials)))),
        ),
        ("evicted", uint(usage.evicted)),
        ("holders", list(holders)),
    ])
}

/// The names of the pools: a JSON list of texts, in a buffer to free.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_pools(manager: *mut lses_manager, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let pools = open(manager)?.core.pools()?;
        out.fill(json::text(&list(pools.iter().map(|pool| pool.as_ref().into()))).as_bytes())?;
        Ok(())
    })
}

/// A recount of a pool from first principles beside its counters, as JSON in a buffer to free:
/// `{"pool","counted","recounted","differences":[text]}`. Without a defect both numbers are equal and the list is empty.
///
/// Threads: any. Time in proportion to the live sessions; blocks nobody. May be called from a callback. Errors:
/// LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_audit(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes a text with its length.
        let audit = open(manager)?.core.audit(unsafe { text(pool, pool_len, "pool") }?)?;
        out.fill(json::text(&audit_json(&audit)).as_bytes())?;
        Ok(())
    })
}

fn audit_json(audit: &Audit) -> json::Value {
    map([
        ("pool", audit.pool.as_ref().into()),
        ("counted", uint(audit.counted)),
        ("recounted", uint(audit.recounted)),
        ("differences", texts(&audit.differences)),
    ])
}

/// The accounts of a pool after position `after` (0: from the oldest that is kept), at most `limit` (1 or more), as JSON list in a
/// buffer to free: `[{"seq","at_ms" (engine time),"wall_ms" (the same as wall time, milliseconds since 1970,
/// as the clock goes now),"kind" ("grant","denial","trade","release","linger","reclaim","change","queue","offer",
/// "withdraw","leave"),"session_id","holder","before","after","reason","why" (null, or what made it possible: "lingering",
/// "reclaimed","reserved","break_glass","overdraft","lingered","evicted","waited","cancelled","died")}]`; the holder of a "change" of the
/// pool is who changed it. The last `seq` is the next call's `after`.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_audit_records(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    after: u64,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes a text with its length.
        let pool = unsafe { text(pool, pool_len, "pool") }?;
        let records = open(manager)?.core.audit_records(pool, after, limit)?;
        out.fill(json::text(&list(records.iter().map(record_json))).as_bytes())?;
        Ok(())
    })
}

fn record_json(record: &AuditRecord) -> json::Value {
    map([
        ("seq", uint(record.seq)),
        ("at_ms", uint(record.at_ms)),
        ("wall_ms", int(record.wall_ms)),
        ("kind", record.kind.name().into()),
        ("session_id", record.session_id.to_string().into()),
        ("holder", record.holder.as_ref().into()),
        ("before", uint(record.before)),
        ("after", uint(record.after)),
        ("reason", opt_text(record.reason.map(|reason| reason.name()))),
        ("why", opt_text(Some(record.why.name()).filter(|why| !why.is_empty()))),
    ])
}
