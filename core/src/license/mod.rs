//! License units: the pure rules, and what they are told and tell.

pub(crate) mod account;
pub mod audit;
pub(crate) mod books;
pub(crate) mod ledger;
pub mod policy;
pub(crate) mod recount;
pub mod rules;
#[cfg(test)]
mod tests;

pub use audit::{Audit, AuditKind, AuditRecord, AuditWhy, HolderUsage, Usage};
