'use strict'

const { big, schemas, take } = require('./options.cjs')

// Definitions of pools between the engine's JSON (linger_ms) and JavaScript's options (lingerMs), and accounts as lines.

const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase())
const snake = (word) => word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The options of a pool as the engine tells them. */
function poolOf(name, json) {
  const told = JSON.parse(json)
  return { name, ...Object.fromEntries(Object.entries(told).map(([key, value]) => [camel(key), value])) }
}

// What is nothing where it is left out may be set back to that.
const leftOut = [
  'maxSessionsPerHolder', 'anonymousCap', 'anonymousPerClient', 'recovered', 'lazyLingerMs', 'anonymousMinHoldMs', 'lazyMinHoldMs',
  'overdraftTimeMs',
]
const orNull = (check) => (value, name) => (value === null ? null : check(value, name))
const { name: _named, ...options } = schemas.pool
const changes = { ...options, ...Object.fromEntries(leftOut.map((key) => [key, orNull(options[key])])) }

/** The options that a change names, as the engine takes them. */
function optionsOf(given) {
  const taken = Object.entries(take(changes, given, 'changePool'))
  const value = (key, it) => (key.endsWith('Ms') && it !== null ? Math.round(it) : it)
  return JSON.stringify(Object.fromEntries(taken.map(([key, it]) => [snake(key), value(key, it)])))
}

const MOST = 1000

/** Accounts as lines of JSON, read as they are asked for. */
function* accounts(native, pool, page) {
  let { after = 0, limit = Infinity } = take({ after: big, limit: big }, page, 'exportAccounts')
  while (limit > 0) {
    const { lines, count, last } = native.exportAccounts(pool, after, Math.min(limit, MOST))
    if (count === 0) return
    after = last
    limit -= count
    yield* lines.slice(0, -1).split('\n')
  }
}

const differenceOf = ({ pool, option, named, inForce }) => ({
  pool,
  option: camel(option),
  named: JSON.parse(named),
  inForce: JSON.parse(inForce),
})

module.exports = { accounts, differenceOf, optionsOf, poolOf }
