//! How a dispatcher is set up.

use std::sync::Arc;

use super::letter_box::LetterBox;
use crate::clock::Millis;

/// Where callbacks run, unless their class says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DispatchMode {
    /// On dispatcher threads: notifications of one session in order, those of several at once; deciders on threads of
    /// their own.
    #[default]
    Thread,
    /// What the host's own call causes: in the calling thread, to its end, after every lock was released. What the
    /// reaper causes: on a dispatcher thread.
    Inline,
    /// Notifications in the thread that calls `dispatch`; deciders in the calling thread.
    Poll,
}

/// What a binding does around a dispatcher thread's life and waits. Each must call `body` exactly once; if the
/// runtime is gone it may leave it out: then the thread ends.
pub trait ThreadHooks: Send + Sync {
    /// Around the whole life of a dispatcher thread (Python: attached).
    fn around_life(&self, body: &mut dyn FnMut());
    /// Around the start of each of the manager's threads, in the thread that starts it (C: with the host's signals blocked,
    /// which the new thread inherits).
    fn around_start(&self, body: &mut dyn FnMut()) {
        body();
    }
    /// Around every wait for work (Python: detached). No lock is held when it returns.
    fn around_wait(&self, body: &mut dyn FnMut());
}

/// Starts a thread, within `around_start` if there are hooks.
pub(crate) fn start_thread(
    hooks: Option<&Arc<dyn ThreadHooks>>,
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.into());
    let Some(hooks) = hooks else { return builder.spawn(body) };
    let mut what = Some((builder, body));
    let mut started = None;
    hooks.around_start(&mut || started = what.take().map(|(builder, body)| builder.spawn(body)));
    started.unwrap_or_else(|| Err(std::io::Error::other("the thread hooks did not start it")))
}

/// Everything that can be chosen about a dispatcher.
pub(crate) struct DispatchConfig {
    /// Names the manager in the frames of [`current`](super::current).
    pub manager_id: u64,
    pub mode: DispatchMode,
    /// `false`: no threads; everything waits for `dispatch` in the caller's thread.
    pub own_threads: bool,
    pub workers: usize,
    pub decider_workers: usize,
    /// How many hung workers are replaced, of each kind.
    pub max_stuck: usize,
    /// How many deliveries may wait; more become dead letters.
    pub queue: usize,
    /// How long a callback may take, unless its class says otherwise.
    pub callback_deadline: Millis,
    pub retries: u32,
    /// Time before each retry; the last one repeats.
    pub retry_backoff: Vec<Millis>,
    /// After how many failures in a row a class's breaker opens.
    pub breaker_failures: u32,
    /// How long it stays open until one delivery is let through.
    pub breaker_probe: Millis,
    /// How many dead letters are kept.
    pub dead_letters: usize,
    /// Bytes of snapshots in dead letters; above, the oldest lose theirs.
    pub dead_letter_bytes: usize,
    /// Whether rows of the outbox that are not delivered by the end are other processes' to deliver.
    pub gives_back: bool,
    /// Where dead letters are that other processes see; `None`: they are this dispatcher's.
    pub letter_box: Option<Arc<dyn LetterBox>>,
    pub thread_hooks: Option<Arc<dyn ThreadHooks>>,
    /// What thread names begin with.
    pub thread_name: String,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            manager_id: 0,
            mode: DispatchMode::Thread,
            own_threads: true,
            workers: 4,
            decider_workers: 2,
            max_stuck: 4,
            queue: 10_000,
            callback_deadline: 5_000,
            retries: 3,
            retry_backoff: vec![100, 1_000, 10_000],
            breaker_failures: 5,
            breaker_probe: 30_000,
            dead_letters: 100_000,
            dead_letter_bytes: 64 << 20,
            gives_back: false,
            letter_box: None,
            thread_hooks: None,
            thread_name: "lses".into(),
        }
    }
}
