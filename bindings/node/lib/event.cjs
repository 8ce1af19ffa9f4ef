'use strict'

const { Data, EMPTY, ReadOnlyData } = require('./data.cjs')
const { SessionError, invalid, shown } = require('./errors.cjs')
const { ms } = require('./options.cjs')
const words = require('./words.cjs')

// The places of an event's fields, as the native half fills them.
const CALL = 0
const TABLE = 1
const KIND = 2
const ASYNCHRONOUS = 3
const EVENT_ID = 4
const SESSION_ID = 5
const APPLICATION = 6
const OLD_APPLICATION = 7
const NAMESPACE = 8
const USER = 9
const OLD_USER = 10
const REASON = 11
const LEVEL = 12
const THREAD = 13
const REMAINING = 14
const POOL = 15
const AT = 16
const WALL = 17
const ATTEMPT = 18
const REDELIVERED = 19
const SNAPSHOT = 20
const REQUEST = 21
const CHOICE = 22

/** What the loop takes from an event when its callback has returned. */
const VERDICT = Symbol('verdict')

/** What happened, to which session, and why. A snapshot: it stays as it is when the session goes on. */
class Event {
  #fields
  #connection
  #sessionOf
  #data
  #session;

  [VERDICT] = null

  constructor(fields, connection, sessionOf) {
    this.#fields = fields
    this.#connection = connection
    this.#sessionOf = sessionOf
  }

  get kind() {
    return words.kinds.nameOf[this.#fields[KIND]]
  }

  get eventId() {
    return this.#fields[EVENT_ID]
  }

  get sessionId() {
    return this.#fields[SESSION_ID]
  }

  get application() {
    return this.#fields[APPLICATION]
  }

  get oldApplication() {
    return this.#fields[OLD_APPLICATION] ?? null
  }

  get namespace() {
    return this.#fields[NAMESPACE]
  }

  get user() {
    return this.#fields[USER] ?? null
  }

  get oldUser() {
    return this.#fields[OLD_USER] ?? null
  }

  get reason() {
    return words.reasons.nameOf[this.#fields[REASON]] ?? null
  }

  get level() {
    return words.levels.nameOf[this.#fields[LEVEL]] ?? null
  }

  get thread() {
    return words.threads.nameOf[this.#fields[THREAD]]
  }

  get remainingMs() {
    return this.#fields[REMAINING] ?? null
  }

  get pool() {
    return this.#fields[POOL] ?? null
  }

  get atMs() {
    return this.#fields[AT]
  }

  get wallMs() {
    return this.#fields[WALL]
  }

  get attempt() {
    return this.#fields[ATTEMPT]
  }

  get redelivered() {
    return this.#fields[REDELIVERED]
  }

  get timeLeftMs() {
    return this.#connection.timeLeft(this.#fields[CALL])
  }

  get data() {
    const snapshot = this.#fields[SNAPSHOT]
    if (snapshot === null || snapshot === undefined) {
      throw new SessionError('corrupt', "the session's data can't be read; a copy is in quarantine")
    }
    this.#data ??= snapshot === false ? EMPTY : new ReadOnlyData(snapshot)
    return this.#data
  }

  get session() {
    const request = this.#fields[REQUEST]
    if (!request) return null
    this.#session ??= this.#sessionOf(request)
    return this.#session
  }

  deny(text = 'denied') {
    this[VERDICT] = { answer: 1, text: String(text) }
  }

  extend(byMs) {
    this[VERDICT] = { answer: 2, ms: ms(byMs, 'extend') }
  }

  setLicenseClass(word) {
    words.codeOf(words.licenseClasses, 'licenseClass', word)
    this.#fields[CHOICE]?.setLicenseClass(word)
  }

  set endSession(end) {
    this.#fields[CHOICE]?.setEndSession(Boolean(end))
  }

  /** For tests under a manual clock: this callback is never going to settle; the clock need not wait for it. */
  hang() {
    this.#connection.hang(this.#fields[CALL])
  }
}

/** A named set of callbacks, built with `.on(…)`. */
class EventClass {
  constructor(name, options = {}) {
    this.name = name
    this.options = options
    this.callbacks = {}
  }

  /** Adds a callback for a kind: `on_end`, `end` or `onEnd`. */
  on(kind, callback) {
    const code = words.methods.findIndex((method, at) => method && (method === kind || words.kinds.nameOf[at] === kind || words.kinds.nameOf[at] === `on_${kind}`))
    if (code < 0) throw invalid(`there is no event ${shown(kind)}; there are ${words.kinds.names.join(', ')}`)
    if (typeof callback !== 'function') throw invalid(`the callback of ${kind} is ${shown(callback)}, not a function`)
    this.callbacks[words.methods[code]] = callback
    return this
  }
}

/** The callbacks of an object, a class or a class's instance, by the kinds' numbers. */
function tableOf(handlers, name) {
  const self = typeof handlers === 'function' ? new handlers() : handlers
  if (self === null || typeof self !== 'object') {
    throw invalid(`the callbacks of '${name}' are ${shown(handlers)}, neither an object nor a class`)
  }
  const table = { self, callbacks: [], kinds: 0 }
  words.methods.forEach((method, code) => {
    const callback = self[method]
    if (callback === undefined) return
    if (typeof callback !== 'function') throw invalid(`${method} of '${name}' is ${shown(callback)}, not a function`)
    table.callbacks[code] = callback
    table.kinds |= 1 << code
  })
  for (const key of Object.keys(self)) {
    if (/^on[A-Z_]/.test(key) && !words.methods.includes(key)) {
      throw invalid(`the event class '${name}' has ${key}; there are ${words.methods.filter(Boolean).join(', ')}`)
    }
  }
  return table
}

module.exports = { ASYNCHRONOUS, CALL, Data, Event, EventClass, KIND, TABLE, VERDICT, tableOf }
