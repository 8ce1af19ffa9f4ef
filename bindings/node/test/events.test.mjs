import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventClass } from 'libsession'
import { IDLE_MS, kind, shop } from './helpers.mjs'

test('an event class is an object, a class, an instance, or built with .on', async () => {
  const ended = []
  class Audit {
    name = 'instance'
    onEnd(event) {
      ended.push(`${this.name}: ${event.reason}`)
    }
  }
  class Other extends Audit {
    name = 'class'
  }
  const built = new EventClass('built').on('end', () => ended.push('built')).on('onTimeout', () => ended.push('timeout'))
  const manager = shop({ application: { eventClasses: ['built', 'class', 'instance', 'object'] } })
  manager.register('object', { onEnd: () => ended.push('object') && undefined })
  manager.register('instance', new Audit())
  manager.register('class', Other)
  manager.register(built)
  manager.create()
  await manager.clock.advance(IDLE_MS)
  assert.deepEqual(ended, ['timeout', 'object', 'instance: idle_timeout', 'class: idle_timeout', 'built'])
  await manager.close()
})

test('misspelled callbacks and names are refused', () => {
  const manager = shop()
  assert.throws(() => manager.register('a', { onEnds() {} }), /onEnd/)
  assert.throws(() => manager.register('a', { onEnd: 1 }), kind('invalid'))
  assert.throws(() => manager.register('', { onEnd() {} }), kind('invalid'))
  assert.throws(() => new EventClass('a').on('finish', () => {}), kind('invalid'))
  manager.register('a', { onEnd() {} })
  assert.throws(() => manager.register('a', { onEnd() {} }), kind('exists'))
  manager[Symbol.dispose]()
})

test('an event tells what happened, with the data as it was', async () => {
  let told
  const manager = shop({ classes: { audit: { onEnd: (event) => void (told = event) } }, application: { namespace: 'n' } })
  manager.register('audit', { onEnd: (event) => void (told = event) }, { namespace: 'n' })
  const session = manager.beginNew({ data: { cart: ['tea'] } })
  session.login('ada')
  session.data.set('n', 2n ** 60n)
  session.finish()
  manager.end(session.id, { reason: 'revoked' })
  await manager.clock.advance(0)
  assert.equal(told.kind, 'on_end')
  assert.equal(told.sessionId, session.id)
  assert.equal(told.application, 'shop')
  assert.equal(told.namespace, 'n')
  assert.equal(told.user, 'ada')
  assert.equal(told.reason, 'revoked')
  assert.equal(told.level, 'force')
  assert.equal(told.attempt, 1)
  assert.equal(told.redelivered, false)
  assert.equal(told.session, null)
  assert.deepEqual(told.data.get('cart'), ['tea'])
  assert.deepEqual([...told.data], [[['cart'], ['tea']], [['n'], 2n ** 60n]])
  assert.equal(told.timeLeftMs, 0)
  await manager.close()
})

test('unreadable data is corrupt in the event, and the session ends all the same', async () => {
  const seen = []
  const see = (event) => {
    try {
      event.data.get('k')
    } catch (error) {
      seen.push(error.kind)
    }
  }
  const manager = shop({ classes: { audit: { onEnd: see } }, pools: { users: { capacity: 1 } } })
  const { id, token } = manager.create({ data: { k: 1 } })
  assert.equal(manager.damage(id), true)
  assert.throws(() => manager.begin(token), kind('corrupt'))
  assert.equal(manager.end(id).outcome, 'ended')
  await manager.clock.advance(0)
  assert.deepEqual(seen, ['corrupt'])
  assert.equal(manager.usage('users').inUse, 0)
  await manager.close()
})

test('a decider runs at once, on this thread, under the caller\'s request', () => {
  const story = []
  const manager = shop({
    pools: { users: { capacity: 5 } },
    classes: {
      gate: {
        onStart(event) {
          story.push('start')
          event.session.data.set('greeting', 'hello')
          event.setLicenseClass('none')
          if (event.session.data.get('banned')) event.deny('banned')
        },
        onLogin: (event) => event.user !== 'eve',
        onLogout: (event) => event.deny('stay'),
      },
    },
  })
  const session = manager.beginNew()
  story.push('begun')
  assert.deepEqual(story, ['start', 'begun'])
  assert.equal(session.data.get('greeting'), 'hello')
  assert.equal(manager.usage('users').inUse, 0)
  assert.throws(() => manager.create({ data: { banned: true } }), kind('denied'))
  assert.throws(() => session.login('eve'), kind('denied'))
  session.login('ada')
  assert.throws(() => session.logout(), /stay/)
  session.logout({ force: true })
  manager[Symbol.dispose]()
})

test('an asynchronous decider needs the asynchronous call', async () => {
  const manager = shop({ classes: { gate: { onStart: async (event) => event.application !== 'shop' || undefined } } })
  assert.throws(() => manager.create(), kind('async_required'))
  assert.equal((await manager.async.create()).id.length, 22)
  const session = await manager.async.beginNew()
  assert.equal(session.isNew, true)
  session.finish()
  manager.register('closed', { onStart: async () => false })
  await manager.close()
})

test('an asynchronous decider that denies, rejects or waits is awaited', async () => {
  let answer
  const manager = shop({ classes: { gate: { onStart: () => answer(), onLogin: async (event) => event.deny('no') } } })
  answer = () => new Promise((resolve) => setImmediate(() => resolve(false)))
  await assert.rejects(manager.async.create(), kind('denied'))
  answer = () => Promise.reject(new Error('no database'))
  await assert.rejects(manager.async.create(), kind('denied'))
  answer = () => new Promise((resolve) => setTimeout(resolve, 5))
  const session = await manager.async.beginNew()
  await assert.rejects(session.async.login('ada'), /no/)
  session.finish()
  assert.equal(manager.count(), 1)
  await manager.close()
})

test('on_expiring may extend within the budget', async () => {
  const manager = shop({ classes: { x: { onExpiring: async (event) => event.extend(300) } }, application: { maxExtensions: 2 } })
  const { id, token } = manager.create()
  await manager.clock.advance(600)
  assert.equal(manager.explain(id).extensions.length, 1)
  assert.equal(manager.peek(token).live, true)
  await manager.clock.advance(10_000)
  assert.equal(manager.explain(id).ended.reason, 'idle_timeout')
  assert.equal(manager.explain(id).ended.atMs, IDLE_MS + 600)
  await manager.close()
})

test('what makes no sense in a callback is reentrant, everything else may be called', async () => {
  const outcomes = []
  const manager = shop({
    classes: {
      x: {
        async onEnd() {
          const calls = [manager.clock.advance(1), manager.clock.suspend(1), manager.unregister('x')]
          for (const call of await Promise.allSettled(calls)) outcomes.push(call.reason.kind)
        },
        onLogin(event) {
          assert.throws(() => manager.begin(token), kind('reentrant'))
          manager.create()
          outcomes.push(event.session.data.get('k') ?? 'nothing')
        },
      },
    },
  })
  const { id, token } = manager.create()
  const session = manager.begin(token)
  session.login('ada')
  session.finish()
  manager.end(id)
  await manager.clock.advance(0)
  assert.deepEqual(outcomes, ['nothing', 'reentrant', 'reentrant', 'reentrant'])
  await manager.close()
})

test('the session lists its event classes, the last added first', async () => {
  const manager = shop({ classes: { a: { onEnd() {} } } })
  const session = manager.beginNew()
  session.eventClassAdd('b')
  session.eventClass = 'a'
  session.eventClass = ''
  assert.deepEqual(session.eventClassList().map(({ name }) => name), ['b', 'a'])
  assert.equal(session.eventClassExists('b'), true)
  assert.equal(session.eventClassRemove('b'), true)
  assert.equal(session.eventClassRemove('b'), false)
  session.eventClassClear()
  assert.deepEqual(session.eventClassList(), [])
  session.finish()
  await manager.close()
})

test('pool events and the denial are told', async () => {
  const told = []
  const manager = shop({
    pools: { users: { capacity: 1 } },
    classes: { watch: { onLicenseDenied: ({ pool }) => void told.push(pool), onPoolExhausted: ({ kind }) => void told.push(kind) } },
  })
  manager.create()
  assert.throws(() => manager.create(), kind('license_denied', { reason: 'pool_exhausted' }))
  await manager.clock.advance(0)
  assert.deepEqual(told.sort((a) => (typeof a === 'string' ? -1 : 1)).at(-1), { pool: 'users', inUse: 1, capacity: 1 })
  await manager.close()
})
