'use strict'

const { ManualClock } = require('./clock.cjs')
const { textOfValue } = require('./data.cjs')
const { SessionError, invalid, shown } = require('./errors.cjs')
const { EventClass, tableOf } = require('./event.cjs')
const loop = require('./loop.cjs')
const { big, count, flag, ms, schemas, take, text, timeout } = require('./options.cjs')
const { Paced } = require('./paced.cjs')
const { accounts, differenceOf, optionsOf, poolOf } = require('./pool.cjs')
const { Session } = require('./session.cjs')
const { locking, waiting } = require('./ticket.cjs')
const words = require('./words.cjs')

let nextManager = 1

const ABSENT = Object.freeze({ live: false, outcome: 'absent', reason: null })
const GONE = words.reasons.nameOf.map((reason) => Object.freeze({ live: false, outcome: 'gone', reason }))

/** A missing cookie is a token of no session; anything else that is no text is a mistake. */
function tokenOf(token) {
  if (typeof token === 'string') return token
  if (token === undefined || token === null) return ''
  throw invalid(`the token is ${shown(token)}, not a string`)
}

/** Options as a text that is the same for the same options in any order. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return String(JSON.stringify(value === Infinity ? 'never' : value))
  const entries = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)
  return `{${entries.join(',')}}`
}

function newSession(options) {
  const taken = take(schemas.create, options, 'create')
  if (taken.data !== undefined) {
    if (taken.data === null || typeof taken.data !== 'object') throw invalid(`data is ${shown(taken.data)}, not an object`)
    taken.data = textOfValue(taken.data)
  }
  return taken
}

const split = (options, keys) => {
  const mine = {}
  const others = {}
  for (const key of Object.keys(options ?? {})) (Object.hasOwn(keys, key) ? mine : others)[key] = options[key]
  return [mine, others]
}

const filterOf = (filter) => take(schemas.filter, filter, 'filter')
const howToEnd = (options) => (options === undefined ? null : take(schemas.end, options, 'end'))

/** A session manager: one table of sessions with its reaper and dispatcher. */
class Manager {
  #native
  #clock
  #async = null
  #resolver = null
  #number = nextManager++

  constructor(options = {}) {
    const { clock = 'system', groups, ...others } = options ?? {}
    const taken = take(schemas.manager, others, 'open')
    const { name, ...rest } = taken
    if (clock !== 'system' && clock !== 'manual' && !(clock instanceof ManualClock)) {
      throw invalid(`clock is ${shown(clock)}; it can be 'system', 'manual' or a ManualClock`)
    }
    if (groups !== undefined && typeof groups !== 'function') throw invalid(`groups is ${shown(groups)}, not a function`)
    const manual = clock === 'system' ? null : clock === 'manual' ? new ManualClock() : clock
    const given = clock === 'system' && Object.keys(rest).length === 0 ? '' : canonical({ ...rest, clock: manual !== null })
    this.#native = loop.connection.open(taken, given, manual?.native ?? null)
    const own = this.#native.clock()
    this.#clock = own === null ? null : new ManualClock(own)
    this.name = name ?? null
    /** For the end of the process: how many event classes this thread registered. */
    Object.defineProperty(this, 'handlers', { value: 0, writable: true })
    Object.defineProperty(this, 'native', { value: this.#native })
    loop.open.add(this)
    if (groups !== undefined) this.#setResolver(groups)
  }

  get clock() {
    return this.#clock
  }

  get closed() {
    return this.#native.isClosed()
  }

  // --- sessions ---

  create(options) {
    return this.#native.create(newSession(options))
  }

  beginNew(options) {
    const [how, session] = split(options, schemas.begin)
    const { touch, lock, application } = take(schemas.begin, how, 'begin')
    const native = this.#native.beginNew(
      newSession({ ...session, application }),
      words.codeOf(words.touches, 'touch', touch),
      words.codeOf(words.locks, 'lock', lock),
    )
    return new Session(native)
  }

  begin(token, options) {
    const given = tokenOf(token)
    let begun
    if (options === undefined) {
      begun = this.#native.begin(given, 0, 0, null)
    } else {
      const { touch, lock, application = null } = take(schemas.begin, options, 'begin')
      begun = this.#native.begin(
        given,
        words.codeOf(words.touches, 'touch', touch),
        words.codeOf(words.locks, 'lock', lock),
        application,
      )
    }
    return this.#begun(begun)
  }

  #begun(begun) {
    if (typeof begun === 'number') return begun === 0 ? ABSENT : GONE[begun]
    return new Session(begun)
  }

  touch(token, kind) {
    const answer = this.#native.touch(tokenOf(token), kind === undefined ? 1 : words.codeOf(words.touches, 'touch', kind))
    if (answer >= 0) return { live: true, remainingMs: answer === Infinity ? null : answer }
    return answer === -1 ? ABSENT : GONE[-1 - answer]
  }

  peek(token) {
    return this.touch(token, 'none')
  }

  idOf(token) {
    return this.#native.idOf(tokenOf(token))
  }

  end(id, options) {
    return this.#native.end(text(id, 'id'), howToEnd(options))
  }

  endWhere(filter, options, page) {
    const [wanted, how] = [filterOf(filter), howToEnd(options)]
    return new Paced((cursor, limit) => this.#native.endWhere(wanted, how, cursor, limit), page)
  }

  setIdleTimeout(id, idleTimeoutMs) {
    return this.#native.setIdleTimeout(text(id, 'id'), timeout(idleTimeoutMs, 'idleTimeoutMs'))
  }

  setAbsoluteTimeout(id, absoluteTimeoutMs) {
    return this.#native.setAbsoluteTimeout(text(id, 'id'), ms(absoluteTimeoutMs, 'absoluteTimeoutMs'))
  }

  setIdleTimeoutWhere(filter, idleTimeoutMs, page) {
    const [wanted, given] = [filterOf(filter), timeout(idleTimeoutMs, 'idleTimeoutMs')]
    return new Paced((cursor, limit) => this.#native.setIdleTimeoutWhere(wanted, given, cursor, limit), page)
  }

  // --- event classes ---

  register(nameOrClass, callbacks, options) {
    if (nameOrClass instanceof EventClass) {
      return this.register(nameOrClass.name, nameOrClass.callbacks, nameOrClass.options)
    }
    const name = text(nameOrClass, 'the name of an event class')
    const { namespace = '', deadlineMs, compatVeto = false } = take(schemas.eventClass, options, 'register')
    const table = tableOf(callbacks, name)
    table.key = this.#key(name, namespace)
    const id = loop.keepTable(table)
    try {
      this.#native.register({ name, namespace, kinds: table.kinds, deadlineMs, compatVeto }, id)
    } catch (error) {
      loop.tables.delete(id)
      throw error
    }
    this.handlers++
  }

  #key(name, namespace) {
    return JSON.stringify([this.#number, namespace, name])
  }

  async unregister(name, { namespace = '' } = {}) {
    const [wanted, where] = [text(name, 'the name of an event class'), text(namespace, 'namespace')]
    const key = this.#key(wanted, where)
    if (loop.insideClass(key)) {
      throw new SessionError('reentrant', `the event class '${wanted}' can't be unregistered inside one of its callbacks`)
    }
    const there = await loop.later((id) => this.#native.unregister(id, wanted, where), (there) => there)
    if (there) this.handlers--
    return there
  }

  #setResolver(resolver) {
    if (typeof resolver !== 'function') throw invalid(`the group resolver is ${shown(resolver)}, not a function`)
    const table = { key: this.#key('', 'group resolver'), tell: resolver }
    const id = loop.keepTable(table)
    try {
      this.#native.setGroupResolver(id)
    } catch (error) {
      loop.tables.delete(id)
      throw error
    }
    this.#resolver = Object.assign(table, { id })
  }

  async setGroupResolver(resolver) {
    const table = this.#resolver
    if (table === null) return resolver === null ? undefined : this.#setResolver(resolver)
    if (loop.insideClass(table.key)) throw new SessionError('reentrant', "the group resolver can't be set inside of itself")
    if (resolver !== null) {
      if (typeof resolver !== 'function') throw invalid(`the group resolver is ${shown(resolver)}, not a function`)
      table.tell = resolver
      await loop.later((id) => this.#native.renewGroupResolver(id), () => undefined)
      return
    }
    this.#resolver = null
    await loop.later((id) => this.#native.clearGroupResolver(id), () => undefined)
    loop.tables.delete(table.id)
  }

  // --- seeing and mending ---

  count() {
    return this.#native.count()
  }

  list(filter, page) {
    const { cursor = 0, limit = 1000 } = take(schemas.page, page, 'list')
    return this.#native.list(filterOf(filter), cursor, limit)
  }

  explain(id) {
    return this.#native.explain(text(id, 'id'))
  }

  stats() {
    return this.#native.stats()
  }

  check() {
    return this.#native.check()
  }

  explainUnit(pool, holder) {
    return this.#native.explainUnit(text(pool, 'pool'), text(holder, 'holder'))
  }

  usage(pool) {
    return this.#native.usage(text(pool, 'pool'))
  }

  queue(pool, page) {
    const { skip = 0, limit = 1000 } = take({ skip: count, limit: count }, page, 'queue')
    return this.#native.queue(text(pool, 'pool'), skip, limit)
  }

  pools() {
    return this.#native.pools()
  }

  pool(name) {
    return poolOf(name, this.#native.pool(text(name, 'pool')))
  }

  changePool(name, options, { actor } = {}) {
    const by = actor === undefined || actor === null ? null : text(actor, 'actor')
    return poolOf(name, this.#native.changePool(text(name, 'pool'), optionsOf(options), by))
  }

  poolDifferences() {
    return this.#native.poolDifferences().map(differenceOf)
  }

  highWater(pool, reader) {
    return this.#native.highWater(text(pool, 'pool'), text(reader, 'reader'))
  }

  resetHighWater(pool, reader) {
    this.#native.resetHighWater(text(pool, 'pool'), text(reader, 'reader'))
  }

  forgetHighWater(pool, reader) {
    return this.#native.forgetHighWater(text(pool, 'pool'), text(reader, 'reader'))
  }

  exportAccounts(pool, page) {
    return accounts(this.#native, text(pool, 'pool'), page)
  }

  audit(pool) {
    return this.#native.audit(text(pool, 'pool'))
  }

  auditRecords(pool, page) {
    const [after, limit] = after1000(page, 'auditRecords')
    return this.#native.auditRecords(text(pool, 'pool'), after, limit)
  }

  lifecycle(page) {
    return this.#native.lifecycle(...after1000(page, 'lifecycle'))
  }

  deadLetters(page) {
    return this.#native.deadLetters(...after1000(page, 'deadLetters'))
  }

  redeliver(id) {
    return this.#native.redeliver(id === undefined || id === null ? null : big(id, 'id'))
  }

  // --- running ---

  reapNow() {
    return this.#native.reapNow()
  }

  async drain(timeoutMs = 5000) {
    const given = ms(timeoutMs, 'timeoutMs')
    return loop.later((id) => this.#native.drain(id, given), (done) => done)
  }

  tick() {
    const next = this.#native.tick()
    return next === Infinity ? null : next
  }

  dispatch(max = 1000) {
    return this.#native.dispatch(count(max, 'max'))
  }

  damage(id) {
    return this.#native.damage(text(id, 'id'))
  }

  stallReaper(stall) {
    this.#native.stallReaper(flag(stall, 'stall'))
  }

  async close(graceMs = 5000) {
    const grace = ms(graceMs, 'graceMs')
    if (loop.insideCallback()) {
      void this.#close(grace)
      return { ended: 0, inFlight: 0, delivered: 0, undelivered: 0, stuck: 0, deferred: true }
    }
    return this.#close(grace)
  }

  async #close(grace) {
    const report = await loop.later((id) => this.#native.close(id, grace), (report) => report)
    loop.open.delete(this)
    return report
  }

  /** The same where it may have to wait: promises, and an AbortSignal. */
  get async() {
    this.#async ??= new AsyncManager(this.#native, (begun) => this.#begun(begun))
    return this.#async
  }

  [Symbol.dispose]() {
    this.#native.closeNow()
    loop.open.delete(this)
  }

  async [Symbol.asyncDispose]() {
    await this.close()
  }
}

function after1000(page, what) {
  const { after = 0, limit = 1000 } = take({ after: big, limit: count }, page, what)
  return [after, limit]
}

/** Gives back what came after its caller had gone. */
function undoRequest(begun) {
  if (typeof begun === 'number') return
  begun.discard()
  begun.finish()
}

/** The calls of a manager that may wait: for a lock, for an asynchronous decider, for callbacks of an end. */
class AsyncManager {
  #native
  #begun

  constructor(native, begun) {
    this.#native = native
    this.#begun = begun
  }

  #end(id) {
    this.#native.end(id, { reason: 'ended', note: 'its creator had gone' })
  }

  async create(options) {
    const [queue, session] = split(options, schemas.queue)
    const { how, giveUp } = waiting(take(schemas.queue, queue, 'create'))
    const given = newSession(session)
    const undo = (created) => this.#end(created.id)
    return loop.later((id) => this.#native.createLater(id, given, ...how), (created) => created, { ...giveUp, undo })
  }

  async beginNew(options) {
    const [own, session] = split(options, { ...schemas.begin, ...schemas.queue })
    const { touch, lock, application, ...queue } = take({ ...schemas.begin, ...schemas.queue }, own, 'beginNew')
    const { how, giveUp } = waiting(queue)
    const given = newSession({ ...session, application })
    const codes = [words.codeOf(words.touches, 'touch', touch), words.codeOf(words.locks, 'lock', lock)]
    const undo = (request) => {
      undoRequest(request)
      this.#end(request.id())
    }
    return loop.later(
      (id) => this.#native.beginNewLater(id, given, ...codes, ...how),
      (native) => new Session(native),
      { ...giveUp, undo },
    )
  }

  async begin(token, options) {
    const taken = take({ ...schemas.begin, ...schemas.wait }, options, 'begin')
    const { touch, lock, application = null, lockTimeoutMs = null, signal } = taken
    const given = tokenOf(token)
    const codes = [words.codeOf(words.touches, 'touch', touch), words.codeOf(words.locks, 'lock', lock)]
    const { ticket, giveUp } = locking(signal)
    return loop.later(
      (id) => this.#native.beginLater(id, given, ...codes, application, lockTimeoutMs, ticket),
      this.#begun,
      { ...giveUp, undo: undoRequest },
    )
  }

  async end(id, options) {
    const how = options === undefined ? null : take({ ...schemas.end, waitMs: ms }, options, 'end')
    const given = text(id, 'id')
    return loop.later((promise) => this.#native.endLater(promise, given, how), (outcome) => outcome)
  }
}

module.exports = { Manager }
