'use strict'

const { invalid, shown } = require('./errors.cjs')
const words = require('./words.cjs')

// A check takes a value that is not undefined and the name of its option, and gives what the native half takes.

const text = (value, name) => {
  if (typeof value !== 'string') throw invalid(`${name} is ${shown(value)}, not a string`)
  return value
}

const flag = (value, name) => {
  if (typeof value !== 'boolean') throw invalid(`${name} is ${shown(value)}, not a boolean`)
  return value
}

const most = (bound) => (value, name) => {
  if (!Number.isInteger(value) || value < 0 || value > bound) {
    throw invalid(`${name} is ${shown(value)}, not an integer from 0 to ${bound}`)
  }
  return value
}

const count = most(2 ** 32 - 1)
const big = most(Number.MAX_SAFE_INTEGER)

/** A duration in milliseconds. */
const ms = (value, name) => {
  if (typeof value !== 'number' || !(value >= 0) || value === Infinity) {
    throw invalid(`${name} is ${shown(value)}, not a number of milliseconds from 0 on`)
  }
  return value
}

/** A timeout in milliseconds; null and 0 are never. */
const timeout = (value, name) => (value === null || value === 0 ? Infinity : ms(value, name))

const word = (vocabulary) => (value, name) => {
  words.codeOf(vocabulary, name, text(value, name))
  return value
}

const oneOf = (...known) => (value, name) => {
  if (!known.includes(value)) throw invalid(`${name} is ${shown(value)}; it can be ${known.join(', ')}`)
  return value
}

const list = (check) => (value, name) => {
  if (!Array.isArray(value)) throw invalid(`${name} is ${shown(value)}, not an array`)
  return value.map((one, index) => check(one, `${name}[${index}]`))
}

const shape = (checks) => (value, name) => take(checks, value, name)

/** Checks an object of options against the known ones; unknown ones are refused. */
function take(checks, options, what) {
  if (options === undefined) return {}
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw invalid(`${what} is ${shown(options)}, not an object of options`)
  }
  const taken = {}
  for (const name of Object.keys(options)) {
    if (options[name] === undefined) continue
    if (!Object.hasOwn(checks, name)) {
      throw invalid(`${what} has no option '${name}'; it has ${Object.keys(checks).join(', ')}`)
    }
    taken[name] = checks[name](options[name], name)
  }
  return taken
}

/** Several of a kind: an array, or an object with their names as keys. */
const several = (checks, what, needs) => (value, name) => {
  const keyed = value !== null && typeof value === 'object' && !Array.isArray(value)
  const all = keyed ? Object.keys(value).map((key) => ({ ...value[key], name: key })) : value
  return list((one, place) => {
    const taken = take(checks, one, place)
    for (const need of needs) {
      if (taken[need] === undefined) throw invalid(`${place} has no ${need}, which every ${what} needs`)
    }
    return taken
  })(all, name)
}

const application = {
  name: text,
  enabled: flag,
  namespace: text,
  idleTimeoutMs: timeout,
  absoluteTimeoutMs: timeout,
  eventClasses: list(text),
  requiredEventClasses: list(text),
  pool: text,
  licenseClass: word(words.licenseClasses),
  lazyUntil: word(words.lazyUntils),
  detectCrawlers: flag,
  crawlers: list(text),
  anonymousIdleTimeoutMs: ms,
  maxSessions: big,
  maxExtensions: count,
  extensionCapMs: ms,
  askLeadMs: ms,
  lock: word(words.locks),
  timeoutOnApplicationChange: word(words.applicationTimeouts),
  protectedFromBulkEnd: flag,
  eventClassesOnEntry: flag,
  debug: flag,
}

const pool = {
  name: text,
  capacity: big,
  unitRule: word(words.unitRules),
  maxConnections: count,
  maxSessionsPerHolder: count,
  anonymousCap: big,
  anonymousPerClient: count,
  holderPerClient: flag,
  low: big,
  recovered: big,
  lingerMs: ms,
  lazyLingerMs: ms,
  minHoldMs: ms,
  anonymousMinHoldMs: ms,
  lazyMinHoldMs: ms,
  reclaim: flag,
  overdraft: (value, name) => (typeof value === 'number' ? String(big(value, name)) : text(value, name)),
  overdraftTimeMs: ms,
  evict: word(words.evicts),
  evictIdleMs: ms,
  atSessionLimit: word(words.atSessionLimits),
  reservations: several({ members: list(text), units: big, hard: flag }, 'reservation', ['members', 'units']),
  breakGlass: big,
  administrators: list(text),
  include: list(text),
  exclude: list(text),
  tradeFailure: oneOf('keep', 'refuse'),
  auditRecords: count,
  queue: count,
}

const manager = {
  name: text,
  store: text,
  durability: oneOf('relaxed', 'durable'),
  adopt: flag,
  profile: text,
  applications: several(application, 'application', ['name']),
  pools: several(pool, 'pool', ['name', 'capacity']),
  maxSessions: big,
  quotas: shape({ sessionBytes: count, levels: count, valueBytes: count, subscriptBytes: count }),
  workers: count,
  deciderWorkers: count,
  maxStuck: count,
  queue: count,
  callbackDeadlineMs: ms,
  retries: count,
  breakerFailures: count,
  breakerProbeMs: ms,
  deadLetters: count,
  deadLetterBytes: big,
  tombstoneMs: ms,
  maxRequestMs: ms,
  lockTimeoutMs: ms,
  rotationGraceMs: ms,
  idleCountsSuspend: flag,
  debug: flag,
  lifecycleLog: count,
  dispatch: oneOf('thread', 'inline', 'poll'),
  threads: flag,
  occupyWorkers: flag,
}

const create = {
  application: text,
  address: text,
  userAgent: text,
  referrer: text,
  data: (value) => value,
  licenseClass: word(words.licenseClasses),
  idleTimeoutMs: timeout,
  absoluteTimeoutMs: ms,
}

const begin = { touch: word(words.touches), lock: word(words.locks), application: text }
const priority = (value, name) => {
  if (!Number.isInteger(value) || value < -9 || value > 9) throw invalid(`${name} is ${shown(value)}, not an integer from -9 to 9`)
  return value
}

/** An AbortSignal, of whatever realm: not its controller. */
const abortSignal = (value, name) => {
  const is = value !== null && typeof value === 'object' && typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function'
  if (!is) throw invalid(`${name} is ${shown(value)}, not an AbortSignal`)
  return value
}

/** Of the calls that may wait for license units: only promises. */
const queue = { waitMs: ms, priority, ticket: (value) => value, signal: abortSignal }
const wait = { lockTimeoutMs: ms, signal: abortSignal }

const end = {
  level: word(words.levels),
  reason: word(words.reasons),
  actor: text,
  note: text,
}

const filter = {
  user: text,
  application: text,
  state: oneOf('new', 'active'),
  overdue: flag,
  pool: text,
  holder: text,
  olderThanMs: ms,
  idleForMs: ms,
  damaged: flag,
  immortal: flag,
}

const login = { groups: list(text) }

const feature = { count: big, groups: list(text) }

const eventClass = { namespace: text, deadlineMs: ms, compatVeto: flag }

const snake = (word) => word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const named = [application, pool, manager, create, queue, wait, filter, eventClass].flatMap((checks) => Object.keys(checks))
/** How the engine calls an option of several words, with its unit or without, and how it is called here. */
const called = new Map(named.flatMap((name) => [[snake(name), name], [snake(name).replace(/_ms$/, ''), name]]).filter(([theirs]) => theirs.includes('_')))

/** The durations of one word without its unit: in a sentence the word may mean something else, so only where one begins with it. */
const single = new Map([...named, 'timeoutMs'].filter((name) => /^[a-z]+Ms$/.test(name)).map((name) => [name.slice(0, -2), name]))

/** A message of the engine, in which options have the names of here; what is quoted stays. */
const inOurWords = (message) =>
  message
    .replace(/'[^']*'|"[^"]*"|\b[a-z]+(?:_[a-z]+)+\b/g, (word) => called.get(word) ?? word)
    .replace(/^(the )?([a-z]+)(?= of )/, (all, the = '', word) => (single.has(word) ? the + single.get(word) : all))

module.exports = {
  inOurWords,
  take,
  text,
  flag,
  count,
  big,
  ms,
  timeout,
  schemas: {
    manager,
    pool,
    create,
    begin,
    queue,
    wait,
    end,
    login,
    feature,
    filter,
    eventClass,
    page: { cursor: big, limit: count },
  },
}
