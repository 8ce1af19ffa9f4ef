use super::*;
use crate::clock::Now;
use crate::config::{Overdraft, Pool};
use crate::data::Writes;
use crate::data::{Quotas, Tree};
use crate::dice::Dice;
use crate::id::Token;
use crate::license::AuditKind;
use crate::reason::{EndLevel, EndReason, LazyUntil, LicenseClass, LockMode, ThreadKind, TouchKind};
use crate::session::Client;
use crate::store::Durability;
use crate::table::shared::SharedOptions;
use crate::table::shared::tests::{Dir, options};

fn config(pools: Vec<Pool>) -> TableConfig {
    let application = ApplicationRule {
        name: "shop".into(),
        namespace: "".into(),
        max_sessions: 1000,
        max_extensions: 2,
        extension_cap: 400,
        ask_lead: 100,
        protected: false,
        trace: false,
    };
    TableConfig {
        applications: vec![application],
        pools,
        max_sessions: 1000,
        quotas: Quotas::default(),
        quantum: 1,
        max_request: 100_000,
        tombstone: 10_000,
        answers_stand: 0,
        idle_counts_suspend: false,
        lifecycle_log: 10_000,
        agreement: String::new(),
    }
}

fn plain(capacity: u64) -> TableConfig {
    config(vec![Pool::new("users", capacity), Pool::new("more", capacity)])
}

/// Without a thread that keeps the store in order: only what is asked for happens.
fn open(dir: &Dir, config: TableConfig) -> Arc<SharedTable> {
    open_as(dir, config, Durability::Relaxed)
}

fn open_as(dir: &Dir, config: TableConfig, durability: Durability) -> Arc<SharedTable> {
    let options = SharedOptions { durability, threads: false, ..options() };
    SharedTable::open(&dir.0, config, options).expect("a store")
}

fn at(ms: Millis) -> At {
    At { now: Now { ms, suspended: 0 }, wall: 1000 + ms.cast_signed() }
}

/// A session that takes its unit of a pool at its second request, if not at a login.
fn create_lazy(table: &SharedTable, ms: Millis, pool: u32) -> (SessionRef, Token) {
    let draft = table.draft().expect("a draft");
    let lazy = Some(Lazy { pool, until: LazyUntil::SecondRequest });
    let mut new = NewSession { charge: None, lazy, ..new(0) };
    assert!(table.create(at(ms), &draft, &mut new).expect("an answer").is_ok());
    (draft.session, draft.token)
}

fn log_in(
    table: &SharedTable,
    ms: Millis,
    session: SessionRef,
    pool: u32,
    user: (Option<&str>, &str),
    keep: bool,
) -> String {
    let change = HolderChange {
        user: Some(user.1.into()),
        expected: user.0.map(Into::into),
        holder: Holder::User(user.1.into()),
        rank: Rank::Ordinary,
        revision: table.pool(pool).expect("a pool").revision,
        keep_on_denial: keep,
        rotate: None,
        trade_only: false,
        idle: 0,
        asking: Asking::default(),
    };
    format!("{:?}", table.change_holder(at(ms), session, &change))
}

fn take(table: &SharedTable, ms: Millis, session: SessionRef, pool: u32, user: Option<&str>, count: u64) -> String {
    let take = Take {
        pool,
        count,
        expected: user.map(Into::into),
        holder: user.map(Into::into),
        rank: Rank::Ordinary,
        revision: table.pool(pool).expect("a pool").revision,
        asking: Asking::default(),
    };
    format!("{:?}", table.take_feature(at(ms), session, &take))
}

fn new(pool: u32) -> NewSession {
    let charge = Charge { pool, class: LicenseClass::Named, holder: Holder::Session, client: None };
    NewSession {
        application: 0,
        client: Client::default(),
        data: Tree::default(),
        idle: 0,
        absolute: 0,
        classes: Arc::new([]),
        charge: Some(charge),
        lazy: None,
        brief: false,
        begin: None,
        asking: Asking::default(),
    }
}

fn create_in(table: &SharedTable, ms: Millis, pool: u32) -> std::result::Result<SessionRef, SessionId> {
    let draft = table.draft().expect("a draft");
    let mut new = new(pool);
    match table.create(at(ms), &draft, &mut new).expect("an answer") {
        Ok(_) => Ok(draft.session),
        Err(Refused::License(DenyReason::PoolExhausted)) => {
            table.abandon(&draft);
            Err(draft.session.id)
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn create(table: &SharedTable, ms: Millis) -> std::result::Result<SessionRef, SessionId> {
    create_in(table, ms, 0)
}

fn end(table: &SharedTable, ms: Millis, session: SessionRef) {
    let spec = EndSpec {
        reason: EndReason::Revoked,
        level: EndLevel::Force,
        thread: ThreadKind::Admin,
        actor: None,
        note: None,
        here: false,
    };
    assert!(matches!(table.end(at(ms), session, &spec), Ended::Now(_)));
}

/// The sessions that the accounts and the log say were refused; both must say the same.
fn refused(table: &SharedTable) -> Vec<SessionId> {
    let records = table.audit_records(0, 0, 10_000).expect("accounts");
    let mut units = records.first().map_or(0, |first| first.before);
    for (record, seq) in records.iter().zip(records[0].seq..) {
        assert_eq!((record.seq, record.before), (seq, units), "a gap: {record:?}");
        units = record.after;
    }
    let denied = records.into_iter().filter(|record| record.kind == AuditKind::Denial);
    let denied: Vec<_> = denied.map(|record| record.session_id).collect();
    let log = table.lifecycle(0, 10_000).expect("the log");
    let logged: Vec<_> = log.iter().filter(|entry| entry.what == "refused").map(|entry| entry.session_id).collect();
    assert_eq!(denied, logged);
    assert_eq!(table.usage(at(0), 0).expect("usage").denials, denied.len() as u64);
    denied
}

fn accounts(table: &SharedTable) -> (Vec<AuditRecord>, Vec<LogEntry>) {
    (table.audit_records(0, 0, 10_000).expect("accounts"), table.lifecycle(0, 10_000).expect("the log"))
}

fn waiting(table: &SharedTable) -> u64 {
    let denials = &table.map.head().denials;
    denials.noted.load(Acquire) - denials.written.load(Acquire)
}

#[test]
fn what_waits_is_seen_by_everybody_at_once_and_in_its_order() {
    let dir = Dir::new();
    let (here, there) = (open(&dir, plain(1)), open(&dir, plain(1)));
    let held = create(&here, 0).expect("a unit");
    let mut known = Vec::new();
    for ms in 1..20 {
        known.push(create(&here, ms).expect_err("full"));
        known.push(create(&there, ms).expect_err("full"));
        assert_eq!(waiting(&here), 2 * ms - 2, "the first of each goes the long way");
        // To read the counters takes nobody's word.
        assert_eq!(there.usage(at(ms), 0).expect("usage").denials, 2 * ms);
        assert_eq!(there.usage(at(ms), 1).expect("usage").denials, 0);
        if ms == 1 {
            assert_eq!(waiting(&here), 0);
        }
    }
    assert_eq!(waiting(&here), 36);
    let all = accounts(&there);
    assert_eq!(refused(&there), known);
    assert_eq!(waiting(&here), 36, "nobody writes to read");
    // From any place on, and in pieces, and the same once it is written.
    for written in [false, true] {
        for (after, limit) in [(0, 5), (1, 100), (2, 1), (20, 4), (30, 100), (38, 1), (39, 9), (1000, 9)] {
            let wanted = |seq: u64| seq > after && seq <= after + limit;
            let told = there.audit_records(0, after, limit as usize).expect("accounts");
            assert_eq!(told, all.0.iter().filter(|told| wanted(told.seq)).cloned().collect::<Vec<_>>());
            let told = there.lifecycle(after, limit as usize).expect("the log");
            assert_eq!(told, all.1.iter().filter(|told| wanted(told.seq)).cloned().collect::<Vec<_>>());
        }
        assert_eq!(waiting(&here), if written { 0 } else { 36 });
        here.write_denials().expect("written");
        assert_eq!((accounts(&here), refused(&here)), (all.clone(), known.clone()));
    }
    known.push(create(&there, 20).expect_err("full"));
    end(&here, 21, held);
    // The unit that came free is seen, and what was refused before stands before it.
    let held = create(&there, 22).expect("a unit");
    known.push(create(&there, 23).expect_err("full"));
    known.push(create(&here, 24).expect_err("full"));
    assert_eq!(refused(&here), known);
    end(&there, 25, held);
    assert!(here.check(at(26)).expect("checked").is_empty());
}

#[test]
fn accounts_are_read_while_somebody_who_writes_does_not_go_on() {
    let dir = Dir::new();
    let (here, there) = (open(&dir, plain(1)), open(&dir, plain(1)));
    create(&here, 0).expect("a unit");
    let known: Vec<_> = (1..30).map(|ms| create(&here, ms).expect_err("full")).collect();
    let all = accounts(&there);
    let writer = here.writer().expect("the word");
    let stopped = writer.commit(|_| {
        // In the middle of a transaction, with all of them written, for nobody to see.
        assert_eq!((accounts(&there), refused(&there)), (all.clone(), known.clone()));
        Err::<(), _>(crate::error::Error::invalid("it is killed"))
    });
    assert!(stopped.is_err());
    assert_eq!((accounts(&there), refused(&there)), (all.clone(), known.clone()));
    here.done(writer, false).expect("done");
    there.write_denials().expect("written");
    assert_eq!((accounts(&here), refused(&there), waiting(&here)), (all, known, 0));
}

#[test]
fn a_ring_that_is_full_is_written_by_the_next() {
    let dir = Dir::new();
    let table = open(&dir, plain(1));
    create(&table, 0).expect("a unit");
    let most = 3 * DENIALS as u64 + 7;
    let known: Vec<_> = (1..most)
        .map(|ms| {
            let denied = create(&table, ms).expect_err("full");
            assert!(waiting(&table) <= DENIALS as u64);
            denied
        })
        .collect();
    assert!(waiting(&table) > 0);
    assert_eq!(table.usage(at(0), 0).expect("usage").denials, most - 1);
    assert_eq!(refused(&table), known);
}

#[test]
fn who_dies_between_a_commit_and_its_notice_has_nothing_written_twice() {
    let dir = Dir::new();
    let (here, there) = (open(&dir, plain(1)), open(&dir, plain(1)));
    create(&here, 0).expect("a unit");
    let mut known: Vec<_> = (1..10).map(|ms| create(&here, ms).expect_err("full")).collect();
    let denials = &here.map.head().denials;
    for step in 0..3 {
        let before = denials.written.load(Acquire);
        assert!(before < denials.noted.load(Acquire));
        here.write_denials().expect("written");
        denials.written.store(before, Release);
        // The books know better, whatever comes next.
        assert_eq!(there.usage(at(10), 0).expect("usage").denials, known.len() as u64);
        if step > 0 {
            known.push(create(&there, 10 + step).expect_err("full"));
        }
        if step > 1 {
            known.push(create(&there, 10 + step).expect_err("full"));
        }
        assert_eq!(refused(&there), known);
        there.write_denials().expect("written");
        assert_eq!((refused(&here), waiting(&there)), (known.clone(), 0));
        known.push(create(&here, 20 + step).expect_err("full"));
        known.push(create(&here, 20 + step).expect_err("full"));
        assert!(waiting(&here) > 0);
    }
}

#[test]
fn an_entry_that_was_not_finished_is_none() {
    let dir = Dir::new();
    let table = open(&dir, plain(1));
    create(&table, 0).expect("a unit");
    let mut known: Vec<_> = (1..4).map(|ms| create(&table, ms).expect_err("full")).collect();
    let denials = &table.map.head().denials;
    let next = &denials.ring[denials.noted.load(Acquire) as usize % DENIALS];
    next.at.store(77, Relaxed);
    next.pool.store(9, Relaxed);
    next.session[0].store(u64::MAX, Relaxed);
    next.reason.store(u32::MAX, Relaxed);
    assert_eq!(table.usage(at(4), 0).expect("usage").denials, 3);
    assert_eq!(refused(&table), known);
    known.push(create(&table, 5).expect_err("full"));
    assert_eq!(refused(&table), known);
}

#[test]
fn a_store_that_is_opened_again_goes_on_with_what_the_books_have() {
    let dir = Dir::new();
    let table = open(&dir, plain(1));
    create(&table, 0).expect("a unit");
    let mut known: Vec<_> = (1..30).map(|ms| create(&table, ms).expect_err("full")).collect();
    assert!(waiting(&table) > 0);
    drop(table);
    // With hot files of before, with fresh ones, and beside another one.
    for ms in [40, 50, 60] {
        if ms == 50 {
            std::fs::remove_file(dir.0.join("hot.head")).expect("a file");
        }
        let table = open(&dir, plain(1));
        assert_eq!(waiting(&table), 0);
        let other = open(&dir, plain(1));
        for table in [&table, &other, &table, &other] {
            known.push(create(table, ms).expect_err("full"));
        }
        assert!(waiting(&table) > 0);
        assert_eq!(refused(&other), known);
        known.push(create(&table, ms + 1).expect_err("full"));
    }
}

#[test]
fn what_a_pool_keeps_is_kept() {
    let dir = Dir::new();
    let few = Pool { audit_records: 5, ..Pool::new("few", 1) };
    let none = Pool { audit_records: 0, ..Pool::new("none", 1) };
    let table = open(&dir, TableConfig { lifecycle_log: 8, ..config(vec![few, none]) });
    let mut known = Vec::new();
    for pool in [0, 1] {
        create_in(&table, 0, pool).expect("a unit");
    }
    for ms in 1..=50 {
        known.push(create_in(&table, ms, 0).expect_err("full"));
        known.push(create_in(&table, ms, 1).expect_err("full"));
    }
    assert!(waiting(&table) > 90);
    let records = table.audit_records(0, 0, 100).expect("accounts");
    let shown: Vec<_> = records.iter().map(|record| (record.seq, record.at_ms, record.session_id)).collect();
    let last: Vec<_> = (46..=50).map(|ms: usize| (ms as u64 + 1, ms as u64, known[2 * ms - 2])).collect();
    assert_eq!(shown, last);
    assert!(table.audit_records(1, 0, 100).expect("accounts").is_empty());
    let log = table.lifecycle(0, 100).expect("the log");
    let shown: Vec<_> = log.iter().map(|entry| (entry.seq, entry.session_id)).collect();
    let last: Vec<_> = (92..100).map(|at: usize| (at as u64 + 3, known[at])).collect();
    assert_eq!(shown, last);
    for pool in [0, 1] {
        assert_eq!(table.usage(at(0), pool).expect("usage").denials, 50);
    }
}

#[test]
fn a_pool_that_grows_is_seen_to_have_room() {
    let dir = Dir::new();
    let (here, there) = (open(&dir, plain(1)), open(&dir, plain(1)));
    create(&here, 0).expect("a unit");
    for ms in 1..4 {
        create(&here, ms).expect_err("full");
    }
    for capacity in [2, 3, 2, 4] {
        let more = Pool::new("users", capacity);
        let revision = there.pool(0).expect("a pool").revision;
        there.change_pool(at(5), 0, revision, &more, None).expect("an answer").expect("a change");
        let in_use = here.pool_state(0).expect("a state").0;
        assert_eq!(create(&here, 6).is_ok(), in_use < capacity);
        create(&here, 7).ok();
        create(&here, 8).expect_err("full");
    }
    assert_eq!(refused(&here), refused(&there));
    assert!(here.check(at(9)).expect("checked").is_empty());
}

/// One session at each of two stores.
struct Guest {
    sessions: [SessionRef; 2],
    pool: u32,
    user: Option<String>,
}

#[test]
fn whatever_a_full_pool_refuses_waits_to_be_written() {
    let dir = Dir::new();
    let (here, there) = (open(&dir, plain(1)), open(&dir, plain(1)));
    create(&here, 0).expect("a unit");
    let (session, token) = create_lazy(&here, 1, 0);
    let spec = BeginSpec { touch: TouchKind::Activity, lock: LockMode::Shared, process: 1 };
    let Found::Live(Began::Request { key, .. }) = here.begin(at(1), &token, &spec) else { panic!("no request") };
    assert!(matches!(here.finish(at(1), &key, &Writes::default()), Found::Live(_)));
    let long = "x".repeat(NAME + 1);
    let denied = "Live(Err(License(PoolExhausted)))".to_owned();
    let mut wanted = Vec::new();
    for round in 0..3 {
        for (number, holder) in [None, Some("ada"), None, Some("bob"), Some(&*long)].into_iter().enumerate() {
            let before = waiting(&here);
            let answer = match number {
                0 => match here.begin(at(2), &token, &spec) {
                    Found::Live(Began::Unlicensed(0, DenyReason::PoolExhausted)) => denied.clone(),
                    other => panic!("{other:?}"),
                },
                2 => take(&here, 2, session, 0, None, 2),
                _ => log_in(&here, 2, session, 0, (None, holder.unwrap_or("")), true),
            };
            assert_eq!(answer, denied);
            wanted.push(holder.map(str::to_owned));
            let noted = waiting(&here) - before.min(waiting(&here));
            // The first one goes the long way, and one whose name is too long does, and writes all.
            let expected = u64::from(!(number == 4 || round == 0 && number == 0));
            assert_eq!(noted, expected, "{round} {number}");
        }
    }
    for table in [&here, &there] {
        let records = table.audit_records(0, 0, 1000).expect("accounts");
        let records = records.iter().filter(|record| record.kind == AuditKind::Denial);
        let told: Vec<_> = records
            .map(|record| {
                assert_eq!((record.session_id, record.before, record.after), (session.id, 1, 1));
                let own = *record.holder == *session.id.to_string();
                (!own).then(|| record.holder.to_string())
            })
            .collect();
        assert_eq!(told, wanted);
        assert!(table.lifecycle(0, 1000).expect("the log").iter().all(|entry| entry.what != "refused"));
        here.write_denials().expect("written");
    }
    assert!(here.check(at(3)).expect("checked").is_empty());
}

#[test]
fn the_books_are_those_of_who_has_each_denial_written_at_once() {
    for seed in 1..25 {
        let mut chance = Dice::new(seed);
        let mut dice = |below| chance.below(below);
        let pool = |name: &str, number: u64| Pool {
            low: number % 2,
            overdraft: Overdraft::Units((number % 3).min(1)),
            audit_records: 1000,
            ..Pool::new(name, 1 + number % 3)
        };
        let config = config(vec![pool("users", dice(6)), pool("more", dice(6))]);
        let (dirs, mut tables) = ([Dir::new(), Dir::new()], Vec::new());
        // Several managers at each; those of one store note, those of the other don't.
        for (dir, durability) in dirs.iter().zip([Durability::Relaxed, Durability::Durable]) {
            tables.push([0; 2].map(|_| open_as(dir, config.clone(), durability)));
        }
        let (mut live, mut ids) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut ms = 0;
        for _ in 0..120 {
            ms += dice(3);
            let (which, what, number) = (dice(2) as usize, dice(18), dice(2) as u32);
            if what == 0 && !live.is_empty() {
                let Guest { sessions, .. } = live.swap_remove(dice(live.len() as u64) as usize);
                for (tables, session) in tables.iter().zip(sessions) {
                    end(&tables[which], ms, session);
                }
                continue;
            }
            if (2..8).contains(&what) && !live.is_empty() {
                let (guest, keep, count) = (dice(live.len() as u64) as usize, dice(2) == 0, 1 + dice(2));
                let name = format!("user {}", dice(4));
                let Guest { sessions, pool, user } = &mut live[guest];
                let answers = [0, 1].map(|side: usize| match what {
                    2..5 => log_in(&tables[side][which], ms, sessions[side], *pool, (user.as_deref(), &name), keep),
                    _ => take(&tables[side][which], ms, sessions[side], number, user.as_deref(), count),
                });
                assert_eq!(answers[0], answers[1], "seed {seed}");
                if what < 5 && answers[0].starts_with("Live(Ok") {
                    *user = Some(name);
                }
                continue;
            }
            if what == 8 {
                let mut sessions =
                    [0, 1].map(|side: usize| create_lazy(&tables[side][which], ms, number).0).into_iter();
                let sessions = [0, 1].map(|side: usize| {
                    let session = sessions.next().expect("two");
                    ids[side].push(session.id);
                    session
                });
                live.push(Guest { sessions, pool: number, user: None });
                continue;
            }
            if what == 1 {
                let denials = tables.iter().map(|tables| tables[which].usage(at(ms), number).expect("usage").denials);
                let denials: Vec<_> = denials.collect();
                assert_eq!(denials[0], denials[1], "seed {seed}");
                continue;
            }
            let made = [0, 1].map(|side: usize| {
                let made = create_in(&tables[side][which], ms, number);
                ids[side].push(made.map_or_else(|id| id, |session| session.id));
                made
            });
            match made {
                [Ok(one), Ok(other)] => live.push(Guest { sessions: [one, other], pool: number, user: None }),
                [Err(_), Err(_)] => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!(waiting(&tables[1][0]), 0);
        let whose = |side: usize, id: &SessionId| ids[side].iter().position(|known| known == id);
        for number in [0, 1] {
            let [noted, written] = [0, 1].map(|side| {
                let records = tables[side][1].audit_records(number, 0, 1000).expect("accounts");
                let told = records.iter().map(|record| {
                    let said = (record.seq, record.at_ms, record.kind, record.before, record.after);
                    let user = record.holder.starts_with("user").then(|| record.holder.clone());
                    (said, user, record.reason, record.why, whose(side, &record.session_id))
                });
                let usage = tables[side][0].usage(at(ms), number).expect("usage");
                (told.collect::<Vec<_>>(), (usage.in_use, usage.denials, usage.high_water, usage.overdrawn))
            });
            assert_eq!(noted, written, "seed {seed}");
        }
        let [noted, written] = [0, 1].map(|side| {
            let log = tables[side][0].lifecycle(0, 1000).expect("the log");
            let told = log.iter().map(|entry| (entry.seq, entry.at_ms, entry.what, whose(side, &entry.session_id)));
            told.collect::<Vec<_>>()
        });
        assert_eq!(noted, written, "seed {seed}");
    }
}
