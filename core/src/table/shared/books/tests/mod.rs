//! The books: what is kept comes out again, what is damaged is refused, what is bounded stays so.

mod damage;
mod failing;
mod forking;
mod keeping;
mod letters;
mod naming;
mod telling;

use std::sync::Arc;

use super::rows::{Rare, SessionRow};
use super::{Books, DataRow};
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::LicenseClass;
use crate::session::Client;
use crate::table::Taken;
use crate::table::extension::Extension;
use crate::table::grave::Replaced;
use crate::table::shared::testing::Scratch;
use crate::table::{Charge, Holder};

/// Books in a directory of their own.
pub(super) fn books() -> (Scratch, Books) {
    let dir = Scratch::new();
    let books = Books::open(dir.path()).expect("books");
    (dir, books)
}

/// A plain session.
pub(super) fn row(slot: u32) -> SessionRow {
    SessionRow {
        slot,
        generation: 3,
        random: [slot as u8; 10],
        verifier: [u64::MAX, u64::from(slot)],
        application: 0,
        user: None,
        charge: None,
        lazy: None,
        licensed: 0,
        brief: false,
        created: 1000,
        order: 7,
        wall: 1_767_225_600_000,
        slept: 0,
        idle: 900_000,
        absolute: crate::clock::NEVER,
        saved: 901_000,
        used: 1000,
        had_request: false,
        damaged: false,
        version: 0,
        maker: 1,
        rare: Rare::default(),
    }
}

/// A session that has everything.
pub(super) fn full_row(slot: u32) -> SessionRow {
    let user: Arc<str> = "änne".into();
    let class = |name: &str, required| ClassRef { namespace: "shop".into(), name: name.into(), required };
    SessionRow {
        user: Some(user.clone()),
        charge: Some(Charge { pool: 1, class: LicenseClass::Named, holder: Holder::User(user), client: None }),
        licensed: 1003,
        brief: true,
        had_request: true,
        damaged: true,
        version: 1 << 40,
        slept: 5,
        rare: Rare {
            classes: vec![class("mail", true), class("log", false)],
            client: Client { address: Some("::1".into()), user_agent: None, referrer: Some("x".repeat(2048)) },
            replaced: vec![Replaced { verifier: [1, u64::MAX], grace: 5, until: crate::clock::NEVER }],
            told: vec![class("mail", true)],
            extension: Extension { count: 2, deadline: 9, asked: 8, history: vec![(1, "mail".into(), 60_000)] },
            trace: vec!["0 ms: created in shop".into()],
            takes: vec![
                Taken { pool: 1, count: 3, holder: Holder::User("änne".into()), since: 7 },
                Taken { pool: 2, count: 1, holder: Holder::taker(SessionId::NIL, LicenseClass::Anonymous), since: 8 },
            ],
        },
        ..row(slot)
    }
}

pub(super) fn data(sub: &str, value: &str) -> DataRow {
    DataRow { sub: sub.into(), version: 4, value: value.into() }
}

/// Sessions are compared as they are shown: a charge has no equality.
pub(super) fn same(one: &SessionRow, other: &SessionRow) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}
