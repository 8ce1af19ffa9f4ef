//! Tables that are wrong on purpose.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::sync::Mutex;

use crate::clock::Millis;
use crate::id::{SessionId, Token};
use crate::table::memory::MemoryTable;
use crate::table::*;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $promise:literal,)+) => {
        /// What is wrong with a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            /// It is as good as the memory table.
            Nothing,
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Everything that can be wrong.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)+];

            /// The promise that it breaks.
            pub fn breaks(self) -> &'static str {
                match self {
                    Kind::Nothing => "",
                    $(Kind::$kind => $promise,)+
                }
            }
        }
    };
}

kinds! {
    /// A touch finds an ended session live.
    Revives => "an ended session is gone for its reason in every verb",
    /// A look runs at the time of the session's last use.
    ShowsOverdue => "a session past its deadline is ended by whoever looks, never shown as live",
    /// A second end frees another unit.
    ReleasesTwice => "an end frees the unit at once, and once",
    /// The unit of an ended session stays in use.
    ForgetsRelease => "an end frees the unit at once, and once",
    /// The pool is one larger than it says.
    AdmitsOneMore => "no more units are in use than there are",
    /// A finish forgets its writes.
    LosesWrite => "a finish commits all its writes",
    /// A conflict is reported as committed.
    LosesConflict => "a conflict names its keys, writes nothing and ends the request all the same",
    /// A compare and set does not compare.
    SwapsBlindly => "compare and set writes only over what is expected",
    /// A create over a session makes another one.
    Upserts => "create makes what was not there and never writes over what is",
    /// Whoever ends an ended session wins again.
    TwoWinners => "an end has one winner and everyone else its receipt",
    /// A later absolute timeout is taken.
    MovesAbsoluteLater => "the absolute deadline never moves later",
    /// An extension says more than it may grant.
    ExtendsPastAbsolute => "an extension is granted within its budget and never past the absolute deadline",
    /// A watch is never called.
    NeverWakes => "whoever watches is woken when the lock is freed, once",
    /// A row of the outbox comes twice.
    TellsTwice => "an end is told once, with what the session was",
    /// A row of the outbox is lost.
    TellsNever => "rows of the outbox come in the order of the ends, bounded, each with its own event",
    /// An abandoned draft keeps its place.
    LeaksDraft => "an abandoned draft is gone without a trace",
    /// A rotated token is good for ever.
    KeepsOldToken => "a token is rotated within its grace and gone after it",
    /// A listing leaves one out.
    ListMisses => "a listing shows every live session exactly once, in pages of any size",
    /// A listing has one twice.
    ListDoubles => "a listing shows every live session exactly once, in pages of any size",
    /// A recount repeats a wrong counter.
    RecountLies => "a recount finds what the counters say",
    /// Exclusive is nobody's.
    SharesExclusive => "an exclusive lock is alone, shared ones share, none asks nobody",
    /// A sweep forgets what is due.
    ForgetsDue => "what is due is claimed in the order of instant, then creation, and once",
    /// Activity moves nothing.
    IgnoresActivity => "activity moves the idle deadline, a look does not, the absolute one never moves",
    /// A look counts as activity.
    PeekTouches => "activity moves the idle deadline, a look does not, the absolute one never moves",
    /// Each request is the first.
    AlwaysNew => "is_new is true for the first request and no other",
    /// A tombstone falls at once.
    ForgetsTombstone => "a tombstone stands for its time and then there is nothing",
    /// A change of holder does not look who the user is.
    TradesBlindly => "a change of holder checks again what the deciders were asked about",
    /// Of a feature that is refused it takes one.
    TakesSome => "a feature is taken wholly or not at all, and returned by the end of its session",
    /// A feature is charged to whoever it was worked out for.
    TakesBlindly => "a feature stays with its holder, and what was taken last is returned first",
    /// A lazy session takes its unit when it is made.
    TakesAtOnce => "a lazy session holds nothing until its moment, and one unit then",
    /// A lazy session takes its unit by a login only.
    NeverTakes => "what a lazy session is denied a unit for did nothing",
    /// Anonymous sessions are of no client.
    ForgetsClient => "a client has no more anonymous sessions than it may, and a login leaves them",
    /// An anonymous session keeps its timeout for ever.
    ForgetsBrief => "the idle timeout of anonymous sessions goes when one is named, and one that was set stays",
    /// The last request does not end the session that was asked to end.
    ForgetsRequestedEnd => "a session that was asked to end ends with its last request",
}

/// The memory table with one thing wrong.
pub(super) struct Broken {
    pub inner: MemoryTable,
    pub kind: Kind,
    /// What the config says, where the inner table has another.
    pub capacities: Vec<u64>,
    /// Ends so far that found the session ended.
    pub late_ends: AtomicU64,
    /// Sessions ended so far.
    pub ends: AtomicU64,
    /// When each token was used first.
    pub first_use: Mutex<HashMap<String, Millis>>,
    /// Tokens of live sessions, and what they were rotated to.
    pub tokens: Mutex<HashMap<SessionId, Token>>,
    pub rotated: Mutex<HashMap<String, Token>>,
}

impl Broken {
    pub fn new(mut config: TableConfig, kind: Kind) -> Self {
        let capacities = config.pools.iter().map(|pool| pool.capacity).collect();
        match kind {
            Kind::AdmitsOneMore => config.pools.iter_mut().for_each(|pool| pool.capacity += 1),
            Kind::ForgetsTombstone => config.tombstone = 0,
            _ => {}
        }
        Self {
            inner: MemoryTable::new(config),
            kind,
            capacities,
            late_ends: AtomicU64::new(0),
            ends: AtomicU64::new(0),
            first_use: Mutex::default(),
            tokens: Mutex::default(),
            rotated: Mutex::default(),
        }
    }

    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// The time and token of a look, as this table has them.
    pub fn seen(&self, at: At, token: &Token) -> (At, Token) {
        let mut seen = (at, *token);
        if self.is(Kind::ShowsOverdue) {
            seen.0.now.ms = *self.first_use.lock().entry(token.reveal()).or_insert(at.now.ms);
        }
        if self.is(Kind::KeepsOldToken)
            && let Some(newer) = self.rotated.lock().get(&token.reveal())
        {
            seen.1 = *newer;
        }
        seen
    }
}

/// A row once more.
pub(super) fn twin(row: &OutboxRow) -> OutboxRow {
    OutboxRow {
        event_id: row.event_id,
        session: row.session,
        application: row.application,
        user: row.user.clone(),
        reason: row.reason,
        level: row.level,
        thread: row.thread,
        at_ms: row.at_ms,
        wall_ms: row.wall_ms,
        classes: Arc::clone(&row.classes),
        told: row.told.clone(),
        snapshot: row.snapshot.clone(),
        attachments: Vec::new(),
        redelivered: row.redelivered,
        waited: row.waited,
    }
}
