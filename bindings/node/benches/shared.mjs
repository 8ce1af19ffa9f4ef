// The shared table beside what else keeps sessions on a disk: `node benches/shared.mjs [--json FILE] [--quick]`.
//
// CPU microseconds an operation of all threads, the median of slices that take turns. 2,000 live sessions of 200 bytes, on the
// disk of FILE. Stores that call back later have 16 calls under way. An end of ours is on the disk when it returns.

import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { open } from 'libsession'
import { data } from './data.mjs'
import { peers } from './disk/peers.mjs'

const LIVE = 2000
const AT_ONCE = 16
const SLICE_US = 60_000
const OPERATIONS = { touch: 'touch', read: 'begin + read + finish', write: 'begin + write + finish', make: 'create', remove: 'end' }

const words = process.argv.slice(2)
const rounds = words.includes('--quick') ? 2 : 9
const file = words.includes('--json') ? words[words.indexOf('--json') + 1] : null

function libsession(folder) {
  const place = join(folder, 'libsession')
  mkdirSync(place, { mode: 0o700 })
  const manager = open({
    store: `file:${place}`,
    maxSessions: 1_000_000,
    applications: { shop: { idleTimeoutMs: 3_600_000, lock: 'shared' } },
  })
  return {
    make: () => manager.create({ data: data() }).token,
    touch: (token) => manager.touch(token),
    read(token) {
      const request = manager.begin(token)
      const user = request.data.get('user')
      request.finish()
      return user
    },
    write(token, round) {
      const request = manager.begin(token)
      request.data.set('round', round)
      request.finish()
    },
    remove: (token) => manager.end(manager.idOf(token)),
    close: () => manager.close(),
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

/** Calls `store[verb]` with each of these keys; microseconds of one, and what they answered. */
async function slice(store, verb, keys) {
  const answers = new Array(keys.length)
  const before = process.cpuUsage()
  for (let from = 0; from < keys.length; from += AT_ONCE) {
    const upto = Math.min(from + AT_ONCE, keys.length)
    let later = false
    for (let at = from; at < upto; at++) {
      answers[at] = store[verb](keys[at], at)
      later ||= answers[at] instanceof Promise
    }
    if (later) for (let at = from; at < upto; at++) answers[at] = await answers[at]
  }
  const { user, system } = process.cpuUsage(before)
  return { us: (user + system) / keys.length, answers }
}

const folder = mkdtempSync(join(file === null ? tmpdir() : dirname(resolve(file)), 'bench-'))
const took = {}
try {
  const stores = { libsession: libsession(folder), ...(await peers(folder)) }
  const keys = {}
  for (const [name, store] of Object.entries(stores)) {
    keys[name] = (await slice(store, 'make', new Array(LIVE).fill(''))).answers
    took[name] = Object.fromEntries(Object.keys(OPERATIONS).map((verb) => [verb, []]))
  }
  const made = {}
  let next = 0
  for (let round = 0; round < rounds; round++) {
    for (const verb of Object.keys(OPERATIONS)) {
      for (const [name, store] of Object.entries(stores)) {
        const usual = took[name][verb].length ? median(took[name][verb]) : 200
        const calls = Math.max(AT_ONCE, Math.min(verb === 'make' ? 1000 : 20_000, Math.floor(SLICE_US / usual)))
        const of = verb === 'remove' ? made[name] : Array.from({ length: calls }, () => keys[name][next++ % LIVE])
        const { us, answers } = await slice(store, verb, of)
        if (verb === 'make') made[name] = answers
        took[name][verb].push(us)
      }
    }
  }
  for (const store of Object.values(stores)) await store.close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const rows = []
const short = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))
const { libsession: ours, ...others } = took
console.log('| CPU µs | libsession, shared table | peers, and how many times ours is theirs |\n|---|---|---|')
for (const [verb, what] of Object.entries(OPERATIONS)) {
  const value = median(ours[verb])
  const beside = []
  for (const [name, theirs] of Object.entries(others)) {
    const base = median(theirs[verb])
    beside.push(`${name} ${short(base)} (×${short(base / value)})`)
    const ratio = { ratio_to: `${name} (${short(base)} µs)`, ratio: value / base, target: null, met: null }
    rows.push({ group: 'Node: shared table', what, value, unit: 'µs', ...ratio })
  }
  console.log(`| ${what} | ${short(value)} | ${beside.join(', ')} |`)
}
const conditions = `Node ${process.version}, CPU time, medians of slices in turn, ${LIVE} sessions`
if (file !== null) writeFileSync(file, `${JSON.stringify({ conditions, rows }, null, 1)}\n`)
