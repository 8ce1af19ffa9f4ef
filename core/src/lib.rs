//! libsession: one engine for sessions, timeouts and licenses.
//!
//! ```
//! use std::time::Duration;
//! use libsession_core::{Application, BeginOptions, Config, CreateOptions, Manager, Subscript, Value};
//!
//! # fn main() -> libsession_core::Result<()> {
//! let shop = Application::new("shop").idle_timeout(Duration::from_secs(900));
//! let manager = Manager::new(Config::new().application(shop))?;
//!
//! let created = manager.create(CreateOptions::new("shop"))?;
//! let token = created.token.reveal(); // the client's cookie
//!
//! let request = manager.begin(&token, BeginOptions::default())?.live()?;
//! request.set(&[Subscript::from("product")], Value::from("tea"))?;
//! request.finish()?;
//! assert_eq!(manager.count()?, 1);
//! manager.close(Duration::from_secs(1));
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]

pub mod clock;
pub mod config;
pub mod data;
mod deadline;
#[cfg(test)]
mod dice;
mod engine;
pub mod error;
pub mod event;
mod expiry;
mod fork;
pub mod id;
pub mod license;
pub mod manager;
mod plural;
pub mod reason;
pub mod request;
mod ring;
pub mod session;
mod store;
#[doc(hidden)]
pub mod sync;
pub mod table;
mod ticket;

pub use clock::{Clock, ManualClock};
pub use config::{Application, Config, Overdraft, Pool, PoolDifference, Profile, Reservation, TradeFailure};
pub use data::{Direction, Quotas, Subscript, Tree, Value};
pub use engine::granted::handed_over;
pub use error::{Error, ErrorKind, Result};
pub use event::{
    Attempt, Callbacks, ClassRef, DeadLetter, DispatchMode, Event, EventClass, EventHandler, GroupReply, GroupResolver,
    Place, PoolState, Reply, ReplyWatch, ThreadHooks, Verdict,
};
pub use id::{SessionId, Token};
pub use license::{Accounts, Audit, AuditKind, AuditRecord, AuditWhy, Denials, HolderUsage, Usage, Waiter};
pub use manager::{Manager, Then};
pub use reason::{
    ApplicationTimeout, AtSessionLimit, DenyReason, EndLevel, EndReason, EventKind, Evict, LazyUntil, LicenseClass,
    LockMode, ThreadKind, TouchKind, UnitRule,
};
pub use request::Request;
pub use session::{
    Begin, BeginOptions, Client, CloseReport, CreateOptions, Created, EndOptions, EndOutcome, Explain, Feature,
    FeatureOptions, Filter, LogEntry, Login, LoginOptions, Logout, Page, Progress, QueueOptions, Receipt, RequestInfo,
    SessionInfo, State, Stats, Touched, UnitExplain,
};
pub use store::{Durability, MAX_STORE_PATH};
pub use ticket::Ticket;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
