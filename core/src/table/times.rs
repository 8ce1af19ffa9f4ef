//! The times of a session, as every table tells them from its slot.

use super::TableConfig;
use super::due::Bounds;
use super::slot::{ASK, IN_FLIGHT, Slot};
use crate::clock::{Millis, NEVER, Now};
use crate::deadline;
use crate::reason::EndReason;

/// A table by its clocks.
pub(super) trait Times {
    fn config(&self) -> &TableConfig;

    /// Now on the clock of idle deadlines.
    fn idle_now(&self, now: Now) -> Millis {
        if self.config().idle_counts_suspend { now.absolute() } else { now.ms }
    }

    /// By how much that clock is ahead of engine time.
    fn slept(&self, now: Now) -> Millis {
        self.idle_now(now).saturating_sub(now.ms)
    }

    /// An instant of the clock of idle deadlines as engine time.
    fn idle_to_engine(&self, instant: Millis, now: Now) -> Millis {
        if self.config().idle_counts_suspend && instant < NEVER {
            instant.saturating_sub(now.suspended)
        } else {
            instant
        }
    }

    /// An instant of the absolute clock as engine time.
    fn absolute_to_engine(instant: Millis, now: Now) -> Millis {
        if instant < NEVER { instant.saturating_sub(now.suspended) } else { NEVER }
    }

    /// The first of a slot's two deadlines, in engine time; NEVER where it has none, or does not know.
    fn first(&self, now: Now, idle: Millis, absolute: Millis) -> Millis {
        let idle = if matches!(idle, IN_FLIGHT | ASK) { NEVER } else { self.idle_to_engine(idle, now) };
        idle.min(Self::absolute_to_engine(absolute, now))
    }

    /// The first deadline and its reason, in engine time; of two at one instant the absolute one.
    fn deadline_of(&self, now: Now, slot: &Slot) -> (Millis, EndReason) {
        let (idle, absolute) = (slot.state().deadline(), slot.absolute.ms());
        let first = self.first(now, idle, absolute);
        if first < Self::absolute_to_engine(absolute, now) {
            return (first, EndReason::IdleTimeout);
        }
        (first, EndReason::AbsoluteTimeout)
    }

    /// When a session ends that nobody uses any more: its requests in flight count as finished at their bounds. `asked`: an end
    /// was requested.
    fn ends(&self, now: Now, slot: &Slot, bounds: Bounds, asked: bool) -> Millis {
        let (mut end, _) = self.deadline_of(now, slot);
        if asked && bounds.all > 0 {
            end = end.min(bounds.all);
        }
        if slot.state().deadline() == IN_FLIGHT {
            let used = bounds.active.saturating_add(self.slept(now));
            end = end.min(self.idle_to_engine(deadline::idle(used, slot.idle.ms(), self.config().quantum), now));
        }
        end
    }

    /// When a session that nobody uses any more has been idle for so long since its last use, and has no request in flight.
    fn idles_from(&self, now: Now, used: Millis, bounds: Bounds, idle: Millis) -> Millis {
        let used = if bounds.active == 0 { used } else { bounds.active.saturating_add(self.slept(now)) };
        self.idle_to_engine(used.saturating_add(idle), now).max(bounds.all)
    }

    /// When a session was last used, on the clock of idle deadlines; the deadline tells it, if it was not extended.
    fn last_use(&self, now: Now, slot: &Slot, extended: bool) -> Millis {
        let (deadline, idle, now) = (slot.state().deadline(), slot.idle.ms(), self.idle_now(now));
        if deadline == IN_FLIGHT {
            return now;
        }
        let extended = extended || deadline == ASK;
        let told = if idle == 0 || extended { 0 } else { deadline.saturating_sub(idle) };
        told.max(slot.used.ms()).min(now)
    }
}
