//! The sessions of a pool in the order in which they would have to go for others: anonymous ones first, then by last use.
//!
//! No table keeps that order at every touch. It is asked once for all sessions, and those idle longest are remembered with
//! their last use. A session is never used earlier than it was: one whose last use is as remembered is still the longest
//! idle of all, and one that was used since goes to where it belongs, or out of what is remembered.

use std::sync::Arc;

use super::books::Ledger;
use super::recount::holder_name;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, LicenseClass, ThreadKind};
use crate::table::{Charge, EndSpec, Holder};

/// Sessions of each kind that are remembered, and how many are looked at for one demand at most.
const KEPT: usize = 1024;
/// Others are looked for when at least so many of those remembered are no candidates any more.
const WORN: usize = KEPT / 2;
/// What a look at all sessions may gather before it forgets those that were used last.
const GATHERED: usize = 8 * KEPT;

/// A session's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    /// When it was used last: the idle clock.
    pub used: Millis,
    /// Its place in the order of creation.
    pub made: u64,
    /// Where the table has it.
    pub place: u64,
}

/// A session that the caller has hold of: nobody else uses or changes it meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The session.
    pub session: SessionId,
    /// Its place in the order.
    pub standing: Standing,
    /// How long it has been idle.
    pub idle: Millis,
    /// Engine time since when it holds its unit, if it is its own holder.
    pub since: Millis,
    /// How it is charged.
    pub charge: Charge,
    /// Whether a request is in flight, or its time is over and it is about to end for that.
    pub busy: bool,
}

impl Member {
    /// Whether it is anonymous.
    pub fn is_anonymous(&self) -> bool {
        self.charge.class == LicenseClass::Anonymous
    }
}

/// What became of a session that is remembered.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It ended, or is charged to this pool no more.
    Gone,
    /// Somebody is at it just now.
    Locked,
    /// It is live, and held until it is let go.
    Live(Member),
}

/// The sessions of one pool, as a table has them. Nothing here waits for a lock.
pub(crate) trait Crowd<L: Ledger> {
    /// Shows every session of the pool: whether it is anonymous, and a standing that is its own or an earlier one. One that
    /// may be in the middle of its creation is shown as both.
    fn scan(&mut self, show: &mut dyn FnMut(bool, Standing));
    /// Shows what has been charged to the pool since this was last called, likewise; `false` if that is not known.
    fn arrivals(&mut self, seen: &mut u64, show: &mut dyn FnMut(bool, Standing)) -> bool;
    /// Takes hold of a session; one that is held already is shown again. Of a busy one the charge is told only if the `whole`
    /// is wanted.
    fn hold(&mut self, ledger: &mut L, place: u64, whole: bool) -> Result<Seen, L::Error>;
    /// Lets it go.
    fn let_go(&mut self, place: u64);
    /// Where the sessions of a user are that are charged to the pool; `None` if that can't be told just now.
    fn sessions_of(&mut self, ledger: &mut L, user: &Arc<str>) -> Result<Option<Vec<u64>>, L::Error>;
}

/// No sessions, for tests.
#[cfg(test)]
pub(crate) struct Nobody;

#[cfg(test)]
impl<L: Ledger> Crowd<L> for Nobody {
    fn scan(&mut self, _: &mut dyn FnMut(bool, Standing)) {}

    fn arrivals(&mut self, _: &mut u64, _: &mut dyn FnMut(bool, Standing)) -> bool {
        true
    }

    fn hold(&mut self, _: &mut L, _: u64, _: bool) -> Result<Seen, L::Error> {
        Ok(Seen::Gone)
    }

    fn let_go(&mut self, _: u64) {}

    fn sessions_of(&mut self, _: &mut L, _: &Arc<str>) -> Result<Option<Vec<u64>>, L::Error> {
        Ok(None)
    }
}

/// The sessions of one kind that have been idle longest.
#[derive(Default)]
struct Idlest {
    /// In their order.
    known: Vec<Standing>,
    /// Up to this standing all are known; `None`: all are.
    cut: Option<Standing>,
}

impl Idlest {
    fn knows_as_far(&self, standing: Standing) -> bool {
        self.cut.is_none_or(|cut| standing <= cut)
    }

    /// Takes one in while all are shown.
    fn gather(&mut self, standing: Standing) {
        if self.knows_as_far(standing) {
            self.known.push(standing);
            if self.known.len() >= GATHERED {
                self.shorten();
            }
        }
    }

    fn shorten(&mut self) {
        if self.known.len() > KEPT {
            let (_, last, _) = self.known.select_nth_unstable(KEPT - 1);
            self.cut = Some(*last);
            self.known.truncate(KEPT);
        }
    }

    fn insert(&mut self, standing: Standing) {
        if self.knows_as_far(standing) {
            let position = self.known.partition_point(|known| *known < standing);
            self.known.insert(position, standing);
            if self.known.len() > 2 * KEPT {
                self.known.truncate(KEPT);
                self.cut = self.known.last().copied();
            }
        }
    }
}

/// What is remembered of the sessions of one pool.
#[derive(Default)]
pub(crate) struct Candidates {
    /// Those that are not anonymous, and those that are.
    lists: [Idlest; 2],
    /// Whether anything is remembered.
    filled: bool,
    /// How far the arrivals are known.
    seen: u64,
}

impl Candidates {
    /// A session was charged to the pool, or is anonymous no more: from now on it is known.
    #[inline]
    pub fn arrived(&mut self, anonymous: bool, standing: Standing) {
        if self.filled {
            self.lists[usize::from(anonymous)].insert(standing);
        }
    }

    fn fill<L: Ledger>(&mut self, crowd: &mut dyn Crowd<L>) {
        self.lists = Default::default();
        // What arrives from here on, and was shown all the same, is known twice: no harm.
        crowd.arrivals(&mut self.seen, &mut |_, _| {});
        crowd.scan(&mut |anonymous, standing| self.lists[usize::from(anonymous)].gather(standing));
        for list in &mut self.lists {
            list.shorten();
            list.known.sort_unstable();
        }
        self.filled = true;
    }

    fn take_arrivals<L: Ledger>(&mut self, crowd: &mut dyn Crowd<L>) {
        let lists = &mut self.lists;
        let all =
            crowd.arrivals(&mut self.seen, &mut |anonymous, standing| lists[usize::from(anonymous)].insert(standing));
        if !self.filled || !all {
            self.fill(crowd);
        }
    }
}

/// Whether what is at a place is not to be taken, or was already.
fn stays(own: u64, taken: &[Going], place: u64) -> bool {
    place == own || taken.iter().any(|known| known.member.standing.place == place)
}

/// Why a session has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody needed its unit.
    Needed,
    /// Its unit is reserved for somebody who needed it.
    Reserved,
    /// Its user has as many sessions as a holder may and logged in once more.
    Limit,
}

impl Cause {
    /// What its owner is told.
    fn note(self, pool: &str, holder: &str) -> String {
        match self {
            Self::Needed => format!("its unit of pool '{pool}' was needed by {holder}"),
            Self::Reserved => format!("its unit of pool '{pool}' is reserved for {holder}"),
            Self::Limit => format!("{holder} has as many sessions as a holder may in pool '{pool}', and began another"),
        }
    }
}

/// A session that has to go.
#[derive(Clone, Debug)]
pub(crate) struct Going {
    pub member: Member,
    pub cause: Cause,
}

impl Going {
    /// How it ends, for whoever is charged to a pool.
    pub fn spec(&self, pool: &str, session: SessionId, holder: &Holder) -> EndSpec {
        EndSpec {
            reason: EndReason::Evicted,
            level: EndLevel::Force,
            thread: ThreadKind::Request,
            actor: Some("license pool".to_owned()),
            note: Some(self.cause.note(pool, &holder_name(session, holder))),
            here: false,
        }
    }
}

/// The search for sessions that have to go, for one demand.
pub(crate) struct Victims<'a, L: Ledger> {
    sessions: Option<(&'a mut dyn Crowd<L>, &'a mut Candidates)>,
    /// Where the session is that asks.
    own: u64,
    /// Held until they are buried.
    taken: Vec<Going>,
    anonymous: bool,
    cursor: usize,
    looked: usize,
    fresh: bool,
    /// Somebody was at a session that might have gone.
    locked: bool,
    /// It is not asked again.
    last: bool,
}

impl<'a, L: Ledger> Victims<'a, L> {
    /// Where nobody can be made to go.
    pub fn none() -> Self {
        Self {
            sessions: None,
            own: u64::MAX,
            taken: Vec::new(),
            anonymous: false,
            cursor: 0,
            looked: 0,
            fresh: false,
            locked: false,
            last: true,
        }
    }

    /// Among the sessions of a pool, for the one at a place. Unless this is the `last` time, a demand that is not met because
    /// somebody was at a session is asked again, and its denial told then.
    pub fn among(crowd: &'a mut dyn Crowd<L>, candidates: &'a mut Candidates, own: u64, last: bool) -> Self {
        Self { sessions: Some((crowd, candidates)), own, last, ..Self::none() }
    }

    /// Those that have to go, if the demand was met.
    pub fn taken(self) -> Vec<Going> {
        self.taken
    }

    /// Whether the same demand is to be made again a moment later.
    pub fn again(&self) -> bool {
        self.locked && !self.last
    }

    /// Begins with the longest idle of the anonymous sessions, or of the others.
    pub fn begin(&mut self, anonymous: bool) {
        (self.anonymous, self.cursor) = (anonymous, 0);
        if let Some((crowd, candidates)) = &mut self.sessions
            && !self.fresh
        {
            candidates.take_arrivals(&mut **crowd);
            self.fresh = true;
        }
    }

    /// The next longest idle session, held.
    pub fn next(&mut self, ledger: &mut L) -> Result<Option<Member>, L::Error> {
        let Some((crowd, candidates)) = &mut self.sessions else { return Ok(None) };
        let mut filled = false;
        while self.looked < KEPT {
            let list = &mut candidates.lists[usize::from(self.anonymous)];
            let Some(standing) = list.known.get(self.cursor).copied() else {
                // Those that stay where they are are too many to look for others behind them each time.
                if list.cut.is_none() || self.cursor > KEPT - WORN || filled {
                    return Ok(None);
                }
                candidates.fill(&mut **crowd);
                (self.cursor, filled) = (0, true);
                continue;
            };
            if stays(self.own, &self.taken, standing.place) {
                self.cursor += 1;
                continue;
            }
            match crowd.hold(ledger, standing.place, false)? {
                Seen::Locked => {
                    self.locked = true;
                    self.cursor += 1;
                    self.looked += 1;
                }
                Seen::Live(member) if member.is_anonymous() == self.anonymous && member.standing <= standing => {
                    self.cursor += 1;
                    self.looked += 1;
                    return Ok(Some(member));
                }
                seen => {
                    list.known.remove(self.cursor);
                    if let Seen::Live(member) = seen {
                        crowd.let_go(standing.place);
                        if member.is_anonymous() == self.anonymous {
                            list.insert(member.standing);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// All sessions of a user that have not been taken, held; `None` if somebody is at one of them.
    pub fn sessions_of(&mut self, ledger: &mut L, user: &Arc<str>) -> Result<Option<Vec<Member>>, L::Error> {
        let Some((crowd, _)) = &mut self.sessions else { return Ok(None) };
        let Some(places) = crowd.sessions_of(ledger, user)? else {
            self.locked = true;
            return Ok(None);
        };
        let mut members = Vec::with_capacity(places.len());
        for place in places {
            if stays(self.own, &self.taken, place) {
                continue;
            }
            match crowd.hold(ledger, place, true)? {
                Seen::Gone => {}
                Seen::Locked => {
                    self.locked = true;
                    members.iter().for_each(|member: &Member| crowd.let_go(member.standing.place));
                    return Ok(None);
                }
                Seen::Live(member) => members.push(member),
            }
        }
        Ok(Some(members))
    }

    /// Has a session go.
    pub fn take(&mut self, member: &Member, cause: Cause) {
        self.taken.push(Going { member: member.clone(), cause });
    }

    /// Leaves one that was shown.
    pub fn pass(&mut self, member: &Member) {
        if let Some((crowd, _)) = &mut self.sessions {
            crowd.let_go(member.standing.place);
        }
    }
}
