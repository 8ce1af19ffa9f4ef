//! What belongs to a session beside its data: event classes, and objects of the host.

use std::ffi::{c_char, c_void};

use crate::bytes::{Out, lses_buf, optional_text, text};
use crate::guard::done;
use crate::handle;
use crate::json::{self, list, map};
use crate::request::{in_flight, lses_request};
use crate::status::lses_status;
use crate::user_data::{UserData, lses_drop_fn};

/// Puts an event class to the front of the session's list, once. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_add(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) =
            unsafe { (text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?) };
        request.event_class_add(name, name_space)
    })
}

/// Removes an event class from the session's list; `name` NULL removes all of the namespace. `out_existed` (may be
/// NULL) tells 1 if it was there, else 0. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_remove(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    out_existed: *mut i32,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) = unsafe {
            (optional_text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?)
        };
        let existed = request.event_class_remove(name, name_space)?;
        Out::optional(out_existed).set(existed.into());
        Ok(())
    })
}

/// Tells 1 if the session lists an event class, else 0. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_exists(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    out_exists: *mut i32,
) -> lses_status {
    done(|| {
        let out = Out::required(out_exists, "out_exists")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) =
            unsafe { (text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?) };
        out.set(request.event_class_exists(name, name_space)?.into());
        Ok(())
    })
}

/// The session's event classes, first called first, as JSON list in a buffer to free: `[{"namespace","name"}]`.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_list(
    request: *mut lses_request,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let classes = in_flight(request)?.event_class_list()?;
        let classes = classes
            .iter()
            .map(|(namespace, name)| map([("namespace", namespace.as_ref().into()), ("name", name.as_ref().into())]));
        out.fill(json::text(&list(classes)).as_bytes())?;
        Ok(())
    })
}

/// Empties the session's list of event classes.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_clear(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.event_class_clear())
}

/// Sets the `event_class` property: adds the class only if it is absent; "" has no effect.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set_event_class(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        request.set_event_class(unsafe { text(name, name_len, "event class") }?)
    })
}

/// An object that lives as long as its session.
struct Attachment(std::sync::Mutex<Option<UserData>>);

/// Keeps an object with the session under a name, in this process. `drop_object` (may be NULL) is called with it
/// exactly once: after the session's `on_end`, when another takes its name, or in this call if it fails.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_attach(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    object: *mut c_void,
    drop_object: lses_drop_fn,
) -> lses_status {
    let object = UserData::new(object, drop_object);
    done(move || {
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        let attachment = std::sync::Arc::new(Attachment(std::sync::Mutex::new(Some(object))));
        request.attach(name, attachment).map(drop)
    })
}

/// The object that the session keeps under a name; NULL if there is none. The session still owns it.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_attachment(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    out_object: *mut *mut c_void,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_object, "out_object")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        if let Some(kept) = request.attachment(name)?
            && let Ok(attachment) = kept.downcast::<Attachment>()
        {
            out.set(handle::lock(&attachment.0).as_ref().map_or(std::ptr::null_mut(), UserData::pointer));
        }
        Ok(())
    })
}

/// Takes an object away from the session; NULL if there is none. The caller owns it, and its drop function is not
/// called.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_detach(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    out_object: *mut *mut c_void,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_object, "out_object")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        if let Some(kept) = request.detach(name)?
            && let Ok(attachment) = kept.downcast::<Attachment>()
            && let Some(object) = handle::lock(&attachment.0).take()
        {
            out.set(object.give_back());
        }
        Ok(())
    })
}
