//! A session of the model.

use libsession_core::{EndReason, LazyUntil};

use super::{MAX_REQUEST, NEVER};

/// What a look at a token finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Live,
    Absent,
    Gone(EndReason),
}

/// Which times of a pool count for a unit: by the license class of the session that takes it, or needs it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Named,
    Anonymous,
    Lazy,
}

impl Class {
    /// That of the same session once it has a user.
    pub fn of_a_user(self) -> Self {
        if self == Self::Anonymous { Self::Named } else { self }
    }
}

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Nobody,
    Itself,
    User(String),
    /// Itself for what it takes: its number, and whether it is anonymous then.
    Taker(usize, bool),
}

impl Holder {
    /// Whether it is of those whose connections are counted together.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::User(_) | Self::Taker(..))
    }

    /// As which class it takes features.
    pub fn class_of_takes(&self) -> Class {
        if matches!(self, Self::Taker(_, true)) { Class::Anonymous } else { Class::Named }
    }
}

/// A feature that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub pool: usize,
    pub holder: Holder,
    pub count: u64,
}

#[derive(Clone)]
pub struct Session {
    /// Numbers all creations, also those that were refused; from 1 on.
    pub serial: u64,
    /// Its public id, as it was told when it was made.
    pub id: String,
    pub application: usize,
    pub pool: Option<usize>,
    pub anonymous: bool,
    /// Its license class is lazy, also once it has its unit.
    pub lazily: bool,
    /// Takes its unit at this moment.
    pub lazy: Option<LazyUntil>,
    /// What its client is called in the names of holders.
    pub place: Option<String>,
    /// The number of its client, if its pool bounds those.
    pub client: Option<usize>,
    /// Its idle timeout is that of anonymous sessions.
    pub brief: bool,
    pub user: Option<String>,
    pub holder: Holder,
    /// When it took the unit that it has for itself.
    pub licensed: u64,
    /// 0 is never.
    pub idle: u64,
    pub created: u64,
    pub absolute_at: u64,
    pub last_used: u64,
    /// Number, start, whether of a user.
    pub requests: Vec<(usize, u64, bool)>,
    pub end_requested: bool,
    pub had_request: bool,
    pub ended: Option<(u64, EndReason)>,
    /// The number of the token that opens it.
    pub token: usize,
    /// Older tokens: number, end of the grace, end of `gone(replaced)`.
    pub replaced: Vec<(usize, u64, u64)>,
    pub classes: Vec<&'static str>,
    /// What it took, in this order.
    pub takes: Vec<Taken>,
}

impl Session {
    /// The class whose times count for what it takes for itself.
    pub fn class(&self) -> Class {
        match (self.anonymous, self.lazily) {
            (true, _) => Class::Anonymous,
            (false, true) => Class::Lazy,
            (false, false) => Class::Named,
        }
    }

    pub fn deadline(&self) -> (u64, EndReason) {
        let idle = if self.idle == 0 || self.is_used() { NEVER } else { self.last_used + self.idle };
        if self.absolute_at <= idle {
            (self.absolute_at, EndReason::AbsoluteTimeout)
        } else {
            (idle, EndReason::IdleTimeout)
        }
    }

    /// When it ends if nobody uses it any more: a request counts as finished after the longest time that one takes.
    pub fn unused_end(&self) -> u64 {
        let (end, _) = self.deadline();
        let last = |of_user: bool| {
            let requests = self.requests.iter().filter(|(_, _, user)| *user || !of_user);
            requests.map(|(_, start, _)| start + MAX_REQUEST).max()
        };
        let asked = last(false).filter(|_| self.end_requested).unwrap_or(NEVER);
        let idle = last(true).filter(|_| self.idle > 0).map_or(NEVER, |bound| bound + self.idle);
        end.min(asked).min(idle)
    }

    /// Whether it took a pool as a feature, for this holder.
    pub fn has_taken(&self, pool: usize, holder: &Holder) -> bool {
        self.takes.iter().any(|taken| taken.pool == pool && taken.holder == *holder)
    }

    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether a request of a user goes on.
    pub fn is_used(&self) -> bool {
        self.requests.iter().any(|(_, _, user)| *user)
    }

    /// When it was used last: a request that goes on is a use that lasts.
    pub fn used(&self, now: u64) -> u64 {
        if self.is_used() { now } else { self.last_used }
    }

    pub fn has_request(&self, number: usize) -> bool {
        self.requests.iter().any(|(known, _, _)| *known == number)
    }

    /// What happens to it next by itself.
    pub fn next(&self) -> u64 {
        let request = self.requests.iter().map(|(_, start, _)| start + MAX_REQUEST).min().unwrap_or(NEVER);
        self.deadline().0.min(request)
    }

    pub fn leave(&mut self, number: usize, now: u64) -> bool {
        let Some(position) = self.requests.iter().position(|(known, _, _)| *known == number) else { return false };
        if self.requests.remove(position).2 {
            self.last_used = now;
        }
        true
    }
}
