// 241 sessions, 33 units, callbacks that throw and callbacks that never settle: `node forum.mjs`.
//
// Everybody leaves without a word. On the real clock: exits with 1 unless all units are free within one second.

import { setTimeout as wait } from 'node:timers/promises'
import { open } from 'libsession'

const IDLE_MS = 500

const manager = open({
  applications: { forum: { idleTimeoutMs: IDLE_MS, eventClasses: ['thrower', 'hanger', 'vetoer'] } },
  pools: { users: { capacity: 33 } },
  callbackDeadlineMs: 200,
})
manager.register('thrower', {
  onEnd() {
    throw new Error('the mail server is down')
  },
})
manager.register('hanger', { onTimeout: () => new Promise(() => {}) }) // Never settles.
manager.register('vetoer', { onExpiring: (event) => event.extend(3_600_000) })

const tokens = []
for (let number = 0; number < 241; number++) {
  const session = manager.beginNew({ application: 'forum', address: `192.0.2.${number % 250}` })
  tokens.push(session.login(number < 240 ? `user${number % 32}` : 'user32').token)
  session.finish()
}
const started = performance.now()
const { inUse, capacity, holders } = manager.usage('users')
console.log(`${manager.count()} sessions of ${holders.length} users hold ${inUse} of ${capacity} units`)
try {
  manager.create({ application: 'forum' })
} catch (denied) {
  console.log(`one more is refused: ${denied.reason}`)
}

const held = holders.reduce((most, holder) => (holder.connections > most.connections ? holder : most))
const { id } = manager.list({ holder: held.holder }, { limit: 1 }).sessions[0]
console.log(`${held.holder} has ${held.connections} sessions; of ${id} explain says:`)
console.log(manager.explain(id).text.trimEnd().replace(/^/gm, '    '))

console.log('everybody leaves')
while (manager.usage('users').inUse > 0 && performance.now() - started < 10_000) await wait(10)
const tookMs = performance.now() - started
const free = manager.usage('users').available
const { live, ended, latenessMaxMs, latenessP99Ms } = manager.stats()
console.log(`${free} of 33 units are free, ${live} sessions left; ${ended.idle_timeout} timed out`)
console.log(`worst lateness ${latenessMaxMs} ms, p99 ${latenessP99Ms} ms`)
while (manager.stats().callbacksOverrun === 0 && performance.now() - started < 10_000) await wait(10)
const { callbacksOverrun, callbacksFailed } = manager.stats()
console.log(`meanwhile ${callbacksOverrun} callbacks overran their deadline and ${callbacksFailed} failed: nobody noticed`)
const { counted, recounted, differences } = manager.audit('users')
console.log(`audit: counted ${counted}, recounted ${recounted}; check: ${manager.check().join('; ') || 'nothing wrong'}`)
const late = manager.touch(tokens[0])
console.log(`${late.outcome}: ${late.reason}`)
manager.create({ application: 'forum' })
console.log('a new session is welcome')

const good = free === 33 && live === 0 && tookMs < IDLE_MS + 1000 && differences.length === 0
console.log(good ? 'the forum is free again' : `NOT as said: ${free} units free after ${tookMs.toFixed(0)} ms`)
process.exitCode = good ? 0 : 1
