//! Where dead letters, failures and outcomes are kept that outlive a dispatcher, and that those of other processes see.

use std::collections::VecDeque;
use std::sync::Arc;

use super::class::ClassRef;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::delivery::Origin;
use super::dispatch_stats::{CallbackFailure, CallbackOutcome};
use super::event::Event;
use crate::clock::Millis;
use crate::error::Result;
use crate::id::SessionId;
use crate::sync::Mutex;

/// A delivery that is given up.
#[derive(Clone)]
pub(crate) struct NewLetter {
    pub class: ClassRef,
    pub event: Arc<Event>,
    pub origin: Origin,
    pub attempts: u32,
    pub error: String,
    pub at_ms: Millis,
}

/// How many dead letters there are, ever were, and were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LetterCounts {
    pub kept: u64,
    pub total: u64,
    pub lost: u64,
}

/// Dead letters of a store. A verb that fails did nothing.
pub(crate) trait LetterBox: Send + Sync {
    /// Keeps a delivery; tells the id of its dead letter. Of a letter that was taken it takes the place; a row of the outbox
    /// is settled for the class by the same commit.
    fn keep(&self, letter: &NewLetter) -> Result<u64>;
    /// A letter that was taken was delivered.
    fn delivered(&self, id: u64) -> Result<()>;
    /// A letter's callback returned after all.
    fn completed_late(&self, id: u64) -> Result<()>;
    /// Those after an id, oldest first.
    fn list(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>>;
    /// Takes one, or all, oldest first: nobody else sees them until they are kept again, delivered, or this process is gone.
    fn take(&self, id: Option<u64>) -> Result<Vec<(u64, ClassRef, Event)>>;
    fn counts(&self) -> Result<LetterCounts>;
    /// Remembers a failure of a callback, for a while.
    fn note_failure(&self, session: SessionId, failure: &CallbackFailure) -> Result<()>;
    fn failures(&self, session: SessionId) -> Result<Vec<CallbackFailure>>;
    /// Remembers how the callbacks of an event went, for a while.
    fn note_outcomes(&self, event_id: u64, outcomes: &[CallbackOutcome]) -> Result<()>;
    fn outcomes(&self, event_id: u64) -> Result<Vec<CallbackOutcome>>;
}

/// The dead letters that a dispatcher knows: its own, or those of its store.
pub(crate) enum Letters {
    Own(DeadLetters),
    Shared {
        all: Arc<dyn LetterBox>,
        /// What the store could not be told yet, oldest first.
        later: Mutex<VecDeque<Later>>,
        most: usize,
    },
}

/// What the store is to be told.
pub(crate) enum Later {
    Keep(NewLetter),
    Delivered(u64),
}

impl Letters {
    /// Keeps a delivery; the id of its dead letter, 0 if it has none yet.
    pub fn keep(&self, letter: NewLetter) -> u64 {
        match self {
            Self::Own(own) => own.keep(letter.class, letter.event, letter.attempts, letter.error, letter.at_ms),
            Self::Shared { all, .. } => match self.again().and_then(|()| all.keep(&letter)) {
                Ok(id) => id,
                Err(error) => {
                    log::error!(target: "libsession", "a dead letter is kept by this process alone for now: {error}");
                    self.put_off(Later::Keep(letter));
                    0
                }
            },
        }
    }

    /// A delivery succeeded.
    pub fn delivered(&self, origin: Origin) {
        if let (Self::Shared { all, .. }, Origin::Letter(id)) = (self, origin)
            && let Err(error) = all.delivered(id)
        {
            log::error!(target: "libsession", "dead letter {id} was delivered, and the store can't be told now: {error}");
            self.put_off(Later::Delivered(id));
        }
    }

    fn put_off(&self, what: Later) {
        if let Self::Shared { later, most, .. } = self {
            let mut later = later.lock();
            if later.len() >= *most {
                log::error!(target: "libsession", "the store can't be told of {most} dead letters: the oldest is lost");
                later.pop_front();
            }
            later.push_back(what);
        }
    }

    /// Whether the store is to be told something yet.
    pub fn waits(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Shared { later, .. } => !later.lock().is_empty(),
        }
    }

    /// Tells the store what it could not be told before.
    pub fn again(&self) -> Result<()> {
        let Self::Shared { all, later, .. } = self else { return Ok(()) };
        loop {
            let Some(what) = later.lock().pop_front() else { return Ok(()) };
            let told = match &what {
                Later::Keep(letter) => all.keep(letter).map(drop),
                Later::Delivered(id) => all.delivered(*id),
            };
            if let Err(error) = told {
                later.lock().push_front(what);
                return Err(error);
            }
        }
    }

    /// Its callback returned after all; tells whether the letter is still there.
    pub fn completed_late(&self, id: u64) {
        match self {
            Self::Own(own) => drop(own.completed_late(id)),
            Self::Shared { all, .. } if id != 0 => {
                if let Err(error) = all.completed_late(id) {
                    log::warn!(target: "libsession", "dead letter {id} is not marked as completed late: {error}");
                }
            }
            Self::Shared { .. } => {}
        }
    }

    pub fn list(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>> {
        match self {
            Self::Own(own) => Ok(own.list(after, limit)),
            Self::Shared { all, .. } => {
                self.again()?;
                all.list(after, limit)
            }
        }
    }

    /// Takes one, or all, out, oldest first.
    pub fn take(&self, id: Option<u64>) -> Result<Vec<(Origin, ClassRef, Arc<Event>)>> {
        match self {
            Self::Own(own) => {
                let taken = own.take(id).into_iter();
                Ok(taken.map(|(class, event)| (Origin::Letter(0), class, event)).collect())
            }
            Self::Shared { all, .. } => {
                self.again()?;
                let taken = all.take(id)?.into_iter();
                Ok(taken.map(|(id, class, event)| (Origin::Letter(id), class, Arc::new(event))).collect())
            }
        }
    }

    pub fn counts(&self) -> Result<LetterCounts> {
        match self {
            Self::Own(own) => {
                let (total, lost) = own.counts();
                Ok(LetterCounts { kept: own.len(), total, lost })
            }
            Self::Shared { all, later, .. } => {
                let waiting = later.lock().iter().filter(|later| matches!(later, Later::Keep(_))).count() as u64;
                let counts = all.counts()?;
                Ok(LetterCounts { kept: counts.kept + waiting, total: counts.total + waiting, ..counts })
            }
        }
    }

    /// What all processes of the store know; `None` if that is this one alone.
    pub fn shared(&self) -> Option<&Arc<dyn LetterBox>> {
        match self {
            Self::Own(_) => None,
            Self::Shared { all, .. } => Some(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::error::{Error, ErrorKind};

    /// Remembers what it is told, or fails.
    #[derive(Default)]
    struct Told {
        fails: AtomicBool,
        lines: Mutex<Vec<String>>,
    }

    impl Told {
        fn hear(&self, line: String) -> Result<u64> {
            if self.fails.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Unavailable, "not now"));
            }
            let mut lines = self.lines.lock();
            lines.push(line);
            Ok(lines.len() as u64)
        }
    }

    impl LetterBox for Told {
        fn keep(&self, letter: &NewLetter) -> Result<u64> {
            self.hear(letter.error.clone())
        }
        fn delivered(&self, id: u64) -> Result<()> {
            self.hear(format!("delivered {id}")).map(drop)
        }
        fn completed_late(&self, id: u64) -> Result<()> {
            self.hear(format!("late {id}")).map(drop)
        }
        fn list(&self, _after: u64, _limit: usize) -> Result<Vec<DeadLetter>> {
            self.hear("listed".into()).map(|_| Vec::new())
        }
        fn take(&self, _id: Option<u64>) -> Result<Vec<(u64, ClassRef, Event)>> {
            self.hear("taken".into()).map(|_| Vec::new())
        }
        fn counts(&self) -> Result<LetterCounts> {
            Ok(LetterCounts::default())
        }
        fn note_failure(&self, _session: SessionId, _failure: &CallbackFailure) -> Result<()> {
            Ok(())
        }
        fn failures(&self, _session: SessionId) -> Result<Vec<CallbackFailure>> {
            Ok(Vec::new())
        }
        fn note_outcomes(&self, _event_id: u64, _outcomes: &[CallbackOutcome]) -> Result<()> {
            Ok(())
        }
        fn outcomes(&self, _event_id: u64) -> Result<Vec<CallbackOutcome>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn what_the_store_can_not_be_told_it_is_told_later_in_order() {
        let told = Arc::new(Told::default());
        let letters = Letters::Shared { all: told.clone(), later: Mutex::default(), most: 3 };
        let keep = |error: &str| {
            let event = crate::event::tests::event(crate::reason::EventKind::End, 1, 1);
            let (class, error) = (ClassRef::new("", "c"), error.to_owned());
            letters.keep(NewLetter { class, event, origin: Origin::Told, attempts: 1, error, at_ms: 0 })
        };
        assert_eq!(keep("a"), 1);
        told.fails.store(true, Ordering::SeqCst);
        assert_eq!(keep("b"), 0);
        letters.delivered(Origin::Letter(7));
        // Nothing is said to be an empty list while it can't be read.
        assert!(letters.list(0, 10).is_err() && letters.take(None).is_err() && letters.again().is_err());
        assert_eq!(letters.counts().map(|counts| (counts.kept, counts.total)), Ok((1, 1)));
        assert!(letters.waits());
        told.fails.store(false, Ordering::SeqCst);
        assert_eq!(keep("c"), 4);
        assert!(!letters.waits() && letters.list(0, 10).is_ok());
        letters.delivered(Origin::Row { again: false });
        letters.completed_late(0);
        letters.completed_late(4);
        assert_eq!(*told.lines.lock(), ["a", "b", "delivered 7", "c", "listed", "late 4"]);
        // Bounded, whatever happens: the oldest goes.
        told.fails.store(true, Ordering::SeqCst);
        for error in ["d", "e", "f", "g"] {
            keep(error);
        }
        told.fails.store(false, Ordering::SeqCst);
        assert_eq!(letters.again(), Ok(()));
        assert_eq!(told.lines.lock()[6..], ["e", "f", "g"]);
    }
}
