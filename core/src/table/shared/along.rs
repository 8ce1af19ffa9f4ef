//! Touches and traces: kept by each process, and written into the books by its next commit, or by a flush.

use std::sync::atomic::Ordering::Relaxed;

use super::layout::flags;
use super::visit::Held;
use super::{Local, SharedTable, books};
use crate::error::Result;
use crate::table::slot::FREE;

/// Touches that one commit takes along.
const ALONG: usize = 512;

impl SharedTable {
    /// Writes touches and traces into the books that no commit took along.
    pub(super) fn flush(&self) -> Result<()> {
        while self.local.wants_flush() {
            let writer = self.writer()?;
            writer.commit(|_| Ok(()))?;
            self.done(writer, false)?;
        }
        Ok(())
    }

    /// What a commit takes along of touches and traces.
    pub(super) fn take_along(&self, ledger: &mut books::Ledger<'_>) -> Result<()> {
        let touched: Vec<u32> = {
            let mut unsaved = self.local.unsaved.lock();
            let from = unsaved.len().saturating_sub(ALONG);
            unsaved.split_off(from)
        };
        let mut saves = Vec::with_capacity(touched.len());
        for index in touched {
            let Some(slot) = self.map.slot(index) else { continue };
            let state = slot.hot.state();
            if state.deadline() != FREE {
                let saved = slot.tail.saved.load(Relaxed);
                saves.push((index, state.generation(), saved, slot.hot.used.ms()));
            }
        }
        ledger.save_deadlines(&saves)?;
        let spoiled = std::mem::take(&mut *self.local.spoiled.lock());
        for (index, why) in spoiled {
            ledger.quarantine_data(index, &why)?;
        }
        let traces = std::mem::take(&mut *self.local.traces.lock());
        for (index, generation, line) in traces {
            if let Some(mut row) = ledger.session(index)?.filter(|row| row.generation == generation) {
                if row.rare.trace.len() >= super::MAX_TRACE {
                    row.rare.trace.remove(0);
                }
                row.rare.trace.push(line);
                ledger.update_session(&row)?;
            }
        }
        Ok(())
    }

    /// A line of a held session's trace, if it keeps one.
    pub(super) fn trace(&self, held: &Held<'_>, line: impl FnOnce() -> String) {
        if held.has(flags::TRACE) {
            self.local.traces.lock().push((held.index, held.state().generation(), line()));
        }
    }
}

impl Local {
    pub(super) fn wants_flush(&self) -> bool {
        !self.unsaved.lock().is_empty() || !self.traces.lock().is_empty() || !self.spoiled.lock().is_empty()
    }
}
