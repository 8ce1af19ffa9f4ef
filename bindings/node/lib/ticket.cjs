'use strict'

const { invalid, shown } = require('./errors.cjs')
const { connection } = require('./loop.cjs')

/** Stands for one wait in the queue of a pool: tells the position, and cancels the wait. */
class Ticket {
  constructor() {
    Object.defineProperty(this, 'native', { value: connection.ticket() })
  }

  cancel() {
    this.native.cancel()
  }

  get position() {
    return this.native.position()
  }

  get waits() {
    return this.native.waits()
  }
}

/**
 * What options say of a wait for units: what the native half takes, and how the promise is given up. A wait with a signal has
 * a ticket, so that an abort leaves no place.
 */
function waiting({ waitMs = 0, priority = 0, ticket, signal }) {
  if (ticket !== undefined && !(ticket instanceof Ticket)) throw invalid(`ticket is ${shown(ticket)}, not a Ticket`)
  const own = ticket?.native ?? (signal !== undefined && waitMs > 0 ? connection.ticket() : null)
  const cancel = waitMs > 0 && own !== null ? () => own.cancel() : undefined
  return { how: [{ waitMs, priority }, own], giveUp: { signal, cancel } }
}

/** The same of a wait for a lock. */
function locking(signal) {
  if (signal === undefined) return { ticket: null, giveUp: {} }
  const ticket = connection.ticket()
  return { ticket, giveUp: { signal, cancel: () => ticket.cancel() } }
}

module.exports = { Ticket, locking, waiting }
