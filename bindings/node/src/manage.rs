//! The manager's other half: event classes, seeing and mending, running and closing.

use libsession_core::event::EventClass;
use libsession_core::id::SessionId;
use libsession_core::session::{CloseReport, Filter, Progress, State};
use napi::Env;
use napi_derive::napi;

use crate::account;
use crate::error::call;
use crate::handler::{Handler, Member};
use crate::manager::{HowToEnd, NativeManager};
use crate::outcome;
use crate::queue;
use crate::registry;
use crate::value::{duration, ms, timeout, unknown};
use crate::wait::blocking;

/// Which sessions are meant.
#[napi(object)]
pub struct SessionFilter {
    pub user: Option<String>,
    pub application: Option<String>,
    pub state: Option<String>,
    pub overdue: Option<bool>,
    pub pool: Option<String>,
    pub holder: Option<String>,
    pub older_than_ms: Option<f64>,
    pub idle_for_ms: Option<f64>,
    pub damaged: Option<bool>,
    pub immortal: Option<bool>,
}

impl From<SessionFilter> for Filter {
    fn from(filter: SessionFilter) -> Self {
        Self {
            user: filter.user,
            application: filter.application,
            state: filter.state.map(|state| if state == "new" { State::New } else { State::Active }),
            overdue: filter.overdue,
            pool: filter.pool,
            holder: filter.holder,
            older_than: filter.older_than_ms.map(duration),
            idle_for: filter.idle_for_ms.map(duration),
            damaged: filter.damaged,
            immortal: filter.immortal,
        }
    }
}

/// An event class: its name, and the bits of the kinds that it has callbacks for.
#[napi(object)]
pub struct ClassOptions {
    pub name: String,
    pub namespace: String,
    pub kinds: u32,
    pub deadline_ms: Option<f64>,
    pub compat_veto: bool,
}

#[napi]
impl NativeManager {
    /// Registers the table of callbacks `table` of this environment as an event class.
    #[napi]
    pub fn register(&self, env: &Env, class: ClassOptions, table: u32) -> napi::Result<()> {
        call(env, &self.isolate, || {
            let handler = Handler::new(class.kinds, class.compat_veto, self.shared.occupy, self.member(table));
            let mut core = EventClass::new(class.name, Handler::new(0, false, false, self.member(table)));
            core.namespace = class.namespace;
            core.deadline = class.deadline_ms.map(duration);
            core.compat_veto = class.compat_veto;
            self.shared.register(core, handler, self.member(table))
        })
    }

    fn member(&self, table: u32) -> Member {
        Member { isolate: self.isolate.clone(), table }
    }

    /// Unregisters this environment's callbacks, for the promise `id`: whether they were there.
    #[napi]
    pub fn unregister(&self, env: &Env, id: u32, name: String, namespace: String) -> napi::Result<()> {
        let (there, last) = self.shared.unregister(self.isolate.id, &name, &namespace);
        let manager = self.shared.manager.clone();
        blocking(
            env,
            &self.isolate,
            id,
            |env, _, there| Ok(Ok(unknown(env, there)?)),
            move || {
                if last {
                    manager.unregister(&name, &namespace)?;
                }
                Ok(there)
            },
        )
    }

    /// Sets the function `table` of this environment as the one that tells groups.
    #[napi]
    pub fn set_group_resolver(&self, env: &Env, table: u32) -> napi::Result<()> {
        call(env, &self.isolate, || self.shared.set_group_resolver(self.member(table)))
    }

    /// Has the engine begin anew with another function behind `table`, for the promise `id`.
    #[napi]
    pub fn renew_group_resolver(&self, env: &Env, id: u32) -> napi::Result<()> {
        let shared = self.shared.clone();
        blocking(
            env,
            &self.isolate,
            id,
            |env, _, there| Ok(Ok(unknown(env, there)?)),
            move || shared.renew_group_resolver().map(|()| true),
        )
    }

    /// Takes this environment's away, for the promise `id`.
    #[napi]
    pub fn clear_group_resolver(&self, env: &Env, id: u32) -> napi::Result<()> {
        let last = self.shared.leave_group_resolver(self.isolate.id);
        let shared = self.shared.clone();
        blocking(
            env,
            &self.isolate,
            id,
            |env, _, there| Ok(Ok(unknown(env, there)?)),
            move || {
                if last {
                    shared.forget_group_resolver()?;
                }
                Ok(last)
            },
        )
    }

    /// Ends what matches, at most `limit` sessions looked at.
    #[napi]
    pub fn end_where(
        &self,
        env: &Env,
        filter: SessionFilter,
        how: Option<HowToEnd>,
        cursor: f64,
        limit: u32,
    ) -> napi::Result<outcome::Progress> {
        call(env, &self.isolate, || {
            let options = HowToEnd::options(how)?;
            self.shared.manager.end_where(&filter.into(), options, cursor as u64, limit as usize).map(Progress::into)
        })
    }

    /// Sets the idle timeout of a session; infinite is never.
    #[napi]
    pub fn set_idle_timeout(&self, env: &Env, id: String, ms: f64) -> napi::Result<bool> {
        call(env, &self.isolate, || self.shared.manager.set_idle_timeout(SessionId::parse(&id)?, timeout(ms)))
    }

    /// Sets the absolute timeout of a session, only earlier.
    #[napi]
    pub fn set_absolute_timeout(&self, env: &Env, id: String, ms: f64) -> napi::Result<bool> {
        call(env, &self.isolate, || self.shared.manager.set_absolute_timeout(SessionId::parse(&id)?, duration(ms)))
    }

    /// Sets the idle timeout of all that match, at most `limit` sessions looked at.
    #[napi]
    pub fn set_idle_timeout_where(
        &self,
        env: &Env,
        filter: SessionFilter,
        ms: f64,
        cursor: f64,
        limit: u32,
    ) -> napi::Result<outcome::Progress> {
        call(env, &self.isolate, || {
            self.shared
                .manager
                .set_idle_timeout_where(&filter.into(), timeout(ms), cursor as u64, limit as usize)
                .map(Into::into)
        })
    }

    /// A page of live sessions.
    #[napi]
    pub fn list(&self, env: &Env, filter: SessionFilter, cursor: f64, limit: u32) -> napi::Result<outcome::Page> {
        call(env, &self.isolate, || {
            self.shared.manager.list(&filter.into(), cursor as u64, limit as usize).map(Into::into)
        })
    }

    /// Everything about one session.
    #[napi]
    pub fn explain(&self, env: &Env, id: String) -> napi::Result<Option<outcome::Explain>> {
        call(env, &self.isolate, || Ok(self.shared.manager.explain(SessionId::parse(&id)?)?.map(Into::into)))
    }

    /// Counters and health.
    #[napi]
    pub fn stats(&self, env: &Env) -> napi::Result<account::Stats> {
        call(env, &self.isolate, || self.shared.manager.stats().map(Into::into))
    }

    /// Violated invariants.
    #[napi]
    pub fn check(&self, env: &Env) -> napi::Result<Vec<String>> {
        call(env, &self.isolate, || self.shared.manager.check())
    }

    /// Why a holder has units of a pool.
    #[napi]
    pub fn explain_unit(&self, env: &Env, pool: String, holder: String) -> napi::Result<Option<account::UnitExplain>> {
        call(env, &self.isolate, || Ok(self.shared.manager.explain_unit(&pool, &holder)?.map(Into::into)))
    }

    /// The use of a pool.
    #[napi]
    pub fn usage(&self, env: &Env, pool: String) -> napi::Result<account::Usage> {
        call(env, &self.isolate, || self.shared.manager.usage(&pool).map(Into::into))
    }

    /// Those who wait for units of a pool.
    #[napi]
    pub fn queue(&self, env: &Env, pool: String, skip: u32, limit: u32) -> napi::Result<Vec<queue::Waiter>> {
        call(env, &self.isolate, || {
            let waiting = self.shared.manager.queue(&pool, skip as usize, limit as usize)?;
            Ok(waiting.into_iter().map(Into::into).collect())
        })
    }

    /// The pools' names.
    #[napi]
    pub fn pools(&self, env: &Env) -> napi::Result<Vec<String>> {
        call(env, &self.isolate, || Ok(self.shared.manager.pools()?.into_iter().map(|pool| pool.to_string()).collect()))
    }

    /// The definition of a pool that is in force, as JSON.
    #[napi]
    pub fn pool(&self, env: &Env, pool: String) -> napi::Result<String> {
        call(env, &self.isolate, || Ok(self.shared.manager.pool(&pool)?.to_json()))
    }

    /// Changes the options of a pool that a JSON object names; the definition in force from now on.
    #[napi]
    pub fn change_pool(&self, env: &Env, pool: String, options: String, actor: Option<String>) -> napi::Result<String> {
        call(env, &self.isolate, || {
            let changed = self.shared.manager.change_pool(&pool, |pool| pool.set_json(&options), actor.as_deref());
            Ok(changed?.to_json())
        })
    }

    /// Where definitions in force are others than those named.
    #[napi]
    pub fn pool_differences(&self, env: &Env) -> napi::Result<Vec<account::PoolDifference>> {
        call(env, &self.isolate, || {
            let differences = self.shared.manager.pool_differences()?.into_iter();
            Ok(differences.map(Into::into).collect())
        })
    }

    /// The high-water mark of a reader.
    #[napi]
    pub fn high_water(&self, env: &Env, pool: String, reader: String) -> napi::Result<account::HighWater> {
        call(env, &self.isolate, || {
            let (units, at) = self.shared.manager.high_water(&pool, &reader)?;
            Ok(account::HighWater { units: units as f64, at: at as f64 })
        })
    }

    /// Has the mark of a reader begin anew.
    #[napi]
    pub fn reset_high_water(&self, env: &Env, pool: String, reader: String) -> napi::Result<()> {
        call(env, &self.isolate, || self.shared.manager.reset_high_water(&pool, &reader))
    }

    /// Forgets the mark of a reader; whether there was one.
    #[napi]
    pub fn forget_high_water(&self, env: &Env, pool: String, reader: String) -> napi::Result<bool> {
        call(env, &self.isolate, || self.shared.manager.forget_high_water(&pool, &reader))
    }

    /// Accounts of a pool as lines of JSON.
    #[napi]
    pub fn export_accounts(&self, env: &Env, pool: String, after: f64, limit: u32) -> napi::Result<account::Accounts> {
        call(env, &self.isolate, || {
            let page = self.shared.manager.export_accounts(&pool, after as u64, limit as usize)?;
            Ok(account::Accounts { lines: page.lines, count: page.count as u32, last: page.last as f64 })
        })
    }

    /// A recount of a pool.
    #[napi]
    pub fn audit(&self, env: &Env, pool: String) -> napi::Result<account::Audit> {
        call(env, &self.isolate, || self.shared.manager.audit(&pool).map(Into::into))
    }

    /// Accounts of a pool.
    #[napi]
    pub fn audit_records(
        &self,
        env: &Env,
        pool: String,
        after: f64,
        limit: u32,
    ) -> napi::Result<Vec<account::AuditRecord>> {
        call(env, &self.isolate, || {
            let records = self.shared.manager.audit_records(&pool, after as u64, limit as usize)?;
            Ok(records.into_iter().map(Into::into).collect())
        })
    }

    /// The lifecycle log.
    #[napi]
    pub fn lifecycle(&self, env: &Env, after: f64, limit: u32) -> napi::Result<Vec<account::LogEntry>> {
        call(env, &self.isolate, || {
            let entries = self.shared.manager.lifecycle(after as u64, limit as usize)?;
            Ok(entries.into_iter().map(Into::into).collect())
        })
    }

    /// Dead letters.
    #[napi]
    pub fn dead_letters(&self, env: &Env, after: f64, limit: u32) -> napi::Result<Vec<account::DeadLetter>> {
        call(env, &self.isolate, || {
            let letters = self.shared.manager.dead_letters(after as u64, limit as usize)?;
            Ok(letters.into_iter().map(Into::into).collect())
        })
    }

    /// Delivers a dead letter again, or all.
    #[napi]
    pub fn redeliver(&self, env: &Env, id: Option<f64>) -> napi::Result<u32> {
        call(env, &self.isolate, || self.shared.manager.redeliver(id.map(|id| id as u64)).map(|count| count as u32))
    }

    /// Ends what is due now.
    #[napi]
    pub fn reap_now(&self, env: &Env) -> napi::Result<u32> {
        call(env, &self.isolate, || self.shared.manager.reap_now().map(|count| count as u32))
    }

    /// Without threads of its own: does what is due. Milliseconds until the next thing is due, infinite if nothing is.
    #[napi]
    pub fn tick(&self, env: &Env) -> napi::Result<f64> {
        call(env, &self.isolate, || Ok(self.shared.manager.tick()?.map_or(f64::INFINITY, ms)))
    }

    /// In `poll` mode: delivers at most `max` events here.
    #[napi]
    pub fn dispatch(&self, env: &Env, max: u32) -> napi::Result<u32> {
        call(env, &self.isolate, || {
            self.shared.manager.dispatch(max as usize, std::time::Duration::ZERO).map(|count| count as u32)
        })
    }

    /// Waits until every callback is delivered, for the promise `id`: whether that was reached.
    #[napi]
    pub fn drain(&self, env: &Env, id: u32, ms: f64) -> napi::Result<()> {
        let manager = self.shared.manager.clone();
        let call = move || manager.drain(duration(ms));
        blocking(env, &self.isolate, id, |env, _, done| Ok(Ok(unknown(env, done)?)), call)
    }

    /// For tests: makes a session's data unreadable.
    #[napi]
    pub fn damage(&self, env: &Env, id: String) -> napi::Result<bool> {
        call(env, &self.isolate, || self.shared.manager.damage(SessionId::parse(&id)?))
    }

    /// For tests: stalls the reaper thread.
    #[napi]
    pub fn stall_reaper(&self, env: &Env, stall: bool) -> napi::Result<()> {
        call(env, &self.isolate, || self.shared.manager.stall_reaper(stall))
    }

    /// Closes, for the promise `id`: the report.
    #[napi]
    pub fn close(&self, env: &Env, id: u32, grace_ms: f64) -> napi::Result<()> {
        let shared = self.shared.clone();
        blocking(
            env,
            &self.isolate,
            id,
            |env, _, report: CloseReport| Ok(Ok(unknown(env, outcome::CloseReport::from(report))?)),
            move || {
                let report = shared.manager.close(duration(grace_ms));
                registry::closed(&shared);
                Ok(report)
            },
        )
    }

    /// Closes at once, waiting for no callback.
    #[napi]
    pub fn close_now(&self, env: &Env) -> napi::Result<outcome::CloseReport> {
        call(env, &self.isolate, || {
            let report = self.shared.manager.close(std::time::Duration::ZERO);
            registry::closed(&self.shared);
            Ok(report.into())
        })
    }

    /// Whether it was closed.
    #[napi]
    pub fn is_closed(&self) -> bool {
        self.shared.manager.is_closed()
    }

    /// Whether other environments have it too.
    #[napi]
    pub fn is_shared(&self) -> bool {
        registry::is_shared(&self.shared, self.isolate.id)
    }
}
