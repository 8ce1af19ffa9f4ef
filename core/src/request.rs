//! One use of a session: what a request reads, writes, and asks of its session.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::data::{Direction, Subscript, Tree, Value, Writes};
use crate::engine::ask::{Wait, now};
use crate::error::Result;
use crate::event::ClassRef;
use crate::event::class::{check_name, check_namespace};
use crate::id::{SessionId, Token};
use crate::manager::Then;
use crate::reason::LockMode;
use crate::session::{EndOptions, EndOutcome, Feature, FeatureOptions, Login, LoginOptions, Logout, SessionInfo};
use crate::table::{Card, ClassChange};
use crate::ticket::Ticket;

/// A request in flight, or, for an `on_start` callback, the draft of a session. Cheap to clone: all clones are one.
///
/// It reads committed data under its own writes; they commit together at [`finish`](Self::finish), [`save`](Self::save)
/// or [`unlock`](Self::unlock). Dropping the last clone finishes and commits.
///
/// Every call of a request whose session ended meanwhile answers `gone` with the reason; after `finish` it is `closed`.
/// Threads: any; calls of one request are serialised.
#[derive(Clone)]
pub struct Request(pub(crate) Arc<crate::engine::requests::InFlight>);

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({})", self.id())
    }
}

impl Request {
    /// The session's public id.
    pub fn id(&self) -> SessionId {
        self.0.session.id
    }
    /// The session's token as this request knows it: the one it began with, or the newest it rotated to.
    pub fn token(&self) -> Token {
        self.0.token()
    }
    /// Whether this is the session's first request. True for exactly one.
    pub fn is_new(&self) -> bool {
        self.0.is_new
    }
    /// The session as it is now.
    pub fn info(&self) -> Result<SessionInfo> {
        self.0.in_flight()?;
        let found = self.0.engine.table.look(self.0.at(), self.0.session);
        self.0.resolve(found).map(|(info, _)| info)
    }
    /// The session's application now.
    pub fn application(&self) -> Result<Arc<str>> {
        Ok(self.0.engine.app(self.card()?.application).name.clone())
    }
    /// The user, if one is logged in.
    pub fn user(&self) -> Result<Option<Arc<str>>> {
        Ok(self.card()?.user)
    }
    /// Who is charged for the session's license, if anybody.
    pub fn license_holder(&self) -> Result<Option<Arc<str>>> {
        Ok(self.info()?.license.map(|(holder, _)| holder))
    }
    // --- data (SPEC section 6) ---
    /// The value at `path`.
    pub fn get(&self, path: &[Subscript]) -> Result<Option<Value>> {
        self.0.with(|writes, base| Ok(writes.get(base, path)))
    }
    /// The value and the version of its first subscript; a later write to it in this request conflicts if that moved.
    pub fn get_versioned(&self, path: &[Subscript]) -> Result<(Option<Value>, u64)> {
        self.0.with(|writes, base| {
            let version = version(base, path);
            expect(writes, path, version);
            Ok((writes.get(base, path), version))
        })
    }
    /// Fails the commit with `conflict` if the first subscript is not at this version then.
    pub fn expect_version(&self, first: &Subscript, version: u64) -> Result<()> {
        self.0.with(|writes, _| {
            writes.expect(first.clone(), version);
            Ok(())
        })
    }
    /// Sets a value. Errors: `quota`, `invalid`; nothing changed.
    pub fn set(&self, path: &[Subscript], value: Value) -> Result<()> {
        let quotas = self.0.engine.config.quotas;
        self.0.with(|writes, base| writes.set(base, &quotas, path, value))
    }
    /// Removes a subtree; the empty path removes all. Tells whether there was something.
    pub fn kill(&self, path: &[Subscript]) -> Result<bool> {
        self.0.with(|writes, base| {
            let was = writes.defined(base, path) != 0;
            writes.kill(base, path)?;
            Ok(was)
        })
    }
    /// Removes a subtree and returns its value.
    pub fn pop(&self, path: &[Subscript]) -> Result<Option<Value>> {
        self.0.with(|writes, base| {
            let value = writes.get(base, path);
            writes.kill(base, path)?;
            Ok(value)
        })
    }
    /// `$DATA`: 0 nothing, 1 a value, 10 children, 11 both.
    pub fn defined(&self, path: &[Subscript]) -> Result<u8> {
        self.0.with(|writes, base| Ok(writes.defined(base, path)))
    }
    /// `$ORDER`: the subscript below `path` that follows `after`.
    pub fn next(
        &self,
        path: &[Subscript],
        after: Option<&Subscript>,
        direction: Direction,
    ) -> Result<Option<Subscript>> {
        self.0.with(|writes, base| Ok(writes.next(base, path, after, direction)))
    }
    /// Lays a tree over the subtree at `path`; deletes nothing.
    pub fn merge(&self, path: &[Subscript], tree: &Tree) -> Result<()> {
        let quotas = self.0.engine.config.quotas;
        self.0.with(|writes, base| writes.merge(base, &quotas, path, tree))
    }
    /// Every node below `path` (relative paths), in collation order.
    pub fn entries(&self, path: &[Subscript]) -> Result<Vec<(Vec<Subscript>, Value)>> {
        self.0.with(|writes, base| {
            let entries = writes.entries(base, path).into_iter();
            Ok(entries.map(|(mut whole, value)| (whole.split_off(path.len().min(whole.len())), value)).collect())
        })
    }
    /// Nodes that have a value.
    pub fn count(&self) -> Result<usize> {
        self.0.with(|writes, base| Ok(writes.count(base)))
    }
    /// Bytes of the data with this request's writes.
    pub fn bytes_used(&self) -> Result<usize> {
        self.0.with(|writes, base| Ok(writes.bytes_used(base)))
    }
    /// Sets a value if it is `expected` now; commits at once, before and apart from this request's other writes.
    /// `None` is no value. Errors: `conflict` if it is not.
    pub fn compare_and_set(&self, path: &[Subscript], expected: Option<&Value>, new: Option<Value>) -> Result<()> {
        let key = self.0.in_flight()?;
        let found = self.0.engine.table.compare_and_set(self.0.at(), &key, path, expected, new);
        let found = found.map_live(|written| self.0.engine.after_write(self.0.session, written));
        self.0.resolve(found)?
    }
    /// Commits the writes so far. Errors: `conflict` names the keys, `quota`; nothing is written and the writes stay.
    pub fn save(&self) -> Result<()> {
        self.0.save()
    }
    /// Drops the writes so far.
    pub fn discard(&self) -> Result<()> {
        self.0.discard()
    }
    /// Commits and ends the request. A commit that fails writes nothing; the request ends and its lock is freed all the
    /// same. If `request_end` was asked and this was the last request in flight, the session ends in this call.
    pub fn finish(&self) -> Result<()> {
        self.0.finish()
    }
    // --- lock (SPEC section 7) ---
    /// Frees the lock early; `save` commits first.
    pub fn unlock(&self, save: bool) -> Result<()> {
        if save {
            self.0.save()?;
        }
        let key = self.0.in_flight()?;
        self.0.resolve(self.0.engine.table.unlock(self.0.at(), &key)).map(drop)
    }
    /// Takes the lock again. Blocks up to `timeout` (default the manager's). Errors: `lock_timeout` names the holder.
    pub fn lock(&self, mode: LockMode, timeout: Option<Duration>) -> Result<()> {
        let key = self.0.in_flight()?;
        let found = self.0.engine.lock(key, mode, timeout)?;
        self.0.resolve(found)
    }
    /// As [`lock`](Self::lock), never blocking: `then` is called once, at once if the lock is free, else from the thread that frees it,
    /// or that cancels the wait by its ticket. Errors: also `cancelled`; nothing was changed.
    pub fn lock_async(&self, mode: LockMode, timeout: Option<Duration>, ticket: Option<Ticket>, then: Then<()>) {
        let key = match self.0.in_flight() {
            Ok(key) => key,
            Err(error) => return then(Err(error)),
        };
        let request = self.clone();
        let then = move |found: Result<_>| then(found.and_then(|found| request.0.resolve(found)));
        self.0.engine.lock_async(key, mode, timeout, ticket, Box::new(then));
    }
    /// The lock this request holds now.
    pub fn lock_mode(&self) -> Result<Option<LockMode>> {
        self.0.lock_mode()
    }
    // --- life ---
    /// Sets the idle timeout, at once, counted from the last use; `None` is never.
    pub fn set_idle_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.0.set_idle_timeout(timeout)
    }
    /// Sets the absolute timeout, counted from the creation. Errors: `invalid` if that is later than it is now.
    pub fn set_absolute_timeout(&self, timeout: Duration) -> Result<()> {
        self.0.set_absolute_timeout(timeout)
    }
    /// Ends the session when its last request in flight finishes; new begins get `gone` from now on. `false` takes it back.
    pub fn request_end(&self, end: bool) -> Result<()> {
        self.0.in_flight()?;
        self.0.resolve(self.0.engine.table.request_end(self.0.at(), self.0.session, end))
    }
    /// Ends the session now. This request's later calls answer `gone`.
    pub fn end(&self, options: EndOptions) -> Result<EndOutcome> {
        now(|then| self.0.engine.end_request(Wait::Blocking, self, options, then))
    }
    /// As [`end`](Self::end); with level `request` asynchronous `on_expiring` callbacks are awaited, and a wait for the callbacks
    /// blocks no thread of the caller.
    pub fn end_async(&self, options: EndOptions, then: Then<EndOutcome>) {
        self.0.engine.end_request(Wait::Async, self, options, then);
    }
    /// A new token for the same session; the old one works for the grace. Data, id and license stay.
    pub fn rotate(&self) -> Result<Token> {
        self.0.engine.rotate(self)
    }
    /// The host has authenticated `user`: asks `on_login`, then changes user and holder and rotates, in one step.
    /// Errors: `denied` by a callback, or where the user's groups can't be told; `invalid`; nothing changed.
    pub fn login(&self, user: &str) -> Result<Login> {
        self.login_with(user, LoginOptions::default())
    }
    /// As [`login`](Self::login), of a user who belongs to groups: reservations and lists of the pool may name them.
    pub fn login_with(&self, user: &str, options: LoginOptions) -> Result<Login> {
        now(|then| self.0.engine.login(Wait::Blocking, self, user, options, then))
    }
    /// As [`login_with`](Self::login_with); asynchronous callbacks are awaited.
    pub fn login_async(&self, user: &str, options: LoginOptions, then: Then<Login>) {
        self.0.engine.login(Wait::Async, self, user, options, then);
    }
    /// Tries the license trade again after a login whose trade was denied.
    pub fn trade(&self) -> Result<()> {
        self.trade_with(LoginOptions::default())
    }
    /// As [`trade`](Self::trade), with the groups that the user belongs to: they are not remembered from the login. Errors:
    /// `license_denied`; `denied` where the user's groups can't be told; nothing changed.
    pub fn trade_with(&self, options: LoginOptions) -> Result<()> {
        now(|then| self.0.engine.trade(Wait::Blocking, self, options, then))
    }
    /// As [`trade_with`](Self::trade_with); who waits for a unit blocks no thread.
    pub fn trade_async(&self, options: LoginOptions, then: Then<()>) {
        self.0.engine.trade(Wait::Async, self, options, then);
    }
    /// The user leaves; the session lives on under a new token, its own holder again. Errors: `denied` by `on_logout`, unless `force`.
    pub fn logout(&self, force: bool) -> Result<Logout> {
        now(|then| self.0.engine.logout(Wait::Blocking, self, force, then))
    }
    /// As [`logout`](Self::logout); asynchronous callbacks are awaited.
    pub fn logout_async(&self, force: bool, then: Then<Logout>) {
        self.0.engine.logout(Wait::Async, self, force, then);
    }
    // --- features (SPEC section 5) ---
    /// Takes a feature: units of a pool beside the session's license, whatever its license class, all that are asked for or
    /// none.
    ///
    /// Each is a connection of its holder in the pool: of the user who is logged in now (by the pool's rule at this client),
    /// or else of the session itself. It stays so whoever logs in or out, until it is returned or the session ends, however
    /// that ends; the death of a process ends no session. What a session takes for itself is apart from the unit of its
    /// license, and doesn't linger. Nobody is evicted for a feature. At most 64 features a session; what one holder takes of one pool in a row is one.
    ///
    /// Errors: `license_denied` with pool, reason and retry-after; `denied` where the user's groups can't be told; `invalid` for an unknown pool, a count out of bounds, one
    /// feature too many; `conflict` if users log in and out all the while. Nothing changed. Threads: any; one commit.
    pub fn take_feature(&self, pool: &str, options: FeatureOptions) -> Result<()> {
        now(|then| self.0.engine.take_feature(Wait::Blocking, self, pool, options, then))
    }
    /// As [`take_feature`](Self::take_feature); who waits for units blocks no thread.
    pub fn take_feature_async(&self, pool: &str, options: FeatureOptions, then: Then<()>) {
        self.0.engine.take_feature(Wait::Async, self, pool, options, then);
    }
    /// Returns a feature `count` times, or as often as it is taken: what was taken last first, whoever is charged for it.
    /// Tells how often. The units are free then, or linger as the pool says.
    pub fn return_feature(&self, pool: &str, count: u64) -> Result<u64> {
        self.0.engine.return_feature(self, pool, count)
    }
    /// The features that the session has taken, in the order taken.
    pub fn features(&self) -> Result<Vec<Feature>> {
        self.0.engine.features(self)
    }
    // --- event classes (SPEC section 4); namespace `None` is the session's ---
    /// Puts a class to the front of the session's list, once.
    pub fn event_class_add(&self, name: &str, namespace: Option<&str>) -> Result<()> {
        self.0.change_classes(ClassChange::Front(self.class(name, namespace)?)).map(drop)
    }
    /// Removes a class (`None`: all of the namespace); tells whether it was there.
    pub fn event_class_remove(&self, name: Option<&str>, namespace: Option<&str>) -> Result<bool> {
        let change = match name {
            Some(name) => ClassChange::Remove(self.class(name, namespace)?),
            None => ClassChange::RemoveNamespace(self.namespace(namespace)?),
        };
        self.0.change_classes(change)
    }
    /// Whether the session lists it.
    pub fn event_class_exists(&self, name: &str, namespace: Option<&str>) -> Result<bool> {
        let class = self.class(name, namespace)?;
        Ok(self.0.classes()?.iter().any(|known| known.same(&class.namespace, &class.name)))
    }
    /// The session's list (namespace, name), first called first.
    pub fn event_class_list(&self) -> Result<Vec<(Arc<str>, Arc<str>)>> {
        Ok(self.0.classes()?.iter().map(|class| (class.namespace.clone(), class.name.clone())).collect())
    }
    /// Empties the list.
    pub fn event_class_clear(&self) -> Result<()> {
        self.0.change_classes(ClassChange::Clear).map(drop)
    }
    /// The `event_class` property of `%CSP.Session`: adds only if absent; "" has no effect.
    pub fn set_event_class(&self, name: &str) -> Result<()> {
        if name.is_empty() || self.event_class_exists(name, None)? {
            return Ok(());
        }
        self.event_class_add(name, None)
    }
    // --- attachments: native objects that live as long as the session, in this process ---
    /// Keeps an object with the session under a name; it is dropped on a dispatcher thread after the session's `on_end`.
    /// Returns the one before.
    pub fn attach(&self, name: &str, object: Arc<dyn Any + Send + Sync>) -> Result<Option<Arc<dyn Any + Send + Sync>>> {
        self.0.in_flight()?;
        check_name("attachment", name)?;
        self.0.resolve(self.0.engine.table.attach(self.0.session, name, Some(object)))
    }
    /// The object under this name.
    pub fn attachment(&self, name: &str) -> Result<Option<Arc<dyn Any + Send + Sync>>> {
        self.0.in_flight()?;
        self.0.resolve(self.0.engine.table.attachment(self.0.session, name))
    }
    /// Takes the object away from the session.
    pub fn detach(&self, name: &str) -> Result<Option<Arc<dyn Any + Send + Sync>>> {
        self.0.in_flight()?;
        self.0.resolve(self.0.engine.table.attach(self.0.session, name, None))
    }

    fn card(&self) -> Result<Card> {
        self.0.in_flight()?;
        self.0.resolve(self.0.engine.table.card(self.0.at(), self.0.session))
    }

    fn namespace(&self, namespace: Option<&str>) -> Result<Arc<str>> {
        match namespace {
            Some(namespace) => {
                check_namespace(namespace)?;
                Ok(namespace.into())
            }
            None => self.0.namespace(),
        }
    }

    fn class(&self, name: &str, namespace: Option<&str>) -> Result<ClassRef> {
        check_name("event class", name)?;
        Ok(ClassRef::new(self.namespace(namespace)?, name))
    }
}

/// The version of what a path begins with.
fn version(base: &Tree, path: &[Subscript]) -> u64 {
    path.first().map_or_else(|| base.root_version(), |first| base.version(first))
}

fn expect(writes: &mut Writes, path: &[Subscript], version: u64) {
    match path.first() {
        Some(first) => writes.expect(first.clone(), version),
        None => writes.expect_root(version),
    }
}
