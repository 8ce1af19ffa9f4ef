//! Structured answers as JSON text, by way of the core's values.

use std::time::Duration;

pub(crate) use libsession_core::data::Value;
use libsession_core::data::to_json;

pub(crate) fn text(value: &Value) -> String {
    to_json(value)
}

pub(crate) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

pub(crate) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(values.into_iter().collect())
}

pub(crate) fn int(number: i64) -> Value {
    Value::Int(number)
}

pub(crate) fn uint(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn opt_uint(number: Option<u64>) -> Value {
    number.map_or(Value::Null, uint)
}

pub(crate) fn opt_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

pub(crate) fn opt_ms(duration: Option<Duration>) -> Value {
    duration.map_or(Value::Null, |duration| int(crate::bytes::ms(duration)))
}

pub(crate) fn texts(texts: &[String]) -> Value {
    list(texts.iter().map(|text| text.as_str().into()))
}
