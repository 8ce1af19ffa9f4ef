//! The course of what is held of a pool while time alone passes: what comes free when, and what could be had meanwhile by
//! somebody in need.

use std::sync::Arc;

use super::back::Ending;
use super::books::{Orphan, UserHolder};
use super::evict::MOST;
use super::ledger::OWN;
use super::policy::{self, signed};
use super::rules;
use crate::clock::{Millis, NEVER};
use crate::reason::LicenseClass;
use crate::table::{Holder, PoolDefinition};

/// Units, and as what they count; a change of that, where it is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub units: i64,
    /// Those of them that count as reserved.
    pub reserved: i64,
    /// Those of anonymous sessions.
    pub anonymous: i64,
}

impl Part {
    fn plus(self, other: Self) -> Self {
        Self {
            units: self.units + other.units,
            reserved: self.reserved + other.reserved,
            anonymous: self.anonymous + other.anonymous,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            units: self.units - other.units,
            reserved: self.reserved - other.reserved,
            anonymous: self.anonymous - other.anonymous,
        }
    }
}

/// What there is of one holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shares {
    /// All that it holds.
    pub held: Part,
    /// What lingers of that, and would be reclaimed.
    pub lingers: Part,
    /// What would come free of that by evicting its sessions.
    pub evicts: Part,
}

impl Shares {
    pub fn plus(self, other: &Self) -> Self {
        Self {
            held: self.held.plus(other.held),
            lingers: self.lingers.plus(other.lingers),
            evicts: self.evicts.plus(other.evicts),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            held: self.held.minus(other.held),
            lingers: self.lingers.minus(other.lingers),
            evicts: self.evicts.minus(other.evicts),
        }
    }
}

/// A change of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// When.
    pub at: Millis,
    /// By how much.
    pub by: Shares,
    /// The seat of the reservation that reserved units are of.
    pub seat: u8,
}

/// How the courses of holders are reckoned.
#[derive(Clone, Copy)]
pub(super) struct Courses<'a> {
    pub pool: &'a PoolDefinition,
    pub now: Millis,
    /// Whether units linger that no session needs any more.
    pub linger: bool,
}

/// A holder with several connections from an instant on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    pub at: Millis,
    pub holder: UserHolder,
}

impl Courses<'_> {
    /// Of a session that is its own holder.
    pub fn own(&self, ending: &Ending, changes: &mut Vec<Change>) {
        let class = ending.charge.class;
        let least = ending.since.min(self.now).saturating_add(policy::least(self.pool, class));
        let unit = Part { units: signed(OWN), reserved: 0, anonymous: i64::from(ending.charge.is_anonymous()) };
        let (free, evicted) = (ending.at.max(least), ending.evict.max(least));
        let mut change = |at: Millis, by| changes.push(Change { at: at.max(self.now), by, seat: 0 });
        let none = Shares::default();
        if evicted < free && evicted < NEVER {
            change(evicted, Shares { evicts: unit, ..none });
        }
        if ending.at < NEVER {
            let evicts = if evicted < free { unit } else { Part::default() };
            change(free, none.minus(Shares { held: unit, evicts, ..none }));
        }
    }

    /// Of a unit that outlived its session.
    pub fn orphan(&self, orphan: &Orphan) -> Change {
        let held = Part { units: signed(OWN), reserved: 0, anonymous: i64::from(orphan.anonymous) };
        let by = Shares::default().minus(Shares { held, ..Shares::default() });
        Change { at: orphan.until, by, seat: 0 }
    }

    /// Of one who is in the books by a name, of whose sessions these are some: those that end first.
    pub fn booked(&self, name: &Arc<str>, holder: UserHolder, endings: &[&Ending]) -> Vec<Stage> {
        let takes = Holder::takes(name);
        let mut ends: Vec<&Ending> = endings.iter().filter(|ending| ending.at < NEVER).copied().collect();
        ends.sort_by_key(|ending| ending.at);
        // What may be had of it otherwise changes then, too.
        let ripe = holder.ripe(self.pool, self.now);
        let mut quiet: Vec<Millis> = endings.iter().map(|ending| ending.evict).chain([ripe]).collect();
        quiet.retain(|at| *at < NEVER);
        quiet.sort_unstable();
        let (mut ends, mut quiet) = (ends.into_iter().peekable(), quiet.into_iter().peekable());
        let mut held = holder;
        let mut stages = Vec::new();
        let mut at = self.now;
        loop {
            fade(&mut held, at);
            while let Some(ending) = ends.next_if(|ending| ending.at <= at) {
                self.leave(&mut held, takes, ending, at);
                fade(&mut held, at);
            }
            while quiet.next_if(|quiet| *quiet <= at).is_some() {}
            stages.push(Stage { at, holder: held });
            let fades = Some(held.until).filter(|_| held.lingering > 0);
            let next = ends.peek().map(|ending| ending.at).into_iter().chain(fades).chain(quiet.peek().copied()).min();
            match next {
                Some(next) => at = next,
                None => return stages,
            }
        }
    }

    /// One session leaves, or gives back what it took.
    fn leave(&self, held: &mut UserHolder, takes: bool, ending: &Ending, at: Millis) {
        let needed = held.needed();
        held.connections = held.connections.saturating_sub(ending.count);
        let spare = needed.saturating_sub(rules::units(self.pool.rule, held.connections, needed));
        let class = ending.charge.class;
        let until = if takes {
            held.acquired.min(self.now).saturating_add(policy::least(self.pool, class))
        } else {
            let linger = if self.linger { policy::linger(self.pool, class) } else { 0 };
            at.saturating_add(linger).max(held.ripe(self.pool, self.now))
        };
        if until > at {
            held.lingering = held.lingering.saturating_add(spare);
            held.until = if spare > 0 { held.until.max(until) } else { held.until };
        } else {
            give(held, spare);
        }
    }

    /// What may be had of it at a stage, if `others` are in need.
    fn shares(&self, name: &Arc<str>, stage: &Stage, endings: &[&Ending], others: bool) -> Shares {
        let anonymous = Holder::of(name.clone()).class_of_takes() == LicenseClass::Anonymous;
        let part = |units: u64, reserved: u64| Part {
            units: signed(units),
            reserved: signed(reserved),
            anonymous: if anonymous { signed(units) } else { 0 },
        };
        let mut held = stage.holder;
        let whole = Shares { held: part(held.units, held.reserved), ..Shares::default() };
        if !others || Holder::takes(name) || held.ripe(self.pool, self.now) > stage.at {
            return whole;
        }
        let reserved = held.reserved;
        let lingering = if self.pool.reclaim { std::mem::take(&mut held.lingering) } else { 0 };
        give(&mut held, lingering);
        let lingers = part(lingering, reserved - held.reserved);
        let idle = |ending: &&&Ending| ending.evict <= stage.at && ending.at > stage.at && ending.evict < NEVER;
        let mut idle = endings.iter().filter(idle).count() as u64;
        let mut evicted = 0;
        while idle > 0 {
            let needed = held.needed();
            let count = rules::to_shrink(self.pool.rule, held.connections, needed);
            let rest = rules::units(self.pool.rule, held.connections.saturating_sub(count), needed);
            let units = needed.saturating_sub(rest);
            if count > idle.min(MOST) || units == 0 || units > held.units.saturating_sub(held.reserved) {
                break;
            }
            held.connections = held.connections.saturating_sub(count);
            held.units -= units;
            (idle, evicted) = (idle - count, evicted + units);
        }
        Shares { lingers, evicts: part(evicted, 0), ..whole }
    }

    /// The changes that a course comes to, whose first stage is now.
    pub fn changes(
        &self,
        name: &Arc<str>,
        stages: &[Stage],
        endings: &[&Ending],
        others: bool,
        changes: &mut Vec<Change>,
    ) {
        let first = stages.first().map(|stage| stage.holder);
        let mut before = Shares::default();
        for (position, stage) in stages.iter().enumerate() {
            let now = self.shares(name, stage, endings, others);
            if position == 0 {
                // What it holds now is in the counters.
                before.held = now.held;
            }
            let seat = first.map_or(0, |first| first.seat);
            let by = now.minus(before);
            // Of who asks it matters also what else it has.
            if by != Shares::default() || !others {
                changes.push(Change { at: stage.at, by, seat });
            }
            before = now;
        }
    }
}

/// When units that sessions need come free, and how many, if these are all endings of some holders and nothing lingers longer
/// than it is held at least.
pub(crate) fn frees(
    pool: &PoolDefinition,
    now: Millis,
    endings: &[Ending],
    holder: impl Fn(&Arc<str>) -> Option<UserHolder>,
) -> Vec<(Millis, u64)> {
    let courses = Courses { pool, now, linger: false };
    let mut changes = Vec::new();
    let mut names: Vec<&Arc<str>> = endings.iter().filter_map(|ending| ending.charge.holder.booked()).collect();
    names.sort_unstable();
    names.dedup();
    for ending in endings.iter().filter(|ending| ending.charge.holder.booked().is_none()) {
        courses.own(&Ending { evict: Millis::MAX, ..ending.clone() }, &mut changes);
    }
    for name in names {
        let Some(mut held) = holder(name) else { continue };
        let lingering = std::mem::take(&mut held.lingering);
        give(&mut held, lingering);
        let own: Vec<&Ending> = endings.iter().filter(|ending| ending.charge.holder.booked() == Some(name)).collect();
        courses.changes(name, &courses.booked(name, held, &own), &own, false, &mut changes);
    }
    let freed = |change: &Change| u64::try_from(-change.by.held.units).ok().filter(|units| *units > 0);
    let mut frees: Vec<_> = changes.iter().filter_map(|change| Some((change.at, freed(change)?))).collect();
    frees.sort_unstable();
    frees
}

/// What has lingered long enough is free.
fn fade(held: &mut UserHolder, at: Millis) {
    if held.lingering > 0 && held.until <= at {
        let lingering = std::mem::take(&mut held.lingering);
        give(held, lingering);
    }
}

/// Gives units back: those that are not reserved first.
fn give(held: &mut UserHolder, units: u64) {
    held.units = held.units.saturating_sub(units);
    held.reserved = held.reserved.min(held.units);
}
