//! License units: the pure rules, and what they are told and tell.

pub(crate) mod account;
pub mod audit;
pub(crate) mod ledger;
pub(crate) mod recount;
pub mod rules;

pub use audit::{Audit, AuditKind, AuditRecord, HolderUsage, Usage};
