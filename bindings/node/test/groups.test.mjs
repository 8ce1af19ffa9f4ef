// Groups that the host tells: a function, a promise, another thread's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { open } from 'libsession'
import { kind } from './helpers.mjs'

const POOLS = { users: { capacity: 3, exclude: ['group:guests'], reservations: [{ members: ['group:cad'], units: 1 }] } }
const grouped = (options = {}) => open({ applications: { shop: { pool: 'users' } }, pools: POOLS, breakerFailures: 1000, ...options })

test('a function is asked where no groups are given, on this thread and without a deadlock', async () => {
  const asked = []
  const manager = grouped({ groups: (user) => (asked.push(user), user === 'eve' ? ['guests'] : []) })
  const session = manager.beginNew()
  assert.equal(session.login('eve').tradeDenied.reason, 'excluded')
  assert.throws(() => session.trade(), kind('license_denied', { reason: 'excluded' }))
  assert.throws(() => session.takeFeature('users'), kind('license_denied', { reason: 'excluded' }))
  assert.deepEqual(asked, ['eve', 'eve', 'eve'])
  session.trade({ groups: [] })
  assert.equal(session.login('eve', { groups: [] }).tradeDenied, null)
  assert.equal((await session.async.login('ann')).tradeDenied, null)
  await session.async.trade()
  await session.async.takeFeature('users')
  session.logout()
  session.end()
  assert.deepEqual(asked, ['eve', 'eve', 'eve', 'ann', 'ann', 'ann'])
  assert.deepEqual(manager.check(), [])
  await manager.close()
})

test('what a resolver does wrong is denied with its text, and changes nothing', async () => {
  const manager = grouped()
  const session = manager.beginNew()
  session.login('bob')
  const wrong = [
    [(user) => { throw new TypeError(`no directory for ${user}`) }, /no directory for (ann|bob)/],
    [() => undefined, /answered with undefined/],
    [() => 'leads', /answered with/],
    [() => [1], /answered with/],
    [() => Array(257).fill('x'), /257 groups/],
    [() => [''], /0 bytes/],
  ]
  for (const [resolver, message] of wrong) {
    await manager.setGroupResolver(resolver)
    assert.throws(() => session.login('ann'), kind('denied', { message }))
    await assert.rejects(session.async.login('ann'), kind('denied', { message }))
    await assert.rejects(session.async.takeFeature('users'), kind('denied', { message }))
    assert.equal(session.user, 'bob')
  }
  await manager.setGroupResolver(async () => { throw new Error('later') })
  await assert.rejects(session.async.login('ann'), kind('denied', { message: /later/ }))
  await manager.setGroupResolver(null)
  await manager.setGroupResolver(null)
  assert.equal(session.login('ann').tradeDenied, null)
  session.end()
  assert.throws(() => open({ groups: 7 }), kind('invalid', { message: /not a function/ }))
  await assert.rejects(manager.setGroupResolver(7), kind('invalid', { message: /not a function/ }))
  assert.deepEqual(manager.check(), [])
  await manager.close()
})

test('a promise is awaited by asynchronous calls alone', async () => {
  const manager = grouped({ groups: async (user) => (await null, user === 'eve' ? ['guests'] : []) })
  const session = manager.beginNew()
  assert.throws(() => session.login('ann'), kind('async_required'))
  assert.equal((await session.async.login('eve')).tradeDenied.reason, 'excluded')
  assert.equal((await session.async.login('ann')).tradeDenied, null)
  await session.async.takeFeature('users', { waitMs: 1000 })
  session.end()
  await manager.close()
})

test('a resolver that never answers is given up at the deadline', async () => {
  const manager = grouped({ groups: () => new Promise(() => {}), callbackDeadlineMs: 30 })
  const session = manager.beginNew()
  await assert.rejects(session.async.login('ann'), kind('denied', { message: /deadline/ }))
  assert.equal(session.user, null)
  session.end()
  await manager.close()
})

test("a thread without a resolver has asynchronous calls ask another's, and may set its own", { timeout: 60_000 }, async () => {
  const asked = []
  const manager = grouped({ name: 'groups-of-threads', groups: (user) => (asked.push(user), ['guests']) })
  const worker = new Worker(new URL('programs/resolver.mjs', import.meta.url))
  const told = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  assert.deepEqual(told, ['denied:true', 'excluded', null])
  assert.deepEqual(asked, ['ann'])
  await worker.terminate()
  const session = manager.beginNew()
  assert.equal(session.login('ann').tradeDenied.reason, 'excluded')
  session.end()
  await manager.close()
})
