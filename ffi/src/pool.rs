//! License pools while they run: their definitions, high-water marks of readers, accounts as lines.

use std::ffi::c_char;

use libsession_core::data::from_json;
use libsession_core::{PoolDifference, Result};

use crate::bytes::{Out, lses_buf, optional_text, text};
use crate::guard::{done, guard};
use crate::json::{self, list, map};
use crate::manager::{lses_manager, open};
use crate::status::{LSES_OK, lses_status, nothing};

/// The definition of a pool that is in force, on a table of several processes the same for all: a JSON object of its options
/// in a buffer to free, named as in lses_pool: `{"capacity","unit_rule" (a word),"max_connections","max_sessions_per_holder",
/// "anonymous_cap","anonymous_per_client","holder_per_client" (true, false),"low","recovered","linger_ms","lazy_linger_ms",
/// "min_hold_ms","anonymous_min_hold_ms","lazy_min_hold_ms","reclaim","overdraft" (units, or a text like "10%"),"overdraft_time_ms","reservations" ([{"members":[text],"units","hard"}]),
/// "break_glass","administrators" ([text]),"include","exclude","trade_failure" ("keep","refuse"),"audit_records"}` and those of
/// later versions; null where a number is left out.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_pool(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes a text with its length.
        let pool = open(manager)?.core.pool(unsafe { text(pool, pool_len, "pool") }?)?;
        out.fill(pool.to_json().as_bytes())?;
        Ok(())
    })
}

/// Changes a pool while it runs, for all processes: `options` is a JSON object of those that change, as lses_manager_pool() has
/// them; the others stay. `actor` (at most 256 bytes, or NULL) is told in the accounts and in the lifecycle log. `out_json`
/// (a buffer to free, or NULL) takes the definition in force from now on.
///
/// Nothing is taken from who has it: units beyond a lowered capacity drain (`excess` in the usage), what lingers keeps its time,
/// and reserved units that are held count for the reservation of the same members, if there still is one. Levels that the
/// change alters are told at once.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID for an unknown pool or option, for what an
/// option does not take, and for `unit_rule`, `max_connections` and `holder_per_client` where units that are held would count
/// otherwise (the message says whose, and what to do); then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_change_pool(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    options: *const c_char,
    options_len: usize,
    actor: *const c_char,
    actor_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::optional_buf(out_json);
        // SAFETY: the host passes texts with their lengths.
        let (pool, options) = unsafe { (text(pool, pool_len, "pool")?, text(options, options_len, "options")?) };
        // SAFETY: likewise.
        let actor = unsafe { optional_text(actor, actor_len, "actor") }?;
        let changed = open(manager)?.core.change_pool(pool, |pool| pool.set_json(options), actor)?;
        out.fill(changed.to_json().as_bytes())?;
        Ok(())
    })
}

fn difference_json(one: &PoolDifference) -> Result<json::Value> {
    Ok(map([
        ("pool", one.pool.as_str().into()),
        ("option", one.option.into()),
        ("named", from_json(&one.named)?),
        ("in_force", from_json(&one.in_force)?),
    ]))
}

/// Where the definitions in force are others than those that this manager was opened with, as JSON list in a buffer to free:
/// `[{"pool","option","named" (what this manager was opened with),"in_force"}]`.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_pool_differences(
    manager: *mut lses_manager,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let differences = open(manager)?.core.pool_differences()?;
        let differences = differences.iter().map(difference_json).collect::<Result<Vec<_>>>()?;
        out.fill(json::text(&list(differences)).as_bytes())?;
        Ok(())
    })
}

/// The most units of a pool in use since `reader` (a name of 1 to 64 bytes) reset its mark, ever if it did not, and when that
/// was: wall time, milliseconds since 1970. `out_units` and `out_at` may be NULL.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_high_water(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    reader: *const c_char,
    reader_len: usize,
    out_units: *mut u64,
    out_at: *mut i64,
) -> lses_status {
    done(|| {
        let (units, at) = (Out::optional(out_units), Out::optional(out_at));
        // SAFETY: the host passes texts with their lengths.
        let (pool, reader) = unsafe { (text(pool, pool_len, "pool")?, text(reader, reader_len, "reader")?) };
        let mark = open(manager)?.core.high_water(pool, reader)?;
        units.set(mark.0);
        at.set(mark.1);
        Ok(())
    })
}

/// Has a reader's mark begin anew with what is in use now; those of other readers, and the one of all times in the usage,
/// stay.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID for an unknown pool, and if 64 other readers
/// have marks. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_reset_high_water(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    reader: *const c_char,
    reader_len: usize,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes texts with their lengths.
        let (pool, reader) = unsafe { (text(pool, pool_len, "pool")?, text(reader, reader_len, "reader")?) };
        open(manager)?.core.reset_high_water(pool, reader)
    })
}

/// Forgets a reader's mark. LSES_ABSENT if it had none.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_forget_high_water(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    reader: *const c_char,
    reader_len: usize,
) -> lses_status {
    guard(|| {
        // SAFETY: the host passes texts with their lengths.
        let (pool, reader) = unsafe { (text(pool, pool_len, "pool")?, text(reader, reader_len, "reader")?) };
        if open(manager)?.core.forget_high_water(pool, reader)? {
            return Ok(LSES_OK);
        }
        Ok(nothing(&format!("reader '{reader}' has no high-water mark of pool '{pool}'")))
    })
}

/// Accounts of a pool after position `after` (0: from the oldest that is kept) as lines of JSON in a buffer to free, at most
/// `limit` (1 to 10,000), each with a line feed at its end: `{"pool","seq","at_ms","wall_ms","kind","session_id","holder","before",
/// "after","reason","why"}` as in lses_manager_audit_records(). No line has another line feed. `out_last` (or NULL) takes the position
/// of the last one, where the next call goes on; an empty buffer is the end.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_export_accounts(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    after: u64,
    limit: usize,
    out_lines: *mut lses_buf,
    out_last: *mut u64,
) -> lses_status {
    done(|| {
        let (out, last) = (Out::buf(out_lines, "out_lines")?, Out::optional(out_last));
        // SAFETY: the host passes a text with its length.
        let pool = unsafe { text(pool, pool_len, "pool") }?;
        let accounts = open(manager)?.core.export_accounts(pool, after, limit)?;
        out.fill(accounts.lines.as_bytes())?;
        last.set(accounts.last);
        Ok(())
    })
}
