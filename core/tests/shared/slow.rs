//! A disk that takes its time: units go on from one to the next meanwhile, in their order, and nobody starves.
//!
//! Waits are measured in syncs of the disk, which sleep: how fast the machine is hardly matters.

use std::collections::VecDeque;
use std::path::Path;
use std::thread;

use super::faults::shim;
use super::link::Link;
use super::*;

/// What one sync takes.
const SYNC_MS: u64 = 100;
/// Nobody waits for longer while units come free: a second of such a disk. Less than it takes: an end waits for the sync that
/// is under way and for the one that it shares with all who came meanwhile; and now and then the log begins anew, for which
/// all that write wait for three.
const MOST: u64 = 10;
/// Threads of the crowd, and the units that they share.
const THREADS: usize = 64;
const UNITS: u64 = 8;
/// How long a wait may last before it is given up.
const WAIT: Duration = Duration::from_secs(60);

/// Syncs so far: the preloaded library adds a byte with each.
fn syncs() -> u64 {
    let path = std::env::var_os("LSES_FAULT_SYNCS").expect("the file of the syncs");
    std::fs::metadata(Path::new(&path)).map_or(0, |file| file.len())
}

/// The role: threads that wait for a unit and give it back again and again. Says the longest wait of a creation and of an
/// end, and how many syncs there were.
pub fn role(mut link: Link, shop: Shop) {
    let manager = shop.open();
    let before = syncs();
    let longest = thread::scope(|scope| {
        let guests: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut longest = (0, 0);
                    for _ in 0..rounds(6, 200) {
                        let begun = syncs();
                        let options = CreateOptions { queue: QueueOptions::wait(WAIT), ..CreateOptions::new("shop") };
                        let created = manager.create(options).expect("a unit");
                        let made = syncs();
                        manager.end(created.id, EndOptions::default()).expect("an end");
                        longest = (longest.0.max(made - begun), longest.1.max(syncs() - made));
                    }
                    longest
                })
            })
            .collect();
        let longest = guests.into_iter().map(|guest| guest.join().expect("a guest"));
        longest.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)))
    });
    link.tell(&format!("{} {} {}", longest.0, longest.1, syncs() - before));
    link.line();
    manager.close(Duration::from_secs(60));
}

/// Units were set aside in the order in which they were waited for; who did not fetch them in time is passed over.
fn in_order(records: &[AuditRecord]) -> usize {
    let (mut line, mut overslept) = (VecDeque::new(), Vec::new());
    for record in records {
        let session = record.session_id;
        match record.kind {
            AuditKind::Queue => line.push_back(session),
            AuditKind::Offer if overslept.contains(&session) => {}
            AuditKind::Offer => assert_eq!(line.pop_front(), Some(session), "{record:?}"),
            AuditKind::Withdraw => overslept.push(session),
            _ => {}
        }
    }
    assert!(line.is_empty());
    overslept.len()
}

#[test]
fn on_a_slow_disk_units_go_from_one_to_the_next_in_order_and_nobody_starves() {
    let Some(shim) = shim() else {
        return loudly("SKIPPED: a slow disk, as there is no C compiler");
    };
    let mut seen = Vec::new();
    for durable in [false, true] {
        let dir = Dir::new();
        let shop = Shop { capacity: UNITS, durable, pool: r#"{"audit_records": 1000000}"#.into(), ..dir.shop() };
        let mut crowd = Process::start_with("crowd", &shop, |command| {
            command.env("LD_PRELOAD", shim).env("LSES_FAULT_DIR", &shop.store);
            command.env("LSES_FAULT_SYNC_MS", SYNC_MS.to_string()).env("LSES_FAULT_SYNCS", dir.path().join("syncs"));
        });
        let said = crowd.answer();
        crowd.tell("close");
        assert!(crowd.wait().success());
        let told: Vec<u64> = said.split(' ').map(|word| word.parse().unwrap_or_else(|_| panic!("{said}"))).collect();
        let manager = shop.open();
        let records = manager.audit_records("users", 0, usize::MAX).expect("accounts");
        let late = in_order(&records);
        let audit = manager.audit("users").expect("audit");
        assert_eq!((audit.counted, audit.recounted, audit.differences), (0, 0, Vec::new()));
        println!(
            "durable={durable}: the longest creation lasted {} syncs, the longest end {}, of {}; {late} units not fetched in time",
            told[0], told[1], told[2]
        );
        seen.push((durable, told));
    }
    for (durable, told) in &seen {
        // A creation that must be on the disk before it returns holds its unit for as long: who comes after it waits for that.
        let before = if *durable { 3 * (THREADS as u64 / UNITS) } else { 0 };
        assert!(told[0] <= before + MOST && told[1] <= before + MOST, "durable={durable}: {told:?}");
        // Many share one.
        assert!(told[2] >= 5, "the disk was slow: {told:?}");
    }
}
