'use strict'

// What this JavaScript thread has of its own: the connection to the engine, the callbacks, the pending promises.

const diagnostics = require('node:diagnostics_channel')
const native = require('../native.cjs')
const { SessionError, shown, textOf } = require('./errors.cjs')
const { ASYNCHRONOUS, CALL, Event, KIND, TABLE, VERDICT } = require('./event.cjs')
const { inOurWords } = require('./options.cjs')

// Taken at load: fake timers of a test must not stop what the engine does.
const hrtime = process.hrtime.bigint
const turn = setImmediate
const nowMs = () => Number(hrtime()) / 1e6

/** How long callbacks may run one after another before the rest of the program gets its turn. */
const SLICE_MS = 4
const BATCH = 32

const [DONE, FAILED, ASYNC_REQUIRED] = [0, 3, 4]

const log = diagnostics.channel('libsession:log')
const tables = new Map()
const promises = new Map()
const attached = new Map()
const open = new Set()

let sessionOf = null
let nextTable = 1
let nextPromise = 1
let nextObject = 1
/** The callbacks that run on this thread just now, innermost last. */
const running = []
let exiting = false
let rest = []

const connection = native.connect(drain, decide, (kind, message, reason, retryAfterMs, keys, retryable) => {
  const told = kind === 'invalid' ? inOurWords(message) : message
  return new SessionError(kind, told, { reason: reason ?? null, retryAfterMs: retryAfterMs ?? null, keys, retryable })
})

// A promise that somebody awaits keeps the process; callbacks never do.
const hold = setInterval(() => {}, 2 ** 31 - 1)
hold.unref()

/** Does what the engine left for this thread, for one slice; goes on in the loop's next turn if there is more. */
function drain() {
  const until = exiting ? Infinity : nowMs() + SLICE_MS
  for (;;) {
    const batch = rest.length > 0 ? rest : connection.take(BATCH)
    rest = []
    if (batch.length === 0) return
    for (let index = 0; index < batch.length; index++) {
      perform(batch[index])
      if (nowMs() > until) {
        rest = batch.slice(index + 1)
        turn(drain)
        return
      }
    }
  }
}

function perform(item) {
  if (item[0] === -1) settlePromise(item[1], item[2], item[3])
  else if (item[0] === -2) log.publish({ level: item[1], target: item[2], message: item[3] })
  else if (item[0] === -3) letGo(item[1])
  else if (item[0] === -4) tellGroups(item, true)
  else invoke(item, true)
}

/** A session has ended and lets go of what was attached to it. */
function letGo(number) {
  const object = attached.get(number)
  attached.delete(number)
  try {
    object?.[Symbol.dispose]?.()
  } catch (error) {
    log.publish({ level: 'warn', target: 'libsession', message: `the dispose of an attached object threw: ${textOf(error)}` })
  }
}

/** Keeps an object that is attached to a session; gives its number. */
function keepObject(object) {
  const number = nextObject++
  attached.set(number, object)
  return number
}

/** The object that was kept, which its owner gets back. */
function takeObject(number) {
  const object = attached.get(number)
  attached.delete(number)
  return object
}

/** A decider asked by a call that this thread makes just now. */
function decide(fields) {
  if (fields[0] === -4) tellGroups(fields, fields[3])
  else invoke(fields, fields[ASYNCHRONOUS])
}

/** Asks the resolver for the groups of a user. */
function tellGroups([, call, table, , user], mayWait) {
  const fails = (error) => connection.settleGroups(call, null, textOf(error))
  const told = (groups) => {
    if (Array.isArray(groups) && groups.every((group) => typeof group === 'string')) return connection.settleGroups(call, groups)
    connection.settleGroups(call, null, `it answered with ${shown(groups)}; it answers with an array of the user's groups`)
  }
  const resolver = tables.get(table)
  if (resolver === undefined) return connection.settleGroups(call, null, 'the group resolver is not set any more')
  let result
  running.push(resolver)
  try {
    result = resolver.tell(user)
  } catch (error) {
    return fails(error)
  } finally {
    running.pop()
  }
  if (!isThenable(result)) return told(result)
  if (exiting) connection.settleGroups(call, null, 'the process ends; a promise can not be awaited any more')
  else if (!mayWait) connection.settleGroups(call)
  Promise.resolve(result).then(told, fails)
}

function isThenable(value) {
  return value !== null && (typeof value === 'object' || typeof value === 'function') && typeof value.then === 'function'
}

function invoke(fields, mayWait) {
  const call = fields[CALL]
  const table = tables.get(fields[TABLE])
  if (table === undefined) return connection.settle(call, FAILED, 'the event class is not registered any more')
  const event = new Event(fields, connection, sessionOf)
  let result
  let waits
  running.push(table)
  try {
    result = table.callbacks[fields[KIND]].call(table.self, event)
    waits = isThenable(result)
  } catch (error) {
    return connection.settle(call, FAILED, textOf(error))
  } finally {
    running.pop()
  }
  if (!waits) return answer(call, event, result)
  if (exiting) connection.settle(call, FAILED, 'the process ends; a promise can not be awaited any more')
  else if (!mayWait) connection.settle(call, ASYNC_REQUIRED)
  Promise.resolve(result).then(
    (value) => answer(call, event, value),
    (error) => connection.settle(call, FAILED, textOf(error)),
  )
}

function answer(call, event, result) {
  const verdict = event[VERDICT]
  if (verdict !== null) connection.settle(call, verdict.answer, verdict.text, verdict.ms)
  else if (result === false) connection.settle(call, 1, 'denied')
  else connection.settle(call, DONE)
}

function settlePromise(id, done, value) {
  const promise = promises.get(id)
  if (promise === undefined) return
  promises.delete(id)
  if (promises.size === 0) hold.unref()
  if (done) promise.resolve(value)
  else promise.reject(value)
}

/** Gives back what came after its caller had gone. */
function giveBack(undo, value) {
  try {
    undo(value)
  } catch (error) {
    log.publish({ level: 'debug', target: 'libsession', message: `what a call got that was aborted could not be given back: ${textOf(error)}` })
  }
}

/**
 * A promise of a call whose result may come later. `start` gets the promise's number and returns the result if it is
 * there at once, else null. An abort calls `cancel`, which has the call end soon. It rejects the promise, and a result that still
 * comes goes to `undo`; without one, what was done stands: then only a call that failed is rejected by the abort.
 */
function later(start, convert, { signal, undo, cancel } = {}) {
  if (signal?.aborted) return Promise.reject(signal.reason)
  const id = nextPromise++
  let early
  try {
    early = start(id)
  } catch (error) {
    return Promise.reject(error)
  }
  if (early !== null && early !== undefined) return Promise.resolve(convert(early))
  return new Promise((resolve, reject) => {
    const settle = (value) => resolve(convert(value))
    const pending = { resolve: settle, reject }
    if (promises.size === 0) hold.ref()
    promises.set(id, pending)
    if (signal === undefined) return
    const abort = () => {
      if (undo === undefined) {
        pending.reject = () => reject(signal.reason)
      } else {
        pending.resolve = (value) => giveBack(undo, value)
        pending.reject = () => {}
        reject(signal.reason)
      }
      cancel?.()
    }
    signal.addEventListener('abort', abort, { once: true })
    pending.resolve = (value) => (signal.removeEventListener('abort', abort), settle(value))
    pending.reject = (error) => (signal.removeEventListener('abort', abort), reject(error))
  })
}

/** Keeps a table of callbacks; gives its number. */
function keepTable(table) {
  const id = nextTable++
  tables.set(id, table)
  return id
}

const EXIT_GRACE_MS = 1000

/** Closes a manager while no loop turns: its callbacks run here, as far as they need no promise. */
function closeAtExit(manager) {
  if (manager.closed) return
  if (manager.handlers === 0) return manager.native.closeNow()
  const id = nextPromise++
  const until = nowMs() + EXIT_GRACE_MS + 200
  let closed = false
  promises.set(id, { resolve: () => (closed = true), reject: () => (closed = true) })
  manager.native.close(id, EXIT_GRACE_MS)
  while (!closed && nowMs() < until) {
    drain()
    if (!closed) connection.pause(5)
  }
  promises.delete(id)
}

process.on('exit', () => {
  exiting = true
  for (const manager of open) {
    try {
      if (!manager.native.isShared()) closeAtExit(manager)
    } catch {
      // The process ends whatever happens; what could not be delivered is gone with it.
    }
  }
})

module.exports = {
  attached,
  connection,
  drain,
  insideCallback: () => running.length > 0,
  insideClass: (key) => running.some((table) => table.key === key),
  keepObject,
  keepTable,
  later,
  open,
  setSessionOf: (make) => (sessionOf = make),
  tables,
  takeObject,
}
