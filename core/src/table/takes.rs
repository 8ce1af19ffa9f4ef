//! The features that a session took, in the order taken.

use super::{Charge, Holder, Take, Taken};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::LicenseClass;

/// The most features of one session. What one holder takes of one pool in a row is one.
pub(crate) const MAX_TAKES: usize = 64;

/// Who is to be charged for a feature: the user, or the session under the class that its license has.
pub(super) fn holder(take: &Take, session: SessionId, license: Option<&Charge>) -> Holder {
    match &take.holder {
        Some(user) => Holder::User(user.clone()),
        None => Holder::taker(session, license.map_or(LicenseClass::Named, |charge| charge.class)),
    }
}

fn last_of(takes: &[Taken], pool: u32) -> Option<usize> {
    takes.iter().rposition(|taken| taken.pool == pool)
}

/// Where a feature is counted that is taken next: with one that is there, or as one more. `None` if there are too many.
pub(super) fn place(takes: &[Taken], pool: u32, holder: &Holder) -> Option<usize> {
    match last_of(takes, pool).filter(|last| takes[*last].holder == *holder) {
        Some(last) => Some(last),
        None => (takes.len() < MAX_TAKES).then_some(takes.len()),
    }
}

/// Counts a feature at its [`place`].
pub(super) fn add(takes: &mut Vec<Taken>, place: usize, take: &Take, holder: Holder, now: Millis) {
    match takes.get_mut(place) {
        Some(taken) => taken.count = taken.count.saturating_add(take.count),
        None => takes.push(Taken { pool: take.pool, count: take.count, holder, since: now }),
    }
}

/// Takes away what was taken last of a pool by one holder, `count` at most.
pub(super) fn remove_last(takes: &mut Vec<Taken>, pool: u32, count: u64) -> Option<Taken> {
    if count == 0 {
        return None;
    }
    let last = last_of(takes, pool)?;
    if takes[last].count <= count {
        return Some(takes.remove(last));
    }
    takes[last].count -= count;
    Some(Taken { count, ..takes[last].clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::policy::Rank;

    fn take(takes: &mut Vec<Taken>, pool: u32, count: u64, user: &str) -> bool {
        let take = Take {
            pool,
            count,
            expected: None,
            holder: Some(user.into()),
            rank: Rank::Ordinary,
            revision: 1,
            asking: crate::table::Asking::default(),
        };
        let holder = holder(&take, SessionId::NIL, None);
        let found = place(takes, pool, &holder);
        if let Some(place) = found {
            add(takes, place, &take, holder, 0);
        }
        found.is_some()
    }

    #[test]
    fn what_was_taken_last_is_returned_first_whoever_took_it() {
        let mut takes = Vec::new();
        for (pool, count, user) in [(0, 1, "ann"), (0, 2, "ann"), (1, 5, "ann"), (0, 2, "bob"), (0, 1, "ann")] {
            assert!(take(&mut takes, pool, count, user));
        }
        assert_eq!(takes.iter().map(|taken| taken.count).collect::<Vec<_>>(), [3, 5, 2, 1]);
        let mut left = 5;
        let mut returned = Vec::new();
        while let Some(taken) = remove_last(&mut takes, 0, left) {
            left -= taken.count;
            returned.push((taken.holder, taken.count));
        }
        let user = |name: &str| Holder::User(name.into());
        assert_eq!(returned, [(user("ann"), 1), (user("bob"), 2), (user("ann"), 2)]);
        assert_eq!(takes.iter().map(|taken| (taken.pool, taken.count)).collect::<Vec<_>>(), [(0, 1), (1, 5)]);
    }

    #[test]
    fn a_session_takes_a_bounded_number_of_features() {
        let mut takes = Vec::new();
        for pool in 0..MAX_TAKES as u32 {
            assert!(take(&mut takes, pool, 1, "ann"));
        }
        assert!(!take(&mut takes, 99, 1, "ann") && !take(&mut takes, 5, 1, "bob"));
        assert!(take(&mut takes, 5, 1, "ann"));
        assert_eq!(takes.len(), MAX_TAKES);
    }
}
