//! Groups of users that JavaScript tells.

use std::sync::Arc;

use libsession_core::event::{GroupReply, GroupResolver, Place};
use napi::Env;
use napi::bindgen_prelude::Array;
use parking_lot::Mutex;

use crate::handler::{GONE, Member};
use crate::isolate::{self, Isolate, Item};

/// A synchronous call of one environment does not wait for the JavaScript of another.
const ELSEWHERE: &str =
    "the group resolver is that of another thread: use the asynchronous call, or set one in this thread, too";

/// The functions of one or more environments that share a manager. The one of the environment that asks is called, or else the
/// first.
#[derive(Default)]
pub struct Resolver(Mutex<Vec<Member>>);

/// A question on its way to JavaScript.
pub struct Asked {
    table: u32,
    user: String,
    reply: GroupReply,
}

impl Asked {
    /// The environment ended before it answered.
    pub fn gone(self) {
        self.reply.fail(GONE);
    }
}

impl Resolver {
    /// Sets an environment's function; whether it is the first of all.
    pub fn set(&self, member: Member) -> bool {
        let mut members = self.0.lock();
        match members.iter_mut().find(|known| known.isolate.id == member.isolate.id) {
            Some(known) => {
                known.table = member.table;
                false
            }
            None => {
                members.push(member);
                members.len() == 1
            }
        }
    }

    /// Takes an environment's function away; whether it was the last.
    pub fn leave(&self, isolate: u64) -> bool {
        let mut members = self.0.lock();
        let before = members.len();
        members.retain(|member| member.isolate.id != isolate);
        members.is_empty() && before > 0
    }

    /// Whether no environment has one.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    fn find(&self, which: impl Fn(&Member) -> bool) -> Option<(Arc<Isolate>, u32)> {
        let members = self.0.lock();
        members.iter().find(|member| which(member)).map(|member| (member.isolate.clone(), member.table))
    }
}

/// What the core calls.
pub struct Resolving(pub Arc<Resolver>);

impl GroupResolver for Resolving {
    fn resolve(&self, user: &str, reply: GroupReply) {
        let user = user.to_owned();
        if let Some((isolate, table)) = self.0.find(|member| member.isolate.is_here()) {
            let asked = Asked { table, user, reply };
            let outcome = isolate::with_local(isolate.id, |local| isolate::tell_groups(local, &isolate, asked));
            if let Some(Err(failure)) = outcome {
                log::error!("a group resolver could not be called: {}", failure.reason);
            }
            return;
        }
        if isolate::on_javascript_thread() && !isolate::asynchronous() {
            return reply.fail(ELSEWHERE);
        }
        let Some((isolate, table)) = self.0.find(|_| true) else { return reply.fail(GONE) };
        if let Err(Item::Groups(asked)) = isolate.push(Item::Groups(Box::new(Asked { table, user, reply }))) {
            asked.gone();
        }
    }

    fn place(&self, asynchronous: bool) -> Option<Place> {
        let here = || self.0.find(|member| member.isolate.is_here()).is_some();
        let elsewhere = !isolate::on_javascript_thread() || (asynchronous && !here());
        Some(if elsewhere { Place::Worker } else { Place::Caller })
    }
}

/// What `lib/loop.cjs` takes: `[-4, number, table, asynchronous, user]`.
pub fn to_js<'env>(env: &'env Env, isolate: &Arc<Isolate>, asked: Asked) -> napi::Result<Array<'env>> {
    let Asked { table, user, reply } = asked;
    let asynchronous = isolate::asynchronous();
    let mut fields = env.create_array(5)?;
    fields.set(0, -4)?;
    fields.set(1, isolate.keep_groups(reply))?;
    fields.set(2, table)?;
    fields.set(3, asynchronous)?;
    fields.set(4, user)?;
    Ok(fields)
}
