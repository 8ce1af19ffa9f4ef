use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::table::shared::testing::{Other, Scratch, listen, role, say};

const PROCESS: &str = "table::shared::map::tests::another_process";
const SLOT: u64 = size_of::<SharedSlot>() as u64;

fn everybody(_: u32) -> bool {
    true
}

fn store() -> (Scratch, PathBuf, Map) {
    let scratch = Scratch::new();
    let dir = scratch.store();
    fs::create_dir(&dir).expect("a directory");
    let map = Map::create(&dir).expect("create");
    (scratch, dir, map)
}

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    let Some((role, dir)) = role() else { return };
    match role.as_str() {
        "grow" => {
            let map = Map::open(&dir).expect("open").expect("hot files");
            map.grow_slots(1, &everybody).expect("room");
            map.grow_records(1, &everybody).expect("room");
            map.slot(SEGMENT as u32).expect("a slot").tail.last.store(77, Ordering::Release);
            map.record(RECORDS as u32).expect("a record").number.store(78, Ordering::Release);
            say("grown");
            listen();
            assert_eq!(map.slot(SEGMENT as u32).expect("a slot").tail.last.load(Ordering::Acquire), 79);
            say("seen");
        }
        "limited" => {
            let before = getrlimit(Resource::Fsize);
            let limit = |current| {
                let new = rustix::process::Rlimit { current, maximum: before.maximum };
                rustix::process::setrlimit(Resource::Fsize, new).expect("a limit");
            };
            limit(Some(1 << 19));
            let error = Map::create(&dir).err().expect("too much");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.message().contains("ulimit -f"), "{error}");
            assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 0, "nothing is left");
            limit(Some(1 << 20));
            let map = Map::create(&dir).expect("it fits");
            let error = map.grow_slots(1, &everybody).expect_err("too much");
            assert!(error.message().contains("hot.slots must grow to 2048 KiB"), "{error}");
            whole(&map, &dir, 1);
            limit(before.current);
            map.grow_slots(1, &everybody).expect("room again");
            whole(&map, &dir, 2);
            say("done");
        }
        other => panic!("no role {other}"),
    }
}

/// There are so many segments of slots, and all can be used.
fn whole(map: &Map, dir: &Path, segments: u32) {
    let most = segments * SEGMENT as u32;
    assert_eq!(map.head().slots.grown.load(Ordering::Acquire), most);
    assert_eq!(map.head().slots.growing.owner(), 0);
    assert_eq!(fs::metadata(dir.join(SLOTS)).expect("the file").len(), u64::from(most) * SLOT);
    for index in 0..most {
        map.slot(index).expect("a slot").tail.last.store(index, Ordering::Relaxed);
    }
    assert!((0..most).all(|index| map.slot(index).expect("a slot").tail.last.load(Ordering::Relaxed) == index));
    assert!(map.slot(most).is_none() && map.slot(u32::MAX).is_none());
}

#[test]
fn fresh_files_are_zero_and_have_their_blocks() {
    let (_scratch, dir, map) = store();
    for (name, size) in [(HEAD, size_of::<Head>() as u64), (SLOTS, 1 << 20), (REQUESTS, 1 << 20)] {
        let found = fs::metadata(dir.join(name)).expect(name);
        assert_eq!(found.len(), size, "{name}");
        assert!(found.blocks() * 512 >= size, "{name} has holes: {} blocks", found.blocks());
        assert_eq!(found.mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 3);
    let slot = map.slot(SEGMENT as u32 - 1).expect("the last");
    assert_eq!((slot.hot.state().0, slot.tail.version.load(Ordering::Relaxed)), (0, 0));
    assert!(map.slot(SEGMENT as u32).is_none());
    assert!(map.record(RECORDS as u32 - 1).is_some() && map.record(RECORDS as u32).is_none());
    assert_eq!(map.head().cookie[0].load(Ordering::Relaxed), 0);
}

#[test]
fn what_one_writes_another_sees() {
    let (_scratch, dir, map) = store();
    let other = Map::open(&dir).expect("open").expect("hot files");
    map.head().epoch.store(5, Ordering::Release);
    assert_eq!(other.head().epoch.load(Ordering::Acquire), 5);
    map.slot(4711).expect("a slot").tail.saved.store(6, Ordering::Release);
    assert_eq!(other.slot(4711).expect("a slot").tail.saved.load(Ordering::Acquire), 6);
    other.grow_slots(1, &everybody).expect("room");
    other.slot(9000).expect("a slot").tail.saved.store(7, Ordering::Release);
    assert_eq!(map.slot(9000).expect("a slot").tail.saved.load(Ordering::Acquire), 7);
    drop((map, other));
    let again = Map::open(&dir).expect("open").expect("hot files");
    assert_eq!(again.slot(9000).expect("a slot").tail.saved.load(Ordering::Acquire), 7);
}

#[test]
fn what_another_process_grew_is_seen() {
    let (_scratch, dir, map) = store();
    assert!(map.slot(SEGMENT as u32).is_none());
    let mut other = Other::spawn(PROCESS, "grow", &dir);
    other.expect("grown");
    assert_eq!(map.slot(SEGMENT as u32).expect("a slot").tail.last.swap(79, Ordering::AcqRel), 77);
    assert_eq!(map.record(RECORDS as u32).expect("a record").number.load(Ordering::Acquire), 78);
    assert!(map.record(2 * RECORDS as u32).is_none());
    other.tell("look");
    other.expect("seen");
    other.finish();
}

#[test]
fn many_grow_at_once() {
    let (_scratch, dir, map) = store();
    let other = Map::open(&dir).expect("open").expect("hot files");
    for round in 1..=5 {
        let before = map.head().slots.grown.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            for (me, map) in [(1, &map), (2, &other), (3, &map), (4, &other)] {
                scope.spawn(move || map.grow_slots(me, &everybody).expect("room"));
            }
        });
        let more = map.head().slots.grown.load(Ordering::Relaxed) - before;
        assert!((1..=4).contains(&(more / SEGMENT as u32)) && (more as usize).is_multiple_of(SEGMENT), "round {round}");
    }
    let segments = map.head().slots.grown.load(Ordering::Relaxed) / SEGMENT as u32;
    whole(&map, &dir, segments);
    whole(&other, &dir, segments);
}

#[test]
fn threads_that_map_one_segment_at_once_get_one() {
    let (_scratch, _dir, map) = store();
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let slot = map.slot(5).expect("a slot");
                slot.tail.last.fetch_add(1, Ordering::Relaxed);
                total.fetch_xor(ptr::from_ref(slot) as u64, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(map.slot(5).expect("a slot").tail.last.load(Ordering::Relaxed), 4);
    assert_eq!(total.into_inner(), 0, "four equal addresses");
}

#[test]
fn a_grower_that_died_is_followed() {
    let (_scratch, dir, map) = store();
    // It has the lock, and has made the file longer already.
    assert!(map.head().slots.growing.try_lock(9));
    let file = open(&dir, SLOTS, false).expect("the file");
    file.set_len(2 << 20).expect("longer");
    let found = Map::open(&dir).expect("open").expect("it is good as it is");
    found.grow_slots(1, &|owner| owner != 9).expect("room");
    whole(&map, &dir, 2);
    assert!(fs::metadata(dir.join(SLOTS)).expect("the file").blocks() * 512 >= 2 << 20, "a hole is left");
}

#[test]
fn fresh_files_replace_the_old_and_leave_their_users_alone() {
    let (_scratch, dir, old) = store();
    old.head().epoch.store(1, Ordering::Relaxed);
    old.slot(1).expect("a slot").tail.last.store(1, Ordering::Relaxed);
    // What an abandoned creation leaves is in nobody's way.
    fs::write(dir.join("hot.slots.new"), "half").expect("a file");
    let new = Map::create(&dir).expect("create");
    assert_eq!(new.slot(1).expect("a slot").tail.last.load(Ordering::Relaxed), 0);
    assert_eq!(old.slot(1).expect("a slot").tail.last.load(Ordering::Relaxed), 1);
    old.grow_slots(1, &everybody).expect("room");
    assert!(old.slot(9000).is_some() && new.slot(9000).is_none());
    assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 3);
}

#[test]
fn what_is_not_ours_or_not_whole_is_none() {
    let spoil = |what: &str, spoil: &dyn Fn(&Path, &Map)| {
        let (_scratch, dir, map) = store();
        spoil(&dir, &map);
        assert!(matches!(Map::open(&dir), Ok(None)), "{what}");
        Map::create(&dir).expect(what);
        assert!(matches!(Map::open(&dir), Ok(Some(_))), "{what}, made anew");
    };
    let length = |name: &'static str, change: i64| {
        move |dir: &Path, _: &Map| {
            let file = open(dir, name, false).expect("the file");
            let size = file.metadata().expect("its size").len();
            file.set_len(size.checked_add_signed(change).expect("a size")).expect("its size");
        }
    };
    spoil("the magic", &|_, map| map.head().magic.store(MAGIC + 1, Ordering::Relaxed));
    spoil("the layout", &|_, map| map.head().layout.store(LAYOUT + 1, Ordering::Relaxed));
    spoil("the endianness", &|_, map| map.head().endian.store(ENDIAN.swap_bytes(), Ordering::Relaxed));
    spoil("a head too short", &length(HEAD, -1));
    spoil("a head too long", &length(HEAD, 4096));
    spoil("slots too short", &length(SLOTS, -1));
    spoil("records too short", &length(REQUESTS, -4096));
    spoil("half a segment", &|_, map| map.head().slots.grown.store(SEGMENT as u32 / 2, Ordering::Relaxed));
    spoil("more slots than there are", &|_, map| map.head().slots.grown.store(2 * SEGMENT as u32, Ordering::Relaxed));
    spoil("too many records", &|_, map| map.head().records.grown.store(u32::MAX, Ordering::Relaxed));
    for name in [HEAD, SLOTS, REQUESTS] {
        spoil(name, &|dir, _| fs::remove_file(dir.join(name)).expect(name));
        spoil(name, &|dir, _| fs::write(dir.join(name), "").expect(name));
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let scratch = Scratch::new();
    let error = Map::create(&scratch.store()).err().expect("nowhere");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("store/hot.head.new"), "{error}");
    assert!(matches!(Map::open(&scratch.store()), Ok(None)));
}

#[test]
fn a_limit_of_the_size_of_files_is_an_error_and_breaks_nothing() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.store()).expect("a directory");
    let mut other = Other::spawn(PROCESS, "limited", &scratch.store());
    other.expect("done");
    other.finish();
}

#[test]
fn a_full_disk_is_an_error_and_breaks_nothing() {
    let scratch = Scratch::new();
    let dir = scratch.store();
    fs::create_dir(&dir).expect("a directory");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&dir).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        // Only root may; the limit of the size of files goes the same way.
        return;
    }
    let done = std::panic::catch_unwind(|| {
        let map = Map::create(&dir).expect("it fits");
        map.grow_slots(1, &everybody).expect("room");
        let error = map.grow_slots(1, &everybody).expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().starts_with("no room for 1024 KiB of hot.slots in "), "{error}");
        assert!(error.message().ends_with(": free 0 MiB there"), "{error}");
        whole(&map, &dir, 2);
        // There is no room for fresh files either: those that are there stay.
        let error = Map::create(&dir).err().expect("no room");
        assert!(error.message().starts_with("no room for "), "{error}");
        assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 3);
        let again = Map::open(&dir).expect("open").expect("hot files");
        whole(&again, &dir, 2);
        assert!(again.grow_records(1, &everybody).is_err());
    });
    let gone = Command::new("umount").arg("-l").arg(&dir).status();
    assert!(gone.is_ok_and(|status| status.success()), "it can't be unmounted");
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn without_blocks_in_advance_zeros_are_written() {
    let scratch = Scratch::new();
    let file = open(scratch.path(), "file", true).expect("a file");
    file.write_all_at(&[7; 100], 0).expect("bytes");
    write_zeros(&file, 100, 200_000).expect("zeros");
    let written = fs::read(scratch.path().join("file")).expect("the file");
    assert_eq!(written.len(), 200_100);
    assert!(written[..100].iter().all(|byte| *byte == 7) && written[100..].iter().all(|byte| *byte == 0));
}
