import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Manager, SessionError, open } from 'libsession'
import { IDLE_MS, kind, shop, until } from './helpers.mjs'

test('a session lives from create to its idle deadline', async () => {
  const manager = shop()
  const { id, token } = manager.create()
  assert.equal(id.length, 22)
  assert.equal(token.length, 40)
  const session = manager.begin(token)
  assert.equal(session.live, true)
  assert.equal(session.isNew, true)
  assert.equal(session.id, id)
  session.finish()
  assert.equal(manager.begin(token).isNew, false)
  assert.equal(manager.count(), 1)
  await manager.close()
})

test('a missing cookie, a foreign token and an id are absent, and write nothing', async () => {
  const manager = shop()
  const { id } = manager.create()
  for (const token of [undefined, null, '', 'x', id, 'ä'.repeat(20), '\0'.repeat(40), 'A'.repeat(40), 'a'.repeat(10_000)]) {
    assert.deepEqual(manager.begin(token), { live: false, outcome: 'absent', reason: null })
    assert.deepEqual(manager.touch(token), { live: false, outcome: 'absent', reason: null })
    assert.equal(manager.idOf(token), null)
    assert.equal((await manager.async.begin(token)).outcome, 'absent')
  }
  assert.throws(() => manager.begin(42), kind('invalid'))
  assert.equal(manager.count(), 1)
  await manager.close()
})

test('what ended is gone, with its reason', async () => {
  const manager = shop()
  const { token } = manager.create()
  await manager.clock.advance(IDLE_MS)
  assert.deepEqual(manager.begin(token), { live: false, outcome: 'gone', reason: 'idle_timeout' })
  assert.deepEqual(manager.touch(token), { live: false, outcome: 'gone', reason: 'idle_timeout' })
  await manager.close()
})

test('a request whose session ended throws gone, and after finish it is closed', async () => {
  const manager = shop()
  const session = manager.beginNew()
  assert.equal(manager.end(session.id).outcome, 'ended')
  assert.throws(() => session.data.set('k', 1), kind('gone', { reason: 'ended' }))
  const other = manager.beginNew()
  other.finish()
  assert.throws(() => other.data.get('k'), kind('closed'))
  await manager.close()
})

test('dispose finishes and commits, also when the scope is left by an exception', async () => {
  const manager = shop()
  const { token } = manager.create()
  const scope = () => {
    const session = manager.begin(token)
    try {
      session.data.set('k', 1)
      throw new Error('left')
    } finally {
      session[Symbol.dispose]()
      session[Symbol.dispose]()
    }
  }
  assert.throws(scope, /left/)
  const session = manager.begin(token)
  assert.equal(session.data.get('k'), 1)
  await session[Symbol.asyncDispose]()
  assert.equal(session.finished, true)
  await manager[Symbol.asyncDispose]()
  assert.equal(manager.closed, true)
})

test('a synchronous begin never waits for a lock, an asynchronous one does', async () => {
  const manager = shop()
  const { token } = manager.create()
  const first = manager.begin(token)
  const before = performance.now()
  assert.throws(() => manager.begin(token), kind('lock_timeout', { retryable: true }))
  assert.ok(performance.now() - before < 100)
  const second = manager.async.begin(token)
  assert.equal(manager.stats().lockWaiters, 1)
  first.finish()
  assert.equal((await second).live, true)
  ;(await second).finish()
  await manager.close()
})

test('the wait for a lock ends at its timeout', async () => {
  const manager = shop()
  const { token } = manager.create()
  const first = manager.begin(token)
  const second = manager.async.begin(token, { lockTimeoutMs: 50 })
  await manager.clock.advance(50)
  await assert.rejects(second, kind('lock_timeout'))
  first.finish()
  await manager.close()
})

test('an AbortSignal ends the wait for a lock', async () => {
  const manager = shop()
  const { token } = manager.create()
  const first = manager.begin(token)
  const abort = new AbortController()
  const second = manager.async.begin(token, { signal: abort.signal })
  assert.equal(manager.stats().lockWaiters, 1)
  abort.abort(new Error('the client has left'))
  assert.equal(manager.stats().lockWaiters, 0)
  await assert.rejects(second, /the client has left/)
  first.unlock()
  const third = manager.begin(token)
  const again = new AbortController()
  const locks = first.async.lock('exclusive', { signal: again.signal })
  assert.equal(manager.stats().lockWaiters, 1)
  again.abort(new Error('no more'))
  assert.equal(manager.stats().lockWaiters, 0)
  await assert.rejects(locks, /no more/)
  third.finish()
  assert.equal(first.lockMode, null)
  await assert.rejects(manager.async.begin(token, { signal: abort.signal }), /the client has left/)
  first.finish()
  await manager.clock.advance(0)
  assert.equal((await manager.async.begin(token, { lockTimeoutMs: 0 })).live, true)
  await manager.close()
})

test('an early unlock lets the next one in, and the lock can be taken again', async () => {
  const manager = shop()
  const { token } = manager.create()
  const first = manager.begin(token)
  assert.equal(first.lockMode, 'exclusive')
  first.unlock()
  const second = manager.begin(token)
  assert.throws(() => first.lock(), kind('lock_timeout'))
  const again = first.async.lock('exclusive')
  second.finish()
  await again
  assert.equal(first.lockMode, 'exclusive')
  await first.async.lock('shared')
  assert.equal(first.lockMode, 'shared')
  await first.async.finish()
  await manager.close()
})

test('login rotates the token and changes the holder, logout takes it back', async () => {
  const manager = shop({ pools: { users: { capacity: 2 } } })
  const session = manager.beginNew()
  const old = session.token
  const { token, tradeDenied } = session.login('ada')
  assert.equal(tradeDenied, null)
  assert.notEqual(token, old)
  assert.equal(session.token, token)
  assert.equal(session.user, 'ada')
  assert.equal(session.licenseHolder, 'ada')
  const logout = session.logout()
  assert.equal(session.user, null)
  assert.equal(session.token, logout.token)
  assert.equal(manager.idOf(token), null)
  assert.throws(() => session.login(''), kind('invalid'))
  await manager.close()
})

test('rotate keeps the session; the old token works for the grace', async () => {
  const manager = shop({ rotationGraceMs: 100 })
  const session = manager.beginNew()
  const old = session.token
  session.rotate()
  assert.equal(manager.idOf(old), session.id)
  session.finish()
  await manager.clock.advance(100)
  assert.deepEqual(manager.touch(old), { live: false, outcome: 'gone', reason: 'replaced' })
  await manager.close()
})

test('timeouts are settable on a live session; null and 0 are never', async () => {
  const manager = shop()
  const session = manager.beginNew()
  session.idleTimeoutMs = 5000
  assert.equal(session.idleTimeoutMs, 5000)
  session.idleTimeoutMs = null
  assert.equal(session.idleTimeoutMs, null)
  session.idleTimeoutMs = 0
  assert.equal(session.info().immortal, true)
  session.absoluteTimeoutMs = 10_000
  assert.throws(() => (session.absoluteTimeoutMs = 20_000), kind('invalid'))
  assert.throws(() => (session.idleTimeoutMs = -1), kind('invalid'))
  assert.throws(() => (session.idleTimeoutMs = Number.NaN), kind('invalid'))
  assert.equal(manager.setIdleTimeout(session.id, 700), true)
  assert.equal(session.idleTimeoutMs, 700)
  session.finish()
  await manager.close()
})

test('request_end ends the session when its last request finishes', async () => {
  const manager = shop({ application: { lock: 'shared' } })
  const { token } = manager.create()
  const [first, second] = [manager.begin(token), manager.begin(token)]
  first.requestEnd()
  first.finish()
  assert.equal(manager.count(), 1)
  assert.equal(manager.begin(token).reason, 'ended')
  second.finish()
  assert.equal(manager.count(), 0)
  await manager.close()
})

test('the receipt of an end tells who, why and how each callback went', async () => {
  const manager = shop({ classes: { audit: { onEnd() {} } }, pools: { users: { capacity: 1 } } })
  const { id } = manager.create()
  const end = manager.async.end(id, { reason: 'revoked', actor: 'admin', note: 'left weeks ago', waitMs: 1000 })
  const { outcome, receipt } = await end
  assert.equal(outcome, 'ended')
  assert.equal(receipt.reason, 'revoked')
  assert.equal(receipt.level, 'force')
  assert.equal(receipt.actor, 'admin')
  assert.equal(receipt.note, 'left weeks ago')
  assert.equal(receipt.licenseFreeAtMs, 0)
  assert.equal(receipt.callbacks.length, 1)
  assert.equal(receipt.callbacks[0].eventClass, 'audit')
  const again = manager.end(id)
  assert.equal(again.outcome, 'gone')
  assert.equal(again.receipt.eventId, receipt.eventId)
  await manager.close()
})

test('whatever a caller passes is checked, and the error names the value and the bound', () => {
  assert.throws(() => open({ aplications: [] }), kind('invalid'))
  assert.throws(() => open({ applications: { a: { idleTimeoutMs: '15m' } } }), /idleTimeoutMs is "15m"/)
  assert.throws(() => open({ applications: [{}] }), /no name/)
  assert.throws(() => open({ pools: { users: {} } }), /no capacity/)
  assert.throws(() => open({ pools: { p: { capacity: -1 } } }), kind('invalid'))
  assert.throws(() => open({ applications: { ['x'.repeat(200)]: {} } }), /128/)
  assert.throws(() => open({ store: 'paper' }), /memory/)
  assert.throws(() => open({ store: 'file:' }), /directory/)
  assert.throws(() => open({ durability: 'durable' }), /memory/)
  assert.throws(() => open({ durability: 'eventual' }), /durability/)
  assert.throws(() => open({ clock: 'cuckoo' }), kind('invalid'))
  assert.throws(() => open({ workers: 1000 }), /64/)
  const manager = new Manager()
  assert.throws(() => manager.create({ application: 'nowhere' }), kind('invalid'))
  assert.throws(() => manager.create({ data: [] }), kind('invalid'))
  assert.throws(() => manager.create({ licenseClass: 'gold' }), /named, anonymous, lazy, none/)
  assert.throws(() => manager.beginNew({ lock: 'tight' }), /exclusive, shared, none/)
  assert.throws(() => manager.end('no id'), kind('invalid'))
  assert.throws(() => manager.end(manager.create().token), kind('invalid'))
  assert.throws(() => manager.list({ colour: 'blue' }), kind('invalid'))
  assert.throws(() => manager.usage('nothing'), kind('invalid'))
  assert.equal(manager.count(), 1)
  manager[Symbol.dispose]()
  assert.throws(() => manager.create(), kind('closed'))
})

test('errors are errors: a class, a code, a stack that names the caller', () => {
  const manager = shop({ maxSessions: 1 })
  manager.create()
  try {
    manager.create()
    assert.fail('it was refused')
  } catch (error) {
    assert.ok(error instanceof SessionError && error instanceof Error)
    assert.equal(error.code, 'ERR_SESSION_SESSION_LIMIT')
    assert.equal(error.retryable, true)
    assert.match(error.stack, /session\.test\.mjs/)
  }
  manager[Symbol.dispose]()
})

test('who is kept out need not come again', () => {
  const manager = open({ pools: { users: { capacity: 1, exclude: ['eve'] } } })
  const session = manager.beginNew()
  session.login('eve')
  assert.throws(() => session.trade(), kind('license_denied', { reason: 'excluded', retryable: false }))
  assert.throws(() => manager.create(), kind('license_denied', { reason: 'pool_exhausted', retryable: true }))
  session.finish()
  manager[Symbol.dispose]()
})

test('what is attached is let go after the end', async () => {
  const manager = shop({ classes: { audit: { onEnd: () => void story.push('on_end') } } })
  const story = []
  const session = manager.beginNew()
  const database = { [Symbol.dispose]: () => story.push('disposed') }
  assert.equal(session.attach('db', database), undefined)
  assert.equal(session.attachment('db'), database)
  assert.equal(session.attach('db', database), database)
  const other = {}
  session.attach('other', other)
  assert.equal(session.detach('other'), other)
  session.finish()
  manager.end(session.id)
  await manager.clock.advance(0)
  assert.deepEqual(story, ['on_end', 'disposed'])
  await manager.close()
})


test('a request that was forgotten is finished when it is collected', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  const manager = shop()
  const { token } = manager.create()
  ;(() => manager.begin(token).data.set('k', 1))()
  assert.equal(manager.stats().inFlight, 1)
  await until('it is finished', () => (collect(), manager.stats().inFlight === 0))
  assert.equal(manager.begin(token).data.get('k'), 1)
  await manager.close()
})
