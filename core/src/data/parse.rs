//! The reading of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::subscript::Subscript;
use super::value::Value;
use crate::error::{Error, Result};

/// A list or map that is being read.
enum Open {
    List(Vec<Value>),
    Map(Vec<(String, Value)>, String),
}

/// Reads JSON from the front; what is there is taken as it is read.
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    levels: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, levels: usize) -> Self {
        Self { text, at: 0, levels }
    }

    fn error<T>(&self, what: &str) -> Result<T> {
        Err(Error::invalid(format!("JSON at byte {}: {what}", self.at)))
    }

    /// The next byte that is no white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != Some(byte) {
            return self.error(&format!("'{}' expected", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `open`, and `close` if it follows; whether an element does instead.
    pub(super) fn open(&mut self, open: u8, close: u8) -> Result<bool> {
        self.expect(open)?;
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// After an element, takes `,` or `close`; whether another element follows.
    pub(super) fn more(&mut self, close: u8) -> Result<bool> {
        let next = self.peek();
        if next != Some(b',') && next != Some(close) {
            return self.error(&format!("',' or '{}' expected", char::from(close)));
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    pub(super) fn end(&mut self) -> Result<()> {
        if self.peek().is_some() { self.error("nothing more expected") } else { Ok(()) }
    }

    pub(super) fn subscript(&mut self) -> Result<Subscript> {
        match self.peek() {
            Some(b'"') => self.string().map(Subscript::from),
            Some(b'-' | b'0'..=b'9') => Subscript::parse_number(self.number()?),
            _ => self.error("a subscript is a number or a text"),
        }
    }

    /// With a stack of its own: no recursion that a deep text could overflow.
    pub(super) fn value(&mut self) -> Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // `$map` needs three levels of JSON for one of the value.
            if open.len() > 3 * self.levels {
                return self.error(&format!("nested deeper than {} levels", self.levels));
            }
            let mut done = match self.peek() {
                Some(b'[') if self.open(b'[', b']')? => {
                    open.push(Open::List(Vec::new()));
                    continue;
                }
                Some(b'{') if self.open(b'{', b'}')? => {
                    let key = self.key()?;
                    open.push(Open::Map(Vec::new(), key));
                    continue;
                }
                Some(b'[') => Value::List(Vec::new()),
                Some(b'{') => Value::Map(Vec::new()),
                _ => self.scalar()?,
            };
            loop {
                match open.pop() {
                    None if done.depth() > self.levels => {
                        return self.error(&format!("nested deeper than {} levels", self.levels));
                    }
                    None => return Ok(done),
                    Some(Open::List(mut list)) => {
                        list.push(done);
                        if self.more(b']')? {
                            open.push(Open::List(list));
                            break;
                        }
                        done = Value::List(list);
                    }
                    Some(Open::Map(mut map, key)) => {
                        map.push((key, done));
                        if self.more(b'}')? {
                            let key = self.key()?;
                            open.push(Open::Map(map, key));
                            break;
                        }
                        done = self.object(map)?;
                    }
                }
            }
        }
    }

    fn key(&mut self) -> Result<String> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    fn scalar(&mut self) -> Result<Value> {
        for (word, value) in [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => {
                let token = self.number()?;
                let number = if token.contains(['.', 'e', 'E']) {
                    token.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float)
                } else {
                    token.parse().ok().map(Value::Int)
                };
                let shown: String = token.chars().take(60).collect();
                number.ok_or_else(|| Error::invalid(format!("JSON number {shown} is out of range of 64 bits")))
            }
            _ => self.error("a value expected"),
        }
    }

    /// The text of a number as JSON has it.
    fn number(&mut self) -> Result<&str> {
        let start = self.at;
        self.take(b"-");
        if !self.take(b"0") && !self.digits() {
            return self.error("a digit expected");
        }
        if self.take(b".") && !self.digits() {
            return self.error("a digit expected after '.'");
        }
        if self.take(b"eE") {
            self.take(b"+-");
            if !self.digits() {
                return self.error("a digit expected in the exponent");
            }
        }
        match self.text.get(start..self.at) {
            Some(token) => Ok(token),
            None => self.error("a number expected"),
        }
    }

    fn take(&mut self, any: &[u8]) -> bool {
        let has = self.text.as_bytes().get(self.at).is_some_and(|byte| any.contains(byte));
        self.at += usize::from(has);
        has
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.take(b"0123456789") {}
        self.at > start
    }

    fn string(&mut self) -> Result<String> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.find(|char: char| char < ' ' || char == '"' || char == '\\').unwrap_or(rest.len());
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let char = self.escape()?;
                    out.push(char);
                }
                Some(_) => return self.error("a control character in a string must be escaped"),
                None => return self.error("the string does not end"),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let escape = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match escape {
            Some(char @ (b'"' | b'\\' | b'/')) => char::from(char),
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'u') => return self.unicode(),
            _ => {
                self.at -= 1;
                return self.error("no such escape");
            }
        })
    }

    fn unicode(&mut self) -> Result<char> {
        let mut code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.take(b"\\") && self.take(b"u") {
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.error(&format!("\\u{code:04x} is a lone surrogate; text is Unicode")),
        }
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let code = digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?));
        match code {
            Some(code) if digits.len() == 4 => {
                self.at += 4;
                Ok(code)
            }
            _ => self.error("4 hexadecimal digits expected after \\u"),
        }
    }

    /// An object, or what it stands for.
    fn object(&self, entries: Vec<(String, Value)>) -> Result<Value> {
        let Value::Map(mut map) = Value::map(entries) else { return self.error("an object expected") };
        let form = match map.as_slice() {
            [(key, _)] if key.starts_with('$') => map.pop(),
            _ => None,
        };
        let Some((key, value)) = form else { return Ok(Value::Map(map)) };
        let meant = match (key.as_str(), value) {
            ("$bytes", Value::Text(text)) => STANDARD.decode(text).ok().map(Value::Bytes),
            ("$float", Value::Text(text)) => match text.as_str() {
                "NaN" => Some(Value::Float(f64::NAN)),
                "Infinity" => Some(Value::Float(f64::INFINITY)),
                "-Infinity" => Some(Value::Float(f64::NEG_INFINITY)),
                _ => None,
            },
            ("$map", Value::List(pairs)) => pairs.into_iter().map(pair).collect::<Option<Vec<_>>>().map(Value::map),
            _ => None,
        };
        match meant {
            Some(meant) => Ok(meant),
            None => self.error(&format!("an object of the only key {key:?} must be a form of $bytes, $float or $map")),
        }
    }
}

fn pair(pair: Value) -> Option<(String, Value)> {
    let Value::List(list) = pair else { return None };
    match <[Value; 2]>::try_from(list) {
        Ok([Value::Text(key), value]) => Some((key, value)),
        _ => None,
    }
}
