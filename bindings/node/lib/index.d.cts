/** libsession: one engine for sessions, timeouts and licenses. Durations are milliseconds; `null` is never, or none. */

export type ErrorKind =
  | 'invalid' | 'quota' | 'exists' | 'conflict' | 'lock_timeout' | 'denied' | 'license_denied' | 'session_limit'
  | 'wrong_process' | 'reentrant' | 'closing' | 'closed' | 'forked' | 'stale_handle' | 'uncertain' | 'poisoned'
  | 'corrupt' | 'unavailable' | 'async_required' | 'panic' | 'internal' | 'cancelled'
  /** A request whose session is not live any more: the two outcomes of `begin`, thrown. */
  | 'absent' | 'gone'

export type EndReason =
  | 'ended' | 'idle_timeout' | 'absolute_timeout' | 'revoked' | 'evicted' | 'replaced' | 'parent_ended'
  | 'start_denied' | 'license_denied' | 'expired_while_down' | 'shutdown'

export type DenyReason = 'pool_exhausted' | 'holder_limit' | 'excluded' | 'reserved'
export type EndLevel = 'request' | 'force' | 'kill'
export type TouchKind = 'activity' | 'keepalive' | 'none'
export type LockMode = 'exclusive' | 'shared' | 'none'
export type LicenseClass = 'named' | 'anonymous' | 'lazy' | 'none'
/** Which sessions may be ended for a unit that somebody needs: none, anonymous ones, or those first and then others. */
export type Evict = 'none' | 'anonymous' | 'any'
/** What becomes of a login when its user has as many sessions as a holder may. */
export type AtSessionLimit = 'deny' | 'evict_oldest' | 'evict_longest_idle'
/** When a session of class `lazy` takes its unit: at the login; the second request; the first write that changes something. */
export type LazyUntil = 'login' | 'second_request' | 'first_write'
export type UnitRule = 'session' | 'user' | 'staircase' | 'iris' | 'hard'
export type ThreadKind = 'request' | 'reaper' | 'admin' | 'recovery'

export type EventKind =
  | 'on_start' | 'on_expiring' | 'on_timeout' | 'on_end' | 'on_application_change' | 'on_login' | 'on_logout'
  | 'on_start_request' | 'on_end_request' | 'on_license_denied' | 'on_context_lost'
  | 'on_pool_low' | 'on_pool_exhausted' | 'on_pool_recovered' | 'on_pool_overdraft'

/** Every error kind, event kind and end reason, in the order of their numbers. */
export const errorKinds: readonly ErrorKind[]
export const eventKinds: readonly EventKind[]
export const endReasons: readonly EndReason[]

/** What the engine refuses. Holds no token, key or data value. */
export class SessionError extends Error {
  constructor(kind: ErrorKind, message: string, more?: {
    reason?: EndReason | DenyReason | null
    retryAfterMs?: number | null
    keys?: string[]
    retryable?: boolean
  })
  /** `ERR_SESSION_` and the kind in capitals. */
  readonly code: `ERR_SESSION_${Uppercase<ErrorKind>}`
  readonly kind: ErrorKind
  /** Why the session ended (`gone`), or why the license was denied (`license_denied`). */
  readonly reason: EndReason | DenyReason | null
  /**
   * When the same call would get in if only time passed (`license_denied`), at least 1,000; null if nothing comes back by
   * itself. Sessions are taken to end unused, and requests in flight to be over after `maxRequestMs`. Who asks stays; those who
   * wait come first and keep what they get, or give up when their time is over (the first 1,024 are counted). Whoever uses what
   * it has makes it later, whoever ends or returns something sooner. What happened in the last 100 ms may not be counted in.
   */
  readonly retryAfterMs: number | null
  /** The first subscripts in conflict (`conflict`). */
  readonly keys: string[]
  /** Whether the same call may succeed later: not where a license is denied for a reason that no time changes (`excluded`). */
  readonly retryable: boolean
}

/**
 * A value of the data tree. Integers beyond 2^53 are BigInt, bytes are Uint8Array. Arrays and plain objects are one
 * value each; in them `undefined` is left out as in JSON. JavaScript has one type of number: a float without a fraction that
 * another language wrote reads as a number, and is an integer when it is written again (`getJSON` and `setJSON` keep it).
 */
export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [key: string]: Value | undefined }
export type Subscript = string | number | bigint
export type Path = readonly Subscript[]

/** A session's data as it was when something happened. */
export interface ReadOnlyData extends Iterable<[Subscript[], Value]> {
  /** The value at a path; `undefined` if there is none. */
  get(...path: Subscript[]): Value | undefined
  /** The same as the engine's lossless JSON text (`1.0` stays a float, bytes are `{"$bytes":"…"}`). */
  getJSON(...path: Subscript[]): string | undefined
  /** The nodes at a path and below, as text of `[path, value]` pairs. */
  treeJSON(...path: Subscript[]): string
  /** `$DATA`: 0 nothing, 1 a value, 10 children, 11 both. */
  defined(...path: Subscript[]): 0 | 1 | 10 | 11
  /** `$ORDER`: the subscript below `path` beyond `after`; without it the first. */
  next(path: Path | Subscript, after?: Subscript | null, options?: { backward?: boolean }): Subscript | undefined
  /** `[path, value]` of each node at a path and below, in collation order; paths relative to it. */
  entries(...path: Subscript[]): IterableIterator<[Subscript[], Value]>
}

/** What `merge` takes: pairs of path and value, or a plain object with one level for each subscript. */
export type Tree = Iterable<readonly [Path | Subscript, Value]> | { readonly [key: string]: Value | undefined }

/**
 * The data of a session as one request sees it: committed data under its own writes, which commit together at `finish`,
 * `save` or `unlock`. Two requests that change different first subscripts both keep their change.
 */
export interface Data extends ReadOnlyData {
  /** The last argument is the value. Throws `quota`, `invalid`; nothing has changed then. */
  set(...pathAndValue: [...path: Subscript[], value: Value]): void
  setJSON(path: Path | Subscript, text: string): void
  /** Removes a subtree; without a path all. Tells whether there was something. */
  kill(...path: Subscript[]): boolean
  /** Removes a subtree and returns its value. */
  pop(...path: Subscript[]): Value | undefined
  /** Lays a tree over the subtree at the path; removes nothing. The last argument is the tree. */
  merge(...pathAndTree: [...path: Subscript[], tree: Tree]): void
  mergeJSON(path: Path | Subscript, text: string): void
  /** The value and the version of its first subscript: if that moves, a later write to it in this request conflicts. */
  getVersioned(...path: Subscript[]): { value: Value | undefined; version: number }
  /** The commit throws `conflict` if the first subscript is not at this version then. */
  expectVersion(first: Subscript, version: number): void
  /** Sets a value if it is `expected` now (`undefined`: no value); commits at once. Throws `conflict`. */
  compareAndSet(path: Path | Subscript, expected: Value | undefined, value: Value | undefined): void
  compareAndSetJSON(path: Path | Subscript, expected: string | null, text: string | null): void
  /** Nodes that have a value. */
  readonly count: number
  /** Bytes as the quotas count them. */
  readonly bytesUsed: number
}

export interface ApplicationOptions {
  /** 1 to 128 bytes. */
  name: string
  enabled?: boolean
  /** Scope of its event classes. Default empty. */
  namespace?: string
  /** Longest silence. Default 900,000; `null` or 0 is never. */
  idleTimeoutMs?: number | null
  /** Longest life. Default 24 h (in profile `iris` never); `null` is never. */
  absoluteTimeoutMs?: number | null
  /** The event classes its sessions start with, first called first. */
  eventClasses?: string[]
  /** Those of them that a decision needs: not registered is denied. */
  requiredEventClasses?: string[]
  /** Default: the only pool, if there is exactly one. */
  pool?: string
  /** Default `named` where a pool is configured, else `none`. */
  licenseClass?: LicenseClass
  /** When a `lazy` session takes its unit, decided when it is created; a login before that takes it, too. Default `login`. */
  lazyUntil?: LazyUntil
  /**
   * Whether a `lazy` session of a crawler or a health check takes a unit by a login only, never by a request or a write: told by
   * `userAgent` when it is created. Other classes don't ask. Default true.
   */
  detectCrawlers?: boolean
  /** What else is in their user agents: at most 1,000 texts of 1 to 256 bytes, compared without regard to the case of ASCII letters. */
  crawlers?: string[]
  /**
   * Longest silence of `anonymous` sessions, as long as they are: a login that makes one named gives it `idleTimeoutMs`; one
   * whose own was set keeps that. Default `idleTimeoutMs`.
   */
  anonymousIdleTimeoutMs?: number
  maxSessions?: number
  /** Extensions in a row without user activity. Default 0, in profile `iris` 3. */
  maxExtensions?: number
  /** The longest single extension. Default 900,000. */
  extensionCapMs?: number
  /** How long before the deadline `onExpiring` is asked, at most half the timeout. Default 5,000. */
  askLeadMs?: number
  /** The lock of a request that names none. Default `exclusive`. */
  lock?: LockMode
  timeoutOnApplicationChange?: 'keep' | 'adopt' | 'min' | 'max'
  /** Spared by `endWhere`. */
  protectedFromBulkEnd?: boolean
  /** A session that enters also gets this application's event classes. */
  eventClassesOnEntry?: boolean
  debug?: boolean
}

/** Units of a pool that are set apart for some. */
export interface Reservation {
  /** Users by name, or `user:NAME`, and groups as `group:NAME`. Who is in several reservations has the first. */
  members: string[]
  /** 1 up to the capacity. */
  units: number
  /**
   * Whether nobody else may use them meanwhile. Otherwise they only count as used by their members, who get them back: when they
   * find no other unit, a session that has none of the reserved ones is evicted for them, whatever `evict` says. Default true.
   */
  hard?: boolean
}

/** Tells the groups of a user. */
export type GroupResolver = (user: string) => string[] | Promise<string[]>

/** How a feature is taken. */
export interface FeatureOptions {
  /** How often, at once: 1 to 1000, all or none. Default 1. */
  count?: number
  /**
   * The groups that the user belongs to, at most 256: reservations and lists of the pool may name them. Default: none are given,
   * and the manager's group resolver is asked where they matter, if there is one; if it fails, the call is `denied`.
   */
  groups?: string[]
}

/** What else is known of who logs in. */
export interface LoginOptions {
  /** As in `FeatureOptions`. */
  groups?: string[]
}

/** How a call waits for license units. Only promises wait: what is synchronous never does. */
export interface QueueOptions {
  /**
   * How long it waits in the queue of the pool if there is no unit, on the manager's clock; default 0. It costs no thread. Who waits
   * is served in the order of `priority`, then of coming.
   */
  waitMs?: number
  /** -9 to 9, higher first; default 0. */
  priority?: number
  /** Tells the position, and cancels: then it rejects with `cancelled`. */
  ticket?: Ticket
  /**
   * An abort rejects with its reason and leaves no place. What was given at that moment is given back: a session ends, a feature is
   * returned. A login or a trade that was done by then stands, and its promise resolves; the abort came too late.
   */
  signal?: AbortSignal
}

/** Stands for one wait in the queue of a pool. It serves one wait after the other; of two at once it knows the later one. */
export class Ticket {
  constructor()
  /** Cancels the wait, or the next one as soon as it would wait. One whose units are just given may still succeed. */
  cancel(): void
  /** How many come first, plus one; null if nothing waits with this ticket. */
  readonly position: number | null
  /** Whether a call waits with this ticket now. */
  readonly waits: boolean
}

/** One who waits for units of a pool. */
export interface Waiter {
  /** How many come first, plus one. */
  position: number
  /** Who is to be charged: a session id or a user. */
  holder: string
  /** The session that waits, or is to be made. */
  sessionId: string
  priority: number
  waitedMs: number
  leftMs: number
  /** Whether units are set aside for it, which it is about to take. */
  offered: boolean
  process: number
}

export interface PoolOptions {
  name: string
  /** Units there are. */
  capacity: number
  /** How a holder with several sessions is charged. Default `staircase`. */
  unitRule?: UnitRule
  /** Step of the staircase, cliff of `iris`, limit of `hard`. Default 25. */
  maxConnections?: number
  maxSessionsPerHolder?: number
  /** Most units that `anonymous` sessions hold together. */
  anonymousCap?: number
  /**
   * Most `anonymous` sessions of one `address`: one IPv4 address, or one IPv6 network of 64 bits; a port counts for nothing, and
   * what is no address counts as it is written. A login leaves them. Sessions without an address are not bounded.
   */
  anonymousPerClient?: number
  /** A user at several clients is several holders, `user@client`: a client is what it is for `anonymousPerClient`. */
  holderPerClient?: boolean
  /** `onPoolLow` when fewer units than this are available. */
  low?: number
  /** `onPoolRecovered` when so many units are available again after it was low or exhausted. Default `low`, at least 1. */
  recovered?: number
  /**
   * How long a user keeps a unit that no session of theirs needs any more, to come back to it free. Default 0. A session that
   * is its own holder can't come back, and a unit that is traded goes along: neither lingers. So there is none for `anonymous`
   * sessions: a login makes them `named` ones.
   */
  lingerMs?: number
  /** The same where the last session to need the unit took its license as a `lazy` one. Default `lingerMs`. */
  lazyLingerMs?: number
  /**
   * How long a unit is held at least, from when it was taken. Default 0. A user who takes another one meanwhile holds all until
   * the last of these times is over.
   */
  minHoldMs?: number
  /** The same for units that `anonymous` sessions take. Default `minHoldMs`. */
  anonymousMinHoldMs?: number
  /** The same for units that `lazy` sessions take, but for features. Default `minHoldMs`. */
  lazyMinHoldMs?: number
  /** Whether a unit that lingers (but not one within `minHoldMs`) is given to somebody else when no other is free. Default true. */
  reclaim?: boolean
  /** Units that may be in use beyond the capacity: a number, or of a hundred of the capacity as `'10%'`. Default 0. */
  overdraft?: number | `${number}%`
  /** For how long units may be given beyond the capacity, from when it was passed until use is back within it. Default any time. */
  overdraftTimeMs?: number
  /**
   * Which sessions are ended, with reason `evicted`, for a unit that somebody needs and nothing else gives: the longest idle
   * first. Never one with a request in flight or within `minHoldMs`, one of the same user, or one whose unit counts as reserved;
   * for an anonymous session only other anonymous ones; for a feature none. Of a user all sessions go that it takes to free a
   * unit, or none. Default `none`.
   */
  evict?: Evict
  /** How long a session must have been idle to be evicted for somebody else. Default 0. */
  evictIdleMs?: number
  /**
   * What becomes of a login beyond `maxSessionsPerHolder`, or beyond the limit of `hard`. Where one of the user's own sessions is
   * ended for it, that is one step with the login, and that session may have a request in flight. Default `deny`.
   */
  atSessionLimit?: AtSessionLimit
  /** Units set apart for some: at most 64 reservations; with `breakGlass` no more units than the capacity. */
  reservations?: Reservation[]
  /** Units of the capacity that only `administrators` get, when they find no other. Default 0. */
  breakGlass?: number
  /** For whom `breakGlass` is: members as in a reservation. They are in no reservation. */
  administrators?: string[]
  /** The only users that are let in, members as in a reservation. Default: everybody. */
  include?: string[]
  /** Users that are not let in, even if `include` names them. */
  exclude?: string[]
  /** What becomes of a login whose license can't be traded. Default `keep`. */
  tradeFailure?: 'keep' | 'refuse'
  /** How many audit records are kept. Default 10,000. */
  auditRecords?: number
  /** Most who may wait for units of the pool (`waitMs`): up to 1,000,000; the next is refused at once. Default 0: nobody waits. */
  queue?: number
}

export interface ManagerOptions {
  /** Managers of the same name are one in all worker threads of a process. It stays until `close`. */
  name?: string
  /**
   * `memory` (default), one table of this process; or `file:PATH`, one of all processes of this machine that name the same
   * directory, which is made if it is not there.
   */
  store?: string
  /**
   * What a table of `file:` syncs before a call returns. `relaxed` (default): ends, logouts and rotations; the rest within
   * 50 ms, so that a crash of the process loses nothing and one of the machine the last 50 ms. `durable`: creations and
   * changes, too; not with `memory`.
   */
  durability?: 'relaxed' | 'durable'
  /**
   * Opens a store of `file:PATH` that is there by what it says itself of its configuration: for an administrator's process
   * beside those that serve, whatever their language. Default false. Nothing that the store says may be named: applications,
   * pools, the profile, quotas, `maxSessions`, `tombstoneMs`, `maxRequestMs`, `idleCountsSuspend`, `debug`, and how many dead
   * letters and log entries it keeps. Such a manager lists, explains, ends, audits, and changes pools; it makes no session,
   * begins no request, registers no event class and reaps nothing (`invalid`): what falls due is asked about and ended by those
   * that serve, by the next of them if there is none. Nobody is disturbed by its coming and going: while only such managers
   * have a store open, others open it as if nobody had, and wait up to 10 s for them if they are configured otherwise.
   * `invalid` if there is no store (none is made), and for anybody but the user that it belongs to; `unavailable` if it is of
   * another version.
   */
  adopt?: boolean
  profile?: 'default' | 'iris'
  /** An array, or an object with the names as keys. Without any there is one, `default`. */
  applications?: ApplicationOptions[] | { [name: string]: Omit<ApplicationOptions, 'name'> }
  pools?: PoolOptions[] | { [name: string]: Omit<PoolOptions, 'name'> }
  /** Default 1,000,000. */
  maxSessions?: number
  /** Default: 1 MiB a session, 64 levels, 64 KiB a value, 255 bytes a subscript. */
  quotas?: { sessionBytes?: number; levels?: number; valueBytes?: number; subscriptBytes?: number }
  /** `'manual'`, or a clock that several managers share: for tests. */
  clock?: 'system' | 'manual' | ManualClock
  /** Threads that deliver events (default 4), and that ask deciders (default 2): 1 to 64. */
  workers?: number
  deciderWorkers?: number
  maxStuck?: number
  /** Queued deliveries; beyond are dead letters. Default 100,000. */
  queue?: number
  /** How long a callback may take. Default 5,000. */
  callbackDeadlineMs?: number
  /** How often a failed callback is tried again. Default 3. */
  retries?: number
  breakerFailures?: number
  breakerProbeMs?: number
  deadLetters?: number
  deadLetterBytes?: number
  /** How long the reason of an ended session is remembered. Default 600,000. */
  tombstoneMs?: number
  /** A request older than this counts as finished. Default 3,600,000. */
  maxRequestMs?: number
  /** How long the asynchronous calls wait for a lock. Default 30,000. */
  lockTimeoutMs?: number
  /** How long an old token still works after a rotation. Default 10,000. */
  rotationGraceMs?: number
  idleCountsSuspend?: boolean
  /** Sessions keep a trace that `explain` shows; `damage` is allowed. */
  debug?: boolean
  lifecycleLog?: number
  /** Where notifications run. Default `thread`: on this thread's event loop, when its turn comes. */
  dispatch?: 'thread' | 'inline' | 'poll'
  /** `false`: no threads; the host calls `tick`. */
  threads?: boolean
  /** Who tells the groups of a user, as `setGroupResolver`. */
  groups?: GroupResolver
  /**
   * `true`: a callback occupies one of the `workers` until its promise settles, as in the other languages, so that no more
   * run at once. Default `false`: only the queue bounds how many promises are pending, and one that never settles costs nothing.
   */
  occupyWorkers?: boolean
}

export interface CreateOptions {
  /** Default: the first configured. */
  application?: string
  /** First values of the data tree. */
  data?: { [key: string]: Value | undefined }
  /** At most 256, 1,024 and 2,048 bytes. */
  address?: string
  userAgent?: string
  referrer?: string
  licenseClass?: LicenseClass
  idleTimeoutMs?: number | null
  /** Only earlier than the application's. */
  absoluteTimeoutMs?: number
}

export interface BeginOptions {
  /** Default `activity`. */
  touch?: TouchKind
  /** Default: the application's. */
  lock?: LockMode
  /** The application that serves the request. Default: the session's. */
  application?: string
}

export interface WaitOptions {
  /** How long the lock is waited for. Default: the manager's. */
  lockTimeoutMs?: number
  /** An abort rejects with its reason and ends the wait; a lock that was given at that moment is given back. */
  signal?: AbortSignal
}

export interface EndOptions {
  /** Default `force`. */
  level?: EndLevel
  /** Default `ended`. */
  reason?: EndReason
  /** Who ends it, for the receipt: at most 256 bytes. */
  actor?: string
  /** At most 1,024 bytes. */
  note?: string
}

/** The public handle, and the secret for the client. */
export interface Created { id: string; token: string }

/** What `begin` and `touch` give if there is no live session. */
export type NotLive =
  | { readonly live: false; readonly outcome: 'absent'; readonly reason: null }
  | { readonly live: false; readonly outcome: 'gone'; readonly reason: EndReason }

/** `remainingMs` is `null` if no deadline runs. */
export type Touched = { live: true; remainingMs: number | null } | NotLive

export interface CallbackOutcome { eventClass: string; kind: string; outcome: string }

export interface Receipt {
  id: string
  application: string
  user: string | null
  reason: EndReason
  level: EndLevel
  actor: string | null
  note: string | null
  /** Engine time, and wall time since 1970. */
  atMs: number
  wallMs: number
  /** How late after the deadline. */
  lateMs: number | null
  licenseFreeAtMs: number | null
  eventId: number
  /** How each callback went, if it was waited for. */
  callbacks: CallbackOutcome[]
}

export interface EndOutcome {
  /** `gone`: another had ended it, this is its receipt. `extended`: by a class, at level `request`. */
  outcome: 'ended' | 'gone' | 'extended' | 'absent'
  receipt: Receipt | null
  extendedBy: string | null
  extendedMs: number | null
}

export interface Denial { kind: ErrorKind; message: string; reason: DenyReason | null; retryAfterMs: number | null }
/** The new token; and the denial if the session could not be charged to the user. */
export interface Login { token: string; tradeDenied: Denial | null }
/** The new token; or the receipt, if there was no unit for the session as its own holder. */
export interface Logout { token: string | null; ended: Receipt | null }

/** A feature that a session has taken: units of a pool beside its license. */
export interface Feature {
  pool: string
  /** How often it is taken. */
  count: number
  /** Who is charged for it: the user who was logged in when it was taken, or the session. */
  holder: string
  /** When it was taken first: engine time. */
  sinceMs: number
}

export interface SessionInfo {
  id: string
  state: 'new' | 'active'
  application: string
  namespace: string
  user: string | null
  createdMs: number
  createdAt: number
  lastUsedMs: number
  idleTimeoutMs: number | null
  absoluteTimeoutMs: number | null
  deadlineMs: number | null
  immortal: boolean
  overdue: boolean
  inFlight: number
  licenseHolder: string | null
  licensePool: string | null
  /** The features that it has taken, in the order taken. */
  features: Feature[]
  dataBytes: number | null
  client: { address: string | null; userAgent: string | null; referrer: string | null }
}

export interface Explain {
  id: string
  live: SessionInfo | null
  ended: Receipt | null
  requests: { startedMs: number; touch: TouchKind; lock: LockMode | null; process: number }[]
  lockWaiters: number
  extensions: { atMs: number; eventClass: string; extendedMs: number }[]
  eventClasses: { namespace: string; name: string; registered: boolean }[]
  failures: CallbackOutcome[]
  damaged: boolean
  next: { what: string; atMs: number } | null
  trace: string[]
  /** The same in words, one line each. */
  text: string
}

export interface Filter {
  user?: string
  application?: string
  state?: 'new' | 'active'
  overdue?: boolean
  pool?: string
  holder?: string
  olderThanMs?: number
  idleForMs?: number
  damaged?: boolean
  immortal?: boolean
}

export interface Progress { scanned: number; changed: number; protected: number; next: number | null }

/** A bulk change in steps: await it for the sum, or iterate over it for the progress. The loop turns between steps. */
export interface Paced extends PromiseLike<Progress>, AsyncIterable<Progress> {
  catch<R = never>(reject: (error: unknown) => R | PromiseLike<R>): Promise<Progress | R>
  finally(done: () => void): Promise<Progress>
}

/** Where to begin, and how many sessions one step looks at. */
export interface PageOptions { cursor?: number; limit?: number }
/** What follows a position (0, the default: from the oldest that is kept), at most `limit` (1 or more, default 1,000). */
export interface AfterOptions { after?: number; limit?: number }

export interface CloseReport {
  ended: number
  inFlight: number
  delivered: number
  undelivered: number
  stuck: number
  /** It was called inside a callback, and closes when that has returned. */
  deferred: boolean
}

export interface Stats {
  live: number
  peak: number
  created: number
  refused: number
  ended: { [reason in EndReason]?: number }
  inFlight: number
  lockWaiters: number
  /** Calls of this manager that wait for license units. */
  licenseWaiters: number
  tombstones: number
  damaged: number
  reaper: 'running' | 'degraded' | 'none' | 'closed'
  degraded: string | null
  reaperRestarts: number
  latenessMaxMs: number
  latenessP99Ms: number
  callbacksQueued: number
  callbacksRunning: number
  callbacksDelivered: number
  callbacksFailed: number
  callbacksOverrun: number
  deadLetters: number
  stuckWorkers: number
  breakersOpen: string[]
  replacedTokenUses: number
}

export interface HolderUsage {
  holder: string
  /** `session` is its own holder; of a `lingering` one all units linger, of a `mixed` one some. */
  kind: 'user' | 'session' | 'mixed' | 'lingering'
  connections: number
  units: number
  activeMs: number
  /** Those of its units that linger. */
  lingering: number
  /** After what time those are free, if it does not come back. */
  releaseMs: number | null
}

export interface Usage {
  pool: string
  capacity: number
  inUse: number
  /** `capacity - inUse`. */
  available: number
  /** Units among those available that anybody may have: `available = free + reserved + breakGlass`. */
  free: number
  /** Units among those available that hard reservations set apart, and their members don't hold: nobody else may have them. */
  reserved: number
  /** Units of soft reservations that their members don't hold: others may use them, until a member needs one. */
  reservedSoft: number
  /**
   * Units among those available that only administrators may have. Where a lowered capacity or an overdraft left less than
   * is set apart, what there is counts as `reserved` first.
   */
  breakGlass: number
  /** Units among those in use that no session needs any more: they linger, or are held for their minimal time. */
  lingering: number
  /** Units in use beyond the capacity that were given as overdraft. */
  overdrawn: number
  /** Units in use beyond the capacity because it was lowered meanwhile: they stay with who has them and drain. */
  excess: number
  /** How many wait for units. */
  waiting: number
  /** Units among those in use that are set aside for who waits, to be fetched within half a second. */
  offered: number
  highWater: number
  highWaterAt: number
  /** Sessions refused so far. */
  denials: number
  /**
   * The same by why, since there is the pool: on a shared store in all processes together. A store that was made by an earlier
   * version has counted them in `denials` alone until this one opened it.
   */
  denialsByReason: Record<DenyReason, number>
  /** Sessions evicted so far, for others or for one more of their user. */
  evicted: number
  holders: HolderUsage[]
}

/** The options of a pool that are nothing, or another option's value, where they are left out. */
export type PoolOptionLeftOut =
  | 'maxSessionsPerHolder' | 'anonymousCap' | 'anonymousPerClient' | 'recovered' | 'lazyLingerMs' | 'anonymousMinHoldMs'
  | 'lazyMinHoldMs' | 'overdraftTimeMs'

/** The options of a pool that is in force; null where one is left out. */
export type PoolDefinition = {
  [option in keyof Required<PoolOptions>]: Required<PoolOptions>[option] | (option extends PoolOptionLeftOut ? null : never)
}

/** What changes of a pool; null for what shall be as if it had been left out. */
export type PoolChange = {
  [option in keyof Omit<PoolOptions, 'name'>]?: PoolOptions[option] | (option extends PoolOptionLeftOut ? null : never)
}

/** An option of a pool that is in force with another value than the one that this manager was opened with. */
export interface PoolDifference {
  pool: string
  option: string
  /** What this manager was opened with. */
  named: unknown
  inForce: unknown
}

/** The most units of a pool in use since a reader reset its mark, and when that was: milliseconds since 1970. */
export interface HighWater { units: number; at: number }

export interface UnitExplain {
  pool: string
  holder: HolderUsage
  /** At most 100. */
  sessions: SessionInfo[]
  /** The same in words, one line each, and when the units come back. */
  text: string
}

export interface Audit { pool: string; counted: number; recounted: number; differences: string[] }

export interface AuditRecord {
  seq: number
  /** Engine time. */
  atMs: number
  /** The same as wall time, milliseconds since 1970, as the clock goes now. */
  wallMs: number
  kind: 'grant' | 'denial' | 'trade' | 'release' | 'linger' | 'reclaim' | 'change' | 'queue' | 'offer' | 'withdraw' | 'leave'
  sessionId: string
  holder: string
  before: number
  after: number
  reason: DenyReason | null
  /** What made it possible, or brought it about. */
  why: 'lingering' | 'reclaimed' | 'reserved' | 'break_glass' | 'overdraft' | 'lingered' | 'evicted' | 'waited' | 'cancelled' | 'died' | null
}

export interface LogEntry { seq: number; atMs: number; sessionId: string; what: string; detail: string }

export interface DeadLetter {
  id: number
  eventId: number
  kind: EventKind
  sessionId: string
  namespace: string
  eventClass: string
  application: string
  reason: EndReason | null
  atMs: number
  attempts: number
  error: string
  completedLate: boolean
  hasSnapshot: boolean
}

/** What happened, to which session, and why. A snapshot: it stays as it is when the session goes on. */
export interface Event {
  readonly kind: EventKind
  /** The same in every redelivery. */
  readonly eventId: number
  readonly sessionId: string
  readonly application: string
  readonly oldApplication: string | null
  readonly namespace: string
  readonly user: string | null
  readonly oldUser: string | null
  readonly reason: EndReason | null
  readonly level: EndLevel | null
  readonly thread: ThreadKind
  /** For `onExpiring`: time until the deadline. */
  readonly remainingMs: number | null
  readonly pool: { pool: string; inUse: number; capacity: number } | null
  readonly atMs: number
  readonly wallMs: number
  /** 1 for the first. */
  readonly attempt: number
  readonly redelivered: boolean
  readonly timeLeftMs: number
  /** The data as it was. Throws `corrupt` if it could not be read. */
  readonly data: ReadOnlyData
  /** For deciders: the request or draft they act under; else null. Its `set` is the request's. */
  readonly session: Session | null
  /** In a decider: refuses, with a text for the caller. Returning `false` does the same without one. */
  deny(text?: string): void
  /** In `onExpiring`: live longer, within the budget. */
  extend(byMs: number): void
  /** In `onStart`: charges the session under this license class. */
  setLicenseClass(licenseClass: LicenseClass): void
  /** In a `compatVeto` class: `false` asks for an extension. */
  set endSession(end: boolean)
  /** For tests under a manual clock: this callback will never settle. */
  hang(): void
}

/**
 * A callback. It has failed if it throws or rejects. Deciders answer by `event.deny`, `event.extend` or `false`; one that returns
 * a promise needs the asynchronous call.
 */
export type Callback = (event: Event) => void | boolean | undefined | PromiseLike<void | boolean | undefined>

/** An event class: an object, or a class, with any of these. */
export interface Callbacks {
  onStart?: Callback
  onExpiring?: Callback
  onTimeout?: Callback
  onEnd?: Callback
  onApplicationChange?: Callback
  onLogin?: Callback
  onLogout?: Callback
  onStartRequest?: Callback
  onEndRequest?: Callback
  /**
   * A creation is refused for want of a license unit; `onEnd` follows. A session that lives on is told nothing: who logs in, trades,
   * writes or takes a feature learns it by the answer, and administrators by the accounts.
   */
  onLicenseDenied?: Callback
  onContextLost?: Callback
  onPoolLow?: Callback
  onPoolExhausted?: Callback
  onPoolRecovered?: Callback
  onPoolOverdraft?: Callback
}

export interface EventClassOptions {
  /** Default empty. */
  namespace?: string
  /** How long one callback may take. Default: the manager's. */
  deadlineMs?: number
  /** Profile `iris`: `onTimeout` and `onEnd` are called at the asking point, where `endSession = false` extends. */
  compatVeto?: boolean
}

/** An event class that is built with `.on(…)`: `new EventClass('audit').on('end', (event) => …)`. */
export class EventClass {
  constructor(name: string, options?: EventClassOptions)
  readonly name: string
  on(kind: EventKind | keyof Callbacks | (EventKind extends `on_${infer Short}` ? Short : never), callback: Callback): this
}

/** A clock that stands still until it is told: an 8-hour timeout in microseconds. It begins at 0, on 2026-01-01 UTC. */
export class ManualClock {
  constructor()
  readonly nowMs: number
  readonly suspendedMs: number
  readonly wallMs: number
  /** Goes forward, and does at each due instant what is due; gives how many callbacks still run. */
  advance(byMs: number): Promise<number>
  /** The machine sleeps: idle clocks stand still, absolute ones go on. */
  suspend(byMs: number): Promise<void>
  /** Steps the wall clock; no deadline moves. */
  setWall(unixMs: number): void
  /** How long `advance` waits in real time for callbacks. Default 1,000. */
  setSettle(settleMs: number): void
}

/** A session with a request in flight. `finish`, or leaving a `using` scope, commits its writes and ends the request. */
export interface Session extends Disposable, AsyncDisposable {
  readonly live: true
  /** The public handle: for logs, `explain` and `end`. */
  readonly id: string
  /** The secret for the client: the newest that this request knows. */
  readonly token: string
  /** True for exactly one request of a session. */
  readonly isNew: boolean
  readonly data: Data
  readonly application: string
  readonly user: string | null
  readonly licenseHolder: string | null
  info(): SessionInfo
  /** Settable, at once, counted from the last use; `null` or 0 is never. */
  get idleTimeoutMs(): number | null
  set idleTimeoutMs(ms: number | null)
  /** Settable, only earlier. */
  get absoluteTimeoutMs(): number | null
  set absoluteTimeoutMs(ms: number)
  /** Commits the writes so far. Throws `conflict`, `quota`; nothing is written then. */
  save(): void
  /** Drops the writes so far. */
  discard(): void
  /** Commits and ends the request. One that conflicts ends it all the same. */
  finish(): void
  readonly finished: boolean
  /** Takes the lock again if it is free now, else throws `lock_timeout`: it never waits. */
  lock(mode?: LockMode): void
  /** Frees the lock early; commits first unless told otherwise. */
  unlock(options?: { save?: boolean }): void
  readonly lockMode: LockMode | null
  /** Ends the session when its last request in flight finishes; `false` takes it back. */
  requestEnd(end?: boolean): void
  /** Ends the session now. This request's later calls throw `gone`. */
  end(options?: EndOptions): EndOutcome
  /** A new token for the same session; the old one works for the grace. */
  rotate(): string
  /** The host has authenticated `user`. Throws `denied`. */
  login(user: string, options?: LoginOptions): Login
  /** The groups are not remembered from the login. */
  trade(options?: LoginOptions): void
  /**
   * Takes a feature: units of a pool beside the session's license, charged to the user who is logged in now, or else to the
   * session, until they are returned or the session ends, however that ends. Throws `license_denied`, `invalid`.
   */
  takeFeature(pool: string, options?: FeatureOptions): void
  /** Returns a feature so often (default 1), or as often as it is taken, what was taken last first. Tells how often. */
  returnFeature(pool: string, count?: number): number
  /** The features that the session has taken, in the order taken. */
  features(): Feature[]
  /** The session lives on without a user, under a new token. Throws `denied` by `onLogout`, unless forced. */
  logout(options?: { force?: boolean }): Logout
  /** Puts a class to the front of the session's list. */
  eventClassAdd(name: string, namespace?: string): void
  /** Without a name all of the namespace. Tells whether it was there. */
  eventClassRemove(name?: string | null, namespace?: string): boolean
  eventClassExists(name: string, namespace?: string): boolean
  /** First called first. */
  eventClassList(): { namespace: string; name: string }[]
  eventClassClear(): void
  /** Adds only if absent; '' has no effect. */
  set eventClass(name: string)
  /**
   * Keeps an object with the session, for this thread; returns the one before. When the session has ended, its
   * `Symbol.dispose` is called after `onEnd`.
   */
  attach(name: string, object: unknown): unknown
  attachment(name: string): unknown
  /** Takes it away from the session. */
  detach(name: string): unknown
  /** The calls that may wait: for a lock, for a decider that is asynchronous, or for callbacks of an end. */
  readonly async: {
    finish(): Promise<void>
    lock(mode?: LockMode, options?: WaitOptions): Promise<void>
    login(user: string, options?: LoginOptions & QueueOptions): Promise<Login>
    trade(options?: LoginOptions & QueueOptions): Promise<void>
    takeFeature(pool: string, options?: FeatureOptions & QueueOptions): Promise<void>
    logout(options?: { force?: boolean }): Promise<Logout>
    end(options?: EndOptions & { waitMs?: number }): Promise<EndOutcome>
  }
  [Symbol.dispose](): void
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A session manager. Its calls never block the event loop: what might wait is in `async`, or a promise. It does not keep the
 * process alive, but a promise that is pending does: a wait for a unit or a lock, `close`, `drain`. When the process ends, it is
 * closed within 1 s. It lives until `close`, or until its thread ends.
 */
export class Manager implements Disposable, AsyncDisposable {
  constructor(options?: ManagerOptions)
  readonly name: string | null
  /** The manual clock, if it has one. */
  readonly clock: ManualClock | null
  readonly closed: boolean

  /** Makes a session; starts no request. Throws `denied`, `license_denied`, `session_limit`, `invalid`, `quota`. */
  create(options?: CreateOptions): Created
  /** Makes a session and begins its first request, in one step: what servers use. */
  beginNew(options?: CreateOptions & BeginOptions): Session
  /** Begins a request. Never waits: a lock that is held throws `lock_timeout`. A missing cookie is `absent`. */
  begin(token: string | null | undefined, options?: BeginOptions): Session | NotLive
  /** Uses a session without a request. */
  touch(token: string | null | undefined, kind?: TouchKind): Touched
  /** Looks without a trace. */
  peek(token: string | null | undefined): Touched
  /** The public id, if the token opens a live session. */
  idOf(token: string | null | undefined): string | null
  /** Ends a session by its public id. */
  end(id: string, options?: EndOptions): EndOutcome
  /** Ends what matches; protected applications are spared. */
  endWhere(filter?: Filter, options?: EndOptions, page?: PageOptions): Paced
  /** `false` if it is not live. */
  setIdleTimeout(id: string, idleTimeoutMs: number | null): boolean
  setAbsoluteTimeout(id: string, absoluteTimeoutMs: number): boolean
  setIdleTimeoutWhere(filter: Filter | undefined, idleTimeoutMs: number | null, page?: PageOptions): Paced

  /** Registers an event class in this thread. Throws `exists`, `invalid`. */
  register(eventClass: EventClass): void
  register(name: string, callbacks: Callbacks | (new () => Callbacks), options?: EventClassOptions): void
  /** Settles when none of its callbacks runs any more; tells whether it was there. */
  unregister(name: string, options?: { namespace?: string }): Promise<boolean>
  /**
   * Sets who tells the groups of a user, in place of the one before; `null` takes it away. It is asked by a login (after
   * `onLogin`), a trade and the taking of a feature that no `groups` are given with, and only where the rules of the pool name
   * groups (`group:NAME`); never by a logout or an end. It is asked before anything is changed, as a deciding callback is:
   * within `callbackDeadlineMs`, with a breaker; one that returns a promise needs an asynchronous call. What it tells (at most
   * 256 groups, each 1 to 256 bytes) counts for this one call. If it throws, is late or answers something else, the call is
   * `denied` and nothing changed. Of threads that share a manager each sets its own; a thread without one has asynchronous calls
   * ask another's.
   *
   * Settles when it counts; with `null` when none runs any more.
   */
  setGroupResolver(resolver: GroupResolver | null): Promise<void>

  /** Live sessions. */
  count(): number
  list(filter?: Filter, page?: PageOptions): { sessions: SessionInfo[]; next: number | null }
  explain(id: string): Explain | null
  stats(): Stats
  /** Violated invariants: always empty. */
  check(): string[]
  usage(pool: string): Usage
  /**
   * Why a holder (a user, or a session's id) has units of a pool, and when they come back; null if it has none. Looks at all
   * sessions.
   */
  explainUnit(pool: string, holder: string): UnitExplain | null
  /**
   * Those who wait for units of a pool, after the first `skip` (default 0), at most `limit` (1 or more, default
   * 1,000), as they are served.
   */
  queue(pool: string, page?: { skip?: number; limit?: number }): Waiter[]
  pools(): string[]
  /** The definition of a pool that is in force: on a table of several processes the same for all. */
  pool(name: string): PoolDefinition
  /**
   * Changes options of a pool while it runs, for all processes; the definition in force from now on. Nothing is taken from
   * who has it: units beyond a lowered capacity drain (`excess` in the usage), what lingers keeps its time, and reserved units
   * that are held count for the reservation of the same members, if there still is one. The actor is told in the accounts and
   * the log. Throws `invalid` for what an option does not take, and for `unitRule`, `maxConnections` and `holderPerClient`
   * where units that are held would count otherwise; then nothing changed.
   */
  changePool(name: string, options: PoolChange, by?: { actor?: string }): PoolDefinition
  /** Where the definitions in force are others than those that this manager was opened with. */
  poolDifferences(): PoolDifference[]
  /**
   * The most units of a pool in use since this reader (a name of 1 to 64 bytes) reset its mark, ever if it did not.
   */
  highWater(pool: string, reader: string): HighWater
  /** Has a reader's mark begin anew with what is in use now; throws `invalid` if 64 other readers have marks. */
  resetHighWater(pool: string, reader: string): void
  /** Forgets a reader's mark; tells whether there was one. */
  forgetHighWater(pool: string, reader: string): boolean
  /**
   * Accounts of a pool after a position as lines of JSON (without line feeds), read as they are asked for: `pool`, `seq` (where
   * a later export goes on), `at_ms`, `wall_ms`, `kind`, `session_id`, `holder`, `before`, `after`, `reason`, `why`.
   */
  exportAccounts(pool: string, page?: AfterOptions): Generator<string, void, undefined>
  audit(pool: string): Audit
  auditRecords(pool: string, page?: AfterOptions): AuditRecord[]
  lifecycle(page?: AfterOptions): LogEntry[]
  deadLetters(page?: AfterOptions): DeadLetter[]
  /** Delivers a dead letter again, or all; tells how many. */
  redeliver(id?: number | null): number

  /** Ends what is due now. */
  reapNow(): number
  /** Waits until every callback is delivered; tells whether that was reached. Default 5,000. */
  drain(timeoutMs?: number): Promise<boolean>
  /** Without threads: does what is due; milliseconds until the next thing is. */
  tick(): number | null
  /** In `poll` mode: delivers what waits. */
  dispatch(max?: number): number
  /** For tests (manual clock, or `debug`): makes a session's data unreadable. */
  damage(id: string): boolean
  /** For tests: stalls the reaper; the watchdog must see it. */
  stallReaper(stall: boolean): void
  /** Ends every session with `shutdown` and delivers callbacks within the grace (default 5,000). */
  close(graceMs?: number): Promise<CloseReport>

  /** The calls that may wait. */
  readonly async: {
    create(options?: CreateOptions & QueueOptions): Promise<Created>
    beginNew(options?: CreateOptions & BeginOptions & QueueOptions): Promise<Session>
    begin(token: string | null | undefined, options?: BeginOptions & WaitOptions): Promise<Session | NotLive>
    end(id: string, options?: EndOptions & { waitMs?: number }): Promise<EndOutcome>
  }
  /** Closes at once; callbacks that wait become undelivered. */
  [Symbol.dispose](): void
  /** As `close()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Opens a manager, or joins the one of this name in another thread of this process. */
export function open(options?: ManagerOptions): Manager

/**
 * How much of the log goes to `diagnostics_channel.channel('libsession:log')`, in this process: `off`, `error`, `warn`, `info`
 * (default), `debug`, `trace`. Messages are `{ level, target, message }`, without token, key or data value.
 */
export function setLogLevel(level: 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace'): void
