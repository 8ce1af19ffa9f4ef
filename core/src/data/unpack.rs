//! Reading what [`pack`](super::pack) writes, and nothing else: any bytes are read or refused.
//!
//! What is read is bounded by its bytes: each element of a list, map or node has bytes of its own, so all lengths together
//! can't be more than the bytes, and nothing is allocated for more. Levels are bounded as they are when they are set.

use std::collections::HashSet;

use rmp::Marker;

use super::key::read_key;
use super::level::Level;
use super::node::Node;
use super::pack::NODE;
use super::quotas::MAX_LEVELS;
use super::subscript::Subscript;
use super::value::Value;

/// Up to so many keys of a map are compared with each other.
const FEW: usize = 16;

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where, in bytes.
    pub(super) at: usize,
    pub(super) what: &'static str,
}

type Result<T> = std::result::Result<T, Damage>;

pub(super) struct Unpack<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the extension that is being read ends, or the bytes.
    end: usize,
    /// The elements that there still can be.
    claims: usize,
    /// The quota bytes of all nodes that were read, without their first subscripts.
    pub(super) used: usize,
    /// The values of nodes that were read.
    pub(super) count: usize,
}

impl<'a> Unpack<'a> {
    /// Reads the format byte.
    pub(super) fn new(bytes: &'a [u8], format: u8) -> Result<Self> {
        let mut it = Self { bytes, at: 0, end: bytes.len(), claims: bytes.len(), used: 0, count: 0 };
        match it.byte()? {
            first if first == format => Ok(it),
            _ => Err(Damage { at: 0, what: "the format is unknown; it may be of a later release" }),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    /// Nothing may follow.
    pub(super) fn finish(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { self.damage("more follows than there should be") }
    }

    fn damage<T>(&self, what: &'static str) -> Result<T> {
        Err(Damage { at: self.at, what })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.end);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.damage("it ends too early"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|taken| taken.first().copied().unwrap_or_default())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().or_else(|_| self.damage("it ends too early"))
    }

    fn u8(&mut self) -> Result<u64> {
        self.byte().map(u64::from)
    }

    fn u16(&mut self) -> Result<u64> {
        self.array().map(u16::from_be_bytes).map(u64::from)
    }

    fn u32(&mut self) -> Result<u64> {
        self.array().map(u32::from_be_bytes).map(u64::from)
    }

    fn marker(&mut self) -> Result<Marker> {
        self.byte().map(Marker::from_u8)
    }

    /// The length of a list, map or node of elements of so many parts: no more than there can be.
    fn claim(&mut self, length: u64, parts: usize) -> Result<usize> {
        let claimed = usize::try_from(length).ok().and_then(|length| length.checked_mul(parts));
        match claimed.and_then(|claimed| self.claims.checked_sub(claimed)) {
            Some(left) => {
                self.claims = left;
                Ok(length as usize)
            }
            None => self.damage("a length is greater than what follows"),
        }
    }

    fn text(&mut self, length: u64) -> Result<&'a str> {
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes).or_else(|_| self.damage("a text is not UTF-8"))
    }

    fn text_length(&mut self, marker: Marker) -> Result<Option<u64>> {
        Ok(Some(match marker {
            Marker::FixStr(length) => u64::from(length),
            Marker::Str8 => self.u8()?,
            Marker::Str16 => self.u16()?,
            Marker::Str32 => self.u32()?,
            _ => return Ok(None),
        }))
    }

    fn bytes_length(&mut self, marker: Marker) -> Result<Option<u64>> {
        Ok(Some(match marker {
            Marker::Bin8 => self.u8()?,
            Marker::Bin16 => self.u16()?,
            Marker::Bin32 => self.u32()?,
            _ => return Ok(None),
        }))
    }

    fn list_length(&mut self, marker: Marker) -> Result<Option<u64>> {
        Ok(Some(match marker {
            Marker::FixArray(length) => u64::from(length),
            Marker::Array16 => self.u16()?,
            Marker::Array32 => self.u32()?,
            _ => return Ok(None),
        }))
    }

    fn map_length(&mut self, marker: Marker) -> Result<Option<u64>> {
        Ok(Some(match marker {
            Marker::FixMap(length) => u64::from(length),
            Marker::Map16 => self.u16()?,
            Marker::Map32 => self.u32()?,
            _ => return Ok(None),
        }))
    }

    fn integer(&mut self, marker: Marker) -> Result<Option<i64>> {
        Ok(Some(match marker {
            Marker::FixPos(number) => i64::from(number),
            Marker::FixNeg(number) => i64::from(number),
            Marker::U8 => self.byte()?.into(),
            Marker::U16 => u16::from_be_bytes(self.array()?).into(),
            Marker::U32 => u32::from_be_bytes(self.array()?).into(),
            Marker::U64 => match i64::try_from(u64::from_be_bytes(self.array()?)) {
                Ok(number) => number,
                Err(_) => return self.damage("an integer is beyond 64 bits with a sign"),
            },
            Marker::I8 => i8::from_be_bytes(self.array()?).into(),
            Marker::I16 => i16::from_be_bytes(self.array()?).into(),
            Marker::I32 => i32::from_be_bytes(self.array()?).into(),
            Marker::I64 => i64::from_be_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self) -> Result<u64> {
        let marker = self.marker()?;
        let number = self.integer(marker)?.and_then(|number| u64::try_from(number).ok());
        number.map_or_else(|| self.damage("it is no number from 0"), Ok)
    }

    /// The length of a list.
    pub(super) fn list(&mut self) -> Result<usize> {
        let marker = self.marker()?;
        match self.list_length(marker)? {
            Some(length) => self.claim(length, 1),
            None => self.damage("it is no list"),
        }
    }

    /// The own value of a node.
    pub(super) fn own_value(&mut self) -> Result<Value> {
        let marker = self.marker()?;
        let value = self.value(marker, 0)?;
        self.used = self.used.saturating_add(value.bytes_used());
        self.count += 1;
        Ok(value)
    }

    /// A value within so many lists and maps.
    fn value(&mut self, marker: Marker, levels: usize) -> Result<Value> {
        match marker {
            Marker::Null => return Ok(Value::Null),
            Marker::True => return Ok(Value::Bool(true)),
            Marker::False => return Ok(Value::Bool(false)),
            Marker::F64 => return self.array().map(f64::from_be_bytes).map(Value::Float),
            _ => {}
        }
        if let Some(number) = self.integer(marker)? {
            return Ok(Value::Int(number));
        }
        if let Some(length) = self.text_length(marker)? {
            return self.text(length).map(|text| Value::Text(text.to_owned()));
        }
        if let Some(length) = self.bytes_length(marker)? {
            let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            return Ok(Value::Bytes(bytes.to_vec()));
        }
        let levels = levels + 1;
        if let Some(length) = self.list_length(marker)? {
            return self.elements(length, levels);
        }
        match self.map_length(marker)? {
            Some(length) => self.entries(length, levels),
            None => self.damage("it is no value"),
        }
    }

    fn elements(&mut self, length: u64, levels: usize) -> Result<Value> {
        let length = self.claim(length, 1)?;
        self.check_levels(levels)?;
        let mut list = Vec::with_capacity(length);
        for _ in 0..length {
            let marker = self.marker()?;
            list.push(self.value(marker, levels)?);
        }
        Ok(Value::List(list))
    }

    fn entries(&mut self, length: u64, levels: usize) -> Result<Value> {
        let count = self.claim(length, 2)?;
        self.check_levels(levels)?;
        let mut map: Vec<(String, Value)> = Vec::with_capacity(count);
        let mut seen = HashSet::new();
        for _ in 0..count {
            let marker = self.marker()?;
            let Some(length) = self.text_length(marker)? else { return self.damage("a map's key is no text") };
            let key = self.text(length)?;
            let twice = if count > FEW { !seen.insert(key) } else { map.iter().any(|entry| entry.0 == key) };
            if twice {
                return self.damage("a map has a key twice");
            }
            let marker = self.marker()?;
            map.push((key.to_owned(), self.value(marker, levels)?));
        }
        Ok(Value::Map(map))
    }

    fn check_levels(&self, levels: usize) -> Result<()> {
        if levels <= MAX_LEVELS { Ok(()) } else { self.damage("it has more than 256 levels") }
    }

    /// A node at a path of so many subscripts.
    pub(super) fn node(&mut self, levels: usize) -> Result<Node> {
        let marker = self.marker()?;
        let length = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.u8()?,
            Marker::Ext16 => self.u16()?,
            Marker::Ext32 => self.u32()?,
            marker => {
                let value = self.value(marker, 0)?;
                self.used = self.used.saturating_add(value.bytes_used());
                self.count += 1;
                return Ok(Node { value: Some(value), ..Node::default() });
            }
        };
        if self.byte()? != NODE as u8 {
            return self.damage("an extension is no node");
        }
        let outer = self.end;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end.filter(|end| *end <= outer) {
            Some(end) => self.end = end,
            None => return self.damage("it ends too early"),
        }
        let children = self.children(levels + 1)?;
        let value = if self.is_at_end() { None } else { Some(self.own_value()?) };
        self.finish()?;
        self.end = outer;
        Ok(Node { value, version: 0, children: Some(Box::new(Level::from_sorted(children))) })
    }

    fn children(&mut self, levels: usize) -> Result<Vec<(Subscript, Node)>> {
        self.check_levels(levels)?;
        let marker = self.marker()?;
        let length = match self.map_length(marker)? {
            Some(length) if length > 0 => self.claim(length, 2)?,
            _ => return self.damage("a node's children are no map, or none"),
        };
        let mut children: Vec<(Subscript, Node)> = Vec::with_capacity(length);
        for _ in 0..length {
            let key = self.subscript()?;
            if children.last().is_some_and(|last| last.0 >= key) {
                return self.damage("the children are not in order");
            }
            self.used = self.used.saturating_add(key.bytes_used());
            let node = self.node(levels)?;
            children.push((key, node));
        }
        Ok(children)
    }

    fn subscript(&mut self) -> Result<Subscript> {
        let marker = self.marker()?;
        if let Some(length) = self.text_length(marker)? {
            return self.text(length).map(Subscript::from);
        }
        let number = match self.integer(marker)? {
            Some(number) => Subscript::int(number).ok(),
            None => match self.bytes_length(marker)? {
                Some(length) => {
                    let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                    read_key(bytes).filter(|key| key.is_number() && key.as_i64().is_none())
                }
                None => None,
            },
        };
        number.map_or_else(|| self.damage("it is no subscript"), Ok)
    }
}
