//! The manager, as administrators use it: sessions by their ids, and what is known of them.

use std::ffi::c_char;
use std::sync::Arc;

use libsession_core::session::EndOptions;
use libsession_core::{Result, SessionId};

use crate::bytes::{Out, SizedOut, duration, lses_buf, read, text, timeout};
use crate::guard::{done, guard};
use crate::handle::Pinned;
use crate::json::{self, list};
use crate::manager::{Open, lses_manager, open};
use crate::receipt::{EndOut, lses_end_options, lses_receipt};
use crate::session::{dead_letter_json, explain_json, info_json, log_json, lses_filter, lses_progress};
use crate::status::{LSES_OK, absent, lses_status};

/// A session id of the host.
///
/// # Safety
/// As [`crate::bytes::bytes`].
pub(crate) unsafe fn session_id(id: *const c_char, id_len: usize) -> Result<SessionId> {
    // SAFETY: as the caller says.
    SessionId::parse(unsafe { text(id, id_len, "session id") }?)
}

/// Ends a session by its public id; never waits for requests in flight. LSES_OK: this call ended it. LSES_GONE: another
/// had ended it. LSES_EXTENDED: a class extended it (level `request` only). LSES_ABSENT: there is no such session.
///
/// `out_receipt` takes the receipt in numbers, `out_json` (a buffer to free) all of it; either may be NULL:
/// `{"outcome" ("ended","gone"),"id","application","user","reason","level","actor","note","at_ms","wall_ms","late_ms",
/// "license_free_at_ms","event_id","callbacks":[{"class","kind","outcome"}]}` or `{"outcome":"extended","class","by_ms"}`.
///
/// Threads: any. Blocks only for `on_expiring` with level `request`, and for `wait_ms`. May be called from a callback.
/// Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_end(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    options: *const lses_end_options,
    out_receipt: *mut lses_receipt,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        let (out, (open, id, options)) =
            unsafe { (EndOut::new(out_receipt, out_json)?, ending(manager, id, id_len, options)?) };
        out.set(&open.core.end(id, options)?)
    })
}

/// What an end is given.
///
/// # Safety
/// The id is as in [`crate::bytes::bytes`], the options as in [`read`] with such texts.
pub(crate) unsafe fn ending(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    options: *const lses_end_options,
) -> Result<(Pinned<Arc<Open>>, SessionId, EndOptions)> {
    let open = open(manager)?;
    // SAFETY: as the caller says.
    unsafe { Ok((open, session_id(id, id_len)?, read(options)?.to_core()?)) }
}

/// Ends what matches; at most `limit` sessions are looked at in this call, from `cursor` on (0 to begin; then
/// `out_progress->next` until that is 0). Applications that are protected are spared.
///
/// Threads: any. Blocks as lses_manager_end() for each. May be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_end_where(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    options: *const lses_end_options,
    cursor: u64,
    limit: usize,
    out_progress: *mut lses_progress,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        unsafe {
            let out = SizedOut::new(out_progress, "out_progress", false)?;
            let open = open(manager)?;
            let (filter, options) = (read(filter)?.to_core()?, read(options)?.to_core()?);
            out.set(&open.core.end_where(&filter, options, cursor, limit)?.into());
            Ok(())
        }
    })
}

/// Sets the idle timeout of one session by its public id, at once, counted from its last use; 0 is never. LSES_ABSENT if
/// it is not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_idle_timeout(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    idle_timeout_ms: i64,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let id = unsafe { session_id(id, id_len) }?;
        let live = open.core.set_idle_timeout(id, timeout(idle_timeout_ms, "idle_timeout_ms")?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// Sets the absolute timeout of one session by its public id, counted from its creation; only earlier. LSES_ABSENT if it is
/// not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID, also if that is later than it is
/// now. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_absolute_timeout(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    absolute_timeout_ms: i64,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let id = unsafe { session_id(id, id_len) }?;
        let live = open.core.set_absolute_timeout(id, duration(absolute_timeout_ms, "absolute_timeout_ms")?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// Sets the idle timeout of all that match; paced as lses_manager_end_where().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_idle_timeout_where(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    idle_timeout_ms: i64,
    cursor: u64,
    limit: usize,
    out_progress: *mut lses_progress,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        unsafe {
            let out = SizedOut::new(out_progress, "out_progress", false)?;
            let open = open(manager)?;
            let timeout = timeout(idle_timeout_ms, "idle_timeout_ms")?;
            let progress = open.core.set_idle_timeout_where(&read(filter)?.to_core()?, timeout, cursor, limit)?;
            out.set(&progress.into());
            Ok(())
        }
    })
}

/// How many sessions are live.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_count(manager: *mut lses_manager, out_count: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_count, "out_count")?;
        out.set(open(manager)?.core.count()?);
        Ok(())
    })
}

/// A page of live sessions from `cursor` on (0 to begin), at most `limit` (1 to 10,000), as JSON list in a buffer to free.
/// `out_next` (may be NULL) is the next page's cursor, 0 at the end. Each session is `{"id","state" ("new","active"),
/// "application","namespace","user","created_ms","created_at","last_used_ms","idle_timeout_ms","absolute_timeout_ms",
/// "deadline_ms","immortal","overdue","in_flight","holder","pool","features" (as lses_request_features()),"data_bytes","address",
/// "user_agent","referrer"}`; what is never, or not there, is null; `..._ms` is engine time or a duration, `created_at`
/// milliseconds since 1970.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_list(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    cursor: u64,
    limit: usize,
    out_json: *mut lses_buf,
    out_next: *mut u64,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let open = open(manager)?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let filter = unsafe { read(filter)?.to_core() }?;
        let page = open.core.list(&filter, cursor, limit)?;
        out.fill(json::text(&list(page.sessions.iter().map(info_json))).as_bytes())?;
        Out::optional(out_next).set(page.next.unwrap_or(0));
        Ok(())
    })
}

/// Everything about one session, live or ended, by its public id, as JSON in a buffer to free: `{"id","live" (as in
/// lses_manager_list(), or null),"ended" (a receipt, or null),"requests":[{"started_ms","touch","lock","process"}],
/// "lock_waiters","extensions":[{"at_ms","class","by_ms"}],"event_classes":[{"namespace","name","registered"}],
/// "failures":[{"class","kind","text"}],"damaged","next":{"what","at_ms"},"trace":[text],"text"}`; `text` is what an
/// administrator reads. LSES_ABSENT if it is unknown.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_explain(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        let out = Out::buf(out_json, "out_json")?;
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let Some(explain) = open.core.explain(unsafe { session_id(id, id_len) }?)? else { return Ok(absent()) };
        out.fill(json::text(&explain_json(&explain)).as_bytes())?;
        Ok(LSES_OK)
    })
}

/// Recounts everything; each violation of an invariant in words, as JSON list of texts in a buffer to free. Without a
/// defect it is empty.
///
/// Threads: any. Time in proportion to the live sessions; blocks nobody. May be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_check(manager: *mut lses_manager, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        out.fill(json::text(&json::texts(&open(manager)?.core.check()?)).as_bytes())?;
        Ok(())
    })
}

/// The lifecycle log after position `after` (0: from the oldest that is kept), in the order of commits, at most `limit` (1 or more)
/// entries, as JSON list in a buffer to free: `[{"seq","at_ms","session_id","what","detail"}]`. The last `seq` is the next
/// call's `after`.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_lifecycle(
    manager: *mut lses_manager,
    after: u64,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let entries = open(manager)?.core.lifecycle(after, limit)?;
        out.fill(json::text(&list(entries.iter().map(log_json))).as_bytes())?;
        Ok(())
    })
}

/// Deliveries that did not succeed, after position `after` (0: from the oldest), at most `limit` (1 or more), as JSON list in a buffer
/// to free: `[{"id","event_id","kind","session_id","class","namespace","application","reason","at_ms","attempts","error",
/// "completed_late","has_snapshot"}]`. The last `id` is the next call's `after`.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_dead_letters(
    manager: *mut lses_manager,
    after: u64,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let letters = open(manager)?.core.dead_letters(after, limit)?;
        out.fill(json::text(&list(letters.iter().map(dead_letter_json))).as_bytes())?;
        Ok(())
    })
}

/// Delivers a dead letter again, or with `id` 0 all of them; `out_count` (may be NULL) tells how many.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_redeliver(
    manager: *mut lses_manager,
    id: u64,
    out_count: *mut usize,
) -> lses_status {
    done(|| {
        let count = open(manager)?.core.redeliver((id != 0).then_some(id))?;
        Out::optional(out_count).set(count);
        Ok(())
    })
}
