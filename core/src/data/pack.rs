//! Nodes and values as MessagePack.
//!
//! A value is what MessagePack has for it: integers as short as they come, floats as float 64 only, text as `str`, bytes
//! as `bin`, lists and maps as such. A node without children is its value. A node with children is an extension of type 1:
//! the map of its children, in collation order, and after it its own value if it has one. Keys of that map are integers
//! and texts; other numbers are `bin`, the bytes of [`key`](super::key).

use std::slice;

use rmp::encode::{self, ByteBuf};

use super::key::write_key;
use super::level::Level;
use super::node::Node;
use super::subscript::Subscript;
use super::value::Value;

/// The extension that a node with children is.
pub(super) const NODE: i8 = 1;
/// The bytes before the content of an extension of up to 255 bytes.
const SHORT: usize = 3;

/// Lists and maps that are begun.
enum Open<'a> {
    List(slice::Iter<'a, Value>),
    Map(slice::Iter<'a, (String, Value)>),
}

/// What is written, one after another.
pub(super) struct Pack(ByteBuf);

impl Pack {
    /// Begins with a format byte.
    pub(super) fn new(format: u8) -> Self {
        let mut out = ByteBuf::with_capacity(64);
        out.as_mut_vec().push(format);
        Self(out)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_vec()
    }

    pub(super) fn list(&mut self, length: u32) {
        let Ok(_) = encode::write_array_len(&mut self.0, length);
    }

    pub(super) fn number(&mut self, number: u64) {
        let Ok(_) = encode::write_uint(&mut self.0, number);
    }

    /// A node that has a value or children. Recurses as deep as paths are long.
    pub(super) fn node(&mut self, node: &Node) {
        if let Some(level) = node.children() {
            self.branch(level, node.value.as_ref());
        } else if let Some(value) = &node.value {
            self.value(value);
        }
    }

    fn branch(&mut self, level: &Level<Node>, own: Option<&Value>) {
        let start = self.0.as_vec().len();
        self.0.as_mut_vec().extend_from_slice(&[0; SHORT]);
        let Ok(_) = encode::write_map_len(&mut self.0, length(level.len()));
        for (key, child) in level.iter() {
            self.subscript(key);
            self.node(child);
        }
        if let Some(value) = own {
            self.value(value);
        }
        self.close(start);
    }

    /// Writes the beginning of an extension, now that its length is known.
    fn close(&mut self, start: usize) {
        let out = self.0.as_mut_vec();
        let body = start + SHORT;
        let mut header = [0; 6];
        let mut rest = header.as_mut_slice();
        // Can't fail: no beginning is longer than 6 bytes.
        let _ = encode::write_ext_meta(&mut rest, length(out.len() - body), NODE);
        let left = rest.len();
        let header = header.get(..header.len() - left).unwrap_or_default();
        match out.get_mut(start..body) {
            Some(room) if room.len() == header.len() => room.copy_from_slice(header),
            _ => drop(out.splice(start..body, header.iter().copied())),
        }
    }

    fn subscript(&mut self, subscript: &Subscript) {
        if let Some(integer) = subscript.as_i64() {
            let Ok(_) = encode::write_sint(&mut self.0, integer);
        } else if let Some(text) = subscript.as_text() {
            let Ok(_) = encode::write_str(&mut self.0, text);
        } else {
            let mut key = Vec::with_capacity(24);
            write_key(&mut key, subscript);
            let Ok(_) = encode::write_bin(&mut self.0, &key);
        }
    }

    /// A value; however deep it is, it does not recurse.
    pub(super) fn value(&mut self, value: &Value) {
        let mut open = Vec::new();
        self.begin(value, &mut open);
        while let Some(last) = open.last_mut() {
            let next = match last {
                Open::List(list) => list.next(),
                Open::Map(map) => map.next().map(|(key, value)| {
                    let Ok(_) = encode::write_str(&mut self.0, key);
                    value
                }),
            };
            match next {
                Some(value) => self.begin(value, &mut open),
                None => drop(open.pop()),
            }
        }
    }

    fn begin<'a>(&mut self, value: &'a Value, open: &mut Vec<Open<'a>>) {
        let out = &mut self.0;
        match value {
            Value::Null => {
                let Ok(_) = encode::write_nil(out);
            }
            Value::Bool(value) => {
                let Ok(_) = encode::write_bool(out, *value);
            }
            Value::Int(number) => {
                let Ok(_) = encode::write_sint(out, *number);
            }
            Value::Float(number) => {
                let Ok(_) = encode::write_f64(out, *number);
            }
            Value::Text(text) => {
                let Ok(_) = encode::write_str(out, text);
            }
            Value::Bytes(bytes) => {
                let Ok(_) = encode::write_bin(out, bytes);
            }
            Value::List(list) => {
                let Ok(_) = encode::write_array_len(out, length(list.len()));
                open.push(Open::List(list.iter()));
            }
            Value::Map(map) => {
                let Ok(_) = encode::write_map_len(out, length(map.len()));
                open.push(Open::Map(map.iter()));
            }
        }
    }
}

/// Quotas are far below 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
