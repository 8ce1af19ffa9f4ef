//! Values and paths of a session's data.

use std::ffi::c_char;

use libsession_core::data::{Subscript, Value, from_json, to_json};
use libsession_core::{Error, Result};

use crate::bytes::{Out, bytes, lses_buf, lses_str, text};

/// There is no value.
pub const LSES_VALUE_NONE: u32 = 0;
/// A value that says there is none; unlike a node without a value.
pub const LSES_VALUE_NULL: u32 = 1;
/// True or false: `boolean`.
pub const LSES_VALUE_BOOL: u32 = 2;
/// A 64-bit signed integer: `integer`.
pub const LSES_VALUE_INT: u32 = 3;
/// A 64-bit float: `number`.
pub const LSES_VALUE_FLOAT: u32 = 4;
/// UTF-8 text: `text`, `text_len`.
pub const LSES_VALUE_TEXT: u32 = 5;
/// Bytes: `text`, `text_len`.
pub const LSES_VALUE_BYTES: u32 = 6;
/// A list or map as JSON text: `text`, `text_len`. In what the library is given, any JSON value is fine.
pub const LSES_VALUE_JSON: u32 = 7;

/// The value of a node. Texts of what the library is given last as long as the call; in what it gives they lie in the
/// buffer that is given with it, NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_value {
    /// LSES_VALUE_...
    pub kind: u32,
    /// LSES_VALUE_BOOL: 0 or 1.
    pub boolean: u32,
    /// LSES_VALUE_INT.
    pub integer: i64,
    /// LSES_VALUE_FLOAT.
    pub number: f64,
    /// LSES_VALUE_TEXT, LSES_VALUE_BYTES, LSES_VALUE_JSON.
    pub text: *const c_char,
    /// Bytes of `text`; LSES_NTS if it ends at its NUL.
    pub text_len: usize,
}

impl lses_value {
    pub(crate) const NONE: lses_value =
        lses_value { kind: LSES_VALUE_NONE, boolean: 0, integer: 0, number: 0.0, text: std::ptr::null(), text_len: 0 };

    /// Copies a value of the host; `None` for LSES_VALUE_NONE. Errors: `invalid`.
    ///
    /// # Safety
    /// Its text is as in [`bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<Option<Value>> {
        // SAFETY: as the caller says.
        unsafe {
            Ok(Some(match self.kind {
                LSES_VALUE_NONE => return Ok(None),
                LSES_VALUE_NULL => Value::Null,
                LSES_VALUE_BOOL if self.boolean <= 1 => Value::Bool(self.boolean == 1),
                LSES_VALUE_BOOL => {
                    return Err(Error::invalid(format!("a boolean is 0 or 1, not {}", self.boolean)));
                }
                LSES_VALUE_INT => Value::Int(self.integer),
                LSES_VALUE_FLOAT => Value::Float(self.number),
                LSES_VALUE_TEXT => Value::Text(text(self.text, self.text_len, "value")?.to_string()),
                LSES_VALUE_BYTES => Value::Bytes(bytes(self.text, self.text_len, "value")?.to_vec()),
                LSES_VALUE_JSON => from_json(text(self.text, self.text_len, "value")?)?,
                other => return Err(Error::invalid(format!("value kind {other} is not known"))),
            }))
        }
    }
}

/// Copies a value of the host that must be there. Errors: `invalid`.
///
/// # Safety
/// `value` is NULL or a value whose text is as in [`bytes`].
pub(crate) unsafe fn optional_value(value: *const lses_value) -> Result<Option<Value>> {
    // SAFETY: as the caller says.
    unsafe {
        match value.as_ref() {
            Some(value) => value.to_core(),
            None => Ok(None),
        }
    }
}

/// As [`optional_value`], where there must be one.
///
/// # Safety
/// As there.
pub(crate) unsafe fn value_of(value: *const lses_value) -> Result<Value> {
    // SAFETY: as the caller says.
    unsafe { optional_value(value) }?.ok_or_else(|| Error::invalid("there is no value (LSES_VALUE_NONE, or NULL)"))
}

/// Where a value goes, with the buffer of its text.
pub(crate) struct ValueOut {
    value: Out<lses_value>,
    buf: Out<lses_buf>,
}

impl ValueOut {
    pub(crate) fn new(out_value: *mut lses_value, out_buf: *mut lses_buf) -> Result<Self> {
        let buf = Out::buf(out_buf, "out_buf")?;
        Ok(Self { value: Out::required(out_value, "out_value")?, buf })
    }

    pub(crate) fn set(&self, value: Option<&Value>) -> Result<()> {
        let mut out = lses_value::NONE;
        let mut put = |kind, bytes: &[u8]| -> Result<()> {
            let lses_str { data, len } = self.buf.fill(bytes)?;
            (out.kind, out.text, out.text_len) = (kind, data, len);
            Ok(())
        };
        match value {
            None => {}
            Some(Value::Text(text)) => put(LSES_VALUE_TEXT, text.as_bytes())?,
            Some(Value::Bytes(bytes)) => put(LSES_VALUE_BYTES, bytes)?,
            Some(value @ (Value::List(_) | Value::Map(_))) => put(LSES_VALUE_JSON, to_json(value).as_bytes())?,
            Some(Value::Null) => out.kind = LSES_VALUE_NULL,
            Some(Value::Bool(boolean)) => (out.kind, out.boolean) = (LSES_VALUE_BOOL, (*boolean).into()),
            Some(Value::Int(integer)) => (out.kind, out.integer) = (LSES_VALUE_INT, *integer),
            Some(Value::Float(number)) => (out.kind, out.number) = (LSES_VALUE_FLOAT, *number),
        }
        self.value.set(out);
        Ok(())
    }
}

/// There is no subscript.
pub const LSES_SUBSCRIPT_NONE: u32 = 0;
/// A text; never a number, whatever it looks like: `text`, `text_len`.
pub const LSES_SUBSCRIPT_TEXT: u32 = 1;
/// An integer: `integer`.
pub const LSES_SUBSCRIPT_INT: u32 = 2;
/// A float, by its shortest text; not NaN, not infinite: `number`. Only in what the library is given.
pub const LSES_SUBSCRIPT_FLOAT: u32 = 3;
/// A number of up to 18 digits as text, for example "0.1": `text`, `text_len`. What the library gives has `number`, too.
pub const LSES_SUBSCRIPT_DECIMAL: u32 = 4;

/// One step of a path. Numbers of equal value are one subscript (1 is 1.0); texts are never numbers. Texts last as in
/// lses_value.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_subscript {
    /// LSES_SUBSCRIPT_...
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// LSES_SUBSCRIPT_INT.
    pub integer: i64,
    /// LSES_SUBSCRIPT_FLOAT.
    pub number: f64,
    /// LSES_SUBSCRIPT_TEXT, LSES_SUBSCRIPT_DECIMAL.
    pub text: *const c_char,
    /// Bytes of `text`; LSES_NTS if it ends at its NUL.
    pub text_len: usize,
}

impl lses_subscript {
    const NONE: lses_subscript = lses_subscript {
        kind: LSES_SUBSCRIPT_NONE,
        reserved: 0,
        integer: 0,
        number: 0.0,
        text: std::ptr::null(),
        text_len: 0,
    };

    /// # Safety
    /// Its text is as in [`bytes`].
    unsafe fn to_core(self) -> Result<Option<Subscript>> {
        // SAFETY: as the caller says.
        unsafe {
            Ok(Some(match self.kind {
                LSES_SUBSCRIPT_NONE => return Ok(None),
                LSES_SUBSCRIPT_TEXT => Subscript::text(text(self.text, self.text_len, "subscript")?),
                LSES_SUBSCRIPT_INT => Subscript::int(self.integer)?,
                LSES_SUBSCRIPT_FLOAT => Subscript::float(self.number)?,
                LSES_SUBSCRIPT_DECIMAL => Subscript::parse_number(text(self.text, self.text_len, "subscript")?)?,
                other => return Err(Error::invalid(format!("subscript kind {other} is not known"))),
            }))
        }
    }
}

/// The most subscripts that are looked at: far above any quota of levels.
const LONGEST: usize = 4096;

/// A path of the host. Errors: `invalid`.
///
/// # Safety
/// `path` is NULL or has `path_len` subscripts, whose texts are as in [`bytes`].
pub(crate) unsafe fn path_of(path: *const lses_subscript, path_len: usize) -> Result<Vec<Subscript>> {
    if path_len == 0 {
        return Ok(Vec::new());
    }
    if path.is_null() {
        return Err(Error::invalid("the path is NULL"));
    }
    if path_len > LONGEST {
        return Err(Error::invalid(format!("a path of {path_len} subscripts is over the bound of {LONGEST}")));
    }
    let mut all = Vec::with_capacity(path_len);
    for at in 0..path_len {
        // SAFETY: the caller passes `path_len` subscripts.
        let step = unsafe { (*path.add(at)).to_core() }?;
        all.push(step.ok_or_else(|| Error::invalid(format!("subscript {at} of the path is LSES_SUBSCRIPT_NONE")))?);
    }
    Ok(all)
}

/// A subscript of the host; `None` for NULL and LSES_SUBSCRIPT_NONE.
///
/// # Safety
/// As [`path_of`].
pub(crate) unsafe fn subscript_of(subscript: *const lses_subscript) -> Result<Option<Subscript>> {
    // SAFETY: as the caller says.
    unsafe {
        match subscript.as_ref() {
            Some(subscript) => subscript.to_core(),
            None => Ok(None),
        }
    }
}

/// Where a subscript goes, with the buffer of its text.
pub(crate) struct SubscriptOut {
    subscript: Out<lses_subscript>,
    buf: Out<lses_buf>,
}

impl SubscriptOut {
    pub(crate) fn new(out_subscript: *mut lses_subscript, out_buf: *mut lses_buf) -> Result<Self> {
        let buf = Out::buf(out_buf, "out_buf")?;
        Ok(Self { subscript: Out::required(out_subscript, "out_subscript")?, buf })
    }

    pub(crate) fn set(&self, subscript: Option<&Subscript>) -> Result<()> {
        let mut out = lses_subscript::NONE;
        if let Some(subscript) = subscript {
            if let Some(integer) = subscript.as_i64() {
                (out.kind, out.integer) = (LSES_SUBSCRIPT_INT, integer);
                out.number = integer as f64;
            } else {
                let (kind, shown) = match subscript.as_text() {
                    Some(text) => (LSES_SUBSCRIPT_TEXT, text.to_string()),
                    None => (LSES_SUBSCRIPT_DECIMAL, subscript.to_string()),
                };
                let lses_str { data, len } = self.buf.fill(shown.as_bytes())?;
                (out.kind, out.text, out.text_len) = (kind, data, len);
                out.number = subscript.as_f64().unwrap_or(0.0);
            }
        }
        self.subscript.set(out);
        Ok(())
    }
}
