//! A few threads in the schedules of their locks and atomics: admission, trade, features, changes and the queue of a pool,
//! with the engine and the memory table that everybody uses. Who goes on at each of them shuttle decides (`sync.rs` has its
//! types then), by dice, with few changes of thread, and in every way there is with so many of them.
//!
//! ```sh
//! cargo test -p libsession-core --features shuttle --test schedules
//! ```
//!
//! A schedule that breaks a promise is printed and can be played again: `shuttle::replay(story, "...")`.
//! `LSES_TORTURE=1` plays a million and tells how many there were.

mod admission;
mod bounded;
mod changes;
mod check;
mod features;
mod locks;
mod queue;
mod shop;
mod teeth;
mod trade;
