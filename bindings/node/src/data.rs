//! The data of a session, as a request in flight sees it.

use libsession_core::data::{Direction, from_json, to_json, tree_from_json};
use napi::Env;
use napi::bindgen_prelude::{Array, Unknown};
use napi_derive::napi;

use crate::request::NativeRequest;
use crate::value::{self, Incoming, Step, unknown};

#[napi]
impl NativeRequest {
    /// The value of a first subscript: the common case.
    #[napi]
    pub fn get_text<'env>(&self, env: &'env Env, key: String) -> napi::Result<Unknown<'env>> {
        let found = self.call(env, || self.request.get(&[key.into()]))?;
        value::outgoing_option(env, found.as_ref())
    }

    /// The value at a path, or undefined.
    #[napi]
    pub fn get<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Unknown<'env>> {
        let found = self.call(env, || self.request.get(&value::path(path)?))?;
        value::outgoing_option(env, found.as_ref())
    }

    /// The engine's JSON text of the value at a path.
    #[napi]
    pub fn get_json(&self, env: &Env, path: Vec<Step>) -> napi::Result<Option<String>> {
        self.call(env, || Ok(self.request.get(&value::path(path)?)?.as_ref().map(to_json)))
    }

    /// The engine's JSON text of the nodes at a path and below.
    #[napi]
    pub fn tree_json(&self, env: &Env, path: Vec<Step>) -> napi::Result<String> {
        self.call(env, || Ok(value::entries_json(&self.request.entries(&value::path(path)?)?)))
    }

    /// `[value, version of the first subscript]`.
    #[napi]
    pub fn get_versioned<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Array<'env>> {
        let (found, version) = self.call(env, || self.request.get_versioned(&value::path(path)?))?;
        let mut pair = env.create_array(2)?;
        pair.set(0, value::outgoing_option(env, found.as_ref())?)?;
        pair.set(1, version as f64)?;
        Ok(pair)
    }

    /// Fails the commit if the first subscript is not at this version then.
    #[napi]
    pub fn expect_version(&self, env: &Env, first: Step, version: f64) -> napi::Result<()> {
        self.call(env, || self.request.expect_version(&value::subscript(first)?, version as u64))
    }

    /// Sets the value of a first subscript: the common case.
    #[napi]
    pub fn set_text(&self, env: &Env, key: String, value: Incoming, json: bool) -> napi::Result<()> {
        self.call(env, || self.request.set(&[key.into()], value::incoming(value, json)?))
    }

    /// Sets the value at a path.
    #[napi]
    pub fn set(&self, env: &Env, path: Vec<Step>, value: Incoming, json: bool) -> napi::Result<()> {
        self.call(env, || self.request.set(&value::path(path)?, value::incoming(value, json)?))
    }

    /// Removes a subtree.
    #[napi]
    pub fn kill(&self, env: &Env, path: Vec<Step>) -> napi::Result<bool> {
        self.call(env, || self.request.kill(&value::path(path)?))
    }

    /// Removes a subtree and returns its value.
    #[napi]
    pub fn pop<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Unknown<'env>> {
        let found = self.call(env, || self.request.pop(&value::path(path)?))?;
        value::outgoing_option(env, found.as_ref())
    }

    /// `$DATA`.
    #[napi]
    pub fn defined(&self, env: &Env, path: Vec<Step>) -> napi::Result<u8> {
        self.call(env, || self.request.defined(&value::path(path)?))
    }

    /// `$ORDER`.
    #[napi]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        path: Vec<Step>,
        after: Option<Step>,
        backward: bool,
    ) -> napi::Result<Unknown<'env>> {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let next = self.call(env, || {
            let after = after.map(value::subscript).transpose()?;
            self.request.next(&value::path(path)?, after.as_ref(), direction)
        })?;
        match next {
            Some(next) => value::subscript_out(env, &next),
            None => unknown(env, ()),
        }
    }

    /// Lays a tree (the engine's JSON text) over the subtree at `path`.
    #[napi]
    pub fn merge(&self, env: &Env, path: Vec<Step>, tree: String) -> napi::Result<()> {
        self.call(env, || self.request.merge(&value::path(path)?, &tree_from_json(&tree)?))
    }

    /// `[path, value]` of each node at `path` and below, paths relative to it.
    #[napi]
    pub fn entries<'env>(&self, env: &'env Env, path: Vec<Step>) -> napi::Result<Array<'env>> {
        let entries = self.call(env, || self.request.entries(&value::path(path)?))?;
        value::entries_out(env, entries.into_iter())
    }

    /// Nodes that have a value.
    #[napi]
    pub fn count(&self, env: &Env) -> napi::Result<u32> {
        self.call(env, || self.request.count().map(|count| count as u32))
    }

    /// Bytes of the data.
    #[napi]
    pub fn bytes_used(&self, env: &Env) -> napi::Result<f64> {
        self.call(env, || self.request.bytes_used().map(|bytes| bytes as f64))
    }

    /// Sets a value if it is `expected` now; both are the engine's JSON text, nothing is no value.
    #[napi]
    pub fn compare_and_set(
        &self,
        env: &Env,
        path: Vec<Step>,
        expected: Option<String>,
        new: Option<String>,
    ) -> napi::Result<()> {
        self.call(env, || {
            let expected = expected.as_deref().map(from_json).transpose()?;
            let new = new.as_deref().map(from_json).transpose()?;
            self.request.compare_and_set(&value::path(path)?, expected.as_ref(), new)
        })
    }
}
