'use strict'

/**
 * What the engine refuses: `kind` is the same word in every language, `code` is `ERR_SESSION_` and that word.
 */
class SessionError extends Error {
  constructor(kind, message, { reason = null, retryAfterMs = null, keys = [], retryable = false } = {}) {
    super(message)
    this.kind = kind
    this.code = `ERR_SESSION_${kind.toUpperCase()}`
    this.reason = reason
    this.retryAfterMs = retryAfterMs
    this.keys = keys
    this.retryable = retryable
  }
}

Object.defineProperty(SessionError.prototype, 'name', { value: 'SessionError', configurable: true, writable: true })

const invalid = (message) => new SessionError('invalid', message)

/** A short text of a value, for messages. */
function shown(value) {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'object') return Array.isArray(value) ? 'an array' : `a ${value.constructor?.name ?? 'object'}`
  if (typeof value === 'function') return 'a function'
  return String(value)
}

/** The text of whatever was thrown; never throws itself. */
function textOf(thrown) {
  try {
    if (thrown instanceof Error || typeof thrown?.message === 'string') return String(thrown.message || thrown.name)
    return String(thrown)
  } catch {
    return 'a value without a text was thrown'
  }
}

module.exports = { SessionError, invalid, shown, textOf }
