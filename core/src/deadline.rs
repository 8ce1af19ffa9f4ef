//! Deadlines as arithmetic: timeouts and instants in, instants out.

use crate::clock::{Millis, NEVER};

/// The idle deadline of a session used at `used`; a timeout of 0 is never. Rounded up to the quantum.
pub(crate) fn idle(used: Millis, timeout: Millis, quantum: Millis) -> Millis {
    if timeout == 0 {
        return NEVER;
    }
    let due = used.saturating_add(timeout);
    // A division is the dearest step of a touch, and the clocks' quanta need none.
    let rounded = if quantum.is_power_of_two() {
        due.saturating_add(quantum - 1) & !(quantum - 1)
    } else {
        due.div_ceil(quantum).saturating_mul(quantum)
    };
    rounded.min(NEVER - 1)
}

/// The absolute deadline of a session made at `created` (both on the absolute clock); a timeout of 0 is never.
pub(crate) fn absolute(created: Millis, timeout: Millis) -> Millis {
    if timeout == 0 { NEVER } else { created.saturating_add(timeout).min(NEVER - 1) }
}

/// When `on_expiring` is asked about a deadline: `lead` ahead, at most half the timeout.
pub(crate) fn ask(deadline: Millis, timeout: Millis, lead: Millis) -> Millis {
    if deadline >= NEVER { NEVER } else { deadline.saturating_sub(lead.min(timeout / 2)) }
}

/// What an extension grants: at most the cap, and never past the absolute deadline (on the idle clock).
pub(crate) fn extended(deadline: Millis, asked: Millis, cap: Millis, absolute: Millis) -> Millis {
    deadline.saturating_add(asked.min(cap)).min(absolute).max(deadline.min(absolute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_0_is_never() {
        assert_eq!(idle(5, 0, 32), NEVER);
        assert_eq!(absolute(5, 0), NEVER);
        assert_eq!(ask(NEVER, 0, 5000), NEVER);
    }

    #[test]
    fn an_idle_deadline_is_rounded_up_never_down() {
        assert_eq!(idle(1, 1000, 32), 1024);
        assert_eq!(idle(1, 1000, 1), 1001);
        assert_eq!(idle(24, 1000, 32), 1024);
        assert_eq!(idle(1, 1000, 10), 1010);
        assert_eq!(idle(u64::MAX, 1000, 32), NEVER - 1);
    }

    #[test]
    fn nothing_is_asked_more_than_half_the_timeout_ahead() {
        assert_eq!(ask(10_000, 10_000, 5000), 5000);
        assert_eq!(ask(10_000, 2000, 5000), 9000);
    }

    #[test]
    fn an_extension_never_passes_the_absolute_deadline() {
        assert_eq!(extended(1000, 500, 300, NEVER), 1300);
        assert_eq!(extended(1000, 500, 900, 1200), 1200);
        assert_eq!(extended(1000, 500, 900, 800), 800);
    }
}
