//! The engine's errors as JavaScript errors, and the fence that keeps panics inside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libsession_core::error::{Error, ErrorKind};
use napi::Env;
use napi::bindgen_prelude::{FnArgs, Unknown};

use crate::isolate::{self, Isolate};

/// What the JavaScript function that makes a `SessionError` takes: kind, message, reason, retry-after, keys, retryable.
pub type ErrorArgs = FnArgs<(String, String, Option<String>, Option<f64>, Vec<String>, bool)>;

fn arguments(error: &Error) -> ErrorArgs {
    let reason = error.reason().map(|reason| reason.name()).or(error.deny_reason().map(|deny| deny.name()));
    FnArgs::from((
        error.kind().name().to_string(),
        error.message().to_string(),
        reason.map(str::to_string),
        error.retry_after().map(crate::value::ms),
        error.keys().to_vec(),
        error.retryable(),
    ))
}

/// The `SessionError` of an error.
pub fn to_js<'env>(env: &'env Env, isolate: &Isolate, error: &Error) -> napi::Result<Unknown<'env>> {
    isolate::with_local(isolate.id, |local| local.make_error.borrow_back(env)?.call(arguments(error)))
        .unwrap_or_else(|| Err(napi::Error::from_reason("this object belongs to another thread")))
}

/// The error to be returned by a native function: throws the `SessionError`.
pub fn thrown(env: &Env, isolate: &Isolate, error: &Error) -> napi::Error {
    match to_js(env, isolate, error) {
        Ok(value) => napi::Error::from(value),
        Err(failure) => failure,
    }
}

/// Runs a call into the engine: an error is thrown as `SessionError`, a panic as one of kind `panic`.
///
/// `asynchronous` tells deciders that are called on this thread meanwhile whether they may answer with a promise.
pub fn guard<T>(
    env: &Env,
    isolate: &Isolate,
    asynchronous: bool,
    call: impl FnOnce() -> Result<T, Error>,
) -> napi::Result<T> {
    fence(|| isolate::with_mode(asynchronous, call)).map_err(|error| thrown(env, isolate, &error))
}

/// As [`guard`], for calls that no decider can be asked by.
pub fn call<T>(env: &Env, isolate: &Isolate, call: impl FnOnce() -> Result<T, Error>) -> napi::Result<T> {
    guard(env, isolate, false, call)
}

/// A panic inside as an error.
pub fn fence<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without text".into());
        Err(Error::new(ErrorKind::Panic, text))
    })
}
