//! The data of a session: a multidimensional tree of values, as M globals are.
//!
//! A path of [`Subscript`]s names a node; a node has a [`Value`], children, or both. [`Tree`] is what is committed,
//! [`Writes`] are the changes of one request above it until it finishes, and [`Quotas`] bound both.

mod changes;
mod inner;
mod json;
mod key;
mod level;
#[cfg(test)]
mod model;
mod node;
mod overlay;
mod pack;
mod parse;
mod quotas;
mod runs;
mod stored;
#[cfg(test)]
mod stored_tests;
mod subscript;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod value;
mod writes;

pub(crate) use changes::{Changes, RowChange};
pub use json::{from_json, from_json_levels, to_json, tree_from_json, tree_to_json};
pub use quotas::{MAX_LEVELS, Quotas};
pub(crate) use stored::StoredRow;
#[allow(unused_imports)]
pub(crate) use stored::{decode_tree, encode_tree};
pub use subscript::{Direction, Subscript, path_text};
pub use tree::{Iter, Tree};
pub use value::Value;
pub use writes::Writes;
