//! Dead letters, failures and outcomes of callbacks: in the books, for all processes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::SharedTable;
use super::books::{self, About, Letter, LetterBounds};
use super::patience::Less;
use crate::data::Tree;
use crate::error::Result;
use crate::event::dispatcher::Origin;
use crate::event::event::Choice;
use crate::event::letter_box::{LetterBox, LetterCounts, NewLetter};
use crate::event::{CallbackFailure, CallbackOutcome, ClassRef, DeadLetter, Event};
use crate::id::SessionId;
use crate::reason::EventKind;

/// Letters that one commit takes to be delivered again.
const STEP: usize = 256;
/// Bytes of a callback's text that are kept.
const MAX_TEXT: usize = 4096;

/// As much of a callback's text as the books keep.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

fn letter_of(new: &NewLetter) -> Letter {
    let event = &new.event;
    Letter {
        event_id: event.event_id,
        kind: event.kind,
        class: new.class.clone(),
        session: event.session_id,
        about: About {
            at: new.at_ms,
            attempts: new.attempts,
            error: bounded(&new.error).to_owned(),
            application: event.application.clone(),
            old_application: event.old_application.clone(),
            namespace: event.namespace.clone(),
            user: event.user.clone(),
            old_user: event.old_user.clone(),
            reason: event.reason,
            level: event.level,
            thread: event.thread,
            remaining: event.remaining,
            pool: event.pool.clone(),
            event_at: event.at_ms,
            event_wall: event.wall_ms,
        },
        bytes: event.snapshot.as_ref().map_or(0, |tree| tree.bytes_used() as u64),
        data: event.snapshot.as_ref().map(|tree| tree.to_rows()),
    }
}

fn event_of(letter: Letter) -> (ClassRef, Event) {
    let about = letter.about;
    let event = Event {
        kind: letter.kind,
        event_id: letter.event_id,
        session_id: letter.session,
        application: about.application,
        old_application: about.old_application,
        namespace: about.namespace,
        user: about.user,
        old_user: about.old_user,
        reason: about.reason,
        level: about.level,
        thread: about.thread,
        remaining: about.remaining,
        pool: about.pool,
        at_ms: about.event_at,
        wall_ms: about.event_wall,
        snapshot: letter.data.and_then(|rows| match Tree::from_rows(rows) {
            Ok(tree) => Some(Arc::new(tree)),
            Err(error) => {
                log::error!(target: "libsession", "the data of dead letter of event {}: {}", letter.event_id, error.message());
                None
            }
        }),
        request: None,
        choice: Arc::<Choice>::default(),
    };
    (letter.class, event)
}

impl SharedTable {
    /// One change of what became of callbacks, on its way to the disk like any commit.
    fn post<T>(&self, change: impl FnOnce(&mut books::Ledger<'_>) -> Result<T>) -> Result<T> {
        let _less = Less::is_tried_again();
        let writer = self.writer()?;
        let done = writer.commit(change);
        self.done(writer, false)?;
        done
    }

    fn letter_bounds(&self) -> LetterBounds {
        let (most, most_bytes) = self.options.dead_letters;
        LetterBounds { most: most as u64, most_bytes: most_bytes as u64 }
    }
}

impl LetterBox for SharedTable {
    fn keep(&self, new: &NewLetter) -> Result<u64> {
        let letter = letter_of(new);
        let last = matches!(new.origin, Origin::Row { .. }) && letter.event_id != 0 && letter.kind == EventKind::End;
        let (id, settled) = self.post(|ledger| {
            if let Origin::Letter(id) = new.origin {
                ledger.drop_letter(id)?;
            }
            let id = ledger.keep_letter(&letter, self.letter_bounds())?;
            if last {
                ledger.settle_class(letter.event_id, &letter.class, self.me, self.instance)?;
            }
            Ok((id, if last { Some(ledger.outbox_count()?) } else { None }))
        })?;
        if let Some(count) = settled {
            self.map.head().counters.outbox.store(count, Relaxed);
        }
        Ok(id)
    }

    fn delivered(&self, id: u64) -> Result<()> {
        self.post(|ledger| ledger.drop_letter(id))
    }

    fn completed_late(&self, id: u64) -> Result<()> {
        self.post(|ledger| ledger.letter_is_late(id))
    }

    fn list(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>> {
        self.books.glance(|pages| pages.letters(after, limit))
    }

    fn take(&self, id: Option<u64>) -> Result<Vec<(u64, ClassRef, Event)>> {
        // What becomes a dead letter while these are taken has a later id, and is not taken.
        let last = self.books.glance(|pages| pages.letter_totals())?.last;
        let (mut taken, mut after) = (Vec::new(), 0);
        loop {
            let step = self.post(|ledger| ledger.take_letters(self.me, self.instance, id, (after, last), STEP))?;
            let more = id.is_none() && step.len() == STEP;
            for (id, letter) in step {
                after = id;
                let (class, event) = event_of(letter);
                taken.push((id, class, event));
            }
            if !more {
                return Ok(taken);
            }
        }
    }

    fn counts(&self) -> Result<LetterCounts> {
        let totals = self.books.glance(|pages| pages.letter_totals())?;
        Ok(LetterCounts { kept: totals.kept, total: totals.last, lost: totals.lost })
    }

    fn note_failure(&self, session: SessionId, failure: &CallbackFailure) -> Result<()> {
        let failure = CallbackFailure { text: bounded(&failure.text).to_owned(), ..failure.clone() };
        self.post(|ledger| ledger.add_failure(session, &failure))
    }

    fn failures(&self, session: SessionId) -> Result<Vec<CallbackFailure>> {
        self.books.glance(|pages| pages.failures(session))
    }

    fn note_outcomes(&self, event_id: u64, outcomes: &[CallbackOutcome]) -> Result<()> {
        let bound =
            |told: &CallbackOutcome| CallbackOutcome { outcome: bounded(&told.outcome).to_owned(), ..told.clone() };
        let outcomes: Vec<_> = outcomes.iter().map(bound).collect();
        self.post(|ledger| ledger.add_outcomes(event_id, &outcomes))
    }

    fn outcomes(&self, event_id: u64) -> Result<Vec<CallbackOutcome>> {
        self.books.glance(|pages| pages.outcomes(event_id))
    }
}
