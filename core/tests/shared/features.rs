//! Features belong to sessions, not to processes: they are held until the session ends, whoever lives to see it.

use rusqlite::Connection;

use super::death::create;
use super::*;

fn usage(manager: &Manager) -> (u64, Vec<(String, u64)>) {
    let usage = manager.usage("cad").expect("usage");
    (usage.in_use, usage.holders.iter().map(|one| (one.holder.to_string(), one.units)).collect())
}

fn exact(manager: &Manager) {
    let audit = manager.audit("cad").expect("audit");
    assert_eq!((audit.counted, &audit.differences), (audit.recounted, &Vec::new()));
    assert_eq!(manager.check(), Ok(Vec::new()));
}

#[test]
fn what_a_killed_process_took_is_held_until_its_sessions_end() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut victim = Process::clerk(&shop);
    let (own, token) = create(&mut victim);
    assert_eq!(victim.ask(&format!("take {token} cad 3")), "ok");
    let (ada, token) = create(&mut victim);
    let token = victim.ok(&format!("login {token} ada"))[0].clone();
    assert_eq!(victim.ask(&format!("take {token} cad 2")), "ok");
    let mut witness = Process::clerk(&shop);
    victim.kill();
    assert_eq!(witness.ask("check"), "ok");
    let manager = shop.open();
    let mut holders = vec![("ada".to_owned(), 2), (own.clone(), 3)];
    holders.sort();
    let sorted = |manager: &Manager| {
        let (in_use, mut holders) = usage(manager);
        holders.sort();
        (in_use, holders)
    };
    assert_eq!(sorted(&manager), (5, holders.clone()));
    // So it is when all processes have gone, and the store is opened again.
    witness.leave();
    manager.close(Duration::ZERO);
    let manager = shop.open();
    assert_eq!(sorted(&manager), (5, holders));
    let request = manager.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("a request");
    assert_eq!(request.return_feature("cad", 1), Ok(1));
    request.finish().expect("finish");
    exact(&manager);
    for (id, left) in [(own, 1), (ada, 0)] {
        let ended = manager.end(SessionId::parse(&id).expect("an id"), EndOptions::default()).expect("an end");
        assert!(matches!(ended, EndOutcome::Ended(receipt) if receipt.license_free_at_ms.is_some()));
        assert_eq!(usage(&manager).0, left);
    }
    exact(&manager);
}

#[test]
fn what_a_session_took_that_can_not_be_read_is_free_again() {
    let dir = Dir::new();
    let shop = dir.shop();
    let manager = shop.open();
    let mut left = Vec::new();
    for count in [1, 2, 4] {
        let created = manager.create(CreateOptions::new("shop")).expect("a session");
        let request =
            manager.begin(&created.token.reveal(), BeginOptions::default()).and_then(Begin::live).expect("live");
        request.take_feature("cad", FeatureOptions { count, ..FeatureOptions::default() }).expect("a feature");
        request.finish().expect("finish");
        left.push(created.id);
    }
    assert_eq!(usage(&manager).0, 7);
    manager.close(Duration::ZERO);
    let books = Connection::open(shop.file("store.lsdb")).expect("open");
    let sql = "UPDATE session SET rare = x'ffffffff' WHERE slot = (SELECT slot FROM session ORDER BY created, ord LIMIT 1 OFFSET 1)";
    assert_eq!(books.execute(sql, []), Ok(1));
    drop(books);
    std::fs::remove_file(shop.file("hot.head")).expect("the hot files are made again");
    let manager = shop.open();
    wait_within(BOUND, "the units of the lost session are free", || usage(&manager).0 == 5);
    exact(&manager);
}
