'use strict'

const native = require('../native.cjs')
const { ManualClock } = require('./clock.cjs')
const { invalid, shown, SessionError } = require('./errors.cjs')
const { EventClass } = require('./event.cjs')
const { Manager } = require('./manager.cjs')
const { Ticket } = require('./ticket.cjs')
const words = require('./words.cjs')

/** Opens a manager, or joins the one of this name in another thread of this process. */
function open(options) {
  return new Manager(options)
}

/** Sets how much of the log goes to the channel `libsession:log`, in this process. */
function setLogLevel(level) {
  if (!native.setLogLevel(String(level))) {
    throw invalid(`${shown(level)} is no level; there are off, error, warn, info, debug, trace`)
  }
}

exports.open = open
exports.Manager = Manager
exports.ManualClock = ManualClock
exports.EventClass = EventClass
exports.SessionError = SessionError
exports.Ticket = Ticket
exports.setLogLevel = setLogLevel
exports.errorKinds = words.errorKinds.names
exports.eventKinds = words.kinds.names
exports.endReasons = words.reasons.names
