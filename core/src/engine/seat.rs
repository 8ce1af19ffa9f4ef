//! A manager's engine, and the one that takes its place in the child of a fork.

#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::Engine;
use crate::config::Config;
use crate::error::Result;
use crate::event::{EventClass, GroupResolver, contain};
use crate::fork;
use crate::session::CloseReport;
use crate::sync::Mutex;

/// The engine of one process. In a child of a fork it is as the fork found it, locks and all: it is neither used nor
/// dropped there, and another one is opened if the table outlives its managers.
pub(crate) struct Seat {
    engine: ManuallyDrop<Arc<Engine>>,
    config: Config,
    /// What is registered here is registered in the child, too. Locked only while no thread forks.
    classes: Mutex<Vec<EventClass>>,
    /// The same of who resolves groups.
    resolver: Mutex<Option<Arc<dyn GroupResolver>>>,
    forks: u64,
    /// The seat of the child; null while there is none.
    child: AtomicPtr<Seat>,
    /// The number of forks of the process whose thread opens the child's seat, plus one.
    opening: AtomicU64,
}

impl Seat {
    pub fn new(mut config: Config) -> Result<Self> {
        // The child may have gone to another directory by then.
        if let Some(path) = config.store.strip_prefix("file:").filter(|path| !path.is_empty())
            && let Ok(path) = std::path::absolute(path)
            && let Some(path) = path.to_str()
        {
            config.store = format!("file:{path}");
        }
        Self::open(config, Vec::new(), None)
    }

    fn open(config: Config, classes: Vec<EventClass>, resolver: Option<Arc<dyn GroupResolver>>) -> Result<Self> {
        let engine = Engine::new(config.clone())?;
        let forks = fork::generation();
        for class in &classes {
            engine.register(class.clone())?;
        }
        if resolver.is_some() {
            engine.set_group_resolver(resolver.clone())?;
        }
        Ok(Self {
            engine: ManuallyDrop::new(engine),
            config,
            classes: Mutex::new(classes),
            resolver: Mutex::new(resolver),
            forks,
            child: AtomicPtr::new(ptr::null_mut()),
            opening: AtomicU64::new(0),
        })
    }

    /// Whether other processes share the table.
    pub fn is_shared(&self) -> bool {
        self.engine.outlives
    }

    /// The engine of this process. The one of before the fork, which answers `forked`, if there can be no other.
    #[inline]
    pub fn engine(&self) -> &Arc<Engine> {
        if self.forks == fork::generation() || !self.engine.outlives { &self.engine } else { self.reopened() }
    }

    #[cold]
    fn reopened(&self) -> &Arc<Engine> {
        match self.in_child() {
            Some(child) => child.engine(),
            None => match self.open_child() {
                Ok(child) => child.engine(),
                Err(error) => {
                    log::error!(target: "libsession", "the store can't be opened in the child of a fork: {}", error.message());
                    self.engine.not_reopened(Some(error));
                    &self.engine
                }
            },
        }
    }

    fn in_child(&self) -> Option<&Self> {
        let child = self.child.load(Ordering::Acquire);
        // SAFETY: what is in `child` was made by `Box::into_raw` in `open_child`, is never replaced, and is freed only when
        // this seat is dropped, which nobody can do while it is borrowed.
        unsafe { child.as_ref() }
    }

    /// Opens the child's seat: one thread does, the others wait for it.
    fn open_child(&self) -> Result<&Self> {
        let mark = fork::generation() + 1;
        loop {
            let opening = self.opening.load(Ordering::Acquire);
            // A mark of another process is one that was copied: its thread is not here.
            if opening != mark
                && self.opening.compare_exchange(opening, mark, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                break;
            }
            if let Some(child) = self.in_child() {
                return Ok(child);
            }
            std::thread::yield_now();
        }
        if let Some(child) = self.in_child() {
            self.opening.store(0, Ordering::Release);
            return Ok(child);
        }
        let opened = Self::open(self.config.clone(), self.classes(), self.resolver());
        let opened = opened.map(|seat| {
            self.engine.not_reopened(None);
            let seat = Box::into_raw(Box::new(seat));
            self.child.store(seat, Ordering::Release);
            // SAFETY: as in `in_child`.
            unsafe { &*seat }
        });
        self.opening.store(0, Ordering::Release);
        opened
    }

    fn classes(&self) -> Vec<EventClass> {
        self.classes.lock().clone()
    }

    fn resolver(&self) -> Option<Arc<dyn GroupResolver>> {
        self.resolver.lock().clone()
    }

    pub fn set_group_resolver(&self, resolver: Option<Arc<dyn GroupResolver>>) -> Result<()> {
        let seat = self.here();
        seat.engine.set_group_resolver(resolver.clone())?;
        let before = {
            let _still = fork::still();
            std::mem::replace(&mut *seat.resolver.lock(), resolver)
        };
        contain::run("a group resolver's destructor", || drop(before));
        Ok(())
    }

    pub fn register(&self, class: EventClass) -> Result<()> {
        let seat = self.here();
        seat.engine.register(class.clone())?;
        let _still = fork::still();
        seat.classes.lock().push(class);
        Ok(())
    }

    pub fn unregister(&self, name: &str, namespace: &str) -> Result<bool> {
        let seat = self.here();
        let gone = seat.engine.unregister(name, namespace)?;
        let forgotten: Vec<EventClass> = {
            let _still = fork::still();
            let mut classes = seat.classes.lock();
            classes.extract_if(.., |class| class.name == name && class.namespace == namespace).collect()
        };
        drop(forgotten);
        Ok(gone)
    }

    /// The seat of this process, or the nearest there is.
    fn here(&self) -> &Self {
        self.engine();
        match self.in_child() {
            Some(child) => child.here(),
            None => self,
        }
    }

    /// Closes what this process opened; a child that did not use the manager has nothing to close.
    pub fn close(&self, grace: std::time::Duration) -> CloseReport {
        if self.forks == fork::generation() {
            return self.engine.close(grace);
        }
        self.in_child().map_or_else(CloseReport::default, |child| child.close(grace))
    }

    pub fn is_closed(&self) -> bool {
        match self.in_child() {
            Some(child) if self.forks != fork::generation() => child.is_closed(),
            _ => self.engine.is_closed(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let child = *self.child.get_mut();
        if !child.is_null() {
            // SAFETY: it was made by `Box::into_raw`, and nobody borrows this seat any more.
            drop(unsafe { Box::from_raw(child) });
        }
        if self.forks == fork::generation() {
            // SAFETY: it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}
