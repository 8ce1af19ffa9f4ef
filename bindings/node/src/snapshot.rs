//! What hangs on an event: its session's data as it was, and what a decider may choose.

use std::sync::Arc;

use libsession_core::data::{Direction, Tree, to_json};
use libsession_core::error::Error;
use libsession_core::event::Event;
use libsession_core::reason::LicenseClass;
use napi::Env;
use napi::bindgen_prelude::{Array, Unknown};
use napi_derive::napi;

use crate::error::{call, thrown};
use crate::isolate::Isolate;
use crate::value::{self, Step};

/// A session's data as it was when something happened: it stays so.
#[napi]
pub struct Snapshot {
    isolate: Arc<Isolate>,
    tree: Arc<Tree>,
}

impl Snapshot {
    /// Of a tree, for an environment.
    pub fn new(isolate: Arc<Isolate>, tree: Arc<Tree>) -> Self {
        Self { isolate, tree }
    }
}

#[napi]
impl Snapshot {
    /// The value at a path, or undefined.
    #[napi]
    pub fn get<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Unknown<'env>> {
        let path = call(env, &self.isolate, || value::path(path))?;
        value::outgoing_option(env, self.tree.get(&path))
    }

    /// The engine's JSON text of the value at a path.
    #[napi]
    pub fn get_json(&self, env: &Env, path: Vec<Step>) -> napi::Result<Option<String>> {
        let path = call(env, &self.isolate, || value::path(path))?;
        Ok(self.tree.get(&path).map(to_json))
    }

    /// The engine's JSON text of the nodes at a path and below.
    #[napi]
    pub fn tree_json(&self, env: &Env, path: Vec<Step>) -> napi::Result<String> {
        let path = call(env, &self.isolate, || value::path(path))?;
        Ok(value::entries_json(&value::nodes(&self.tree, &path)))
    }

    /// `$DATA`: 0 nothing, 1 a value, 10 children, 11 both.
    #[napi]
    pub fn defined(&self, env: &Env, path: Vec<Step>) -> napi::Result<u8> {
        let path = call(env, &self.isolate, || value::path(path))?;
        Ok(self.tree.defined(&path))
    }

    /// `$ORDER`: the subscript below `path` beyond `after`, or undefined.
    #[napi]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        path: Vec<Step>,
        after: Option<Step>,
        backward: bool,
    ) -> napi::Result<Unknown<'env>> {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let (path, after) =
            call(env, &self.isolate, || Ok((value::path(path)?, after.map(value::subscript).transpose()?)))?;
        match self.tree.next(&path, after.as_ref(), direction) {
            Some(next) => value::subscript_out(env, next),
            None => value::unknown(env, ()),
        }
    }

    /// `[path, value]` of each node at `path` and below.
    #[napi]
    pub fn entries<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Array<'env>> {
        let path = call(env, &self.isolate, || value::path(path))?;
        value::entries_out(env, value::nodes(&self.tree, &path).into_iter())
    }
}

/// What a decider may choose beside its answer.
#[napi]
pub struct Choice {
    isolate: Arc<Isolate>,
    event: Arc<Event>,
}

impl Choice {
    /// Of an event, for an environment.
    pub fn new(isolate: Arc<Isolate>, event: Arc<Event>) -> Self {
        Self { isolate, event }
    }
}

#[napi]
impl Choice {
    /// In `on_start`: charges the session under this license class.
    #[napi]
    pub fn set_license_class(&self, env: &Env, word: String) -> napi::Result<()> {
        let class = LicenseClass::from_name(&word).ok_or_else(|| {
            thrown(env, &self.isolate, &Error::invalid(format!("there is no license class '{word}'")))
        })?;
        self.event.set_license_class(class);
        Ok(())
    }

    /// In a `compatVeto` class: `false` asks for an extension.
    #[napi]
    pub fn set_end_session(&self, end: bool) {
        self.event.set_end_session(end);
    }
}
