//! The groups of users, told by the host.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex};

use libsession_core::{GroupReply, GroupResolver, Result};

use crate::bytes::text;
use crate::guard::done;
use crate::handle::{self, Table, Tables, Tenant, lock};
use crate::manager::{lses_manager, open};
use crate::status::{LSES_OK, lses_status, save};
use crate::user_data::{Escape, UserData, lses_drop_fn};

/// Where an lses_group_resolver_fn tells groups; valid while it runs.
#[allow(non_camel_case_types)]
pub struct lses_groups {
    _handle: [u8; 0],
}

/// Tells the groups of a user: calls lses_groups_add() for each, and returns 0 when it told all of them, or LSES_FAILED (or any
/// other number) if it can't; lses_groups_say() can give a text for the caller. `user` has a NUL behind it. Runs on a dispatcher
/// thread, or on the thread of the call that asks (nested in a callback; mode `inline`), several at a time. It may call every
/// function of this library that does not say otherwise. Must not throw, longjmp out of itself or end its thread.
#[allow(non_camel_case_types)]
pub type lses_group_resolver_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        user: *const c_char,
        user_len: usize,
        groups: *mut lses_groups,
    ) -> i32,
>;

/// One user whose groups are being told.
#[derive(Default)]
pub(crate) struct Telling {
    groups: Mutex<Vec<String>>,
    said: Mutex<Option<String>>,
}

impl Tenant for Telling {
    const KIND: u64 = 9;
    const NAME: &'static str = "list of groups";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.groups
    }
}

/// The handle of a list; freed when the function returned.
struct Lent(*mut lses_groups);

impl Drop for Lent {
    fn drop(&mut self) {
        drop(handle::remove::<Telling, _>(self.0));
    }
}

/// A function of the host.
struct Resolver {
    call: unsafe extern "C-unwind" fn(*mut c_void, *const c_char, usize, *mut lses_groups) -> i32,
    user_data: UserData,
}

impl Resolver {
    fn ask(&self, user: &str) -> Result<std::result::Result<Vec<String>, String>> {
        let mut named = user.as_bytes().to_vec();
        named.push(0);
        let lent = Lent(handle::insert(Telling::default())?);
        let saved = save();
        let escape = Escape::from("the group resolver", "");
        // SAFETY: the host passed the function for this user data, which is there until no call of it runs; the text has a NUL
        // behind it, and outlives the call.
        let answer = unsafe { (self.call)(self.user_data.pointer(), named.as_ptr().cast(), user.len(), lent.0) };
        escape.returned();
        drop(saved);
        let told = handle::pin::<Telling, _>(lent.0)?;
        if answer == LSES_OK {
            return Ok(Ok(std::mem::take(&mut *lock(&told.groups))));
        }
        let said = lock(&told.said).take();
        Ok(Err(said.unwrap_or_else(|| format!("it returned {answer}"))))
    }
}

impl GroupResolver for Resolver {
    fn resolve(&self, user: &str, reply: GroupReply) {
        let Some(_exit) = crate::exit::enter() else { return reply.fail("the process is ending") };
        match self.ask(user) {
            Ok(Ok(groups)) => reply.groups(groups),
            Ok(Err(text)) => reply.fail(text),
            Err(error) => reply.fail(error.message()),
        }
    }
}

/// Sets who tells the groups of a user in this process, in place of the one before; `resolver` NULL takes it away.
///
/// It is asked by a login (after `on_login`), a trade and the taking of a feature that no groups were given with, and only where
/// the rules of the pool name groups ("group:NAME"); never by a logout or an end. It is asked before anything is changed, as a
/// deciding callback is: within the manager's callback deadline, with a breaker. What it tells counts for this one call. If it
/// fails, is late, or tells more than 256 groups or one that does not have 1 to 256 bytes, the call is LSES_E_DENIED and nothing
/// changed.
///
/// `drop_user_data` (may be NULL) is called exactly once with `user_data`: when the function was replaced or taken away and does
/// not run any more, after the manager is gone, or in this call if it fails. This call returns when the one before does not run
/// any more; one that overran its deadline is not waited for.
///
/// Threads: any. Blocks for the one before, at most its deadline. May be called from a callback. Errors: LSES_E_REENTRANT inside
/// of it. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_group_resolver(
    manager: *mut lses_manager,
    resolver: lses_group_resolver_fn,
    user_data: *mut c_void,
    drop_user_data: lses_drop_fn,
) -> lses_status {
    let user_data = UserData::new(user_data, drop_user_data);
    done(move || {
        let open = open(manager)?;
        let resolver = resolver.map(|call| Arc::new(Resolver { call, user_data }) as Arc<dyn GroupResolver>);
        open.core.set_group_resolver(resolver)
    })
}

/// Tells one group of the user: 1 to 256 bytes, at most 256 of them. What is wrong fails the whole answer.
///
/// Threads: any, while the function runs. Does not block. Errors: LSES_E_STALE_HANDLE after that, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_groups_add(
    groups: *mut lses_groups,
    group: *const c_char,
    group_len: usize,
) -> lses_status {
    done(|| {
        let told = handle::pin::<Telling, _>(groups)?;
        // SAFETY: the host passes a text with its length.
        let group = unsafe { text(group, group_len, "group") };
        let mut all = lock(&told.groups);
        // What is too much or wrong is kept as such, so that the answer is refused.
        if all.len() <= libsession_core::session::MAX_GROUPS {
            all.push(group.as_ref().map(|group| group.chars().take(257).collect()).unwrap_or_default());
        }
        let wrong = libsession_core::session::check_groups(&all);
        drop(all);
        group.map(drop).and(wrong)
    })
}

/// Gives a text that tells why the groups can't be told, for a function that returns LSES_FAILED.
///
/// Threads: any, while the function runs. Does not block. Errors: LSES_E_STALE_HANDLE after that, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_groups_say(groups: *mut lses_groups, say: *const c_char, say_len: usize) -> lses_status {
    done(|| {
        let told = handle::pin::<Telling, _>(groups)?;
        // SAFETY: the host passes a text with its length.
        let say = unsafe { text(say, say_len, "text") }?;
        *lock(&told.said) = Some(say.to_string());
        Ok(())
    })
}
