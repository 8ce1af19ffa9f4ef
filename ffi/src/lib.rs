//! The C interface of libsession: `include/libsession.h` is generated from this crate.
//!
//! Thin: an entry borrows, converts, calls the core, writes. `guard`, `handle`, `bytes`, `status`, `user_data` are the
//! plumbing; every other module is a noun of the header, in the header's order. Doc comments of public items are written
//! for C readers: they are the header.

#![allow(clippy::missing_safety_doc)]

pub mod version;

pub mod status;

pub mod bytes;

pub mod names;

pub mod user_data;

pub mod log;

pub mod clock;

pub mod config;

pub mod license;
pub mod pool;

pub mod session;

pub mod receipt;

pub mod manager;

pub mod manage;

pub mod dispatch;

pub mod stats;

pub mod event;

pub mod value;

pub mod request;

pub mod login;

pub mod belongings;

pub mod request_data;

pub mod feature;

pub mod groups;

pub mod queue;

pub mod completions;

pub mod answer;
pub mod later;

mod exit;
mod guard;
mod handle;
mod json;
mod poll;
mod threads;
