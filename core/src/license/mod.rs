//! License units: the pure rules, and what they are told and tell.

pub(crate) mod account;
pub mod audit;
pub(crate) mod back;
pub(crate) mod books;
pub(crate) mod client;
pub(crate) mod course;
pub(crate) mod crawlers;
pub(crate) mod crowd;
mod desk;
mod evict;
mod join;
pub(crate) mod ledger;
mod line;
pub(crate) mod outlook;
mod places;
mod plain;
pub mod policy;
pub(crate) mod queue;
pub(crate) mod recount;
pub(crate) mod redefine;
pub mod rules;
mod slack;
pub(crate) mod state;
mod statement;
#[cfg(test)]
mod tests;
mod tidy;
pub(crate) mod waiter;

pub use audit::{Accounts, Audit, AuditKind, AuditRecord, AuditWhy, Denials, HolderUsage, Usage, Waiter};
