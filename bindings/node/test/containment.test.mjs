// RELIABILITY CB-01, CB-06, CB-07, CB-09: whatever a callback does, sessions and units are free.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IDLE_MS, kind, never, shop } from './helpers.mjs'

const LONG = Number(process.env.TORTURE ?? 1)

const misbehaviors = {
  throws: () => {
    throw new Error('boom')
  },
  'rejects': () => Promise.reject(new Error('boom')),
  'throws a text': () => {
    throw 'boom'
  },
  'throws nothing': () => {
    throw undefined
  },
  'rejects with null': () => Promise.reject(null),
  'throws what has no text': () => {
    throw Object.create(null)
  },
  'throws what throws': () => {
    throw {
      get message() {
        throw new Error('again')
      },
    }
  },
  'returns a hostile thenable': () => ({
    get then() {
      throw new Error('boom')
    },
  }),
  'returns a thenable that throws': () => ({
    then() {
      throw new Error('boom')
    },
  }),
}

const NOTIFICATIONS = ['onTimeout', 'onEnd', 'onStartRequest', 'onEndRequest']

for (const [how, misbehave] of Object.entries(misbehaviors)) {
  test(`CB-01: a notification that ${how} is retried, then a dead letter; its cause succeeds`, async () => {
    const calls = {}
    const callbacks = Object.fromEntries(
      NOTIFICATIONS.map((name) => [name, (event) => ((calls[name] = (calls[name] ?? 0) + 1), misbehave(event))]),
    )
    const manager = shop({ classes: { bad: callbacks }, pools: { users: { capacity: 1 } }, breakerFailures: 1000 })
    const { id, token } = manager.create()
    manager.begin(token).finish()
    await manager.clock.advance(IDLE_MS)
    assert.equal(manager.count(), 0)
    assert.equal(manager.usage('users').inUse, 0)
    await manager.clock.advance(60_000)
    const letters = manager.deadLetters()
    assert.deepEqual(letters.map((letter) => letter.kind).sort(), ['on_end', 'on_end_request', 'on_start_request', 'on_timeout'])
    for (const letter of letters) {
      assert.equal(letter.sessionId, id)
      assert.equal(letter.attempts, 4)
      assert.ok(!JSON.stringify(letter).includes(token))
    }
    for (const name of NOTIFICATIONS) assert.equal(calls[name], 4)
    assert.deepEqual(manager.check(), [])
    await manager.close()
  })

  test(`CB-01: a decider that ${how} is its safe side, and is not asked again`, async () => {
    let calls = 0
    const bad = (event) => (calls++, misbehave(event))
    const manager = shop({
      classes: { bad: { onExpiring: bad, onLogin: bad, onLogout: bad } },
      application: { maxExtensions: 3 },
      breakerFailures: 1000,
    })
    const session = await manager.async.beginNew()
    await assert.rejects(session.async.login('ada'), kind('denied'))
    assert.equal(calls, 1)
    await session.async.logout({ force: true })
    await session.async.finish()
    await manager.clock.advance(IDLE_MS)
    assert.equal(manager.count(), 0)
    await manager.close()
  })

  test(`CB-01: an on_start that ${how} denies, and nothing is left`, async () => {
    const manager = shop({ classes: { bad: { onStart: misbehave } }, pools: { users: { capacity: 1 } }, breakerFailures: 1000 })
    await assert.rejects(manager.async.create(), kind('denied'))
    assert.equal(manager.count(), 0)
    assert.equal(manager.usage('users').inUse, 0)
    await manager.close()
  })
}

test('CB-01: a promise that never settles overruns its deadline, and is a dead letter at once', async () => {
  const hang = (event) => (event.hang(), never())
  const manager = shop({ classes: { bad: { onEnd: hang }, good: { onEnd() {} } }, pools: { users: { capacity: 1 } } })
  const { id } = manager.create()
  manager.end(id)
  assert.equal(manager.usage('users').inUse, 0)
  await manager.clock.advance(5000)
  assert.equal(manager.stats().callbacksOverrun, 1)
  const letters = manager.deadLetters()
  assert.equal(letters.length, 1)
  assert.equal(letters[0].error, 'overrun')
  assert.equal(letters[0].attempts, 1)
  await manager.close(0)
})

test('CB-01: a decider that never settles counts as the safe side at its deadline', async () => {
  const hang = (event) => (event.hang(), never())
  const manager = shop({ classes: { bad: { onStart: hang } } })
  const create = manager.async.create()
  await manager.clock.advance(5000)
  await assert.rejects(create, kind('denied'))
  assert.equal(manager.count(), 0)
  await manager.close(0)
})

test('CB-01: a callback that returns after its deadline is marked as completed late', async () => {
  let settle
  const late = (event) => (event.hang(), new Promise((resolve) => (settle = resolve)))
  const manager = shop({ classes: { late: { onEnd: late } } })
  manager.end(manager.create().id)
  await manager.clock.advance(5000)
  assert.equal(manager.deadLetters()[0].completedLate, false)
  settle()
  await manager.clock.advance(0)
  assert.equal(manager.deadLetters()[0].completedLate, true)
  await manager.close()
})

test('CB-01: a dead letter can be delivered again, with the same event id', async () => {
  const seen = []
  let broken = true
  const manager = shop({
    classes: {
      mail: {
        onEnd(event) {
          if (broken) throw new Error('the mail server is down')
          seen.push(event.eventId, event.redelivered)
        },
      },
    },
  })
  manager.end(manager.create().id)
  await manager.clock.advance(60_000)
  const [letter] = manager.deadLetters()
  assert.equal(letter.error, 'the mail server is down')
  broken = false
  assert.equal(manager.redeliver(letter.id), 1)
  await manager.clock.advance(0)
  assert.deepEqual(seen, [letter.eventId, true])
  assert.deepEqual(manager.deadLetters(), [])
  await manager.close()
})

test('CB-06: slow callbacks never make an end wait, and no event is lost', async () => {
  const SESSIONS = 10_000 * LONG
  let delivered = 0
  const slow = () => new Promise((resolve) => setTimeout(() => (delivered++, resolve()), 5))
  const manager = shop({ clock: 'system', classes: { slow: { onEnd: slow } }, queue: 1000, application: { idleTimeoutMs: null } })
  for (let number = 0; number < SESSIONS; number++) {
    const { id } = manager.create()
    assert.equal(manager.end(id).outcome, 'ended')
  }
  assert.equal(manager.count(), 0)
  await manager.drain(60_000)
  const { callbacksDelivered, callbacksQueued, deadLetters } = manager.stats()
  assert.equal(callbacksDelivered + callbacksQueued + deadLetters, SESSIONS)
  assert.equal(delivered, callbacksDelivered)
  await manager.close()
})

for (const maxExtensions of [0, 2]) {
  test(`CB-07: a callback that tries every way to keep its session does not, with ${maxExtensions} extensions`, async () => {
    const tries = []
    const keep = (event) => {
      event.endSession = false
      event.extend(3_600_000)
      tries.push(manager.touch(token).live, manager.setIdleTimeout(event.sessionId, 0), manager.begin(token).live)
      return true
    }
    const manager = shop({
      classes: { vetoer: { onExpiring: (event) => event.extend(3_600_000), onTimeout: keep, onEnd: keep } },
      application: { maxExtensions, extensionCapMs: 1000, absoluteTimeoutMs: 3500 },
      pools: { users: { capacity: 1 } },
    })
    const { id, token } = manager.create()
    await manager.clock.advance(3500)
    const { ended, extensions } = manager.explain(id)
    assert.equal(manager.count(), 0)
    assert.equal(manager.usage('users').inUse, 0)
    assert.ok(extensions.length <= maxExtensions)
    assert.ok(ended.atMs <= 3500)
    assert.ok(tries.length > 0 && tries.every((live) => live === false))
    await manager.close()
  })
}

test('CB-09: no callback is called after unregister, and each class is let go', async () => {
  const manager = shop({ application: { eventClasses: ['x'] } })
  for (let round = 0; round < 200 * LONG; round++) {
    let registered = true
    manager.register('x', { onEnd: () => assert.ok(registered, 'called after unregister') })
    manager.end(manager.create().id)
    assert.equal(await manager.unregister('x'), true)
    registered = false
    manager.end(manager.create().id)
  }
  assert.equal(await manager.unregister('x'), false)
  assert.ok(manager.deadLetters({ limit: 10_000 }).every((letter) => letter.error === 'not_registered'))
  await manager.close()
})
