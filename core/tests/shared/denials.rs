//! A full pool refuses without a transaction for each: nobody sees the difference.

use super::stage::Stage;
use super::*;

/// Sessions that were refused, by the accounts and by the log, in their order.
pub fn refused(manager: &Manager) -> Vec<SessionId> {
    let records = manager.audit_records("users", 0, usize::MAX).expect("accounts");
    let denied = records.iter().filter(|record| record.kind == AuditKind::Denial);
    let denied: Vec<_> = denied.map(|record| record.session_id).collect();
    let log = manager.lifecycle(0, usize::MAX).expect("the log");
    let logged: Vec<_> = log.iter().filter(|entry| entry.what == "refused").map(|entry| entry.session_id).collect();
    assert_eq!(denied, logged);
    let usage = manager.usage("users").expect("usage");
    let full = usage.denials_by_reason.of(DenyReason::PoolExhausted);
    assert_eq!((usage.denials, full), (denied.len() as u64, usage.denials));
    denied
}

#[test]
fn another_process_sees_a_refusal_at_once() {
    let stage = Stage::new(1, 1, |shop| shop);
    stage.create();
    let mut clerk = Process::clerk(&stage.shop);
    for round in 1..=rounds(100, 5000) as u64 {
        assert_eq!(clerk.ask("refused 3"), "ok");
        assert_eq!(stage.usage().denials, 4 * round - 1);
        let mine = stage.manager.create(CreateOptions::new("shop")).expect_err("full");
        assert_eq!(mine.deny_reason(), Some(DenyReason::PoolExhausted));
        if round % 7 == 0 {
            assert_eq!(refused(&stage.manager).len() as u64, 4 * round);
        }
    }
    clerk.leave();
    stage.exact(1);
}

#[test]
fn grants_and_refusals_of_several_processes_leave_no_gap() {
    let keep = r#"{"audit_records": 10000000}"#;
    let stage = Stage::new(2, 2, |shop| Shop { pool: keep.into(), ..shop });
    let held = [stage.create(), stage.create()];
    let mut clerks: Vec<_> = (0..2).map(|_| Process::clerk(&stage.shop)).collect();
    let many = rounds(2000, 200_000);
    // First only refusals, while this one reads.
    clerks.iter_mut().for_each(|clerk| clerk.tell(&format!("refused {many}")));
    let mut known = 0;
    while known < 2 * many as u64 {
        let denials = stage.usage().denials;
        assert!(denials >= known, "{denials} after {known}");
        known = denials;
        stage.follow();
    }
    clerks.iter_mut().for_each(|clerk| assert_eq!(clerk.answer(), "ok"));
    assert_eq!(refused(&stage.manager).len(), 2 * many);
    // Then units come and go beside them.
    held.iter().for_each(|created| stage.end(created.id));
    let mut granted = 0;
    for _ in 0..rounds(60, 5000) {
        clerks.iter_mut().for_each(|clerk| clerk.tell("create"));
        let mine = stage.manager.create(CreateOptions::new("shop"));
        let mut made: Vec<SessionId> = mine.iter().map(|created| created.id).collect();
        for clerk in &mut clerks {
            let answer = clerk.answer();
            match answer.split(' ').collect::<Vec<_>>()[..] {
                ["ok", id, _] => made.push(SessionId::parse(id).expect("an id")),
                ["error", "license_denied", ..] => {}
                _ => panic!("{answer}"),
            }
        }
        assert_eq!(made.len(), 2);
        stage.follow();
        assert_eq!(clerks[0].ask("refused 5"), "ok");
        made.into_iter().for_each(|id| stage.end(id));
        granted += 1;
    }
    stage.exact(0);
    assert_eq!(refused(&stage.manager).len(), 2 * many + 6 * granted);
    clerks.into_iter().for_each(Process::leave);
    stage.exact(0);
}

#[test]
fn refusals_of_who_was_killed_are_there_when_the_store_is_opened_again() {
    for turned in [false, true] {
        let mut stage = Stage::new(1, 1, |shop| shop);
        stage.create();
        stage.close();
        for round in 1..=rounds(3, 50) as u64 {
            let mut clerk = Process::clerk(&stage.shop);
            assert_eq!(clerk.ask("refused 40"), "ok");
            clerk.kill();
            if turned {
                // Its pools have other numbers then.
                let mut config = stage.shop.config();
                config.pools.reverse();
                let manager = Manager::new(config).expect("a manager");
                assert_eq!(refused(&manager).len() as u64, 40 * round);
                assert_eq!(manager.usage("cad").expect("usage").denials, 0);
                manager.close(Duration::from_secs(5));
            }
            stage.open();
            assert_eq!(refused(&stage.manager).len() as u64, 40 * round);
            stage.exact(1);
            stage.close();
        }
        stage.open();
    }
}
