//! The manager, run: by its threads, by those of the host, or by the clock of a test.

use std::ffi::c_char;

use libsession_core::ErrorKind;

use crate::bytes::{LSES_UNSET, Out, duration, flag, ms};
use crate::guard::{done, guard};
use crate::handle::{self, lock};
use crate::manage::session_id;
use crate::manager::{lses_manager, open};
use crate::status::{LSES_OK, absent, lses_status};

/// Ends what is due now, in the calling thread; `out_ended` (may be NULL) tells how many sessions. For tests, and for hosts
/// without threads.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_reap_now(manager: *mut lses_manager, out_ended: *mut usize) -> lses_status {
    done(|| {
        let ended = open(manager)?.core.reap_now()?;
        Out::optional(out_ended).set(ended);
        Ok(())
    })
}

/// Waits in real time until every callback is delivered, at most `timeout_ms`; `out_drained` (may be NULL) tells 1 if that
/// was reached, else 0.
///
/// Threads: any. Blocks. Errors: LSES_E_REENTRANT inside of a callback, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_drain(
    manager: *mut lses_manager,
    timeout_ms: i64,
    out_drained: *mut i32,
) -> lses_status {
    done(|| {
        let drained = open(manager)?.core.drain(duration(timeout_ms, "timeout_ms")?)?;
        Out::optional(out_drained).set(drained.into());
        Ok(())
    })
}

/// For a manager without threads: does what is due, delivers what waits, and tells in `out_next_ms` (may be NULL) when to
/// call again at the latest; LSES_UNSET if nothing is due.
///
/// Threads: any, one at a time. Blocks as long as the callbacks run. Errors: LSES_E_REENTRANT inside of a callback. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_tick(manager: *mut lses_manager, out_next_ms: *mut i64) -> lses_status {
    done(|| {
        let next = open(manager)?.core.tick()?;
        Out::optional(out_next_ms).set(next.map_or(LSES_UNSET, ms));
        Ok(())
    })
}

/// In poll mode: delivers at most `max` events in the calling thread and waits up to `timeout_ms` for the first (0 does not
/// wait). `out_delivered` (may be NULL) tells how many.
///
/// Threads: any. Blocks as long as the callbacks run. Errors: LSES_E_REENTRANT inside of a callback, LSES_E_INVALID. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_dispatch(
    manager: *mut lses_manager,
    max: usize,
    timeout_ms: i64,
    out_delivered: *mut usize,
) -> lses_status {
    done(|| {
        let open = open(manager)?;
        let timeout = duration(timeout_ms, "timeout_ms")?;
        let bell = open.bell();
        if let Some(bell) = &bell {
            bell.hush();
        }
        let delivered = open.core.dispatch(max, timeout);
        // What was left over, or could not be looked at, is still to be dispatched; after a close nothing is.
        if let Some(bell) = &bell
            && delivered.as_ref().map_or_else(|error| error.kind() != ErrorKind::Closed, |delivered| *delivered >= max)
        {
            bell.ring();
        }
        Out::optional(out_delivered).set(delivered?);
        Ok(())
    })
}

/// In poll mode: a file descriptor that is readable while there may be something to dispatch, for poll(), epoll and event
/// loops. It belongs to the manager: don't read from it and don't close it. Once the manager is closed it is not readable
/// after an lses_manager_dispatch(); after the last lses_manager_free() it is closed, so take it out of the loop before. In
/// the child of a fork ask again: the parent's is the parent's.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_UNAVAILABLE without a descriptor. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_event_fd(manager: *mut lses_manager, out_fd: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_fd, "out_fd")?;
        let open = open(manager)?;
        let _one = lock(&handle::tables().changing);
        let bell = match open.bell() {
            Some(bell) => bell,
            None => open.new_bell()?,
        };
        out.set(bell.fd());
        Ok(())
    })
}

/// Engine time in milliseconds: the clock that deadlines run on.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_now(manager: *mut lses_manager, out_ms: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_ms, "out_ms")?;
        out.set(open(manager)?.core.clock().now().ms);
        Ok(())
    })
}

/// For tests (manual clock, or `debug`): makes a session's data unreadable. LSES_ABSENT if it is not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_damage(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let live = open.core.damage(unsafe { session_id(id, id_len) }?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// For tests (manual clock, or `debug`): stalls the reaper (1) until it is called with 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_stall_reaper(manager: *mut lses_manager, stall: i32) -> lses_status {
    done(|| open(manager)?.core.stall_reaper(flag(stall, "stall")?))
}
