//! The data of a session: a multidimensional tree of values, as M globals are.
//!
//! A path of [`Subscript`]s names a node; a node has a [`Value`], children, or both. [`Tree`] is what is committed,
//! [`Writes`] are the changes of one request above it until it finishes, and [`Quotas`] bound both.

mod json;
mod level;
#[cfg(test)]
mod model;
mod node;
mod overlay;
mod parse;
mod quotas;
mod runs;
mod subscript;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod writes;

pub use json::{from_json, from_json_levels, to_json, tree_from_json, tree_to_json};
pub use quotas::{MAX_LEVELS, Quotas};
pub use subscript::{Direction, Subscript, path_text};
pub use tree::{Iter, Tree};
pub use value::Value;
pub use writes::Writes;
