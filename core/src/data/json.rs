//! Lossless JSON text of values and trees, for borders and logs.
//!
//! What JSON lacks is an object with one key: `{"$bytes":"<base64>"}`, `{"$float":"NaN"}` (or `Infinity`, `-Infinity`),
//! and `{"$map":[[key,value],…]}` for a map whose only key begins with `$` itself. Floats always have a `.` or an
//! exponent, integers never.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parse::Parser;
use super::quotas::{MAX_LEVELS, Quotas};
use super::subscript::path_text;
use super::tree::Tree;
use super::value::Value;
use crate::error::{Error, Result};

enum Part<'a> {
    Value(&'a Value),
    Text(&'a str),
    Raw(&'static str),
}

/// The JSON text of a value, without white space; [`from_json`] reads back the same value.
pub fn to_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// The JSON text of a tree: a list of `[path, value]` in collation order; [`tree_from_json`] reads back the same tree.
pub fn tree_to_json(tree: &Tree) -> String {
    let mut out = String::from("[");
    for (index, (path, value)) in tree.iter().enumerate() {
        out.push_str(if index == 0 { "[[" } else { ",[[" });
        for (index, subscript) in path.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&subscript.to_string());
        }
        out.push_str("],");
        write_value(&mut out, value);
        out.push(']');
    }
    out.push(']');
    out
}

/// With a list of its own of what is still to be written: no recursion that a deep value could overflow.
fn write_value(out: &mut String, value: &Value) {
    let mut parts = vec![Part::Value(value)];
    while let Some(part) = parts.pop() {
        let value = match part {
            Part::Value(value) => value,
            Part::Text(text) => {
                write_text(out, text);
                continue;
            }
            Part::Raw(raw) => {
                out.push_str(raw);
                continue;
            }
        };
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) if number.is_finite() => out.push_str(&format!("{number:?}")),
            Value::Float(number) if number.is_nan() => out.push_str(r#"{"$float":"NaN"}"#),
            Value::Float(number) if *number > 0.0 => out.push_str(r#"{"$float":"Infinity"}"#),
            Value::Float(_) => out.push_str(r#"{"$float":"-Infinity"}"#),
            Value::Text(text) => write_text(out, text),
            Value::Bytes(bytes) => {
                out.push_str(r#"{"$bytes":""#);
                STANDARD.encode_string(bytes, out);
                out.push_str("\"}");
            }
            Value::List(list) => {
                parts.push(Part::Raw("]"));
                for (index, value) in list.iter().enumerate().rev() {
                    parts.extend([Part::Value(value), Part::Raw(if index > 0 { "," } else { "[" })]);
                }
                if list.is_empty() {
                    parts.push(Part::Raw("["));
                }
            }
            Value::Map(map) => match map.as_slice() {
                [] => out.push_str("{}"),
                [(key, value)] if key.starts_with('$') => {
                    parts.extend([Part::Raw("]]}"), Part::Value(value), Part::Raw(","), Part::Text(key)]);
                    parts.push(Part::Raw(r#"{"$map":[["#));
                }
                map => {
                    parts.push(Part::Raw("}"));
                    for (index, (key, value)) in map.iter().enumerate().rev() {
                        parts.extend([Part::Value(value), Part::Raw(":"), Part::Text(key)]);
                        parts.push(Part::Raw(if index > 0 { "," } else { "{" }));
                    }
                }
            },
        }
    }
}

pub(super) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
}

/// The value of a JSON text.
///
/// Of a key that is there twice the last value wins. Errors: `Invalid` for what is no JSON, integers beyond 64 bits,
/// floats beyond their range, lone surrogates, unknown `$` forms, and more than 64 nested lists and maps.
pub fn from_json(text: &str) -> Result<Value> {
    from_json_levels(text, Quotas::default().levels)
}

/// As [`from_json`], with another bound of nesting, at most [`MAX_LEVELS`].
pub fn from_json_levels(text: &str, levels: usize) -> Result<Value> {
    let mut parser = Parser::new(text, levels.min(MAX_LEVELS));
    let value = parser.value()?;
    parser.end()?;
    Ok(value)
}

/// The tree of what [`tree_to_json`] wrote. Errors: as [`from_json_levels`], and for what is no subscript.
pub fn tree_from_json(text: &str) -> Result<Tree> {
    let mut parser = Parser::new(text, MAX_LEVELS);
    let mut tree = Tree::new();
    let mut more = parser.open(b'[', b']')?;
    while more {
        parser.expect(b'[')?;
        let mut path = Vec::new();
        let mut longer = parser.open(b'[', b']')?;
        while longer {
            path.push(parser.subscript()?);
            if path.len() > MAX_LEVELS {
                return Err(Error::invalid(format!(
                    "a path has more than {MAX_LEVELS} subscripts: {}",
                    path_text(&path)
                )));
            }
            longer = parser.more(b']')?;
        }
        parser.expect(b',')?;
        let value = parser.value()?;
        parser.expect(b']')?;
        tree.set(&path, value)?;
        more = parser.more(b']')?;
    }
    parser.end()?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: Value, text: &str) {
        assert_eq!(to_json(&value), text);
        assert_eq!(from_json(text), Ok(value));
    }

    #[test]
    fn each_kind_of_value_survives_the_round_trip() {
        round(Value::Null, "null");
        round(true.into(), "true");
        round(i64::MIN.into(), "-9223372036854775808");
        round(1.0.into(), "1.0");
        round((-0.0).into(), "-0.0");
        round(1e300.into(), "1e300");
        round(f64::INFINITY.into(), r#"{"$float":"Infinity"}"#);
        round(f64::NEG_INFINITY.into(), r#"{"$float":"-Infinity"}"#);
        round("ä\"\\\n\u{1}😀".into(), r#""ä\"\\\n\u0001😀""#);
        round(vec![0u8, 255].into(), r#"{"$bytes":"AP8="}"#);
        round(Value::List(vec![1.into(), Value::List(vec![]), Value::Null]), "[1,[],null]");
        round(Value::map([("b", 1.into()), ("a", Value::Map(vec![]))]), r#"{"b":1,"a":{}}"#);
        assert!(matches!(from_json(&to_json(&f64::NAN.into())), Ok(Value::Float(nan)) if nan.is_nan()));
    }

    #[test]
    fn a_map_that_looks_like_a_form_survives_the_round_trip() {
        round(Value::map([("$bytes", "AP8=".into())]), r#"{"$map":[["$bytes","AP8="]]}"#);
        let inner = Value::map([("$map", Value::List(vec![]))]);
        round(Value::map([("$map", inner)]), r#"{"$map":[["$map",{"$map":[["$map",[]]]}]]}"#);
        round(Value::map([("$a", 1.into()), ("$b", 2.into())]), r#"{"$a":1,"$b":2}"#);
        for unknown in
            [r#"{"$new":1}"#, r#"{"$bytes":1}"#, r#"{"$bytes":"!"}"#, r#"{"$float":"1"}"#, r#"{"$map":[["a"]]}"#]
        {
            assert!(from_json(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_value_wins() {
        assert_eq!(from_json(r#"{"a":1,"b":2,"a":3}"#), Ok(Value::map([("a", 3.into()), ("b", 2.into())])));
    }

    #[test]
    fn what_is_no_json_is_invalid() {
        for text in [
            "",
            " ",
            "nul",
            "tru",
            "[1,]",
            "[,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1",
            "{\"a\":1",
            "\"a",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "[1] 2",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\",
            "\"\\u",
            "NaN",
            "Infinity",
            "'a'",
            "]",
            "}",
            ",",
            "\"\\u00é\"",
            "1e999",
        ] {
            assert!(from_json(text).is_err(), "{text}");
        }
        assert_eq!(from_json("\"\\ud83d\\ude00\\/\\b\\f\""), Ok("😀/\u{8}\u{c}".into()));
        assert_eq!(
            from_json(" { \"a\" : [ 1 , 2 ] } "),
            Ok(Value::map([("a", Value::List(vec![1.into(), 2.into()]))]))
        );
    }

    #[test]
    fn an_integer_beyond_64_bits_is_invalid_and_named() {
        let message = from_json("9223372036854775808").map_err(|error| error.message().to_string());
        assert_eq!(message, Err("JSON number 9223372036854775808 is out of range of 64 bits".to_string()));
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(from_json(&nested(64)).is_ok());
        assert!(from_json(&nested(65)).is_err());
        assert!(from_json(&"[".repeat(1_000_000)).is_err());
        assert!(from_json(&"{\"a\":".repeat(1_000_000)).is_err());
        let value = (0..64).fold(Value::Null, |inner, _| Value::map([("$", inner)]));
        assert_eq!(from_json(&to_json(&value)), Ok(value));
    }

    #[test]
    fn a_tree_survives_the_round_trip() {
        let text = r#"[[[],"root"],[[-1.5],{}],[[1],[]],[["1"],null],[["a",1e30,""],{"$bytes":""}]]"#;
        let tree = tree_from_json(text);
        assert_eq!(tree.as_ref().map(tree_to_json), Ok(text.to_string()));
        assert_eq!(tree.map(|tree| tree.count()), Ok(5));
        for text in ["", "[", "{}", "[[]]", "[[[]]]", "[[[null],1]]", "[[[1]]]", "[[[1],2,3]]", "[[[1],2],]", "[] x"] {
            assert!(tree_from_json(text).is_err(), "{text}");
        }
        assert_eq!(tree_from_json("[]"), Ok(Tree::new()));
        let deep = format!("[[[{}1],2]]", "1,".repeat(1000));
        assert!(tree_from_json(&deep).is_err());
    }
}
