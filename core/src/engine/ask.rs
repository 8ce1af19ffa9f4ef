//! Asking those who decide: in order, within their deadlines, never under a lock.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;

use super::Engine;
use crate::clock::millis;
use crate::config::Profile;
use crate::error::{Error, ErrorKind, Result};
use crate::event::handler::{Answer, Verdict};
use crate::event::{ClassRef, Event};
use crate::reason::{EventKind, ThreadKind};
use crate::table::{Ask, Card, Found, SessionRef};

/// How a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// In the calling thread.
    Blocking,
    /// By continuation.
    Async,
}

/// The answers of the classes that were asked, in order.
pub(crate) type Answers = Vec<(ClassRef, Answer)>;
/// What goes on after the answers.
pub(crate) type Answered = Box<dyn FnOnce(Answers) + Send>;

/// What goes on after an explicit end was asked about: who extended the session, and by how much.
pub(crate) type Granted = Box<dyn FnOnce(Result<Option<(ClassRef, Duration)>>) + Send>;

/// Why a decision is not ALLOW; `None` if it is. What is not answered counts as the safe side.
pub(crate) fn refusal(kind: EventKind, class: &ClassRef, answer: &Answer) -> Option<Error> {
    let denied = |text: &str| {
        let text = format!("{kind} of event class '{}' refused: {text}", class.name);
        Some(Error::new(ErrorKind::Denied, text))
    };
    let error = match answer {
        Answer::Verdict(Verdict::Deny(text)) => return denied(text),
        Answer::Verdict(_) => None,
        Answer::Failed(text) => denied(&format!("it failed: {text}")),
        Answer::Overrun => denied("it gave no answer by its deadline"),
        Answer::AsyncRequired => Some(Error::new(
            ErrorKind::AsyncRequired,
            format!("{kind} of event class '{}' is asynchronous: use the asynchronous call", class.name),
        )),
        Answer::Skipped("breaker_open") => denied("its breaker is open"),
        Answer::Skipped(_) if class.required => denied("it is required and not registered in this process"),
        Answer::Skipped(_) => None,
    };
    // A logout is stopped by a DENY and by nothing else.
    if kind == EventKind::Logout { None } else { error }
}

impl Engine {
    /// Asks the classes about one event, first to last, until one refuses; then goes on.
    pub fn ask_each(self: &Arc<Self>, wait: Wait, classes: Vec<ClassRef>, event: Arc<Event>, then: Answered) {
        let mut answers = Vec::with_capacity(classes.len());
        if wait == Wait::Blocking {
            for class in classes {
                let answer = self.dispatcher.ask(&class, event.clone(), false);
                let stop = event.kind.decides()
                    && event.kind != EventKind::Expiring
                    && refusal(event.kind, &class, &answer).is_some();
                answers.push((class, answer));
                if stop {
                    break;
                }
            }
            then(answers);
        } else {
            let classes = classes.into_iter().collect();
            self.ask_next(classes, event, answers, then);
        }
    }

    fn ask_next(
        self: &Arc<Self>,
        mut classes: std::collections::VecDeque<ClassRef>,
        event: Arc<Event>,
        mut answers: Answers,
        then: Answered,
    ) {
        let Some(class) = classes.pop_front() else { return then(answers) };
        let engine = self.clone();
        let asked = event.clone();
        self.dispatcher.ask_async(
            &class.clone(),
            event,
            Box::new(move |answer| {
                let stop = asked.kind.decides()
                    && asked.kind != EventKind::Expiring
                    && refusal(asked.kind, &class, &answer).is_some();
                answers.push((class, answer));
                if stop {
                    then(answers);
                } else {
                    engine.ask_next(classes, asked, answers, then);
                }
            }),
        );
    }

    /// The classes of a list that are to be asked about a kind, in order.
    pub fn asked_classes(&self, classes: &[ClassRef], kind: EventKind) -> Vec<ClassRef> {
        classes.iter().filter(|class| self.is_asked(class, kind)).cloned().collect()
    }

    fn is_compat(&self, class: &ClassRef) -> bool {
        self.config.profile == Profile::Iris && self.dispatcher.is_compat_veto(class)
    }

    /// The questions ahead of an end: which class, which callback. A `compat_veto` class is told the end itself.
    fn questions(&self, card: &Card, timeout: bool) -> Vec<(ClassRef, EventKind)> {
        let mut questions = Vec::new();
        for class in card.classes.iter() {
            if self.is_compat(class) {
                for kind in [EventKind::Timeout, EventKind::End] {
                    if (timeout || kind == EventKind::End) && self.dispatcher.handles(class, kind) {
                        questions.push((class.clone(), kind));
                    }
                }
            }
            if self.dispatcher.handles(class, EventKind::Expiring) {
                questions.push((class.clone(), EventKind::Expiring));
            }
        }
        questions
    }

    fn question(&self, card: &Card, kind: EventKind, ask: Option<&Ask>, thread: ThreadKind) -> Event {
        let mut event = self.event_of(kind, card, thread);
        event.level = Some(crate::reason::EndLevel::Request);
        event.reason = Some(ask.map_or(crate::reason::EndReason::Ended, |ask| ask.reason));
        event.remaining = Some(ask.map_or(Duration::ZERO, |ask| self.until(ask.deadline.min(card.absolute_deadline))));
        event
    }

    /// Reads one answer: the extension it asks for. A `compat_veto` class that did not extend has had its end.
    fn extension(&self, session: SessionRef, class: &ClassRef, event: &Event, answer: &Answer) -> Option<Duration> {
        match (event.kind, answer) {
            (EventKind::Expiring, Answer::Verdict(Verdict::Extend(by))) => Some(*by),
            (EventKind::Expiring, _) => None,
            (_, Answer::Verdict(Verdict::Extend(by))) => Some(*by),
            (_, Answer::Verdict(_)) if event.keeps_session() => Some(Duration::MAX),
            (EventKind::End, Answer::Verdict(_)) => {
                self.table.mark_told(session, class);
                None
            }
            _ => None,
        }
    }

    /// The reaper's question: never waits; the answers extend the deadline that was asked about, if it still stands.
    ///
    /// The classes are asked side by side, the callbacks of one class one after the other.
    pub fn ask_expiring(&self, ask: &Ask) {
        let bits = EventKind::Expiring.bit() | EventKind::Timeout.bit() | EventKind::End.bit();
        if self.dispatcher.kinds() & bits == 0 {
            return;
        }
        let card = match self.table.card(self.at(), ask.session) {
            Found::Live(card) => card,
            Found::Failed(error) => {
                log::warn!(target: "libsession", "session {} can't be asked about its end: {error}", ask.session.id);
                return;
            }
            _ => return,
        };
        let Some(engine) = self.strong() else { return };
        let mut rounds: Vec<Round> = Vec::new();
        for (class, kind) in self.questions(&card, true) {
            match rounds.last_mut() {
                Some(round) if round.class == class => round.kinds.push_back(kind),
                _ => rounds.push(Round { class, kinds: [kind].into(), best: None }),
            }
        }
        let asking = Arc::new(Asking { card, ask: ask.clone(), open: Mutex::new((rounds.len(), None)) });
        for round in rounds {
            engine.ask_round(asking.clone(), round);
        }
    }

    fn ask_round(self: &Arc<Self>, asking: Arc<Asking>, mut round: Round) {
        let Some(kind) = round.kinds.pop_front() else { return self.end_round(&asking, round) };
        let event = Arc::new(self.question(&asking.card, kind, Some(&asking.ask), ThreadKind::Reaper));
        let (engine, asked) = (self.clone(), event.clone());
        self.dispatcher.ask_later(
            &round.class.clone(),
            event,
            Box::new(move |answer| {
                round.best = round.best.max(engine.extension(asking.ask.session, &round.class, &asked, &answer));
                engine.ask_round(asking, round);
            }),
        );
    }

    /// One class has answered; with the last one the longest grant wins.
    fn end_round(&self, asking: &Asking, round: Round) {
        let best = {
            let mut open = asking.open.lock();
            open.0 -= 1;
            if let Some(by) = round.best
                && open.1.as_ref().is_none_or(|(best, _)| by > *best)
            {
                open.1 = Some((by, round.class));
            }
            if open.0 == 0 { open.1.take() } else { None }
        };
        if let Some((by, class)) = best.filter(|_| asking.ask.may_extend) {
            let session = asking.ask.session;
            let extended = self.table.extend(self.at(), session, asking.ask.deadline, &class, millis(by));
            if let Found::Failed(error) = extended {
                log::warn!(target: "libsession", "session {} can't be extended: {error}", session.id);
            }
        }
    }

    /// The question of an explicit end of level `request`, while the caller waits: who extended it, and by how much.
    pub fn ask_end(self: &Arc<Self>, wait: Wait, card: Card, thread: ThreadKind, then: Granted) {
        let questions: std::collections::VecDeque<_> = self.questions(&card, false).into();
        self.ask_end_next(wait, Arc::new(card), thread, questions, None, then);
    }

    fn ask_end_next(
        self: &Arc<Self>,
        wait: Wait,
        card: Arc<Card>,
        thread: ThreadKind,
        mut questions: std::collections::VecDeque<(ClassRef, EventKind)>,
        best: Option<(Duration, ClassRef)>,
        then: Granted,
    ) {
        let Some((class, kind)) = questions.pop_front() else {
            let Some((by, class)) = best.filter(|_| card.may_extend) else { return then(Ok(None)) };
            let granted = self.table.extend(self.at(), card.session, 0, &class, millis(by)).look();
            return then(
                granted.map(|granted| granted.flatten().map(|granted| (class, Duration::from_millis(granted)))),
            );
        };
        let event = Arc::new(self.question(&card, kind, None, thread));
        let engine = self.clone();
        let asked = event.clone();
        let asked_class = class.clone();
        let go_on = move |answer: Answer| {
            let by = engine.extension(card.session, &asked_class, &asked, &answer);
            let best = match (by, best) {
                (Some(by), Some((most, class))) if most >= by => Some((most, class)),
                (Some(by), _) => Some((by, asked_class)),
                (None, best) => best,
            };
            engine.ask_end_next(wait, card, thread, questions, best, then);
        };
        match wait {
            Wait::Blocking => go_on(self.dispatcher.ask(&class, event, false)),
            Wait::Async => self.dispatcher.ask_async(&class, event, Box::new(go_on)),
        }
    }
}

/// One question of the reaper to several classes.
struct Asking {
    card: Card,
    ask: Ask,
    /// Classes that have not answered, and the longest extension so far.
    open: Mutex<(usize, Option<(Duration, ClassRef)>)>,
}

/// The callbacks of one class that are still to be asked.
struct Round {
    class: ClassRef,
    kinds: std::collections::VecDeque<EventKind>,
    best: Option<Duration>,
}

/// Runs an asynchronous call that blocks: its continuation runs before it returns.
pub(crate) fn now<T: Send + 'static>(call: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>)) -> Result<T> {
    let slot = Arc::new(Mutex::new(None));
    let filled = slot.clone();
    call(Box::new(move |result| *filled.lock() = Some(result)));
    let result = slot.lock().take();
    result.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "a blocking call did not come to its end")))
}
