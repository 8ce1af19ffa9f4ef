//! What falls due, as every table tells it.

use crate::clock::{Millis, NEVER};
use crate::reason::{EndLevel, EndReason, TouchKind};
use crate::sync::Mutex;

/// Why a slot is to be looked at, and when.
pub(super) enum Next {
    Ask(Millis),
    End(Millis, EndReason),
    Request(Millis),
    Never,
}

impl Next {
    pub fn at(&self) -> Millis {
        match self {
            Self::Ask(at) | Self::End(at, _) | Self::Request(at) => *at,
            Self::Never => NEVER,
        }
    }
}

/// When the requests in flight of a session count as finished at the latest; 0 where there are none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// All of them.
    pub all: Millis,
    /// Those that stop the idle clock.
    pub active: Millis,
}

impl Bounds {
    /// Of requests by their start.
    pub fn of(requests: impl Iterator<Item = (Millis, TouchKind)>, most: Millis) -> Self {
        requests.fold(Self::default(), |bounds, (start, touch)| {
            let bound = start.saturating_add(most);
            let active = if touch == TouchKind::Activity { bound } else { 0 };
            Self { all: bounds.all.max(bound), active: bounds.active.max(active) }
        })
    }
}

/// The level of an end by itself: nobody extends the absolute timeout.
pub(super) fn timeout_level(reason: EndReason) -> EndLevel {
    if reason == EndReason::AbsoluteTimeout { EndLevel::Force } else { EndLevel::Request }
}

/// Latenesses kept for the statistics.
const LATENESSES: usize = 1024;

/// How late the last ends were.
pub(super) struct Lateness(Mutex<Ring>);

struct Ring {
    ring: Box<[u32; LATENESSES]>,
    next: usize,
    filled: usize,
}

impl Default for Lateness {
    fn default() -> Self {
        Self(Mutex::new(Ring { ring: Box::new([0; LATENESSES]), next: 0, filled: 0 }))
    }
}

impl Lateness {
    pub fn note(&self, late: Millis) {
        let mut lateness = self.0.lock();
        let next = lateness.next;
        lateness.ring[next] = u32::try_from(late).unwrap_or(u32::MAX);
        lateness.next = (next + 1) % LATENESSES;
        lateness.filled = (lateness.filled + 1).min(LATENESSES);
    }

    /// The worst and the 99th percentile of the last ends.
    pub fn worst(&self) -> (Millis, Millis) {
        let mut sorted = {
            let lateness = self.0.lock();
            lateness.ring[..lateness.filled].to_vec()
        };
        sorted.sort_unstable();
        let worst = sorted.last().copied().unwrap_or(0);
        let p99 = sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
        (u64::from(worst), u64::from(p99))
    }
}
