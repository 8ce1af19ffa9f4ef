//! The closed vocabularies as the enums of `libsession._words`, and words that callers pass.

use libsession_core::{
    ApplicationTimeout, AtSessionLimit, DenyReason, EndLevel, EndReason, ErrorKind, EventKind, Evict, LazyUntil,
    LicenseClass, LockMode, ThreadKind, TouchKind, UnitRule,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::errors::invalid;

static MEMBERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// The member of a Python enum by its word.
pub fn word<'py>(py: Python<'py>, set: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let members = MEMBERS.get_or_try_init(py, || {
        let members = py.import("libsession._words")?.getattr("MEMBERS")?;
        Ok::<_, PyErr>(members.cast_into::<PyDict>()?.unbind())
    })?;
    members.bind(py).as_any().get_item(set)?.get_item(name)
}

/// A vocabulary of the core that callers name members of.
pub trait Word: Copy + 'static {
    /// What it is called in messages.
    const WHAT: &'static str;
    /// All members with their words.
    fn members() -> impl Iterator<Item = (Self, &'static str, i64)>;
}

macro_rules! words {
    ($($type:ident: $what:literal,)+) => {
        $(impl Word for $type {
            const WHAT: &'static str = $what;
            fn members() -> impl Iterator<Item = (Self, &'static str, i64)> {
                $type::ALL.iter().map(|member| (*member, member.name(), i64::from(member.code())))
            }
        })+

        /// Every vocabulary with its words and numbers, for tests that no border misses a member.
        #[pyfunction]
        pub fn vocabularies(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
            let all = PyDict::new(py);
            $(
                let set = PyDict::new(py);
                for (_, name, code) in $type::members() {
                    set.set_item(name, code)?;
                }
                all.set_item(stringify!($type), set)?;
            )+
            let kinds = PyDict::new(py);
            for kind in ErrorKind::ALL.iter().chain(&ErrorKind::OUTCOMES) {
                kinds.set_item(kind.name(), kind.code())?;
            }
            all.set_item("ErrorKind", kinds)?;
            Ok(all)
        }
    };
}

words! {
    EndReason: "end reason",
    EndLevel: "end level",
    EventKind: "event kind",
    ThreadKind: "kind of thread",
    DenyReason: "deny reason",
    TouchKind: "kind of touch",
    LockMode: "lock mode",
    LicenseClass: "license class",
    LazyUntil: "lazy_until",
    Evict: "evict",
    AtSessionLimit: "at_session_limit",
    UnitRule: "unit_rule",
    ApplicationTimeout: "timeout_on_application_change",
}

/// Reads a word: a member of the Python enum, or its text.
pub fn parse<T: Word>(object: &Bound<'_, PyAny>) -> PyResult<T> {
    let py = object.py();
    if let Ok(text) = object.extract::<&str>() {
        if let Some((member, ..)) = T::members().find(|(_, name, _)| *name == text) {
            return Ok(member);
        }
        let known: Vec<_> = T::members().map(|(_, name, _)| name).collect();
        return Err(invalid(py, format!("there is no {} '{text}'; there are: {}", T::WHAT, known.join(", "))));
    }
    Err(invalid(py, format!("a {} is a text, not {}", T::WHAT, object.get_type())))
}

/// As [`parse`], where nothing or `None` means the default.
pub fn parse_option<T: Word>(object: Option<&Bound<'_, PyAny>>) -> PyResult<Option<T>> {
    object.filter(|object| !object.is_none()).map(parse).transpose()
}
