//! Dead letters: what is kept comes out again, as many as are wanted, and each is one process's to deliver again.

use std::time::Duration;

use super::*;
use crate::event::{CallbackFailure, CallbackOutcome, PoolState};
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, EventKind, ThreadKind};
use crate::table::shared::books::tests::damage::tamper;
use crate::table::shared::books::{About, Letter, LetterBounds, LetterTotals};

const ALL: LetterBounds = LetterBounds { most: u64::MAX, most_bytes: u64::MAX };

/// A letter of an event, with a snapshot that counts for so many bytes.
fn letter(event_id: u64, bytes: u64) -> Letter {
    Letter {
        event_id,
        kind: EventKind::End,
        class: ClassRef { namespace: "shop".into(), name: "mail".into(), required: true },
        session: SessionId([7; 16]),
        about: About {
            at: 9,
            attempts: 4,
            error: "no".into(),
            application: "shop".into(),
            old_application: Some("till".into()),
            namespace: "".into(),
            user: Some("änne".into()),
            old_user: None,
            reason: Some(EndReason::IdleTimeout),
            level: Some(EndLevel::Force),
            thread: ThreadKind::Reaper,
            remaining: Some(Duration::ZERO),
            pool: Some(PoolState { pool: "users".into(), in_use: 1, capacity: u64::MAX }),
            event_at: 8,
            event_wall: -40,
        },
        bytes,
        data: Some(vec![data("a", "b")]),
    }
}

fn kept(books: &Books, letter: &Letter, bounds: LetterBounds) -> u64 {
    books.write(|ledger| ledger.keep_letter(letter, bounds)).expect("kept")
}

/// Ids, and whether each has its snapshot.
fn shown(books: &Books) -> Vec<(u64, bool)> {
    let letters = books.glance(|pages| pages.letters(0, usize::MAX)).expect("listed");
    letters.iter().map(|letter| (letter.id, letter.has_snapshot)).collect()
}

fn totals(books: &Books) -> (u64, u64, u64) {
    let LetterTotals { kept, bytes, lost, .. } = books.glance(|pages| pages.letter_totals()).expect("totals");
    (kept, bytes, lost)
}

#[test]
fn a_letter_comes_out_as_it_was_kept() {
    let (_dir, books) = books();
    let one = letter(41, 10);
    let bare = Letter {
        data: None,
        bytes: 0,
        about: About { pool: None, remaining: None, ..one.about.clone() },
        ..letter(0, 0)
    };
    assert_eq!((kept(&books, &one, ALL), kept(&books, &bare, ALL)), (1, 2));
    books.write(|ledger| ledger.letter_is_late(2)).expect("marked");
    let listed = books.glance(|pages| pages.letters(0, 10)).expect("listed");
    assert_eq!((listed[0].completed_late, listed[1].completed_late), (false, true));
    assert_eq!((&*listed[0].error, &*listed[0].application, listed[0].at_ms, listed[0].attempts), ("no", "shop", 9, 4));
    assert_eq!(books.glance(|pages| pages.letters(1, 10)).expect("listed").len(), 1);
    let taken = books.write(|ledger| ledger.take_letters(5, 6, None, (0, 2), 10));
    assert_eq!(taken, Ok(vec![(1, one), (2, bare)]));
}

#[test]
fn the_oldest_letters_are_given_up_and_the_oldest_snapshots_before_them() {
    let (_dir, books) = books();
    for event in 1..=5 {
        kept(&books, &letter(event, 10), LetterBounds { most: 3, most_bytes: 20 });
    }
    assert_eq!(shown(&books), [(3, false), (4, true), (5, true)]);
    assert_eq!(totals(&books), (3, 20, 2));
    // One that lost its snapshot is whole otherwise.
    let taken = books.write(|ledger| ledger.take_letters(5, 6, Some(3), (0, 0), 1)).expect("taken");
    assert_eq!(taken, [(3, Letter { data: None, bytes: 0, ..letter(3, 0) })]);
}

#[test]
fn a_letter_is_one_processs_at_a_time_and_there_again_after_it() {
    let (_dir, books) = books();
    for event in 1..=3 {
        kept(&books, &letter(event, 10), ALL);
    }
    let take =
        |participant| books.write(|ledger| ledger.take_letters(participant, 6, None, (0, 99), 2)).expect("taken");
    assert_eq!(take(5).len(), 2);
    assert_eq!(shown(&books), [(3, true)]);
    assert_eq!(take(8).len(), 1);
    assert_eq!((take(9).len(), totals(&books)), (0, (0, 30, 0)));
    books.write(|ledger| ledger.drop_letter(1)).expect("delivered");
    // Another opening of the same number has nothing to do with it.
    books.write(|ledger| ledger.outbox_release(5, 7)).expect("released");
    assert_eq!(totals(&books), (0, 20, 0));
    books.write(|ledger| ledger.outbox_release(5, 6)).expect("released");
    assert_eq!((shown(&books), totals(&books)), (vec![(2, true)], (1, 20, 0)));
    books.write(|ledger| ledger.release_all_letters()).expect("released");
    assert_eq!((shown(&books), totals(&books)), (vec![(2, true), (3, true)], (2, 20, 0)));
}

#[test]
fn of_one_delivery_there_is_one_letter() {
    let (_dir, books) = books();
    kept(&books, &letter(41, 10), ALL);
    kept(&books, &Letter { kind: EventKind::Timeout, ..letter(41, 10) }, ALL);
    kept(&books, &letter(41, 7), ALL);
    // What has no event of the outbox is told apart by nothing.
    kept(&books, &letter(0, 0), ALL);
    kept(&books, &letter(0, 0), ALL);
    assert_eq!(shown(&books).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(totals(&books), (4, 17, 0));
}

#[test]
fn a_damaged_letter_is_put_aside_and_the_others_are_there() {
    let (dir, books) = books();
    for event in 1..=3 {
        kept(&books, &letter(event, 10), ALL);
    }
    books.close(true);
    tamper(&dir, "UPDATE letter SET about = x'90' WHERE id = 1; UPDATE letter SET session = x'00' WHERE id = 2;");
    let books = Books::open(dir.path()).expect("books");
    assert_eq!(shown(&books), [(3, true)]);
    let taken = books.write(|ledger| ledger.take_letters(5, 6, None, (0, 99), 10)).expect("taken");
    assert_eq!(taken, [(3, letter(3, 10))]);
    assert_eq!((books.glance(|pages| pages.quarantined()), totals(&books)), (Ok(2), (0, 10, 0)));
}

#[test]
fn failures_and_outcomes_are_remembered_for_a_while() {
    let (_dir, books) = books();
    let class = |name: &str| ClassRef::new("shop", name);
    let (one, other) = (SessionId([1; 16]), SessionId([2; 16]));
    let failure =
        |text: &str| CallbackFailure { class: class("mail"), kind: EventKind::End, text: text.into(), at_ms: 5 };
    for number in 0..1030 {
        let session = if number < 8 { one } else { other };
        books.write(|ledger| ledger.add_failure(session, &failure(&number.to_string()))).expect("remembered");
    }
    let texts = |session| {
        let failures = books.glance(|pages| pages.failures(session)).expect("failures");
        failures.into_iter().map(|failure| failure.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(one), ["6", "7"]);
    assert_eq!((texts(other).len(), &*texts(other)[0]), (1022, "8"));
    let told = |name: &str, outcome: &str| {
        let outcome = outcome.to_owned();
        CallbackOutcome { class: class(name), kind: EventKind::End, outcome }
    };
    let (a, b, c) = (told("a", "delivered"), told("b", "no"), told("c", "overrun"));
    books.write(|ledger| ledger.add_outcomes(41, &[a.clone(), b.clone()])).expect("remembered");
    books.write(|ledger| ledger.add_outcomes(41, std::slice::from_ref(&c))).expect("remembered");
    assert_eq!(books.glance(|pages| pages.outcomes(41)), Ok(vec![a.clone(), b, c]));
    books.write(|ledger| ledger.add_outcomes(41 + 4096, &[a])).expect("remembered");
    assert_eq!(books.glance(|pages| pages.outcomes(41)), Ok(Vec::new()));
}
