//! The death of a process: what it held as a process is free within a second, its sessions live on.

use std::time::{Duration, Instant};

use super::account::ids;
use super::*;

/// Freed within.
pub const SECOND: Duration = Duration::from_secs(1);
/// Leadership is taken over within.
const HALF: Duration = Duration::from_millis(500);

/// A session of a clerk: id and token.
pub fn create(clerk: &mut Process) -> (String, String) {
    let words = clerk.ok("create");
    (words[0].clone(), words[1].clone())
}

#[test]
fn the_lock_of_a_killed_process_goes_to_the_next_and_its_session_lives() {
    let dir = Dir::new();
    let shop = dir.shop();
    let (mut next, mut witness) = (Process::clerk(&shop), Process::clerk(&shop));
    in_time(SECOND, "the lock of a killed process is free", || {
        let mut holder = Process::clerk(&shop);
        let (id, token) = create(&mut holder);
        assert_eq!(holder.ask(&format!("set {token} n 1")), "ok");
        assert_eq!(holder.ask(&format!("begin r {token} 1000")), "ok");
        assert_eq!(holder.ask("put r n 2"), "ok");
        next.tell(&format!("begin r {token} 30000"));
        witness.ask_until("stats lock_waiters", "1");
        assert_eq!(witness.ask("stats in_flight"), "1");
        holder.kill();
        let killed = Instant::now();
        assert_eq!(next.answer(), "ok");
        let took = killed.elapsed();
        assert_eq!(next.ask("finish r"), "ok");
        witness.ask_until("stats in_flight", "0");
        assert_eq!(witness.ask(&format!("get {token} n")), "ok 1", "what it had not finished is not written");
        assert_eq!(witness.ask(&format!("touch {token}")), "live");
        assert_eq!(witness.ask(&format!("end {id}")), "ended ended");
        took
    });
    assert_eq!((&*witness.ask("audit"), &*witness.ask("check")), ("equal 0", "ok"));
}

/// How long it takes until another has the lock of a killed process, while whoever leads is stopped and can't help.
/// `waits`: it waited for it when the holder was killed; else it comes after that.
fn without_a_leader(waits: bool) -> Duration {
    let dir = Dir::new();
    let shop = Shop { idle_ms: 300, ..dir.shop() };
    let mut leader = leader(&shop);
    let (mut holder, mut next) = (Process::clerk(&shop), Process::clerk(&shop));
    let (id, token) = create(&mut holder);
    assert_eq!(holder.ask(&format!("idle {id} 0")), "ok");
    assert_eq!(holder.ask(&format!("begin r {token} 1000")), "ok");
    let begin = format!("begin r {token} 30000");
    if waits {
        next.tell(&begin);
        leader.ask_until("stats lock_waiters", "1");
    }
    leader.freeze();
    holder.kill();
    let killed = Instant::now();
    if !waits {
        next.tell(&begin);
    }
    assert_eq!(next.answer(), "ok");
    let took = killed.elapsed();
    leader.thaw();
    assert_eq!(next.ask("finish r"), "ok");
    assert_eq!(leader.ask("check"), "ok");
    took
}

#[test]
fn who_waits_for_the_lock_of_a_killed_process_finds_out_by_itself() {
    in_time(HALF, "who waits has the lock of a killed process", || without_a_leader(true));
    in_time(HALF, "who comes has the lock of a killed process", || without_a_leader(false));
}

#[test]
fn the_requests_of_a_killed_process_are_not_in_flight_a_second_later() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut witness = Process::clerk(&shop);
    in_time(SECOND, "requests of a killed process are over", || {
        let mut victim = Process::clerk(&shop);
        for number in 0..5 {
            let (_, token) = create(&mut victim);
            assert_eq!(victim.ask(&format!("begin r{number} {token} 1000")), "ok");
        }
        assert_eq!(witness.ask("stats in_flight"), "5");
        victim.kill();
        witness.ask_until("stats in_flight", "0")
    });
    assert_eq!(witness.ask("check"), "ok");
    let manager = shop.open();
    assert!(ids(&manager).len() >= 5, "sessions outlive the process that made them");
}

#[test]
fn a_killed_process_that_had_a_request_lets_its_session_time_out() {
    let dir = Dir::new();
    let shop = Shop { idle_ms: 400, ..dir.shop() };
    let mut witness = Process::clerk(&shop);
    let mut victim = Process::clerk(&shop);
    let (_, token) = create(&mut victim);
    assert_eq!(victim.ask(&format!("begin r {token} 1000")), "ok");
    victim.kill();
    witness.ask_until("count", "0");
    assert_eq!((&*witness.ask("audit"), &*witness.ask("check")), ("equal 0", "ok"));
}

/// A process that leads: it was alone, and has reaped.
pub fn leader(shop: &Shop) -> Process {
    let mut leader = Process::clerk(shop);
    create(&mut leader);
    leader.ask_until("count", "0");
    leader
}

#[test]
fn another_reaps_half_a_second_after_the_leader_was_killed() {
    let bound = Duration::from_millis(300) + HALF;
    in_time(bound, "another reaps in place of a killed leader", || {
        let dir = Dir::new();
        let shop = Shop { idle_ms: 300, ..dir.shop() };
        let mut leader = leader(&shop);
        let mut other = Process::clerk(&shop);
        create(&mut leader);
        create(&mut other);
        let made = Instant::now();
        leader.kill();
        other.ask_until("count", "0");
        assert_eq!(other.ask("audit"), "equal 0");
        made.elapsed()
    });
}

#[test]
fn processes_that_leave_give_their_requests_back_at_once() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut stays = Process::clerk(&shop);
    let mut leaves = Process::clerk(&shop);
    let (_, token) = create(&mut leaves);
    assert_eq!(leaves.ask(&format!("begin r {token} 1000")), "ok");
    assert_eq!(leaves.ask("close"), "ok 0 1");
    assert_eq!(stays.ask("stats in_flight"), "0");
    assert_eq!(stays.ask(&format!("begin r {token} 0")), "ok");
    assert_eq!(stays.ask("finish r"), "ok");
    leaves.leave();
    stays.leave();
}
