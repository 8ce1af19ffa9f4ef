// The verbs of a script.

import * as answers from './answer.mjs'
import { className, list, never, word } from './answer.mjs'
import { ScriptError, Words, camel, number } from './line.mjs'
import { onRequest } from './request.mjs'
import { onSession, filterOf } from './sessions.mjs'
import { PATIENCE_MS, turn } from './world.mjs'


const REQUEST = new Set(['finish', 'save', 'discard', 'unlock', 'lock', 'lock_mode', 'get', 'get_versioned', 'pop', 'expect',
  'set', 'merge', 'cas', 'kill', 'defined', 'next', 'entries', 'count', 'bytes', 'request_end', 'rotate', 'login', 'trade',
  'logout', 'take', 'give_back', 'features', 'class_add', 'class_clear', 'event_class', 'class_remove', 'class_exists', 'classes', 'attach', 'attachment', 'detach'])
const SESSION = new Set(['create', 'begin_new', 'begin', 'touch', 'peek', 'id', 'token', 'timeout', 'timeout_where', 'end', 'end_where'])

/**
 * Does a line: its answer, or a promise of it; throws an error of the engine, or why the script is wrong. `inside` of a
 * callback the calls that a decider may make are the synchronous ones.
 */
export function answer(world, words, inside) {
  if (world.setup.line(words)) return 'ok'
  const [verb, ...rest] = words
  const sorted = new Words(rest)
  if (verb === 'start') return start(world, rest)
  if (SESSION.has(verb)) return onSession(world, verb, sorted, inside)
  if (REQUEST.has(verb)) return onRequest(world, verb, sorted, inside)
  if (!Object.hasOwn(VERBS, verb)) throw new ScriptError(`there is no verb '${verb}'`)
  return VERBS[verb](world, sorted)
}

/** An entry of the lifecycle log. */
export function entry(world, one) {
  const detail = one.detail === '' ? '' : `:${word(one.detail)}`
  return world.withLabels(`${world.labelOf(one.sessionId)}.${one.what}@${one.atMs}${detail}`)
}

async function start(world, [name, ...line]) {
  if (name === undefined || line.length === 0) throw new ScriptError('start wants a name and a line')
  const waiting = () => {
    try {
      const { lockWaiters, licenseWaiters } = world.manager.stats()
      return lockWaiters + licenseWaiters
    } catch {
      return 0
    }
  }
  const before = [waiting(), world.hung]
  let done = false
  const running = (async () => answer(world, line, false))().finally(() => (done = true))
  running.catch(() => {})
  world.started.set(name, running)
  const until = Date.now() + PATIENCE_MS
  while (!done && waiting() <= before[0] && world.hung <= before[1]) {
    if (Date.now() > until) throw new ScriptError(`'${name}' neither returned nor waits`)
    await turn()
  }
  return 'ok'
}

async function join(world, words) {
  const name = words.at(0)
  const running = world.started.get(name)
  if (running === undefined) throw new ScriptError(`nothing was started as '${name}'`)
  world.started.delete(name)
  return running
}

const fields = (words, from, field) => words.plain.slice(from).map(field).join(' ')

function info(world, words) {
  const label = words.at(0)
  if (world.requests.has(label)) {
    const of = world.request(label).session.info()
    return fields(words, 1, (name) => answers.infoField(of, name))
  }
  const explain = world.manager.explain(world.id(label))
  if (explain?.live) return fields(words, 1, (name) => answers.infoField(explain.live, name))
  return explain?.ended ? `gone ${explain.ended.reason}` : 'absent'
}

function listing(world, words) {
  const labels = []
  let cursor = 0
  while (cursor !== null) {
    const page = world.manager.list(filterOf(world, words), { cursor, limit: words.number('limit') ?? 1000 })
    labels.push(...page.sessions.map((one) => world.labelOf(one.id)))
    cursor = page.next
  }
  return list(labels.sort((a, b) => (a < b ? -1 : 1)), ' ')
}

function explain(world, words) {
  const explained = world.manager.explain(world.id(words.at(0)))
  return explained === null ? 'absent' : fields(words, 1, (name) => answers.explainField(explained, name))
}

function explains(world, words) {
  const explained = world.manager.explain(world.id(words.at(0)))
  if (explained === null) throw new ScriptError('nothing is known of it')
  const part = words.textAt(1)
  return String([...explained.trace, explained.text].some((text) => world.withLabels(text).includes(part)))
}

function usage(world, words) {
  const used = world.manager.usage(words.textAt(0))
  if (words.plain.length === 1) return `${used.inUse}/${used.capacity}`
  return fields(words, 1, (name) => {
    switch (name) {
      case 'capacity':
      case 'available':
      case 'free':
      case 'reserved':
      case 'denials':
      case 'evicted':
      case 'lingering':
      case 'overdrawn':
      case 'excess':
      case 'waiting':
      case 'offered':
        return used[name]
      case 'release_ms': {
        const left = used.holders.filter((one) => one.releaseMs !== null)
        const texts = left.map((one) => `${word(world.withLabels(one.holder))}:${one.lingering}:${one.releaseMs}`)
        return list(texts.sort((a, b) => (a < b ? -1 : 1)))
      }
      case 'in_use':
        return used.inUse
      case 'high_water':
        return used.highWater
      case 'reserved_soft':
        return used.reservedSoft
      case 'break_glass':
        return used.breakGlass
      case 'denials_by_reason': {
        const counted = Object.entries(used.denialsByReason).filter(([, count]) => count > 0)
        return list(counted.map(([reason, count]) => `${reason}:${count}`).sort())
      }
      case 'holders':
        return list(used.holders.map((one) => holder(world, one)).sort((a, b) => (a < b ? -1 : 1)))
      default:
        throw new ScriptError(`a usage has no field '${name}'`)
    }
  })
}

const holder = (world, one) => `${word(world.withLabels(one.holder))}:${one.kind}:${one.connections}:${one.units}`

function queue(world, words) {
  const line = (one) => {
    const name = one.holder === one.sessionId ? world.labelOf(one.sessionId) : word(one.holder)
    return `${one.position}:${name}:${one.priority}:${one.leftMs}${one.offered ? '!' : ''}`
  }
  return list(world.manager.queue(words.textAt(0)).map(line), ',')
}

function cancel(world, words) {
  world.ticket(words.at(0)).cancel()
  return 'ok'
}

const camelled = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]))

function changePool(world, words) {
  const by = words.named.has('by') ? { actor: words.text('by') } : undefined
  world.manager.changePool(words.textAt(0), camelled(JSON.parse(words.at(1))), by)
  return 'ok'
}

function definition(world, words) {
  const pool = world.manager.pool(words.textAt(0))
  return fields(words, 1, (name) => JSON.stringify(pool[camel(name)]))
}

function differences(world) {
  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const found = world.manager.poolDifferences()
  const texts = found.map((one) => `${one.pool}.${snake(one.option)} ${JSON.stringify(one.named)} ${JSON.stringify(one.inForce)}`)
  return list(texts, ', ')
}

function accounts(world, words) {
  const page = {}
  for (const name of ['after', 'limit']) if (words.named.has(name)) page[name] = words.number(name)
  const lines = [...world.manager.exportAccounts(words.textAt(0), page)]
  return list(lines.map((line) => world.withLabels(line)), ' ')
}

function unitOf(world, words) {
  let holder = words.textAt(1)
  try {
    holder = world.id(holder)
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error
  }
  return world.manager.explainUnit(words.textAt(0), holder)
}

function unit(world, words) {
  const found = unitOf(world, words)
  if (found === null) return 'none'
  const { kind, connections, units, lingering } = found.holder
  const sessions = list(found.sessions.map((info) => world.labelOf(info.id)).sort(), ',')
  return `${kind} ${connections} ${units} ${lingering} ${sessions}`
}

function unitSays(world, words) {
  const found = unitOf(world, words)
  if (found === null) throw new ScriptError('it holds nothing')
  return String(world.withLabels(found.text).includes(words.textAt(2)))
}

function audit(world, words) {
  const { counted, recounted, differences } = world.manager.audit(words.textAt(0))
  if (differences.length === 0 && counted === recounted) return `equal ${counted}`
  return `counted ${counted} recounted ${recounted}: ${differences.join('; ')}`
}

function auditRecords(world, words) {
  const pool = words.textAt(0)
  const records = world.manager.auditRecords(pool, { after: world.told.audit.get(pool) ?? 0, limit: 10_000 })
  if (records.length > 0) world.told.audit.set(pool, records.at(-1).seq)
  return list(
    records.map((one) => {
      const reason = one.reason === null ? '' : ` ${one.reason}`
      const session = world.labelOf(one.sessionId)
      // A session that was refused and has no label is its own holder all the same.
      const holder = one.holder === one.sessionId ? session : word(one.holder)
      const why = one.why === null ? '' : ` ${one.why}`
      return `${one.kind} ${session} ${holder} ${one.before}>${one.after}${reason}${why}`
    }),
    ', ',
  )
}

function deadLetters(world, words) {
  const of = words.plain.length > 0 ? world.id(words.at(0)) : null
  const letters = world.manager.deadLetters({ limit: 10_000 }).filter((one) => of === null || one.sessionId === of)
  return list(
    letters.map((one) => {
      const late = one.completedLate ? ' late' : ''
      const of = `${className(one.namespace, one.eventClass)}.${one.kind}`
      return `${world.labelOf(one.sessionId)} ${of} ${one.attempts} ${word(one.error)}${late}`
    }),
    ', ',
  )
}

function redeliver(world, words) {
  if (words.plain.length === 0) return String(world.manager.redeliver())
  const letter = world.manager.deadLetters({ limit: 10_000 })[number(words.at(0)) - 1]
  if (letter === undefined) throw new ScriptError('there is no such dead letter')
  return String(world.manager.redeliver(letter.id))
}

function events(world, words) {
  const label = words.at(0)
  const told = world.told.events.get(label) ?? 0
  const fresh = world.deliveries(label, told)
  world.told.events.set(label, told + fresh.length)
  return list(fresh, ' ')
}

async function log(world, words) {
  await world.settle()
  const of = words.plain[0] ?? ''
  const told = world.told.log.get(of) ?? 0
  const entries = world.entries(told)
  world.told.log.set(of, told + entries.length)
  return list(entries.filter(({ label }) => of === '' || label === of).map(({ text }) => text), ', ')
}

async function close(world, words) {
  const report = await world.manager.close(words.plain.length > 0 ? number(words.at(0)) : undefined)
  return `ended=${report.ended} in_flight=${report.inFlight} delivered=${report.delivered} ` +
    `undelivered=${report.undelivered} stuck=${report.stuck} deferred=${report.deferred}`
}

const ok = (value) => (value, 'ok')

/** Who tells groups: `USER=A,B`, or `USER=!TEXT` for one of whom it can't; others have none. */
async function resolver(world, words) {
  const tell = (user) => {
    world.asked.push(user)
    const told = words.named.get(user) ?? ''
    if (told.startsWith('!')) throw new Error(told.slice(1))
    return told.split(',').filter((group) => group !== '')
  }
  return ok(await world.manager.setGroupResolver(words.named.size === 0 ? null : tell))
}

const VERBS = {
  open: (world) => ok(world.manager),
  class: (world, words) => ok(world.register(words)),
  unregister: async (world, words) => String(await world.manager.unregister(words.textAt(0), { namespace: words.text('namespace') })),
  resolver,
  asked: (world) => list(world.asked.splice(0), ','),
  join,
  release: async (world, words) => ok(await world.release(words.plain[0])),
  now: (world) => String(world.clock.nowMs),
  wall: (world) => String(world.clock.wallMs),
  advance: async (world, words) => (ok(world.manager), String(await world.clock.advance(number(words.at(0))))),
  suspend: async (world, words) => (ok(world.manager), ok(await world.clock.suspend(number(words.at(0))))),
  set_wall: (world, words) => ok(world.clock.setWall(number(words.at(0)))),
  info,
  sessions: (world) => String(world.manager.count()),
  list: listing,
  explain,
  explains,
  stats: (world, words) => {
    const stats = world.manager.stats()
    return fields(words, 0, (name) => answers.statsField(stats, name))
  },
  check: (world) => list(world.manager.check(), '; ').replace(/^none$/, 'ok'),
  unit,
  unit_says: unitSays,
  usage,
  queue,
  cancel,
  position: (world, words) => `${world.ticket(words.at(0)).position ?? 'none'}`,
  change_pool: changePool,
  definition,
  differences,
  high_water: (world, words) => String(world.manager.highWater(words.textAt(0), words.textAt(1)).units),
  reset_high_water(world, words) {
    world.manager.resetHighWater(words.textAt(0), words.textAt(1))
    return 'ok'
  },
  forget_high_water: (world, words) => String(world.manager.forgetHighWater(words.textAt(0), words.textAt(1))),
  accounts,
  audit,
  audit_records: auditRecords,
  dead_letters: deadLetters,
  redeliver,
  calls: (world, words) => String(world.calls(words.at(0), words.at(1))),
  events,
  log,
  reap: (world) => String(world.manager.reapNow()),
  tick: (world) => never(world.manager.tick()),
  dispatch: (world, words) => String(world.manager.dispatch(number(words.at(0)))),
  damage: (world, words) => String(world.manager.damage(world.id(words.at(0)))),
  stall: (world, words) => ok(world.manager.stallReaper(words.at(0) === 'true')),
  close,
}
