//! What a node of the tree holds.

use std::collections::{HashMap, HashSet};

use super::quotas::{Quotas, exceeded};
use super::subscript::Subscript;
use crate::error::{Error, Result};

/// The bytes that each element of a list or map counts for, besides its key and value.
const ELEMENT: usize = 8;

/// A value of a node: a scalar, or a JSON-shaped list or map that is read and written as one.
///
/// Written by one language, it is read as the same in another: an integer stays an integer, `1.0` a float, empty
/// lists and maps stay. Equality is by kind and content, `Int(1) != Float(1.0)`, maps compare with their order, and
/// NaN equals nothing.
///
/// Nesting is bounded by [`Quotas::levels`] when a value is set; whoever builds one from input should check
/// [`MAX_LEVELS`](super::MAX_LEVELS) while building it, as dropping a value recurses.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A value that says there is none; unlike an undefined node.
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float; NaN and the infinities are values, too.
    Float(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key, in the order of insertion. Keys are unique: build it by [`Value::map`].
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A map of these entries; of equal keys the last value wins, at the place of the first.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut map: Vec<(String, Value)> = Vec::new();
        for (key, value) in entries {
            let key = key.into();
            match places.get(&key).and_then(|&place| map.get_mut(place)) {
                Some(entry) => entry.1 = value,
                None => {
                    places.insert(key.clone(), map.len());
                    map.push((key, value));
                }
            }
        }
        Self::Map(map)
    }

    /// The size that quotas count.
    ///
    /// Null and booleans 1, numbers 8, text and bytes their length, lists and maps 8 for each element besides its key
    /// and value. Nothing counts as 0: the least is 1.
    pub fn bytes_used(&self) -> usize {
        let mut sum = 0usize;
        // Scalars, the common case, allocate nothing.
        let mut todo = Vec::new();
        let mut next = Some(self);
        while let Some(value) = next {
            sum = sum.saturating_add(match value {
                Self::Null | Self::Bool(_) => 1,
                Self::Int(_) | Self::Float(_) => 8,
                Self::Text(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                Self::List(list) => {
                    todo.extend(list);
                    list.len() * ELEMENT
                }
                Self::Map(map) => {
                    todo.extend(map.iter().map(|entry| &entry.1));
                    map.iter().map(|entry| entry.0.len() + ELEMENT).sum()
                }
            });
            next = todo.pop();
        }
        sum.max(1)
    }

    /// How deep lists and maps are nested: 0 for a scalar, 1 for `[]` or `[1]`, 2 for `[[]]`.
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut todo = vec![(self, 0)];
        while let Some((value, above)) = todo.pop() {
            deepest = deepest.max(above);
            match value {
                Self::List(list) => {
                    deepest = deepest.max(above + 1);
                    todo.extend(list.iter().map(|value| (value, above + 1)));
                }
                Self::Map(map) => {
                    deepest = deepest.max(above + 1);
                    todo.extend(map.iter().map(|entry| (&entry.1, above + 1)));
                }
                _ => {}
            }
        }
        deepest
    }

    /// Checks size and depth against `quotas`, and that no map has a key twice. Errors: `Quota`, `Invalid`.
    pub fn check(&self, quotas: &Quotas) -> Result<()> {
        self.check_at(quotas, &[])
    }

    pub(super) fn check_at(&self, quotas: &Quotas, path: &[Subscript]) -> Result<()> {
        if !matches!(self, Self::List(_) | Self::Map(_)) {
            return self.check_bytes(quotas, path);
        }
        let depth = self.depth();
        let levels = quotas.max_levels();
        if depth > levels {
            return Err(exceeded(&format!("value of {depth} levels"), path, &format!("{levels} levels")));
        }
        self.check_bytes(quotas, path)?;
        let mut todo = vec![self];
        while let Some(value) = todo.pop() {
            match value {
                Self::List(list) => todo.extend(list),
                Self::Map(map) => {
                    let mut keys = HashSet::with_capacity(map.len());
                    if !map.iter().all(|entry| keys.insert(entry.0.as_str())) {
                        return Err(Error::invalid("a map has the same key twice; build it by Value::map"));
                    }
                    todo.extend(map.iter().map(|entry| &entry.1));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_bytes(&self, quotas: &Quotas, path: &[Subscript]) -> Result<()> {
        let bytes = self.bytes_used();
        if bytes <= quotas.value_bytes {
            return Ok(());
        }
        Err(exceeded(&format!("value of {bytes} bytes"), path, &format!("{} bytes a value", quotas.value_bytes)))
    }

    /// The kind's word: `null`, `bool`, `int`, `float`, `text`, `bytes`, `list` or `map`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// The value of `key` if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.iter().find(|entry| entry.0 == key).map(|entry| &entry.1)
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(it) = self { Some(*it) } else { None }
    }

    /// The integer, if it is one; a float never is.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(it) = self { Some(*it) } else { None }
    }

    /// The float, if it is one; an integer never is.
    pub fn as_float(&self) -> Option<f64> {
        if let Self::Float(it) = self { Some(*it) } else { None }
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(it) = self { Some(it) } else { None }
    }

    /// The bytes, if they are bytes; text never is.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(it) = self { Some(it) } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(it) = self { Some(it) } else { None }
    }

    /// The entries, if it is a map.
    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        if let Self::Map(it) = self { Some(it) } else { None }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident,)+) => {
        $(impl From<$from> for Value {
            fn from(it: $from) -> Self { Self::$variant(it.into()) }
        })+
    };
}

from! {
    bool => Bool,
    i64 => Int,
    i32 => Int,
    f64 => Float,
    &str => Text,
    String => Text,
    Vec<u8> => Bytes,
    &[u8] => Bytes,
    Vec<Value> => List,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn of_equal_keys_of_a_map_the_last_wins_at_the_place_of_the_first() {
        let map = Value::map([("a", 1.into()), ("b", 2.into()), ("a", 3.into())]);
        assert_eq!(map, Value::Map(vec![("a".into(), 3.into()), ("b".into(), 2.into())]));
        assert_eq!(map.get("a"), Some(&Value::Int(3)));
        assert_eq!(map.get("c"), None);
    }

    #[test]
    fn a_map_with_a_key_twice_is_invalid() {
        let twice = Value::Map(vec![("a".into(), 1.into()), ("a".into(), 2.into())]);
        let nested = Value::List(vec![twice]);
        assert_eq!(nested.check(&Quotas::default()).map_err(|e| e.kind()), Err(ErrorKind::Invalid));
    }

    #[test]
    fn a_value_above_its_quota_is_refused_with_both_numbers() {
        let path = [Subscript::text("cart")];
        let error = Value::from("x".repeat(70_000)).check_at(&Quotas::default(), &path);
        let message = error.map_err(|e| e.message().to_string());
        let expected =
            "value of 70000 bytes at [\"cart\"] exceeds the quota of 65536 bytes a value; nothing was changed";
        assert_eq!(message, Err(expected.to_string()));
    }

    #[test]
    fn deep_nesting_is_refused_and_64_levels_are_not() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert_eq!(nested(64).depth(), 64);
        assert!(nested(64).check(&Quotas::default()).is_ok());
        let error = nested(65).check(&Quotas::default());
        assert_eq!(error.map_err(|e| e.kind()), Err(ErrorKind::Quota));
    }

    #[test]
    fn nothing_counts_as_zero_bytes() {
        for value in [Value::Null, "".into(), Value::List(vec![]), Value::Map(vec![]), Value::Bytes(vec![])] {
            assert_eq!(value.bytes_used(), 1, "{value:?}");
        }
        assert_eq!(Value::map([("ab", 1.into())]).bytes_used(), 2 + 8 + 8);
    }
}
