// Worker threads share a manager by its name; SHUT-02, SHUT-03: whatever ends, nothing hangs and nothing crashes.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { open } from 'libsession'
import { kind, never, shop, until } from './helpers.mjs'

const LONG = Number(process.env.TORTURE ?? 1)
const program = (name) => fileURLToPath(new URL(`programs/${name}.mjs`, import.meta.url))
const run = (name, ...words) => spawnSync(process.execPath, [program(name), ...words], { encoding: 'utf8', timeout: 20_000 })

async function share(data) {
  const worker = new Worker(program('sharer'), { workerData: data })
  const [[message]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
  return message
}

test('a manager of one name is one in all worker threads, and outlives them', async () => {
  const manager = open({ name: 'shared', applications: { shop: { lock: 'shared' } } })
  const { token } = manager.create({ data: { n: 0 } })
  const messages = await Promise.all(Array.from({ length: 4 }, () => share({ name: 'shared', token, rounds: 200 })))
  const session = manager.begin(token)
  assert.equal(session.data.get('n'), 800)
  session.finish()
  assert.equal(manager.count(), 5)
  for (const { created } of messages) assert.equal(manager.peek(created.token).live, true)
  assert.throws(() => open({ name: 'shared', maxSessions: 5 }), kind('exists'))
  const same = open({ name: 'shared', applications: { shop: { lock: 'shared' } } })
  assert.equal(same.count(), 5)
  const report = await manager.close()
  assert.equal(report.ended, 5)
  assert.equal(same.closed, true)
  const fresh = open({ name: 'shared' })
  assert.equal(fresh.count(), 0)
  await fresh.close()
})

test('a decider is asked in its own thread only, a notification goes to the thread that has the class', async () => {
  const told = []
  const manager = open({ name: 'told', applications: { shop: { eventClasses: ['x'] } } })
  manager.register('x', {
    onStart: () => void told.push('start'),
    onEnd: (event) => void told.push(event.sessionId),
  })
  const { created } = await share({ name: 'told' })
  assert.deepEqual(told, [], 'the class counts as not registered in the other thread')
  manager.end(created.id)
  await manager.drain()
  assert.deepEqual(told, [created.id])
  manager.create()
  assert.equal(told[1], 'start')
  await manager.close()
})

test('a class that a worker registered is free again when the worker ends', async () => {
  const manager = open({ name: 'free', applications: { shop: { idleTimeoutMs: 5, eventClasses: ['x'] } } })
  const worker = new Worker(program('busy'), { workerData: { how: 'none', name: 'free' } })
  await once(worker, 'message')
  await worker.terminate()
  let ended = 0
  manager.register('x', { onEnd: () => void ended++ })
  manager.create()
  await until('its session has ended', () => ended > 0)
  assert.deepEqual(manager.check(), [])
  await manager.close(100)
})

test('cluster: another process has a table of its own', () => {
  const { status, stdout } = run('member')
  assert.equal(status, 0)
  assert.equal(stdout, 'primary 1, worker 0\n')
})

test('nothing keeps the process alive, and at its end sessions end with shutdown', () => {
  const before = performance.now()
  const { status, stdout, stderr } = run('quiet')
  assert.equal(stderr, '')
  assert.equal(status, 0)
  assert.equal(stdout, 'at the end\nended: shutdown\n')
  assert.ok(performance.now() - before < 5000)
})

test('SHUT-02: worker.terminate while everything is busy', async () => {
  const shared = open({ name: 'busy', applications: { shop: { idleTimeoutMs: 5, eventClasses: ['x'] } } })
  for (let round = 0; round < 50 * LONG; round++) {
    const name = round % 2 === 0 ? 'busy' : null
    const worker = new Worker(program('busy'), { workerData: { how: 'none', name } })
    await once(worker, 'message')
    await worker.terminate()
  }
  assert.deepEqual(shared.check(), [])
  await shared.close(100)
})

for (const [how, code] of [['exit', 7], ['throw', 1], ['reject', 1]]) {
  test(`SHUT-02: the process ends by ${how} while everything is busy, with the exit code as without us`, async () => {
    const ROUNDS = Math.ceil((50 * LONG) / 3)
    const once = () =>
      new Promise((resolve) => execFile(process.execPath, [program('busy'), how], { timeout: 20_000 }, (error) => resolve(error)))
    for (let round = 0; round < ROUNDS; round += 9) {
      for (const error of await Promise.all(Array.from({ length: 9 }, once))) {
        assert.equal(error?.signal, null)
        assert.equal(error?.code, code)
      }
    }
  })
}

test('SHUT-03: close under load, twice, with hung callbacks, is bounded by its grace', async () => {
  const hang = (event) => (event.hang(), never())
  const manager = shop({ clock: 'system', classes: { x: { onEnd: hang } }, pools: { users: { capacity: 10_000 } } })
  const sessions = Array.from({ length: 500 }, () => manager.beginNew())
  const waiting = sessions.slice(0, 64).map(({ token }) => manager.async.begin(token).catch((error) => error))
  const before = performance.now()
  const [first, second] = await Promise.all([manager.close(300), manager.close(300)])
  assert.ok(performance.now() - before < 3000)
  assert.deepEqual(second, first)
  assert.equal(first.ended, 500)
  assert.equal(first.inFlight, 500)
  assert.equal(first.delivered + first.undelivered, 500)
  for (const outcome of await Promise.all(waiting)) {
    assert.ok(outcome.live === false || ['closed', 'closing', 'gone'].includes(outcome.kind))
  }
  assert.throws(() => sessions[0].data.get('k'), (error) => ['closed', 'gone'].includes(error.kind))
  for (const call of [() => manager.create(), () => manager.begin(sessions[0].token), () => manager.count(), () => manager.stats()]) {
    assert.throws(call, kind('closed'))
  }
  assert.deepEqual(await manager.close(), first)
})

test('closing inside a callback is deferred', async () => {
  let report
  const manager = shop({ clock: 'system', classes: { x: { onEnd: async () => (report = await manager.close(500)) && undefined } } })
  manager.end(manager.create().id)
  await until('it is closed', () => manager.closed)
  assert.equal(report.deferred, true)
})

test('100,000 expiries at once never block the loop for long', async () => {
  const SESSIONS = 100_000
  let told = 0
  const manager = shop({ classes: { x: { onEnd: () => void told++ } }, queue: 2 * SESSIONS })
  for (let number = 0; number < SESSIONS; number++) manager.create()
  const gaps = []
  let last = performance.now()
  const watch = setInterval(() => {
    gaps.push(performance.now() - last)
    last = performance.now()
  }, 1)
  await manager.clock.advance(1000)
  await until('all are told', () => told === SESSIONS, 60_000)
  clearInterval(watch)
  gaps.sort((a, b) => a - b)
  const blocked = gaps[Math.floor(gaps.length * 0.9)]
  assert.ok(gaps.length > 10 && blocked < 50, `the loop was blocked for ${blocked.toFixed(1)} ms, ${gaps.at(-1).toFixed(1)} at worst`)
  await manager.close()
})
