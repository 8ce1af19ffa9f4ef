//! The data of a session: read, written, compared.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::books::SessionRow;
use super::crowd::Evicted;
use super::layout::flags;
use super::licensed::Taker;
use super::requests::{corrupt, overtime};
use super::visit::{Held, live, ok};
use super::{SharedTable, Writer};
use crate::data::{Changes, RowChange, Subscript, Writes};
use crate::error::{Error, ErrorKind, Result};
use crate::table::slot::Place;
use crate::table::*;

impl SharedTable {
    /// The committed data of a held session.
    pub(super) fn tree(&self, held: &Held<'_>) -> Result<Arc<Tree>> {
        if held.has(flags::DAMAGED) {
            return Err(corrupt());
        }
        let tail = &held.slot.tail;
        let generation = held.state().generation();
        let version = tail.version.load(Acquire);
        if version != 0
            && let Some(tree) = self.cache.get(held.index, generation, version)
        {
            return Ok(tree);
        }
        let tree = self.books.glance(|pages| pages.data(held.index, generation)).and_then(Tree::from_rows);
        let tree = match tree {
            Ok(tree) => Arc::new(tree),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                ::log::error!(target: "libsession", "session {}: {}", held.id(), error.message());
                held.mark(flags::DAMAGED, true);
                self.map.head().counters.damaged.fetch_add(1, Relaxed);
                self.local.spoiled.lock().push((held.index, error.message().to_owned()));
                return Err(corrupt());
            }
            Err(error) => return Err(error),
        };
        let version = if version == 0 { self.new_version(held) } else { version };
        self.cache.put(held.index, generation, version, tree.clone());
        Ok(tree)
    }

    /// A version of the data that no slot ever had.
    fn new_version(&self, held: &Held<'_>) -> u64 {
        let version = self.map.head().counters.versions.fetch_add(1, Relaxed) + 1;
        held.slot.tail.version.store(version, Release);
        version
    }

    pub(super) fn commit_writes(&self, writer: &Writer<'_>, at: At, held: &Held<'_>, writes: &Writes) -> Result<()> {
        self.change_tree(writer, at, held, |tree| writes.commit_noting(tree, &self.config.quotas))
    }

    /// Changes the data of a held session in the books and here; a `change` that fails changes nothing.
    fn change_tree(
        &self,
        writer: &Writer<'_>,
        at: At,
        held: &Held<'_>,
        change: impl FnOnce(&mut Tree) -> Result<Changes>,
    ) -> Result<()> {
        let mut tree = self.tree(held)?;
        // Unless a request looks at it, this is now the only one: it is changed in place.
        self.cache.forget(held.index);
        let changed = change(Arc::make_mut(&mut tree));
        let changes = match changed {
            Ok(changes) if !changes.is_empty() => changes,
            nothing => {
                let version = held.slot.tail.version.load(Acquire);
                self.cache.put(held.index, held.state().generation(), version, tree);
                return nothing.map(drop);
            }
        };
        let generation = held.state().generation();
        // The first write of a session that takes its unit by it.
        let mut taker = if held.has(flags::LAZY_WRITE) { Some(self.row(held)?) } else { None };
        let pool = taker.as_ref().and_then(SessionRow::pool).unwrap_or(0);
        if let Some(row) = &taker
            && let Some(reason) = self.refuse_own_unit(writer, at, row, held)
        {
            return Err(Error::license_denied(&self.config.pools[pool as usize].name, reason, None));
        }
        // Until the commit is known the books are to be asked.
        held.slot.tail.version.store(0, Release);
        let mut evicted = Evicted::default();
        let refused = writer.commit(|ledger| {
            if let Some(row) = &mut taker {
                let taken = self.take_unit(ledger, at, held.session(), row, Taker::itself(), &mut evicted)?;
                if let Some(Err(reason)) = taken {
                    return Ok(Some(reason));
                }
                ledger.update_session(row)?;
            }
            for change in changes.rows(&tree) {
                match change {
                    RowChange::Clear => ledger.clear_data(held.index)?,
                    RowChange::Put(row) => ledger.put_data(held.index, generation, &row)?,
                    RowChange::Delete(sub) => ledger.delete_data(held.index, &sub)?,
                }
            }
            Ok(None)
        });
        self.evict(writer, at, evicted, &refused);
        if let Some(reason) = refused? {
            self.is_full(pool);
            return Err(Error::license_denied(&self.config.pools[pool as usize].name, reason, None));
        }
        if taker.is_some() {
            self.took_unit(at, held, pool);
        }
        let version = self.new_version(held);
        self.cache.put(held.index, generation, version, tree);
        Ok(())
    }

    pub(super) fn save_writes(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>> {
        if writes.is_empty() {
            let _ = live!(self.visit_request(at, request));
            return Found::Live(Ok(()));
        }
        let writer = ok!(self.writer());
        let found = self.visit_request_writing(&writer, at, request);
        let found = found.map_live(|(visit, _)| self.commit_writes(&writer, at, &visit.held, writes));
        let found = self.after(writer, found);
        found.map_live(|done| done.and_then(|()| self.sync(self.durable())))
    }

    pub(super) fn swap_value(
        &self,
        at: At,
        request: &RequestKey,
        path: &[Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Found<Result<()>> {
        let writer = ok!(self.writer());
        let found = self.visit_request_writing(&writer, at, request).map_live(|(visit, _)| {
            self.change_tree(&writer, at, &visit.held, |tree| {
                tree.compare_and_set_noting(&self.config.quotas, path, expected, new)
            })
        });
        let found = self.after(writer, found);
        found.map_live(|done| done.and_then(|()| self.sync(self.durable())))
    }

    pub(super) fn read_data(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>> {
        let place = Place::from_locator(request.session.place);
        let held = ok!(self.hold(place.index));
        let Some(held) = held.filter(|held| held.taken() && held.session() == request.session) else {
            // It ended, or never was: the long way knows.
            return self.visit_request(at, request).map_live(|_| Err(corrupt()));
        };
        if let Some((reason, _)) = self.ends_now(at.now, &held) {
            return Found::Gone(reason);
        }
        let flight = self.flight(&held, request.number);
        if flight.is_none_or(|flight| flight.start.saturating_add(self.config.max_request) <= at.now.ms) {
            return Found::Gone(overtime());
        }
        let tree = self.tree(&held);
        drop(held);
        Found::Live(tree.map(|tree| look(&tree)))
    }
}
