//! RACE-04: a token that is rotated while its process is killed: the old one or the new one, never neither, and after the
//! grace never both.

use std::time::Instant;

use super::death::create;
use super::*;

#[test]
fn a_rotation_under_a_kill_happens_wholly_or_not_at_all() {
    let dir = Dir::new();
    let shop = Shop { manual: true, ..dir.shop() };
    let clock = ManualClock::new();
    let manager = Manager::new(shop.config().clock(Clock::Manual(clock.clone()))).expect("manager");
    let mut seed = Seed::new("rotate");
    let look = |token: &str| manager.touch(token, TouchKind::None).expect("touch");
    let (mut done, mut not_done, mut unknown) = (0, 0, 0);
    for _ in 0..rounds(40, 2000) {
        let mut victim = Process::clerk(&shop);
        let (id, old) = create(&mut victim);
        victim.tell(&format!("rotate {old}"));
        let until = Instant::now() + Duration::from_micros(seed.below(5000) as u64);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        victim.kill();
        let new = victim.link.line().and_then(|line| line.strip_prefix("ok ").map(str::to_owned));
        // Within the grace the old one works, whatever became of it.
        assert!(matches!(look(&old), Touched::Live(_)), "neither");
        let log = manager.lifecycle(0, usize::MAX).expect("the log");
        let rotated = log.iter().any(|entry| entry.what == "rotated" && entry.session_id.to_string() == id);
        assert!(rotated || new.is_none(), "acknowledged and not done");
        clock.advance(Duration::from_secs(3601)).expect("advance");
        assert_eq!(matches!(look(&old), Touched::Live(_)), !rotated, "after the grace");
        match (&new, rotated) {
            (Some(new), _) => {
                assert!(matches!(look(new), Touched::Live(_)), "the new one");
                done += 1;
            }
            (None, true) => unknown += 1,
            (None, false) => not_done += 1,
        }
        assert!(matches!(
            manager.end(SessionId::parse(&id).expect("an id"), EndOptions::default()),
            Ok(EndOutcome::Ended(_))
        ));
    }
    println!("{done} rotated, {not_done} not, {unknown} without anybody knowing the new token");
    assert_eq!((manager.count(), manager.check()), (Ok(0), Ok(Vec::new())));
}
