//! JavaScript objects that are kept with a session, as the engine sees them: a number that tells when it is let go.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::isolate::{Isolate, Item};

/// One object of one environment.
pub struct Attached {
    isolate: Arc<Isolate>,
    number: u32,
    taken: AtomicBool,
}

impl Attached {
    /// The object that the environment keeps under this number.
    pub fn keep(isolate: Arc<Isolate>, number: u32) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Self { isolate, number, taken: AtomicBool::new(false) })
    }

    /// The number, if it is an object of this environment. `take` gives it back to its owner.
    pub fn number(object: Option<Arc<dyn Any + Send + Sync>>, isolate: u64, take: bool) -> Option<u32> {
        let object = object?.downcast::<Self>().ok()?;
        if object.isolate.id != isolate {
            return None;
        }
        if take {
            object.taken.store(true, Ordering::SeqCst);
        }
        Some(object.number)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.taken.load(Ordering::SeqCst) {
            // An environment that has ended has let go of its objects.
            let _ = self.isolate.push(Item::Released(self.number));
        }
    }
}
