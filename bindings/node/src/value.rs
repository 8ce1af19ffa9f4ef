//! Values, subscripts and durations between the engine and JavaScript.
//!
//! Into the engine a scalar comes as it is, and whatever is built of others as the engine's own JSON text. Out of it
//! everything is built as JavaScript has it: integers that a number can't hold as BigInt, bytes as Uint8Array.

use std::time::Duration;

use libsession_core::data::{Subscript, Tree, Value, from_json, to_json};
use libsession_core::error::{Error, Result};
use napi::Env;
use napi::bindgen_prelude::{
    Array, BigInt, Either3, Either4, JsObjectValue, JsValue, Null, Object, ToNapiValue, Uint8Array, Unknown,
};

/// The greatest integer that every smaller one is exact beside.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// A value on its way in: a boolean, a number, a text (JSON if the call says so), or null.
pub type Incoming = Either4<bool, f64, String, Null>;

/// A step of a path on its way in.
pub type Step = Either3<String, f64, BigInt>;

/// The value that was passed.
pub fn incoming(value: Incoming, json: bool) -> Result<Value> {
    Ok(match value {
        Either4::A(flag) => Value::Bool(flag),
        Either4::B(number) => number_value(number),
        Either4::C(text) if json => from_json(&text)?,
        Either4::C(text) => Value::Text(text),
        Either4::D(Null) => Value::Null,
    })
}

fn number_value(number: f64) -> Value {
    let integral = number.fract() == 0.0 && number.abs() <= SAFE && !(number == 0.0 && number.is_sign_negative());
    if integral { Value::Int(number as i64) } else { Value::Float(number) }
}

/// The path that was passed.
pub fn path(steps: Vec<Step>) -> Result<Vec<Subscript>> {
    steps.into_iter().map(subscript).collect()
}

/// The subscript that was passed.
pub fn subscript(step: Step) -> Result<Subscript> {
    match step {
        Either3::A(text) => Ok(Subscript::from(text)),
        Either3::B(number) => Subscript::float(number),
        Either3::C(big) => match big.get_i64() {
            (number, true) => Subscript::int(number),
            (_, false) => Err(Error::invalid("a subscript has up to 18 digits, this BigInt has more")),
        },
    }
}

/// Turns whatever JavaScript can hold into an untyped value.
pub fn unknown<'env, T: ToNapiValue>(env: &'env Env, value: T) -> napi::Result<Unknown<'env>> {
    let mut holder = env.create_array(1)?;
    holder.set(0, value)?;
    holder.get_element(0)
}

/// A value as JavaScript has it.
pub fn outgoing<'env>(env: &'env Env, value: &Value) -> napi::Result<Unknown<'env>> {
    match value {
        Value::Null => unknown(env, Null),
        Value::Bool(flag) => unknown(env, *flag),
        Value::Int(number) => match *number as f64 {
            exact if exact.abs() <= SAFE => Ok(env.create_double(exact)?.to_unknown()),
            _ => unknown(env, BigInt::from(*number)),
        },
        Value::Float(number) => Ok(env.create_double(*number)?.to_unknown()),
        Value::Text(text) => Ok(env.create_string(text)?.to_unknown()),
        Value::Bytes(bytes) => unknown(env, Uint8Array::from(bytes.clone())),
        Value::List(values) => {
            let mut array = env.create_array(values.len() as u32)?;
            for (index, value) in values.iter().enumerate() {
                array.set(index as u32, outgoing(env, value)?)?;
            }
            Ok(array.to_unknown())
        }
        Value::Map(entries) => {
            let mut object = Object::new(env)?;
            for (key, value) in entries {
                if key == "__proto__" {
                    define_proto(env, &mut object, value)?;
                } else {
                    object.set_property(env.create_string(key)?, outgoing(env, value)?)?;
                }
            }
            Ok(object.to_unknown())
        }
    }
}

/// Setting this key would change the object's prototype; defining it makes an ordinary property of it.
fn define_proto(env: &Env, object: &mut Object<'_>, value: &Value) -> napi::Result<()> {
    let property =
        napi::Property::new().with_utf8_name("__proto__")?.with_value(&outgoing(env, value)?).with_property_attributes(
            napi::PropertyAttributes::Writable
                | napi::PropertyAttributes::Enumerable
                | napi::PropertyAttributes::Configurable,
        );
    object.define_properties(&[property])
}

/// A value, or undefined.
pub fn outgoing_option<'env>(env: &'env Env, value: Option<&Value>) -> napi::Result<Unknown<'env>> {
    match value {
        Some(value) => outgoing(env, value),
        None => unknown(env, ()),
    }
}

/// A subscript as JavaScript has it: a text, a number, or a BigInt where a number is not exact.
pub fn subscript_out<'env>(env: &'env Env, subscript: &Subscript) -> napi::Result<Unknown<'env>> {
    if let Some(text) = subscript.as_text() {
        return Ok(env.create_string(text)?.to_unknown());
    }
    match (subscript.as_i64(), subscript.as_f64()) {
        (Some(number), _) if (number as f64).abs() > SAFE => unknown(env, BigInt::from(number)),
        (Some(number), _) => Ok(env.create_double(number as f64)?.to_unknown()),
        (None, number) => Ok(env.create_double(number.unwrap_or(f64::NAN))?.to_unknown()),
    }
}

/// `[path, value]` of each node.
pub fn entries_out<'env>(
    env: &'env Env,
    entries: impl ExactSizeIterator<Item = (Vec<Subscript>, Value)>,
) -> napi::Result<Array<'env>> {
    let mut array = env.create_array(entries.len() as u32)?;
    for (index, (path, value)) in entries.enumerate() {
        let mut steps = env.create_array(path.len() as u32)?;
        for (index, subscript) in path.iter().enumerate() {
            steps.set(index as u32, subscript_out(env, subscript)?)?;
        }
        let mut entry = env.create_array(2)?;
        entry.set(0, steps)?;
        entry.set(1, outgoing(env, &value)?)?;
        array.set(index as u32, entry)?;
    }
    Ok(array)
}

/// The engine's JSON text of nodes: `[[path,value],…]`.
pub fn entries_json(entries: &[(Vec<Subscript>, Value)]) -> String {
    let nodes: Vec<String> = entries
        .iter()
        .map(|(path, value)| {
            let steps: Vec<String> = path.iter().map(Subscript::to_string).collect();
            format!("[[{}],{}]", steps.join(","), to_json(value))
        })
        .collect();
    format!("[{}]", nodes.join(","))
}

/// The nodes at `path` and below, with paths relative to it.
pub fn nodes(tree: &Tree, path: &[Subscript]) -> Vec<(Vec<Subscript>, Value)> {
    tree.iter_under(path).map(|(whole, value)| (whole[path.len()..].to_vec(), value.clone())).collect()
}

/// Milliseconds as a duration; what no duration can hold becomes the longest, for the engine to refuse.
pub fn duration(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(if ms > 0.0 { Duration::MAX } else { Duration::ZERO })
}

/// Milliseconds as a timeout; infinite is never.
pub fn timeout(ms: f64) -> Option<Duration> {
    ms.is_finite().then(|| duration(ms))
}

/// A duration as milliseconds.
pub fn ms(duration: Duration) -> f64 {
    // Not through seconds as a float: 32,748 ms must not become 32,747.999….
    duration.as_secs() as f64 * 1000.0 + f64::from(duration.subsec_nanos()) / 1e6
}
