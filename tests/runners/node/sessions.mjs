// Verbs on sessions: create, begin, touch, end, timeouts.

import * as answers from './answer.mjs'
import { given } from './line.mjs'
import { plain } from './json.mjs'

const CREATE = ['app', 'license', 'idle_timeout_ms', 'absolute_timeout_ms', 'address', 'user_agent', 'referrer', 'data', 'touch',
  'lock', 'lock_timeout_ms', 'wait_ms', 'priority', 'ticket']
const FILTER = ['user', 'app', 'state', 'overdue', 'pool', 'holder', 'older_than_ms', 'idle_for_ms', 'damaged', 'immortal', 'limit',
  'level', 'reason', 'actor', 'note', 'idle_ms']

function createOptions(words) {
  words.only(CREATE)
  return given({
    application: words.text('app'),
    address: words.text('address'),
    userAgent: words.text('user_agent'),
    referrer: words.text('referrer'),
    data: words.get('data') && plain(words.get('data')),
    licenseClass: words.get('license'),
    idleTimeoutMs: words.number('idle_timeout_ms'),
    absoluteTimeoutMs: words.number('absolute_timeout_ms'),
  })
}

/** What `wait_ms= priority= ticket=` say of who waits for units. */
export const queueOptions = (world, words) =>
  given({
    waitMs: words.number('wait_ms'),
    priority: words.number('priority'),
    ticket: words.get('ticket') === undefined ? undefined : world.ticket(words.get('ticket')),
  })

const beginOptions = (words) => given({ touch: words.get('touch'), lock: words.get('lock') })

/** Which sessions a line means. */
export function filterOf(world, words) {
  words.only(FILTER)
  const holder = words.text('holder')
  return given({
    user: words.text('user'),
    application: words.text('app'),
    state: words.get('state'),
    overdue: words.flag('overdue'),
    pool: words.text('pool'),
    holder: world.ids.get(holder) ?? holder,
    olderThanMs: words.number('older_than_ms'),
    idleForMs: words.number('idle_for_ms'),
    damaged: words.flag('damaged'),
    immortal: words.flag('immortal'),
  })
}

function endOptions(words) {
  return given({ level: words.get('level'), reason: words.get('reason'), actor: words.text('actor'), note: words.text('note') })
}

/** Goes on with a value that may be a promise. */
const then = (value, next) => (typeof value?.then === 'function' ? value.then(next) : next(value))

const newOrOk = (session) => (session.isNew ? 'ok new' : 'ok')

function create(world, words, inside) {
  const label = words.at(0)
  const { manager } = world
  const options = { ...createOptions(words), ...queueOptions(world, words) }
  world.create(label)
  return then(inside ? manager.create(options) : manager.async.create(options), (created) => {
    world.created(label, created.id, created.token)
    return 'ok'
  })
}

function beginNew(world, words, inside) {
  const [request, label] = [words.at(0), words.at(1)]
  const { manager } = world
  const options = { ...createOptions(words), ...beginOptions(words), ...queueOptions(world, words) }
  world.create(label)
  return then(inside ? manager.beginNew(options) : manager.async.beginNew(options), (session) => {
    world.created(label, session.id, session.token)
    world.requests.set(request, { session, label })
    return newOrOk(session)
  })
}

function begin(world, words, inside) {
  words.only(['touch', 'lock', 'lock_timeout_ms', 'app'])
  const request = words.at(0)
  const { manager } = world
  const options = given({ ...beginOptions(words), application: words.text('app') })
  const wait = given({ lockTimeoutMs: words.number('lock_timeout_ms') })
  const token = world.token(words.at(1))
  return then(inside ? manager.begin(token, options) : manager.async.begin(token, { ...options, ...wait }), (session) => {
    if (!session.live) return answers.notLive(session)
    world.requests.set(request, { session, label: world.labelOf(session.id) })
    return newOrOk(session)
  })
}

function timeout(world, words) {
  words.only(['idle_ms', 'absolute_ms'])
  const label = words.at(0)
  const [idle, absolute] = [words.number('idle_ms'), words.number('absolute_ms')]
  if (world.requests.has(label)) {
    const { session } = world.request(label)
    if (idle !== undefined) session.idleTimeoutMs = idle
    if (absolute !== undefined) session.absoluteTimeoutMs = absolute
    return 'ok'
  }
  const id = world.id(label)
  let live = true
  if (idle !== undefined) live &&= world.manager.setIdleTimeout(id, idle)
  if (absolute !== undefined) live &&= world.manager.setAbsoluteTimeout(id, absolute)
  return live ? 'ok' : 'absent'
}

function end(world, words, inside) {
  words.only(['level', 'reason', 'actor', 'note', 'wait_ms'])
  const label = words.at(0)
  const options = endOptions(words)
  const wait = given({ waitMs: words.number('wait_ms') })
  if (world.requests.has(label)) {
    const { session } = world.request(label)
    return then(inside ? session.end(options) : session.async.end({ ...options, ...wait }), answers.endOutcome)
  }
  const id = world.id(label)
  const { manager } = world
  return then(inside ? manager.end(id, options) : manager.async.end(id, { ...options, ...wait }), answers.endOutcome)
}

async function bulk(world, verb, words, start) {
  const cursor = words.has('resume') ? world.told.cursors.get(verb) ?? 0 : 0
  const steps = start({ cursor, limit: words.number('limit') ?? 10_000 })[Symbol.asyncIterator]()
  const { value: progress } = await steps.next()
  world.told.cursors.set(verb, progress.next ?? 0)
  return `changed=${progress.changed} protected=${progress.protected} ${progress.next === null ? 'done' : 'more'}`
}

export function onSession(world, verb, words, inside) {
  switch (verb) {
    case 'create':
      return create(world, words, inside)
    case 'begin_new':
      return beginNew(world, words, inside)
    case 'begin':
      return begin(world, words, inside)
    case 'touch':
      return answers.touched(world.manager.touch(world.token(words.at(0)), words.plain[1]))
    case 'peek':
      return answers.touched(world.manager.peek(world.token(words.at(0))))
    case 'id': {
      const id = world.manager.idOf(world.token(words.at(0)))
      return id === null ? 'none' : world.labelOf(id)
    }
    case 'token':
      world.tokens.set(words.at(0), world.token(words.at(1)))
      return 'ok'
    case 'timeout':
      return timeout(world, words)
    case 'end':
      return end(world, words, inside)
    case 'timeout_where':
      return bulk(world, verb, words, (page) =>
        world.manager.setIdleTimeoutWhere(filterOf(world, words), words.number('idle_ms'), page))
    default:
      return bulk(world, verb, words, (page) => world.manager.endWhere(filterOf(world, words), endOptions(words), page))
  }
}
