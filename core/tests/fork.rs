//! After a fork: what was made before answers `forked`, what is made in the child works and shares no secret.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use libsession_core::*;

/// Runs a body in the child of a fork and gives back what it wrote. The child leaves without any destructor.
fn in_child(body: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut pipe = [0; 2];
    // SAFETY: the array has room for the two descriptors that the call writes.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child runs the body and leaves by `_exit`; no lock that another thread held is taken on its way, as
    // the tests of this process fork one after the other and the engine's threads hold none while they sleep.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|_| b"panic".to_vec());
        // SAFETY: the descriptor is the pipe's and the bytes are `said`'s own; `_exit` does not return.
        unsafe {
            libc::write(pipe[1], said.as_ptr().cast(), said.len());
            libc::_exit(0);
        }
    }
    let mut said = vec![0; 4096];
    // SAFETY: the descriptors are the pipe's, and `said` has as much room as is named.
    let length = unsafe {
        libc::close(pipe[1]);
        let mut poll = libc::pollfd { fd: pipe[0], events: libc::POLLIN, revents: 0 };
        assert_eq!(libc::poll(&raw mut poll, 1, 20_000), 1, "the child says nothing");
        let length = libc::read(pipe[0], said.as_mut_ptr().cast(), said.len());
        libc::close(pipe[0]);
        length
    };
    let until = Instant::now() + Duration::from_secs(20);
    let mut status = 0;
    // SAFETY: `status` outlives the call; the child is this process's own.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        assert!(Instant::now() < until, "the child does not leave");
        std::thread::yield_now();
    }
    assert_eq!(status, 0, "the child ended badly");
    said.truncate(usize::try_from(length).expect("read"));
    said
}

/// One fork at a time: no other test's thread may hold a lock that the child needs.
static ALONE: Mutex<()> = Mutex::new(());

fn open() -> Manager {
    Manager::new(Config::new().application(Application::new("shop"))).expect("manager")
}

#[test]
fn a_manager_and_its_requests_are_forked_in_the_child_and_whole_in_the_parent() {
    let _alone = ALONE.lock();
    let manager = open();
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let (token, id) = (request.token().reveal(), request.id());
    let said = in_child(|| {
        let kinds = [
            manager.create(CreateOptions::new("shop")).err().map(|error| error.kind()),
            manager.begin(&token, BeginOptions::default()).err().map(|error| error.kind()),
            manager.touch(&token, TouchKind::Activity).err().map(|error| error.kind()),
            manager.end(id, EndOptions::default()).err().map(|error| error.kind()),
            manager.count().err().map(|error| error.kind()),
            manager.stats().err().map(|error| error.kind()),
            manager.reap_now().err().map(|error| error.kind()),
            request.get(&[Subscript::from("a")]).err().map(|error| error.kind()),
            request.save().err().map(|error| error.kind()),
            request.finish().err().map(|error| error.kind()),
        ];
        let wrong = kinds.iter().filter(|kind| **kind != Some(ErrorKind::Forked)).count();
        // A close and the drop of every handle are nothing here, and return.
        let report = manager.close(Duration::from_secs(5));
        drop((request.clone(), manager.clone()));
        format!("{wrong} wrong of {}, {} ended", kinds.len(), report.ended).into_bytes()
    });
    assert_eq!(String::from_utf8_lossy(&said), "0 wrong of 10, 0 ended");
    assert_eq!(manager.count(), Ok(1));
    request.finish().expect("the parent's request");
    assert_eq!(manager.close(Duration::from_secs(1)).ended, 1);
}

#[test]
fn a_manager_of_the_child_works_and_its_tokens_are_its_own() {
    // The parent has made tokens already: its generator is seeded.
    let _alone = ALONE.lock();
    let manager = open();
    manager.create(CreateOptions::new("shop")).expect("create");
    let child = || {
        in_child(|| {
            let shop = Application::new("shop").idle_timeout(Duration::from_millis(100));
            let manager = Manager::new(Config::new().application(shop)).expect("manager");
            let token = manager.create(CreateOptions::new("shop")).expect("create").token.reveal();
            let until = Instant::now() + Duration::from_secs(10);
            while manager.count() != Ok(0) {
                assert!(Instant::now() < until, "there is no reaper in the child");
                std::thread::yield_now();
            }
            manager.close(Duration::from_secs(1));
            token.into_bytes()
        })
    };
    let tokens = [child(), child(), child()];
    assert!(tokens.iter().all(|token| token.len() == 40), "{}", String::from_utf8_lossy(&tokens[0]));
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2] && tokens[0] != tokens[2], "two children share a token");
    manager.close(Duration::from_secs(1));
}

/// A directory of a store, gone with it.
struct Store(std::path::PathBuf);

impl Store {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lses-fork-{name}-{}", std::process::id())))
    }

    fn open(&self) -> Manager {
        let mut config = Config::new().application(Application::new("shop"));
        config.store = format!("file:{}", self.0.display());
        Manager::new(config).expect("manager")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_manager_on_a_shared_store_reopens_by_itself_in_the_child() {
    let _alone = ALONE.lock();
    let store = Store::new("reopen");
    let manager = store.open();
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let (token, id) = (request.token().reveal(), request.id());
    let said = in_child(|| {
        let one = BeginOptions { lock_timeout: Some(Duration::ZERO), ..BeginOptions::default() };
        // The parent's request holds the lock still.
        let busy = manager.begin(&token, one).err().map(|error| error.kind());
        let made = manager.create(CreateOptions::new("shop")).is_ok();
        let stale = request.save().err().map(|error| error.kind());
        let count = manager.count();
        // Of the child of the child as well.
        let grandchild = in_child(|| format!("{:?}", manager.count()).into_bytes());
        let report = manager.close(Duration::from_secs(5));
        format!(
            "{busy:?} {made} {stale:?} {count:?} {} {} {}",
            String::from_utf8_lossy(&grandchild),
            report.ended,
            report.in_flight
        )
        .into_bytes()
    });
    assert_eq!(
        String::from_utf8_lossy(&said),
        "Some(LockTimeout) true Some(Forked) Ok(2) Ok(2) 0 0",
        "busy, made, stale, count, of the grandchild, ended, in flight"
    );
    // The parent goes on exactly.
    request.finish().expect("finish");
    assert_eq!(manager.count(), Ok(2));
    assert!(matches!(manager.end(id, EndOptions::default()), Ok(EndOutcome::Ended(_))));
    assert_eq!((manager.count(), manager.check()), (Ok(1), Ok(Vec::new())));
    manager.close(Duration::from_secs(1));
}

#[test]
fn the_groups_of_a_user_are_asked_for_in_the_child_too() {
    let _alone = ALONE.lock();
    let store = Store::new("groups");
    let mut config = Config::new().application(Application::new("shop"));
    config.store = format!("file:{}", store.0.display());
    let config = config.pool(Pool { exclude: vec!["group:guests".into()], ..Pool::new("main", 3) });
    let manager = Manager::new(config).expect("manager");
    let resolver = |user: &str| Ok(vec![if user == "eve" { "guests" } else { "staff" }.to_owned()]);
    manager.set_group_resolver(Some(std::sync::Arc::new(resolver))).expect("set");
    let login = |user: &str| {
        let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default())?;
        let login = request.login(user)?;
        request.end(EndOptions::default())?;
        Ok(login.trade_denied.and_then(|denied| denied.deny_reason()))
    };
    let both = || -> Result<Vec<Option<DenyReason>>> { Ok(vec![login("eve")?, login("ann")?]) };
    let wanted = Ok(vec![Some(DenyReason::Excluded), None]);
    assert_eq!(both(), wanted);
    let told = in_child(|| format!("{:?}", both()).into_bytes());
    assert_eq!(String::from_utf8(told), Ok(format!("{wanted:?}")));
    assert_eq!(both(), wanted);
}

#[test]
fn forks_under_load_lose_nothing_that_parent_or_child_were_told() {
    let _alone = ALONE.lock();
    let store = Store::new("load");
    let manager = store.open();
    let over = std::sync::atomic::AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut made = 0_u64;
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        if made < 3000 {
                            manager.create(CreateOptions::new("shop")).expect("create");
                            made += 1;
                        } else {
                            manager.usage("none").expect_err("there is no pool");
                            manager.pools().expect("pools");
                        }
                    }
                    made
                })
            })
            .collect();
        let mut made = 0_u64;
        for _ in 0..20 {
            let said = in_child(|| {
                let made: Result<Vec<_>, _> = (0..5).map(|_| manager.create(CreateOptions::new("shop"))).collect();
                manager.close(Duration::from_secs(5));
                made.map_or_else(|error| error.to_string(), |made| made.len().to_string()).into_bytes()
            });
            assert_eq!(String::from_utf8_lossy(&said), "5");
            made += 5;
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).sum::<u64>() + made
    });
    assert_eq!((manager.count(), manager.check()), (Ok(made), Ok(Vec::new())));
    manager.close(Duration::from_secs(1));
    // What was committed is there for whoever opens next.
    let again = store.open();
    assert_eq!((again.count(), again.check()), (Ok(made), Ok(Vec::new())));
    again.close(Duration::from_secs(1));
}

#[test]
fn a_child_that_can_not_open_the_store_says_why_and_opens_it_when_it_can() {
    let _alone = ALONE.lock();
    let store = Store::new("why");
    let manager = store.open();
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let aside = store.0.with_extension("aside");
    let said = in_child(|| {
        std::fs::rename(&store.0, &aside).expect("away");
        std::fs::write(&store.0, "no directory").expect("written");
        let error = manager.count().expect_err("there is no store");
        std::fs::remove_file(&store.0).expect("removed");
        std::fs::rename(&aside, &store.0).expect("back");
        let kind = error.kind();
        let named = error.message().contains(&store.0.display().to_string());
        let count = manager.count();
        // What is of before the fork stays so.
        let of_before = request.save().expect_err("it is the parent's").kind();
        manager.close(Duration::from_secs(1));
        format!("{} {named} {count:?} {of_before:?}", kind != ErrorKind::Forked).into_bytes()
    });
    assert_eq!(String::from_utf8_lossy(&said), "true true Ok(1) Forked");
    request.finish().expect("finish");
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_request_that_outlived_its_manager_is_let_go_in_the_child_and_goes_on_in_the_parent() {
    let _alone = ALONE.lock();
    let store = Store::new("let-go");
    for manager in [open(), store.open()] {
        let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
        request.set(&[Subscript::from("a")], Value::from(1)).expect("set");
        drop(manager);
        let mut request = Some(request);
        let said = in_child(|| {
            drop(request.take());
            b"gone".to_vec()
        });
        assert_eq!(String::from_utf8_lossy(&said), "gone");
        request.expect("the parent's").finish().expect("finish");
    }
}
