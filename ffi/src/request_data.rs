//! The data of a session as a request reads and writes it.

use std::ffi::c_char;

use libsession_core::Error;
use libsession_core::data::{Direction, Tree, tree_from_json, tree_to_json};

use crate::bytes::{Out, flag, lses_buf, member, text};
use crate::guard::done;
use crate::json::Value;
use crate::names::{LSES_DIRECTION_BACKWARD, LSES_DIRECTION_FORWARD};
use crate::request::{in_flight, lses_request};
use crate::status::lses_status;
use crate::value::{
    SubscriptOut, ValueOut, lses_subscript, lses_value, optional_value, path_of, subscript_of, value_of,
};

/// Reads the value at a path; LSES_VALUE_NONE if there is none. A text, bytes, list or map lies in `out_buf`, to be
/// freed after it was read.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CORRUPT, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_get(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_value: *mut lses_value,
    out_buf: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = ValueOut::new(out_value, out_buf)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        out.set(request.get(&path)?.as_ref())
    })
}

/// As lses_request_get(), and tells the version of the first subscript in `out_version`. A later write to it in this
/// request conflicts if that moved.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CORRUPT, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_get_versioned(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_value: *mut lses_value,
    out_buf: *mut lses_buf,
    out_version: *mut u64,
) -> lses_status {
    done(|| {
        let out = ValueOut::new(out_value, out_buf)?;
        let version = Out::required(out_version, "out_version")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        let (value, number) = request.get_versioned(&path)?;
        out.set(value.as_ref())?;
        version.set(number);
        Ok(())
    })
}

/// Fails the commit with LSES_E_CONFLICT if the first subscript is not at this version then.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_expect_version(
    request: *mut lses_request,
    first: *const lses_subscript,
    version: u64,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes a subscript with its text.
        let first = unsafe { subscript_of(first) }?.ok_or_else(|| Error::invalid("the first subscript is missing"))?;
        request.expect_version(&first, version)
    })
}

/// Sets the value at a path. It is seen by this request at once, and by others when this request commits.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_QUOTA, LSES_E_INVALID; then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    value: *const lses_value,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        // SAFETY: the host passes a value with its text.
        request.set(&path, unsafe { value_of(value) }?)
    })
}

/// As lses_request_set() for the commonest case: a text under one text.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_QUOTA, LSES_E_INVALID; then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set_text(
    request: *mut lses_request,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (key, value) = unsafe { (text(key, key_len, "key")?, text(value, value_len, "value")?) };
        request.set(&[key.into()], Value::from(value))
    })
}

/// As lses_request_get() for the commonest case: a text under one text. `out_text->data` is NULL if there is none, or
/// no text.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CORRUPT, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_get_text(
    request: *mut lses_request,
    key: *const c_char,
    key_len: usize,
    out_text: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_text, "out_text")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let key = unsafe { text(key, key_len, "key") }?;
        if let Some(Value::Text(text)) = request.get(&[key.into()])? {
            out.fill(text.as_bytes())?;
        }
        Ok(())
    })
}

/// Removes a subtree; the empty path removes all. `out_existed` (may be NULL) tells 1 if there was something, else 0.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_kill(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_existed: *mut i32,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        let existed = request.kill(&path)?;
        Out::optional(out_existed).set(existed.into());
        Ok(())
    })
}

/// Removes a subtree and gives its value, as lses_request_get() does.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_pop(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_value: *mut lses_value,
    out_buf: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = ValueOut::new(out_value, out_buf)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        out.set(request.pop(&path)?.as_ref())
    })
}

/// What is at a path ($DATA): 0 nothing, 1 a value, 10 children, 11 both.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_defined(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_defined: *mut i32,
) -> lses_status {
    done(|| {
        let out = Out::required(out_defined, "out_defined")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        out.set(request.defined(&path)?.into());
        Ok(())
    })
}

/// The subscript below a path that follows `after` ($ORDER); NULL or LSES_SUBSCRIPT_NONE begins. At the end it is
/// LSES_SUBSCRIPT_NONE. A text lies in `out_buf`, to be freed. `direction` is LSES_DIRECTION_FORWARD or
/// LSES_DIRECTION_BACKWARD. `after` may be `out_subscript`; its text must outlast the call, so free its buffer afterwards:
/// a loop has two buffers, one for `after` and one for the result.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_next(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    after: *const lses_subscript,
    direction: u32,
    out_subscript: *mut lses_subscript,
    out_buf: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = SubscriptOut::new(out_subscript, out_buf)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        // SAFETY: the host passes NULL or a subscript with its text.
        let after = unsafe { subscript_of(after) }?;
        let direction = match direction {
            LSES_DIRECTION_FORWARD => Direction::Forward,
            LSES_DIRECTION_BACKWARD => Direction::Backward,
            other => member(None, "direction", other)?,
        };
        out.set(request.next(&path, after.as_ref(), direction)?.as_ref())
    })
}

/// Lays a tree over the subtree at a path; deletes nothing. The tree is a JSON list of [path, value], where a path is
/// a list of texts and numbers.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_QUOTA, LSES_E_INVALID; then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_merge(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    tree_json: *const c_char,
    tree_json_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        // SAFETY: the host passes a text with its length.
        let tree = tree_from_json(unsafe { text(tree_json, tree_json_len, "tree") }?)?;
        request.merge(&path, &tree)
    })
}

/// Every node below a path that has a value, in collation order: a JSON list of [path below, value], in a buffer to
/// free.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_entries(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        let mut tree = Tree::new();
        for (path, value) in request.entries(&path)? {
            tree.set(&path, value)?;
        }
        out.fill(tree_to_json(&tree).as_bytes())?;
        Ok(())
    })
}

/// How many nodes have a value.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_count(request: *mut lses_request, out_count: *mut usize) -> lses_status {
    done(|| {
        let out = Out::required(out_count, "out_count")?;
        out.set(in_flight(request)?.count()?);
        Ok(())
    })
}

/// Bytes of the data with this request's writes, as quotas count them.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_bytes_used(request: *mut lses_request, out_bytes: *mut usize) -> lses_status {
    done(|| {
        let out = Out::required(out_bytes, "out_bytes")?;
        out.set(in_flight(request)?.bytes_used()?);
        Ok(())
    })
}

/// Sets a value if it is `expected` now; commits at once, before and apart from this request's other writes. NULL, or
/// LSES_VALUE_NONE, is no value.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CONFLICT if it is not, LSES_E_QUOTA, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_compare_and_set(
    request: *mut lses_request,
    path: *const lses_subscript,
    path_len: usize,
    expected: *const lses_value,
    new_value: *const lses_value,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes `path_len` subscripts with their texts.
        let path = unsafe { path_of(path, path_len) }?;
        // SAFETY: the host passes NULL or values with their texts.
        let (expected, new) = unsafe { (optional_value(expected)?, optional_value(new_value)?) };
        request.compare_and_set(&path, expected.as_ref(), new)
    })
}

/// Commits the writes so far. After LSES_E_CONFLICT or LSES_E_QUOTA nothing is written, and the writes stay.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CONFLICT names the keys, LSES_E_QUOTA. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_save(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.save())
}

/// Drops the writes so far.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_discard(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.discard())
}

/// Frees the lock early; `save` 1 commits first.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_CONFLICT, LSES_E_QUOTA, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_unlock(request: *mut lses_request, save: i32) -> lses_status {
    done(|| in_flight(request)?.unlock(flag(save, "save")?))
}
