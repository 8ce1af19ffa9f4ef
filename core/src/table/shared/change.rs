//! Changes of a live session: timeouts, event classes, application, holder, extensions. Each is one transaction of the books.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use super::books::SessionRow;
use super::crowd::Evicted;
use super::denials::Refusable;
use super::due::extensions_used;
use super::layout::flags;
use super::licensed::Taker;
use super::requests::extended;
use super::visit::{Held, Name, Visit, charged, ok};
use super::{SharedTable, Writer};
use crate::clock::{Millis, NEVER};
use crate::deadline;
use crate::error::{Error, Result};
use crate::license::ledger::{self, Demand};
use crate::reason::{DenyReason, LicenseClass, ThreadKind};
use crate::table::grave::{MAX_REPLACED, Replaced};
use crate::table::slot::IN_FLIGHT;
use crate::table::*;

/// How long a replaced token answers `gone(replaced)` after its grace.
const REPLACED_STANDS: Millis = 600_000;
/// Grants that a session remembers.
const MAX_GRANTS: usize = 32;

impl SharedTable {
    /// One change of one session's row: shown to `change`, written if it says so, then published.
    pub(super) fn change<T>(
        &self,
        at: At,
        session: SessionRef,
        sync: bool,
        change: impl FnOnce(&Writer<'_>, &Held<'_>, SessionRow) -> Result<T>,
    ) -> Found<T> {
        let writer = ok!(self.writer());
        let found = self.visit_writing(&writer, at, Name::Session(session), ThreadKind::Request);
        let found = match found.map_live(|visit: Visit<'_>| {
            let row = self.row(&visit.held)?;
            let changed = change(&writer, &visit.held, row)?;
            self.refile(at.now, &visit.held);
            Ok(changed)
        }) {
            Found::Live(Ok(changed)) => Found::Live(changed),
            Found::Live(Err(error)) => Found::Failed(error),
            other => other.map_live(|_| unreachable!("answered above")),
        };
        let sync = sync || self.durable();
        ok!(self.done(writer, sync));
        found
    }

    pub(super) fn change_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>> {
        self.change(at, session, false, |writer, held, mut row| {
            if let Some(timeout) = absolute {
                let now = row.absolute;
                // The creation is on the idle clock.
                let wanted = deadline::absolute(row.created.saturating_add(row.slept), timeout);
                if wanted > now {
                    return Ok(Err(Error::invalid(format!(
                        "an absolute timeout of {timeout} ms would move the deadline later, from {now} ms to {wanted} ms: \
                         it can only be set earlier on a live session"
                    ))));
                }
                row.absolute = wanted;
            }
            let used = self.last_used(at.now, held);
            if let Some(idle) = idle {
                self.give_idle(&mut row, idle, used);
                row.brief = false;
            }
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.absolute.set_ms(row.absolute);
            if idle.is_some() {
                show_idle(held, &row);
            }
            Ok(Ok(()))
        })
    }

    /// Gives a row another idle timeout, counted from the last use.
    fn give_idle(&self, row: &mut SessionRow, idle: Millis, used: Millis) {
        row.idle = idle;
        row.used = used;
        row.saved = deadline::idle(used, idle, self.config.quantum).max(1);
    }

    pub(super) fn change_list(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool> {
        self.change(at, session, false, |writer, held, mut row| {
            let Some(classes) = change.apply(&row.rare.classes.clone().into()) else { return Ok(false) };
            row.rare.classes = classes.to_vec();
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.mark(flags::CLASSES, !row.rare.classes.is_empty());
            Ok(true)
        })
    }

    pub(super) fn move_session(
        &self,
        at: At,
        session: SessionRef,
        (from, to): (u32, u32),
        idle: Option<(Millis, Millis)>,
        classes: &[ClassRef],
    ) -> Found<bool> {
        self.change(at, session, false, |writer, held, mut row| {
            if row.application != from {
                return Ok(false);
            }
            if let Some((idle, brief)) = idle {
                let idle = if row.brief { brief } else { idle };
                self.give_idle(&mut row, idle, self.last_used(at.now, held));
            }
            row.application = to;
            for class in classes {
                if let Some(list) = ClassChange::Back(class.clone()).apply(&row.rare.classes.clone().into()) {
                    row.rare.classes = list.to_vec();
                }
            }
            let text = format!("{} -> {}", self.application(from).name, self.application(to).name);
            self.trace(held, || format!("{} ms: application {text}", at.now.ms));
            writer.commit(|ledger| {
                ledger.update_session(&row)?;
                self.log(ledger, at.now.ms, session.id, "application", &text)
            })?;
            held.idle.set_small(to);
            held.mark(flags::CLASSES, !row.rare.classes.is_empty());
            let counters = &self.map.head().counters;
            counters.applications[from as usize].fetch_sub(1, AcqRel);
            counters.applications[to as usize].fetch_add(1, AcqRel);
            if idle.is_some() {
                show_idle(held, &row);
            }
            Ok(true)
        })
    }

    pub(super) fn trade(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<std::result::Result<HolderChanged, ChangeRefused>> {
        let sync = change.rotate.is_some() || !change.trade_only;
        self.change(at, session, false, |writer, held, mut row| {
            if row.user != change.expected {
                return Ok(Err(ChangeRefused::Changed));
            }
            if let Some(reason) = self.refuse_holder(writer, at, session, &row, change) {
                return Ok(Err(ChangeRefused::License(reason)));
            }
            let from = row.charge.clone();
            let lazy = row.lazy.filter(|_| change.user.is_some() && !change.trade_only);
            let named = from.as_ref().is_some_and(|from| from.class == LicenseClass::Anonymous)
                && matches!(change.holder, Holder::User(_));
            let to = from.as_ref().map(|from| from.with_holder(&change.holder));
            let mut lengthened = false;
            let changes_user = !change.trade_only && row.user != change.user;
            let what = if change.user.is_some() { "login" } else { "logout" };
            let mut token = None;
            if let Some(grace) = change.rotate.filter(|_| !change.trade_only) {
                let (fresh, verifier) = self.keys.seal(held.place(), crate::id::random());
                let replaced = &mut row.rare.replaced;
                replaced.retain(|old| at.now.ms < old.until);
                if replaced.len() >= MAX_REPLACED {
                    replaced.remove(0);
                }
                let grace = at.now.ms.saturating_add(grace);
                let until = grace.saturating_add(REPLACED_STANDS);
                replaced.push(Replaced { verifier: row.verifier, grace, until });
                row.verifier = verifier;
                token = Some(fresh);
            }
            if changes_user {
                row.user = change.user.clone();
            }
            let mut trade_denied = None;
            let mut evicted = Evicted::default();
            let refused = writer.commit(|ledger| {
                if let (Some(from), Some(to)) = (&from, &to)
                    && from.holder != to.holder
                {
                    let traded = self.demand(ledger, at, session, to, &mut evicted, |pool, defined, victims| {
                        if defined.revision != change.revision {
                            return Ok(None);
                        }
                        let demand = Demand::asking(to, change.rank, change.asking);
                        ledger::trade(pool, &defined.rules, at, session.id, from, demand, victims).map(Some)
                    })?;
                    let Some(traded) = traded else { return Ok(Some(ChangeRefused::Redefined)) };
                    match traded {
                        Ok(()) => {
                            row.charge = Some(to.clone());
                            if named && std::mem::take(&mut row.brief) {
                                self.give_idle(&mut row, change.idle, self.last_used(at.now, held));
                                lengthened = true;
                            }
                        }
                        Err(reason) if change.keeps(reason) => trade_denied = Some(reason),
                        Err(reason) => return Ok(Some(ChangeRefused::License(reason))),
                    }
                }
                if lazy.is_some() {
                    let taker = Taker {
                        holder: change.holder.clone(),
                        rank: change.rank,
                        revision: Some(change.revision),
                        asking: change.asking,
                    };
                    match self.take_unit(ledger, at, session, &mut row, taker, &mut evicted)? {
                        Some(Ok(())) => {}
                        // Nobody works unlicensed: what is not had is not kept.
                        Some(Err(reason)) => return Ok(Some(ChangeRefused::License(reason))),
                        None => return Ok(Some(ChangeRefused::Redefined)),
                    }
                }
                ledger.update_session(&row)?;
                if changes_user {
                    let user = change.user.as_deref().unwrap_or("");
                    self.log(ledger, at.now.ms, session.id, what, user)?;
                }
                if token.is_some() {
                    self.log(ledger, at.now.ms, session.id, "rotated", "")?;
                }
                Ok(None)
            });
            self.evict(writer, at, evicted, &refused);
            if let Some(refused) = refused? {
                let pool = row.pool().filter(|_| matches!(refused, ChangeRefused::License(_)));
                if let Some(pool) = pool {
                    self.is_full(pool);
                }
                return Ok(Err(refused));
            }
            if sync {
                writer.must_sync();
            }
            if let Some(lazy) = lazy {
                self.took_unit(at, held, lazy.pool);
            }
            if held.absolute.small() != charged(row.charge.as_ref()) {
                held.absolute.set_small(charged(row.charge.as_ref()));
                self.arrived(held.place().locator());
            }
            if lengthened {
                show_idle(held, &row);
            }
            if token.is_some() {
                held.set_verifier(row.verifier);
                held.mark(flags::REPLACED, true);
                self.trace(held, || format!("{} ms: token rotated", at.now.ms));
            }
            if changes_user {
                self.trace(held, || format!("{} ms: {what}", at.now.ms));
            }
            Ok(Ok(HolderChanged { token, trade_denied }))
        })
    }

    /// Refuses a login or a trade for want of a unit, if that is all there is to do.
    fn refuse_holder(
        &self,
        writer: &Writer<'_>,
        at: At,
        session: SessionRef,
        row: &SessionRow,
        change: &HolderChange,
    ) -> Option<DenyReason> {
        let (from, lazy) = (row.charge.as_ref(), row.lazy);
        let to = match (from, lazy) {
            (Some(from), _) => Some(from.with_holder(&change.holder)).filter(|to| to.holder != from.holder),
            (None, Some(lazy)) if change.user.is_some() && !change.trade_only => {
                let (class, holder) = (LicenseClass::Lazy, change.holder.clone());
                Some(Charge { pool: lazy.pool, class, holder, client: None })
            }
            _ => None,
        }?;
        let demand = Demand::asking(&to, change.rank, change.asking);
        let refusable = Refusable { from, revision: Some(change.revision), ..Refusable::new(demand) };
        // What the user changes in spite of is one step with that.
        let told = |reason| change.asking.ends_with(reason) && !(from.is_some() && change.keeps(reason));
        self.refuse_at_once(writer, at, session.id, &refusable, told)
    }

    pub(super) fn grant(
        &self,
        at: At,
        session: SessionRef,
        asked: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>> {
        self.change(at, session, false, |writer, held, mut row| {
            let rule = self.application(held.application());
            let used = extensions_used(held, &row);
            let absolute = Self::absolute_to_engine(held.absolute.ms(), at.now);
            if used >= rule.max_extensions {
                return Ok(None);
            }
            // Asked ahead of a deadline, the grant counts from it; asked at an explicit end, from now.
            let state = held.state();
            let idle = state.deadline();
            let base = if asked == 0 { self.idle_now(at.now) } else { idle };
            if asked != 0 && idle != asked {
                return Ok(None);
            }
            let until = deadline::extended(base, by, rule.extension_cap, absolute);
            let granted = until.saturating_sub(base);
            if granted == 0 {
                return Ok(None);
            }
            let mut until = until.div_ceil(self.config.quantum) * self.config.quantum;
            if idle != IN_FLIGHT {
                until = if idle == NEVER { NEVER } else { until.max(idle) };
            }
            row.used = self.last_used(at.now, held);
            let extension = &mut row.rare.extension;
            extension.count = used + 1;
            extension.deadline = if idle == IN_FLIGHT { idle } else { until };
            extension.history.push((at.now.ms, class.name.to_string(), granted));
            if extension.history.len() > MAX_GRANTS {
                extension.history.remove(0);
            }
            let mark = extended(extension.deadline);
            if idle != IN_FLIGHT {
                row.saved = until;
                if !held.exchange(state, state.with(until)) {
                    // A user's activity came first: that is better than an extension.
                    return Ok(None);
                }
            }
            let text = format!("{} {granted}", class.name);
            let committed = writer.commit(|ledger| {
                ledger.update_session(&row)?;
                self.log(ledger, at.now.ms, session.id, "extended", &text)
            });
            if let Err(error) = committed {
                held.exchange(state.with(until), state);
                return Err(error);
            }
            held.used.set(row.used, mark);
            held.slot.tail.saved.fetch_max(row.saved, Relaxed);
            held.mark(flags::END_REQUESTED | flags::ENDING, false);
            self.trace(held, || format!("{} ms: extended by {granted} ms by {}", at.now.ms, class.name));
            Ok(Some(granted))
        })
    }

    pub(super) fn note_told(&self, at: At, session: SessionRef, class: &ClassRef) {
        let noted = self.change(at, session, false, |writer, _, mut row| {
            if !row.rare.told.contains(class) {
                row.rare.told.push(class.clone());
                writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            }
            Ok(())
        });
        if let Found::Failed(error) = noted {
            ::log::warn!(target: "libsession", "class {} may be told an end twice: {}", class.name, error.message());
        }
    }

    pub(super) fn spoil(&self, at: At, session: SessionRef) -> Result<bool> {
        let spoiled = self.change(at, session, false, |writer, held, mut row| {
            row.damaged = true;
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.mark(flags::DAMAGED, true);
            self.map.head().counters.damaged.fetch_add(1, Relaxed);
            Ok(())
        });
        match spoiled {
            Found::Live(()) => Ok(true),
            Found::Failed(error) => Err(error),
            _ => Ok(false),
        }
    }
}

/// Has a held slot know the idle timeout of its row.
fn show_idle(held: &Held<'_>, row: &SessionRow) {
    held.idle.set_ms(row.idle);
    held.used.set(row.used, 0);
    held.slot.tail.saved.store(row.saved, Relaxed);
    loop {
        let state = held.state();
        if state.deadline() == IN_FLIGHT || held.exchange(state, state.with(row.saved)) {
            break;
        }
    }
}
