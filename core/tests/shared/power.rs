//! CRASH-02: a power cut: what the disk has at some moment is a copy of the image that a file system lies in, mounted elsewhere.
//!
//! What the page cache has and the disk has not is not in the copy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::account::Account;
use super::*;

/// A mounted image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` where nothing can be mounted.
    fn new(image: &Path, at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).expect("a directory");
        let mounted = run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at));
        mounted.then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !run(Command::new("umount").arg(&self.0)) {
            run(Command::new("umount").arg("-l").arg(&self.0));
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// An image with an empty file system.
fn image(dir: &Dir) -> Option<PathBuf> {
    let image = dir.path().join("image");
    // Room for the log at its longest; what nothing was written to takes none.
    std::fs::File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("an image");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)).then_some(image)
}

/// Hears what a frozen process had said.
fn hear_all(process: &mut Process, account: &mut Account) {
    process.link.without_waiting(|line| {
        account.hear(0, line);
    });
}

#[test]
fn a_power_cut_loses_nothing_that_was_promised() {
    let dir = Dir::new();
    let mounted = image(&dir).and_then(|image| Some((Mount::new(&image, dir.path().join("disk"))?, image)));
    let Some((disk, image)) = mounted else {
        return loudly("SKIPPED: power cuts, as no image can be mounted here (not root, or no loop devices)");
    };
    let mut seed = Seed::new("power");
    for durable in [true, false] {
        let store = disk.0.join(if durable { "durable" } else { "relaxed" });
        let shop = Shop { store, durable, capacity: 10_000, ..dir.shop() };
        let mut account = Account::default();
        let mut busy = Process::start("busy", &shop);
        busy.tell(&format!("go {}", seed.number()));
        for cut in 0..rounds(6, 100) {
            for _ in 0..20 + seed.below(60) {
                let line = busy.link.line().expect("a process at work");
                account.hear(0, &line);
            }
            // In relaxed mode only what is older than the interval of its syncs is promised.
            let promised = account.clone();
            let since = Instant::now();
            while !durable && since.elapsed() < Duration::from_millis(150) {
                let line = busy.link.line().expect("a process at work");
                account.hear(0, &line);
            }
            busy.freeze();
            hear_all(&mut busy, &mut account);
            let copy = dir.path().join("copy");
            assert!(run(Command::new("cp").args(["--sparse=always"]).arg(&image).arg(&copy)));
            busy.thaw();
            let after = Mount::new(&copy, dir.path().join("after")).expect("the copy can be mounted");
            let name = shop.store.file_name().expect("a name");
            let found = Shop { store: after.0.join(name), ..shop.clone() };
            let manager = found.open();
            println!("cut {cut}, durable={durable}: {} acknowledged", account.acknowledged);
            let mut now = account.clone();
            now.lost(0);
            if durable {
                now.check(&manager);
            } else {
                now.check_loosely(&promised, &manager);
            }
            manager.close(Duration::from_secs(5));
            drop(manager);
            drop(after);
            std::fs::remove_file(&copy).expect("remove");
        }
        drop(busy);
    }
}

#[test]
fn what_was_not_synced_is_not_in_the_copy() {
    let dir = Dir::new();
    let mounted = image(&dir).and_then(|image| Some((Mount::new(&image, dir.path().join("disk"))?, image)));
    let Some((disk, image)) = mounted else {
        return loudly("SKIPPED: the control of power cuts, as no image can be mounted here");
    };
    std::fs::write(disk.0.join("synced"), "text").expect("write");
    std::fs::File::open(disk.0.join("synced")).and_then(|file| file.sync_all()).expect("sync");
    std::fs::write(disk.0.join("unsynced"), "text").expect("write");
    let copy = dir.path().join("copy");
    assert!(run(Command::new("cp").args(["--sparse=always"]).arg(&image).arg(&copy)));
    let after = Mount::new(&copy, dir.path().join("after")).expect("the copy can be mounted");
    assert_eq!(std::fs::read_to_string(after.0.join("synced")).expect("the file"), "text");
    let unsynced = std::fs::read_to_string(after.0.join("unsynced")).unwrap_or_default();
    assert_eq!(unsynced, "", "this method sees no loss");
}
