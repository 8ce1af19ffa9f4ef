//! The native half of the npm package `libsession`. Private: `lib/*.cjs` is what people see.
//!
//! - `isolate` is what each JavaScript thread has of its own: a queue of what is to be done there, and one weak
//!   thread-safe function that says "come and take".
//! - `handler` is an event class whose callbacks are JavaScript: deciders run at once on the thread that asks,
//!   notifications go through the queue.
//! - `manager`, `manage`, `request`, `data` and `clock` are the engine's nouns; `outcome`, `account` and `options` how
//!   they look in JavaScript.

#![warn(missing_docs)]
// In a test build nothing is exported, so that nothing seems to be used.
#![cfg_attr(test, allow(dead_code))]

mod account;
mod attached;
mod clock;
mod data;
mod error;
mod groups;
mod handler;
mod isolate;
mod journal;
mod manage;
mod manager;
mod options;
mod outcome;
mod queue;
mod registry;
mod request;
mod snapshot;
mod value;
mod wait;
mod words;
