//! Units of pools that a session takes beside its license.

use std::ffi::c_char;

use libsession_core::{Feature, FeatureOptions, Request, Result};

use crate::bytes::{LSES_UNSET, Out, Sized32, lses_buf, lses_str, read, text};
use crate::config::{groups, optional_count};
use crate::guard::done;
use crate::handle::Pinned;
use crate::json::{self, Value, list, map, uint};
use crate::queue::{lses_ticket, queue_options};
use crate::request::{in_flight, lses_request};
use crate::status::lses_status;

/// How a feature is taken. Begin with LSES_FEATURE_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_feature_options {
    /// sizeof(lses_feature_options).
    pub size: usize,
    /// The groups that the user belongs to, as in lses_login_options.
    pub groups: *const lses_str,
    /// How many: at most 256.
    pub group_count: usize,
    /// How often, at once: 1 to 1000, all or none. Default 1.
    pub count: i64,
    /// How long it waits in the queue of the pool if there is no unit, on the manager's clock: up to 100 years. Default 0.
    pub wait_ms: i64,
    /// Who has a higher one is served first: -9 to 9. Default 0.
    pub priority: i64,
    /// Tells the position, and cancels; or NULL.
    pub ticket: *mut lses_ticket,
}

// SAFETY: repr(C), words only.
unsafe impl Sized32 for lses_feature_options {
    const NAME: &'static str = "lses_feature_options";
    const FIRST: usize = std::mem::offset_of!(Self, wait_ms);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            groups: std::ptr::null(),
            group_count: 0,
            count: LSES_UNSET,
            wait_ms: LSES_UNSET,
            priority: 0,
            ticket: std::ptr::null_mut(),
        }
    }
}

impl lses_feature_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<FeatureOptions> {
        let default = FeatureOptions::default();
        // SAFETY: as the caller says.
        let groups = unsafe { groups(self.groups, self.group_count) }?;
        let queue = queue_options(self.wait_ms, self.priority, self.ticket)?;
        Ok(FeatureOptions { count: optional_count(self.count, "count")?.unwrap_or(default.count), groups, queue })
    }
}

/// Takes a feature: units of a pool beside the session's license, whatever its license class, all that are asked for or none.
///
/// Each is a connection of its holder in the pool: of the user who is logged in now (by the pool's rule at this client), or
/// else of the session itself. It stays so whoever logs in or out, until it is returned or the session ends, however that
/// ends; the death of a process ends no session. What a session takes for itself is apart from the unit of its license, and
/// does not linger. Nobody is evicted for a feature. At most 64 features a session; what one holder takes of one pool in a row is one.
///
/// Threads: any; calls of one request take turns. Blocks for `wait_ms`, and for lses_manager_set_group_resolver()'s function, at
/// most its deadline. May be called from a callback. Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_CANCELLED, LSES_E_DENIED where the
/// user's groups can't be told, LSES_E_LICENSE_DENIED (lses_last_error_deny_reason(), lses_last_error_retry_after_ms()), LSES_E_INVALID
/// for an unknown pool, a count out of bounds or one feature too many, LSES_E_CONFLICT if users log in and out all the
/// while; then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_take_feature(
    request: *mut lses_request,
    pool: *const c_char,
    pool_len: usize,
    options: *const lses_feature_options,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes a text with its length, and NULL or a struct that begins with its size.
        let (request, pool, options) = unsafe { taking(request, pool, pool_len, options) }?;
        request.take_feature(pool, options)
    })
}

/// What a taking is given.
///
/// # Safety
/// The text is as in [`crate::bytes::bytes`], the options as in [`read`] with such texts.
pub(crate) unsafe fn taking<'a>(
    request: *mut lses_request,
    pool: *const c_char,
    pool_len: usize,
    options: *const lses_feature_options,
) -> Result<(Pinned<Request>, &'a str, FeatureOptions)> {
    let request = in_flight(request)?;
    // SAFETY: as the caller says.
    unsafe { Ok((request, text(pool, pool_len, "pool")?, read(options)?.to_core()?)) }
}

/// Returns a feature `count` times, or as often as it is taken (`out_returned`, may be NULL): what was taken last first,
/// whoever is charged for it. The units are free then, or linger as the pool says.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_return_feature(
    request: *mut lses_request,
    pool: *const c_char,
    pool_len: usize,
    count: u64,
    out_returned: *mut u64,
) -> lses_status {
    done(|| {
        let out = Out::optional(out_returned);
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        out.set(request.return_feature(unsafe { text(pool, pool_len, "pool") }?, count)?);
        Ok(())
    })
}

/// The features that the session has taken, in the order taken, as JSON in a buffer to free:
/// `[{"pool","count","holder","since_ms" (when it was taken first: engine time)}]`.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_features(request: *mut lses_request, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        out.fill(json::text(&features_json(&in_flight(request)?.features()?)).as_bytes())?;
        Ok(())
    })
}

pub(crate) fn features_json(features: &[Feature]) -> Value {
    list(features.iter().map(|feature| {
        map([
            ("pool", feature.pool.as_ref().into()),
            ("count", uint(feature.count)),
            ("holder", feature.holder.as_ref().into()),
            ("since_ms", uint(feature.since_ms)),
        ])
    }))
}
