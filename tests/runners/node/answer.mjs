// How outcomes, errors and pictures of sessions look as answers.

import { ScriptError } from './line.mjs'

/** A text without blanks: one word. */
export const word = (text) => text.replace(/[ \t\n]/g, '_')

/** Items, or `none`. */
export const list = (items, separator = ',') => (items.length === 0 ? 'none' : items.join(separator))

const orNone = (value) => (value === null || value === undefined ? 'none' : String(value))
export const never = (ms) => (ms === null ? 'never' : String(Math.floor(ms)))

/** A class with its namespace, if that is not empty. */
export const className = (namespace, name) => (namespace === '' ? name : `${namespace}:${name}`)

/** An error with what belongs to it, or an outcome. */
export function error(failure) {
  switch (failure.kind) {
    case 'absent':
      return 'absent'
    case 'gone':
      return `gone ${failure.reason}`
    case 'license_denied': {
      const retry = failure.retryAfterMs === null ? '' : ` retry_after=${Math.floor(failure.retryAfterMs)}`
      return `error license_denied ${failure.reason}${retry}`
    }
    case 'conflict':
      return `error conflict ${failure.keys.join(' ')}`
    default:
      return `error ${failure.kind}`
  }
}

export const notLive = (outcome) => (outcome.outcome === 'gone' ? `gone ${outcome.reason}` : 'absent')

export const touched = (outcome) => (outcome.live ? `live ${never(outcome.remainingMs)}` : notLive(outcome))

/** What an end says. */
export function receipt(ended) {
  let text = `ended ${ended.reason} ${ended.level} at=${ended.atMs}`
  if (ended.actor !== null) text += ` by=${ended.actor}`
  if (ended.note !== null) text += ` note=${JSON.stringify(ended.note)}`
  if (ended.lateMs !== null) text += ` late=${Math.floor(ended.lateMs)}`
  if (ended.licenseFreeAtMs !== null) text += ` free=${ended.licenseFreeAtMs}`
  for (const { eventClass, kind, outcome } of ended.callbacks) text += ` ${eventClass}.${kind}=${word(outcome)}`
  return text
}

export function endOutcome(end) {
  switch (end.outcome) {
    case 'ended':
      return receipt(end.receipt)
    case 'gone':
      return `was ${receipt(end.receipt)}`
    case 'extended':
      return `extended ${end.extendedBy} ${Math.floor(end.extendedMs)}`
    default:
      return 'absent'
  }
}

const INFO = {
  state: (info) => info.state,
  application: (info) => info.application,
  namespace: (info) => info.namespace,
  user: (info) => orNone(info.user),
  holder: (info) => orNone(info.licenseHolder),
  pool: (info) => orNone(info.licensePool),
  created: (info) => info.createdMs,
  created_at: (info) => info.createdAt,
  last_used: (info) => info.lastUsedMs,
  idle_timeout: (info) => never(info.idleTimeoutMs),
  absolute_timeout: (info) => never(info.absoluteTimeoutMs),
  deadline: (info) => never(info.deadlineMs),
  immortal: (info) => info.immortal,
  overdue: (info) => info.overdue,
  in_flight: (info) => info.inFlight,
  data_bytes: (info) => orNone(info.dataBytes),
  address: (info) => orNone(info.client.address),
  user_agent: (info) => orNone(info.client.userAgent),
  referrer: (info) => orNone(info.client.referrer),
}

const EXPLAIN = {
  state: ({ live, ended }) => (live ? 'live' : ended ? `gone ${ended.reason}` : 'absent'),
  requests: ({ requests }) => list(requests.map((one) => `${one.touch}/${one.lock ?? 'free'}@${one.startedMs}`)),
  lock_waiters: ({ lockWaiters }) => lockWaiters,
  extensions: ({ extensions }) => list(extensions.map((one) => `${one.eventClass}+${Math.floor(one.extendedMs)}@${one.atMs}`)),
  classes: ({ eventClasses }) =>
    list(eventClasses.map((one) => className(one.namespace, one.name) + (one.registered ? '' : '!'))),
  failures: ({ failures }) => list(failures.map((one) => `${one.eventClass}.${one.kind}:${word(one.outcome)}`)),
  damaged: ({ damaged }) => damaged,
  next: ({ next }) => (next ? `${word(next.what)}@${next.atMs}` : 'none'),
  receipt: ({ ended }) => (ended ? receipt(ended) : 'none'),
}

const STATS = {
  live: 'live', peak: 'peak', created: 'created', refused: 'refused', in_flight: 'inFlight', lock_waiters: 'lockWaiters',
  license_waiters: 'licenseWaiters',
  tombstones: 'tombstones', damaged: 'damaged', reaper: 'reaper', callbacks_delivered: 'callbacksDelivered',
  callbacks_failed: 'callbacksFailed', callbacks_overrun: 'callbacksOverrun', dead_letters: 'deadLetters',
  stuck_workers: 'stuckWorkers', replaced_token_uses: 'replacedTokenUses',
}

function field(table, what, of, name) {
  if (!Object.hasOwn(table, name)) throw new ScriptError(`${what} has no field '${name}'`)
  return String(table[name](of))
}

export const infoField = (info, name) => field(INFO, 'a session', info, name)
export const explainField = (explain, name) => field(EXPLAIN, 'an explanation', explain, name)

export function statsField(stats, name) {
  if (name.startsWith('ended.')) return String(stats.ended[name.slice(6)] ?? 0)
  if (name === 'breakers_open') return list(stats.breakersOpen)
  if (!Object.hasOwn(STATS, name)) throw new ScriptError(`stats have no field '${name}'`)
  return String(stats[STATS[name]])
}
