'use strict'

const { Data } = require('./data.cjs')
const { attached, keepObject, later, setSessionOf, takeObject } = require('./loop.cjs')
const { big, flag, ms, schemas, take, text, timeout } = require('./options.cjs')
const { locking, waiting } = require('./ticket.cjs')
const words = require('./words.cjs')

const name = (value) => (value === undefined || value === null ? null : text(value, 'name'))

const groups = (options, what) => (options === undefined ? undefined : take(schemas.login, options, what).groups)

/** A session with a request in flight. Leaving the scope, `finish` or dispose commits and ends the request. */
class Session {
  #native
  #data = null
  #async = null
  #finished = false

  constructor(native) {
    this.#native = native
  }

  /** True: what `begin` gives instead when there is no such session has `live === false`. */
  get live() {
    return true
  }

  get id() {
    return this.#native.id()
  }

  get token() {
    return this.#native.token()
  }

  get isNew() {
    return this.#native.isNew()
  }

  get data() {
    this.#data ??= new Data(this.#native)
    return this.#data
  }

  get application() {
    return this.#native.application()
  }

  get user() {
    return this.#native.user()
  }

  get licenseHolder() {
    return this.#native.licenseHolder()
  }

  info() {
    return this.#native.info()
  }

  get idleTimeoutMs() {
    return this.#native.info().idleTimeoutMs
  }

  set idleTimeoutMs(value) {
    this.#native.setIdleTimeout(timeout(value, 'idleTimeoutMs'))
  }

  get absoluteTimeoutMs() {
    return this.#native.info().absoluteTimeoutMs
  }

  set absoluteTimeoutMs(value) {
    this.#native.setAbsoluteTimeout(ms(value, 'absoluteTimeoutMs'))
  }

  save() {
    this.#native.save()
  }

  discard() {
    this.#native.discard()
  }

  finish() {
    this.#finished = true
    this.#native.finish()
  }

  get finished() {
    return this.#finished
  }

  lock(mode = 'exclusive') {
    this.#native.lock(words.codeOf(words.locks, 'lock', mode))
  }

  unlock({ save = true } = {}) {
    this.#native.unlock(flag(save, 'save'))
  }

  get lockMode() {
    return this.#native.lockMode()
  }

  requestEnd(end = true) {
    this.#native.requestEnd(flag(end, 'end'))
  }

  end(options) {
    return this.#native.end(options === undefined ? null : take(schemas.end, options, 'end'))
  }

  rotate() {
    return this.#native.rotate()
  }

  login(user, options) {
    return this.#native.login(text(user, 'user'), groups(options, 'login'))
  }

  trade(options) {
    this.#native.trade(groups(options, 'trade'))
  }

  takeFeature(pool, options) {
    const { count = 1, groups } = options === undefined ? {} : take(schemas.feature, options, 'takeFeature')
    this.#native.takeFeature(text(pool, 'pool'), count, groups)
  }

  returnFeature(pool, count = 1) {
    return this.#native.returnFeature(text(pool, 'pool'), big(count, 'count'))
  }

  features() {
    return this.#native.features()
  }

  logout({ force = false } = {}) {
    return this.#native.logout(flag(force, 'force'))
  }

  eventClassAdd(eventClass, namespace) {
    this.#native.eventClassAdd(text(eventClass, 'event class'), name(namespace))
  }

  eventClassRemove(eventClass, namespace) {
    return this.#native.eventClassRemove(name(eventClass), name(namespace))
  }

  eventClassExists(eventClass, namespace) {
    return this.#native.eventClassExists(text(eventClass, 'event class'), name(namespace))
  }

  eventClassList() {
    return this.#native.eventClassList().map(([namespace, eventClass]) => ({ namespace, name: eventClass }))
  }

  eventClassClear() {
    this.#native.eventClassClear()
  }

  set eventClass(eventClass) {
    this.#native.setEventClass(text(eventClass, 'event class'))
  }

  attach(name, object) {
    const number = keepObject(object)
    let before
    try {
      before = this.#native.attach(text(name, 'name'), number)
    } catch (error) {
      takeObject(number)
      throw error
    }
    return before === null ? undefined : takeObject(before)
  }

  attachment(name) {
    return attached.get(this.#native.attachment(text(name, 'name')))
  }

  detach(name) {
    return takeObject(this.#native.detach(text(name, 'name')))
  }

  /** The same where it may have to wait: promises. */
  get async() {
    this.#async ??= new AsyncSession(this.#native, () => (this.#finished = true))
    return this.#async
  }

  [Symbol.dispose]() {
    if (!this.#finished) this.finish()
  }

  async [Symbol.asyncDispose]() {
    if (!this.#finished) this.finish()
  }
}

/** The calls of a session that may wait: for a lock, or for a decider that is asynchronous. */
class AsyncSession {
  #native
  #finished

  constructor(native, finished) {
    this.#native = native
    this.#finished = finished
  }

  finish() {
    this.#finished()
    return later((id) => this.#native.finishLater(id), () => undefined)
  }

  async lock(mode = 'exclusive', options = undefined) {
    const { lockTimeoutMs = null, signal } = take(schemas.wait, options, 'lock')
    const code = words.codeOf(words.locks, 'lock', mode)
    const { ticket, giveUp } = locking(signal)
    let before = null
    const start = (id) => {
      before = this.#native.lockMode()
      return this.#native.lockLater(id, code, lockTimeoutMs, ticket)
    }
    const undo = () => (before === null ? this.#native.unlock(false) : this.#native.lock(words.codeOf(words.locks, 'lock', before)))
    return later(start, () => undefined, { ...giveUp, undo })
  }

  async login(user, options) {
    const given = text(user, 'user')
    const { groups, ...queue } = take({ ...schemas.login, ...schemas.queue }, options, 'login')
    const { how, giveUp } = waiting(queue)
    return later((id) => this.#native.loginLater(id, given, groups, ...how), (login) => login, giveUp)
  }

  async trade(options) {
    const { groups, ...queue } = take({ ...schemas.login, ...schemas.queue }, options, 'trade')
    const { how, giveUp } = waiting(queue)
    return later((id) => this.#native.tradeLater(id, groups, ...how), () => undefined, giveUp)
  }

  async takeFeature(pool, options) {
    const given = text(pool, 'pool')
    const { count = 1, groups, ...queue } = take({ ...schemas.feature, ...schemas.queue }, options, 'takeFeature')
    const { how, giveUp } = waiting(queue)
    const undo = () => this.#native.returnFeature(given, count)
    return later((id) => this.#native.takeFeatureLater(id, given, count, groups, ...how), () => undefined, { ...giveUp, undo })
  }

  logout({ force = false } = {}) {
    const forced = flag(force, 'force')
    return later((id) => this.#native.logoutLater(id, forced), (logout) => logout)
  }

  async end(options) {
    const how = options === undefined ? null : take({ ...schemas.end, waitMs: ms }, options, 'end')
    return later((id) => this.#native.endLater(id, how), (outcome) => outcome)
  }
}

setSessionOf((native) => new Session(native))

module.exports = { Session }
