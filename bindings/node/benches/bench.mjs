// Every Node target of speed and memory as a ratio to peers measured in the same run: `npm run bench [-- --json FILE] [-- --quick]`.
//
// CPU nanoseconds an operation (median of the runs), bytes of RSS a session, milliseconds of a full collection. Each memory figure
// is taken in a process of its own.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { memory } from './memory.mjs'
import { operations } from './operations.mjs'
import { expiries } from './expiries.mjs'

const words = process.argv.slice(2)
const quick = words.includes('--quick')
const file = words.includes('--json') ? words[words.indexOf('--json') + 1] : null

if (words[0] === '--memory') {
  console.log(JSON.stringify(await memory(words[1], Number(words[2]))))
  process.exit()
}

const self = fileURLToPath(import.meta.url)
const apart = (name, sessions) =>
  JSON.parse(execFileSync(process.execPath, ['--expose-gc', '--max-old-space-size=8192', self, '--memory', name, String(sessions)]))

const rows = []
/** `target` bounds ours; a figure that is less is better. */
function row(what, unit, ours, target, peers) {
  rows.push({ what, unit, ours, target, met: target === null || ours <= target, peers })
}

const ops = await operations(quick ? 20_000 : 200_000)
row('touch, native API', 'ns', ops.libsession.touch, 800, { 'Map': ops.Map.touch, 'MemoryStore touch': ops.MemoryStore.touch, 'lru-cache': ops['lru-cache'].touch })
row('begin + read + finish', 'ns', ops.libsession.read, null, { 'Map': ops.Map.read, 'MemoryStore get': ops.MemoryStore.read, 'lru-cache': ops['lru-cache'].read })
row('begin + write + finish', 'ns', ops.libsession.write, null, { 'Map': ops.Map.write, 'MemoryStore set': ops.MemoryStore.write, 'lru-cache': ops['lru-cache'].write })
row('create + end', 'ns', ops.libsession.create, null, { 'Map': ops.Map.create, 'MemoryStore': ops.MemoryStore.create, 'lru-cache': ops['lru-cache'].create })

for (const sessions of quick ? [100_000] : [100_000, 1_000_000]) {
  const of = Object.fromEntries(['libsession', 'Map', 'MemoryStore', 'lru-cache'].map((name) => [name, apart(name, sessions)]))
  const figure = (name) => Object.fromEntries(Object.entries(of).filter(([peer]) => peer !== 'libsession').map(([peer, one]) => [peer, one[name]]))
  const million = sessions === 1_000_000
  row(`RSS a session of 200 B, ${sessions} live`, 'B', of.libsession.rss, million ? 480 : null, figure('rss'))
  row(`full collection, ${sessions} live`, 'ms', of.libsession.gc, million ? 15 : null, figure('gc'))
  row(`count, ${sessions} live`, 'ms', of.libsession.count, million ? 0.05 : null, figure('count'))
}

const { blocked, worst, total } = await expiries(quick ? 20_000 : 100_000)
row('expiry events in one sweep: loop blocked, p99', 'ms', blocked, 20, {})
row('expiry events in one sweep: loop blocked, worst', 'ms', worst, null, {})
row('expiry events in one sweep: until all are told', 'ms', total, null, {})

const digits = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(4))
console.log('| what | libsession | target | peers, and how many times theirs is ours |\n|---|---|---|---|')
for (const { what, unit, ours, target, met, peers } of rows) {
  const beside = Object.entries(peers).map(([name, value]) => `${name} ${digits(value)} (×${(value / ours).toFixed(2)})`)
  const bound = target === null ? '' : `≤ ${target} ${unit}${met ? '' : ' MISSED'}`
  console.log(`| ${what} | ${digits(ours)} ${unit} | ${bound} | ${beside.join(', ')} |`)
}
if (file !== null) writeFileSync(file, `${JSON.stringify({ node: process.version, rows }, null, 2)}\n`)
