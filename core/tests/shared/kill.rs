//! CRASH-01: kill -9 at any moment: nothing acknowledged is lost, nothing ended comes back, no unit is stranded.

use std::time::{Duration, Instant};

use super::account::Account;
use super::*;

/// Kills in one directory.
const KILLS: usize = 10;
/// Processes at work.
const CREW: usize = 2;

/// Processes at work in one store, and the account of what they said.
struct Crew {
    shop: Shop,
    account: Account,
    members: Vec<Option<Process>>,
}

impl Crew {
    fn new(shop: Shop) -> Self {
        Self { shop, account: Account::default(), members: (0..CREW).map(|_| None).collect() }
    }

    /// Puts a process to work where there is none; it goes on with the sessions of the one before.
    fn man(&mut self, seed: &mut Seed) {
        for (number, member) in self.members.iter_mut().enumerate() {
            if member.is_none() {
                let process = Process::start("busy", &self.shop);
                for line in self.account.handover(number) {
                    process.tell(&line);
                }
                process.tell(&format!("go {}", seed.number()));
                *member = Some(process);
            }
        }
    }

    /// Listens to one until it has acknowledged so much.
    fn listen(&mut self, number: usize, mut acknowledgements: usize) {
        let process = self.members[number].as_mut().expect("at work");
        while acknowledgements > 0 {
            let line = process.link.line().expect("a process at work");
            acknowledgements -= usize::from(self.account.hear(number, &line));
        }
    }

    fn kill(&mut self, number: usize) {
        let mut process = self.members[number].take().expect("at work");
        process.kill();
        while let Some(line) = process.link.line() {
            self.account.hear(number, &line);
        }
        self.account.lost(number);
    }

    /// Lets the others rest.
    fn pause(&mut self) {
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(process) = member else { continue };
            process.tell("pause");
            loop {
                match process.link.line().expect("a process at work") {
                    line if line == "paused" => break,
                    line => drop(self.account.hear(number, &line)),
                }
            }
        }
    }

    fn resume(&self) {
        self.members.iter().flatten().for_each(|process| process.tell("resume"));
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_ended_comes_back() {
    let kills = rounds(200, 10_000);
    let mut seed = Seed::new("kill");
    let (mut done, mut acknowledged, mut slowest) = (0, 0, Duration::ZERO);
    while done < kills {
        let dir = Dir::new();
        let shop = Shop { capacity: 40, durable: seed.percent(20), ..dir.shop() };
        let mut crew = Crew::new(shop.clone());
        let mut witness = None;
        for _ in 0..KILLS.min(kills - done) {
            crew.man(&mut seed);
            let victim = seed.below(CREW);
            crew.listen(victim, seed.below(60));
            let until = Instant::now() + Duration::from_micros(seed.below(1500) as u64);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            crew.kill(victim);
            done += 1;
            if seed.percent(40) {
                (0..CREW).filter(|other| *other != victim).for_each(|other| crew.kill(other));
            } else {
                crew.pause();
            }
            let begun = Instant::now();
            let manager = witness.take().unwrap_or_else(|| shop.open());
            assert!(manager.count().is_ok());
            slowest = slowest.max(begun.elapsed());
            crew.account.check(&manager);
            // Every other time somebody is there all the time, else maybe nobody.
            if seed.percent(50) {
                witness = Some(manager);
            }
            crew.resume();
        }
        acknowledged += crew.account.acknowledged;
        if done % 500 == 0 {
            loudly(&format!("{done} kills, {acknowledged} acknowledgements, nothing lost"));
        }
    }
    println!("{done} kills, {acknowledged} acknowledgements, nothing lost; slowest opening {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "opening after a kill took {slowest:?}");
}
