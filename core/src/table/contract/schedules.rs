//! Promises about admission, trade and the queue, in every order in which the steps of a few callers can come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Promise;
use super::desk::*;
use crate::license::policy::Rank;
use crate::table::*;

/// Units of the pool.
const CAPACITY: u64 = 1;
/// Engine time between two steps: what is set aside lapses after some.
const STEP: Millis = 150;
/// Orders that a table on a disk plays: it takes much longer.
const FEW: usize = 300;

/// One caller: what it does next, and what it has.
struct Caller {
    kind: Kind,
    next: usize,
    draft: Option<Draft>,
    made: Option<SessionRef>,
    place: Option<u64>,
    called: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Waits if it must; takes its unit, works, ends.
    Waits,
    /// Comes without waiting, logs in, ends.
    Trades,
    /// Begins to wait and gives up.
    GivesUp,
}

impl Caller {
    fn new(kind: Kind) -> Self {
        Self { kind, next: 0, draft: None, made: None, place: None, called: Arc::default() }
    }

    fn done(&self) -> bool {
        self.next >= self.kind.steps()
    }

    fn create(&mut self, desk: &Desk, ms: Millis, asking: Asking) -> Result<bool, String> {
        let draft = match self.draft {
            Some(draft) => draft,
            None => ok(desk.table.draft())?,
        };
        self.draft = Some(draft);
        let mut new = NewSession { asking, idle: 0, absolute: 0, ..Plan::charged(SINGLE).new_session() };
        Ok(match ok(desk.table.create(at(ms), &draft, &mut new))? {
            Ok(_) => {
                (self.made, self.place, self.draft) = (Some(draft.session), None, None);
                true
            }
            Err(Refused::License(_)) => false,
            Err(other) => return Err(format!("refused: {other:?}")),
        })
    }

    fn line_up(&mut self, desk: &Desk, ms: Millis) -> Outcome {
        let Some(draft) = self.draft else { return Ok(()) };
        let called = self.called.clone();
        let waiter = NewWaiter {
            session: draft.session.id,
            charge: charge(SINGLE, Holder::Session),
            from: None,
            count: 1,
            rank: Rank::Ordinary,
            priority: 0,
            deadline: Millis::MAX,
        };
        let joined = desk.table.join_queue(at(ms), &waiter, Arc::new(move || called.store(true, Ordering::SeqCst)));
        self.place = Some(ok(joined)?.map_err(|reason| format!("no place: {reason}"))?);
        Ok(())
    }

    /// Does the next step; one that has to wait for its turn stays where it is.
    fn step(&mut self, desk: &Desk, ms: Millis) -> Outcome {
        let first = Asking { last: self.kind == Kind::Trades, ..Asking::default() };
        match (self.kind, self.next) {
            (Kind::Trades, 0) => {
                let waiting = ok(desk.table.queue(SINGLE, 0, 9))?.iter().any(|one| one.offered.is_none());
                if self.create(desk, ms, first)? {
                    ensure!(!waiting, "who waits was overtaken");
                } else {
                    self.next = self.kind.steps();
                    return Ok(());
                }
            }
            (_, 0) => {
                self.create(desk, ms, first)?;
            }
            (Kind::Waits | Kind::GivesUp, 1) if self.made.is_none() => self.line_up(desk, ms)?,
            (Kind::Waits, 2) if self.made.is_none() => {
                let mine = Asking { last: false, place: self.place, priority: 0 };
                if !self.called.swap(false, Ordering::SeqCst) || !self.create(desk, ms, mine)? {
                    return Ok(());
                }
            }
            (Kind::GivesUp, 2) if self.made.is_none() => {
                if let Some(place) = self.place {
                    let left = ok(desk.table.leave_queue(at(ms), SINGLE, place, Leaving::Cancelled))?;
                    ensure!(left, "a place was lost");
                }
            }
            (Kind::Trades, 1) => {
                let (Some(session), login) = (self.made, change(None, Some("ada"), None)) else { return Ok(()) };
                let traded = live(desk.table.change_holder(at(ms), session, &login))?;
                ensure!(traded.is_ok(), "a unit for a unit was refused: {traded:?}");
            }
            (_, last) if last + 1 == self.kind.steps() => {
                if let Some(session) = self.made.take() {
                    ensure!(matches!(desk.end(ms, session), Ended::Now(_)), "a session did not end");
                }
                if let Some(draft) = self.draft.take() {
                    desk.table.abandon(&draft);
                }
            }
            _ => {}
        }
        self.next += 1;
        Ok(())
    }
}

impl Kind {
    fn steps(self) -> usize {
        match self {
            Self::Waits | Self::GivesUp => 4,
            Self::Trades => 3,
        }
    }
}

/// What must be true between any two steps.
fn between(desk: &Desk, ms: Millis, begun: Millis) -> Outcome {
    desk.table.call_waiters();
    let (in_use, _) = ok(desk.table.pool_state(SINGLE))?;
    ensure!(in_use <= CAPACITY, "{in_use} units are in use at {ms}");
    let waiting = ok(desk.table.queue(SINGLE, 0, 9))?;
    // Who overslept a turn is passed over; whoever awaits one has nothing that is free.
    let awaits = waiting.iter().filter(|one| one.offered.is_none()).count();
    let overslept = ms - begun >= crate::license::waiter::OFFER;
    ensure!(awaits == 0 || in_use == CAPACITY || overslept, "a unit is free while {awaits} wait for it");
    Ok(())
}

/// Plays one order; then lets everybody come to an end.
fn play(desk: &Desk, kinds: &[Kind], order: &[usize], clock: &mut Millis) -> Outcome {
    let mut callers: Vec<Caller> = kinds.iter().map(|kind| Caller::new(*kind)).collect();
    let begun = *clock;
    for which in order {
        callers[*which].step(desk, *clock)?;
        between(desk, *clock, begun)?;
        *clock += STEP;
    }
    for round in 0.. {
        if callers.iter().all(Caller::done) {
            break;
        }
        ensure!(round < 20, "somebody waits for ever: {:?}", ok(desk.table.queue(SINGLE, 0, 9))?);
        for caller in callers.iter_mut().filter(|caller| !caller.done()) {
            // Whoever is asleep is woken by its host sooner or later.
            caller.called.store(true, Ordering::SeqCst);
            caller.step(desk, *clock)?;
            between(desk, *clock, begun)?;
            *clock += 1;
        }
    }
    let audit = ok(desk.table.recount(at(*clock), SINGLE))?;
    ensure!(audit.counted == 0 && audit.differences.is_empty(), "left over: {audit:?}");
    ensure!(ok(desk.table.queue(SINGLE, 0, 9))?.is_empty(), "somebody is left in the queue");
    Ok(())
}

/// All orders of so many steps each.
fn orders(left: &mut [usize], order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|steps| *steps == 0) {
        all.push(order.clone());
        return;
    }
    for which in 0..left.len() {
        if left[which] > 0 {
            left[which] -= 1;
            order.push(which);
            orders(left, order, all);
            order.pop();
            left[which] += 1;
        }
    }
}

pub(super) const PROMISES: &[Promise] =
    &[("in whatever order callers take, wait for, trade and give back units, none is lost or given twice", |ground| {
        use Kind::{GivesUp, Trades, Waits};
        for kinds in [[Waits, Trades, Waits], [Waits, GivesUp, Trades], [GivesUp, Waits, GivesUp]] {
            let desk = ground.desk_with(|config| {
                (config.pools[SINGLE as usize].capacity, config.pools[SINGLE as usize].queue) = (CAPACITY, 9);
            });
            let mut clock = 0;
            let mut left = kinds.map(Kind::steps);
            let mut all = Vec::new();
            orders(&mut left, &mut Vec::new(), &mut all);
            let every = if desk.table.outlives() { (all.len() / FEW).max(1) } else { 1 };
            for order in all.iter().step_by(every) {
                play(&desk, &kinds, order, &mut clock)
                    .map_err(|text| format!("{kinds:?} in the order {order:?}: {text}"))?;
            }
        }
        Ok(())
    })];
