//! How a session is ended, and what that says.

use libsession_core::session::{EndOptions, EndOutcome, Receipt};
use libsession_core::{EndLevel, EndReason, Result};

use crate::bytes::{
    LSES_UNSET, Out, Sized32, SizedOut, lses_buf, lses_str, ms, optional_duration, optional_member, optional_ms,
};
use crate::json::{self, Value, int, list, map, opt_ms, opt_text, opt_uint, uint};
use crate::status::{LSES_OK, absent, extended, gone, lses_status};

/// How a session is ended. Begin with LSES_END_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_end_options {
    /// sizeof(lses_end_options).
    pub size: usize,
    /// Who ends it: at most 256 bytes, for the receipt.
    pub actor: lses_str,
    /// A note for the receipt: at most 1,024 bytes.
    pub note: lses_str,
    /// Waits for the callbacks, at most this long, and puts their outcomes into the receipt. Default: does not wait.
    pub wait_ms: i64,
    /// How strongly (LSES_LEVEL_...). 0: `force`.
    pub level: u32,
    /// Why (LSES_REASON_...). 0: `ended`.
    pub reason: u32,
}

// SAFETY: repr(C), words only.
unsafe impl Sized32 for lses_end_options {
    const NAME: &'static str = "lses_end_options";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        let none = lses_str::default();
        Self { size: size_of::<Self>(), actor: none, note: none, wait_ms: LSES_UNSET, level: 0, reason: 0 }
    }
}

impl lses_end_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<EndOptions> {
        let default = EndOptions::default();
        // SAFETY: as the caller says.
        unsafe {
            Ok(EndOptions {
                level: optional_member(EndLevel::from_code, "level", self.level)?.unwrap_or(default.level),
                reason: optional_member(EndReason::from_code, "reason", self.reason)?.unwrap_or(default.reason),
                actor: self.actor.owned("actor")?,
                note: self.note.owned("note")?,
                wait: optional_duration(self.wait_ms, "wait_ms")?,
            })
        }
    }
}

/// What an end says, in numbers. Begin with LSES_RECEIPT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_receipt {
    /// sizeof(lses_receipt).
    pub size: usize,
    /// The event that its classes are told.
    pub event_id: u64,
    /// When: engine time.
    pub at_ms: u64,
    /// When: wall time, milliseconds since 1970.
    pub wall_ms: i64,
    /// How late after the deadline, for a timeout; else LSES_UNSET.
    pub late_ms: i64,
    /// When its license was free: engine time; LSES_UNSET if it held none.
    pub license_free_at_ms: i64,
    /// With LSES_EXTENDED: by how much; else LSES_UNSET.
    pub extended_by_ms: i64,
    /// Why (LSES_REASON_...); 0 with LSES_EXTENDED.
    pub reason: u32,
    /// How strongly (LSES_LEVEL_...); 0 with LSES_EXTENDED.
    pub level: u32,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_receipt {
    const NAME: &'static str = "lses_receipt";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            event_id: 0,
            at_ms: 0,
            wall_ms: 0,
            late_ms: LSES_UNSET,
            license_free_at_ms: LSES_UNSET,
            extended_by_ms: LSES_UNSET,
            reason: 0,
            level: 0,
        }
    }
}

/// Where the outcome of an end goes.
pub(crate) struct EndOut {
    numbers: SizedOut<lses_receipt>,
    json: Out<lses_buf>,
}

impl EndOut {
    /// # Safety
    /// `receipt` is NULL or has as many bytes as its first field says.
    pub(crate) unsafe fn new(receipt: *mut lses_receipt, json: *mut lses_buf) -> Result<Self> {
        // SAFETY: as the caller says.
        let numbers = unsafe { SizedOut::new(receipt, "out_receipt", true) }?;
        Ok(Self { numbers, json: Out::optional_buf(json) })
    }

    pub(crate) fn set(&self, outcome: &EndOutcome) -> Result<lses_status> {
        if let Some(receipt) = numbers(outcome) {
            self.numbers.set(&receipt);
            if self.json.wanted() {
                self.json.fill(json::text(&outcome_json(outcome)).as_bytes())?;
            }
        }
        Ok(status(outcome))
    }
}

/// The status that an outcome is, remembered.
pub(crate) fn status(outcome: &EndOutcome) -> lses_status {
    match outcome {
        EndOutcome::Ended(_) => LSES_OK,
        EndOutcome::Gone(receipt) => gone(receipt.reason),
        EndOutcome::Extended { .. } => extended(),
        EndOutcome::Absent => absent(),
    }
}

/// What an outcome says in numbers; nothing of a session that is not there.
pub(crate) fn numbers(outcome: &EndOutcome) -> Option<lses_receipt> {
    match outcome {
        EndOutcome::Ended(receipt) | EndOutcome::Gone(receipt) => Some(lses_receipt::from(receipt)),
        EndOutcome::Extended { by, .. } => Some(lses_receipt { extended_by_ms: ms(*by), ..lses_receipt::unset() }),
        EndOutcome::Absent => None,
    }
}

impl From<&Receipt> for lses_receipt {
    fn from(receipt: &Receipt) -> Self {
        let free = receipt.license_free_at_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        Self {
            size: size_of::<Self>(),
            event_id: receipt.event_id,
            at_ms: receipt.at_ms,
            wall_ms: receipt.wall_ms,
            late_ms: optional_ms(receipt.late),
            license_free_at_ms: free.unwrap_or(LSES_UNSET),
            extended_by_ms: LSES_UNSET,
            reason: receipt.reason.code(),
            level: receipt.level.code(),
        }
    }
}

/// All that an outcome says.
pub(crate) fn outcome_json(outcome: &EndOutcome) -> Value {
    match outcome {
        EndOutcome::Ended(receipt) => receipt_json("ended", receipt),
        EndOutcome::Gone(receipt) => receipt_json("gone", receipt),
        EndOutcome::Extended { class, by } => {
            map([("outcome", "extended".into()), ("class", class.as_str().into()), ("by_ms", opt_ms(Some(*by)))])
        }
        EndOutcome::Absent => Value::Null,
    }
}

pub(crate) fn receipt_json(outcome: &str, receipt: &Receipt) -> Value {
    let callbacks = receipt.callbacks.iter().map(|(class, kind, outcome)| {
        map([("class", class.as_str().into()), ("kind", kind.as_str().into()), ("outcome", outcome.as_str().into())])
    });
    map([
        ("outcome", outcome.into()),
        ("id", receipt.id.to_string().into()),
        ("application", receipt.application.as_ref().into()),
        ("user", opt_text(receipt.user.as_deref())),
        ("reason", receipt.reason.name().into()),
        ("level", receipt.level.name().into()),
        ("actor", opt_text(receipt.actor.as_deref())),
        ("note", opt_text(receipt.note.as_deref())),
        ("at_ms", uint(receipt.at_ms)),
        ("wall_ms", int(receipt.wall_ms)),
        ("late_ms", opt_ms(receipt.late)),
        ("license_free_at_ms", opt_uint(receipt.license_free_at_ms)),
        ("event_id", uint(receipt.event_id)),
        ("callbacks", list(callbacks)),
    ])
}
