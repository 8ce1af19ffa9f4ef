'use strict'

const { SessionError, invalid, shown } = require('./errors.cjs')
const { connection, insideCallback, later } = require('./loop.cjs')
const { ms } = require('./options.cjs')

const refuseInside = (what) => {
  if (insideCallback()) throw new SessionError('reentrant', `the clock can't be ${what} inside a callback`)
}

/** A clock that stands still until it is told: an 8-hour timeout in microseconds. Several managers may share it. */
class ManualClock {
  constructor(native = connection.manualClock()) {
    Object.defineProperty(this, 'native', { value: native })
  }

  get nowMs() {
    return this.native.now()
  }

  get suspendedMs() {
    return this.native.suspended()
  }

  get wallMs() {
    return this.native.wall()
  }

  async advance(byMs) {
    refuseInside('advanced')
    const by = ms(byMs, 'advance')
    return later((id) => this.native.advance(id, by), (pending) => pending)
  }

  async suspend(byMs) {
    refuseInside('suspended')
    const by = ms(byMs, 'suspend')
    return later((id) => this.native.suspend(id, by), () => undefined)
  }

  setWall(unixMs) {
    if (!Number.isSafeInteger(unixMs)) throw invalid(`the wall time is ${shown(unixMs)}, not whole milliseconds`)
    this.native.setWall(unixMs)
  }

  setSettle(settleMs) {
    this.native.setSettle(ms(settleMs, 'settle'))
  }
}

module.exports = { ManualClock }
