//! What the verbs of a table take and give.

mod charge;
mod end;
mod holder;
mod pool;
mod request;
mod session;
mod table;
mod waiter;

pub use charge::*;
pub use end::*;
pub use holder::*;
pub use pool::*;
pub use request::*;
pub use session::*;
pub use table::*;
pub use waiter::*;
