//! The manual clock of tests.

use libsession_core::ManualClock;

use crate::bytes::{Out, duration};
use crate::guard::{done, quiet};
use crate::handle::{self, Table, Tables, Tenant};
use crate::status::lses_status;

/// A clock that stands still until it is told: an 8-hour timeout is tested in microseconds. It begins at 0 ms, on
/// 2026-01-01 00:00:00 UTC. Several managers may share one. Any thread may use it at any time.
#[allow(non_camel_case_types)]
pub struct lses_clock {
    _handle: [u8; 0],
}

/// A manual clock as the host holds it.
pub(crate) struct Hands(pub ManualClock);

impl Tenant for Hands {
    const KIND: u64 = 4;
    const NAME: &'static str = "clock";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.clocks
    }
}

/// Makes a manual clock; give it to lses_config_set_clock(). Free it with lses_clock_free().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_manual(out_clock: *mut *mut lses_clock) -> lses_status {
    done(|| {
        let out = Out::handle(out_clock, "out_clock")?;
        out.set(handle::insert(Hands(ManualClock::new()))?);
        Ok(())
    })
}

/// Frees the handle; managers that were opened on the clock keep it. NULL is fine.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_free(clock: *mut lses_clock) {
    if !clock.is_null() {
        quiet(|| handle::remove::<Hands, _>(clock));
    }
}

/// Goes forward by `by_ms`, from one due instant to the next, and does at each what is due there: expiry, callback
/// deadlines, retries, lock waits. At each it waits in real time for the callbacks that were started, at most the settle
/// time. `out_pending` (may be NULL) tells how many callbacks still run at the end.
///
/// Threads: any; one at a time, the others wait. Not from a callback. Errors: LSES_E_INVALID (negative, beyond 100
/// years), LSES_E_REENTRANT. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_advance(
    clock: *mut lses_clock,
    by_ms: i64,
    out_pending: *mut usize,
) -> lses_status {
    done(|| {
        let hands = handle::pin::<Hands, _>(clock)?;
        let pending = hands.0.advance(duration(by_ms, "by_ms")?)?;
        Out::optional(out_pending).set(pending);
        Ok(())
    })
}

/// The machine sleeps for `by_ms`: idle timeouts stand still, absolute ones go on.
///
/// Threads, callbacks and errors: as lses_clock_advance(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_suspend(clock: *mut lses_clock, by_ms: i64) -> lses_status {
    done(|| handle::pin::<Hands, _>(clock)?.0.suspend(duration(by_ms, "by_ms")?))
}

/// Steps the wall clock to `unix_ms`, milliseconds since 1970. No deadline moves.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_set_wall(clock: *mut lses_clock, unix_ms: i64) -> lses_status {
    done(|| {
        handle::pin::<Hands, _>(clock)?.0.set_wall(unix_ms);
        Ok(())
    })
}

/// Sets how long lses_clock_advance() waits in real time for started callbacks to return. Default 1000 ms.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_set_settle(clock: *mut lses_clock, settle_ms: i64) -> lses_status {
    done(|| {
        handle::pin::<Hands, _>(clock)?.0.set_settle(duration(settle_ms, "settle_ms")?);
        Ok(())
    })
}

/// Engine time in milliseconds.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_now(clock: *mut lses_clock, out_ms: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_ms, "out_ms")?;
        out.set(handle::pin::<Hands, _>(clock)?.0.now().ms);
        Ok(())
    })
}

/// Wall time in milliseconds since 1970.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_clock_wall(clock: *mut lses_clock, out_unix_ms: *mut i64) -> lses_status {
    done(|| {
        let out = Out::required(out_unix_ms, "out_unix_ms")?;
        out.set(handle::pin::<Hands, _>(clock)?.0.wall_ms());
        Ok(())
    })
}
