// RELIABILITY LIC-04, EXP-01, RACE-02, OBS-01 and the administrator's calls.

import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { open, setLogLevel } from 'libsession'
import { IDLE_MS, kind, never, shop, until } from './helpers.mjs'

const LONG = Number(process.env.TORTURE ?? 1)

test('LIC-04: a create that fails leaks nothing', async () => {
  const ROUNDS = 200 * LONG
  const ended = []
  let start = () => {}
  const manager = shop({
    classes: { gate: { onStart: (event) => start(event), onEnd: (event) => void ended.push(event.reason) } },
    pools: { users: { capacity: 5, maxSessionsPerHolder: 2 } },
    quotas: { sessionBytes: 1000 },
    breakerFailures: 1_000_000,
  })
  const failures = [
    [() => { throw new Error('boom') }, {}],
    [() => Promise.reject(new Error('boom')), {}],
    [() => false, {}],
    [() => {}, { data: { big: 'x'.repeat(2000) } }],
    [(event) => event.session.data.set('big', 'x'.repeat(2000)), {}],
    [() => {}, { application: 'nowhere' }],
  ]
  for (const [behavior, options] of failures) {
    start = behavior
    for (let round = 0; round < ROUNDS; round++) await assert.rejects(manager.async.create(options))
    assert.equal(manager.count(), 0)
    assert.equal(manager.usage('users').inUse, 0)
  }
  assert.deepEqual(ended, [], 'no on_end for a session whose on_start did not return')
  start = () => {}
  const sessions = Array.from({ length: 5 }, () => manager.create())
  for (let round = 0; round < ROUNDS; round++) {
    assert.throws(() => manager.create(), kind('license_denied', { reason: 'pool_exhausted' }))
  }
  assert.equal(manager.usage('users').inUse, 5)
  for (const { id } of sessions) manager.end(id)
  assert.deepEqual(manager.audit('users'), { pool: 'users', counted: 0, recounted: 0, differences: [] })
  assert.deepEqual(manager.check(), [])
  await manager.close()
})

test('EXP-01: touches move the idle deadline, the absolute one never', async () => {
  const manager = shop({ application: { idleTimeoutMs: 900_000, absoluteTimeoutMs: 3_600_000 } })
  const { id, token } = manager.create()
  for (let minute = 10; minute < 60; minute += 10) {
    await manager.clock.advance(600_000)
    assert.equal(manager.touch(token).remainingMs, Math.min(900_000, 3_600_000 - minute * 60_000))
  }
  assert.equal(manager.setIdleTimeout(id, 7_200_000), true)
  await manager.clock.advance(599_999)
  assert.equal(manager.peek(token).live, true)
  await manager.clock.advance(1)
  assert.deepEqual(manager.peek(token), { live: false, outcome: 'gone', reason: 'absolute_timeout' })
  assert.equal(manager.explain(id).ended.atMs, 3_600_000)
  const idle = manager.create()
  await manager.clock.advance(900_000)
  assert.equal(manager.begin(idle.token).reason, 'idle_timeout')
  await manager.close()
})

test('the clock: suspended time counts for the absolute deadline only, wall steps for none', async () => {
  const manager = shop({ application: { idleTimeoutMs: 1000, absoluteTimeoutMs: 5000 } })
  const { token } = manager.create()
  await manager.clock.suspend(3000)
  assert.equal(manager.peek(token).live, true)
  manager.clock.setWall(0)
  assert.equal(manager.peek(token).remainingMs, 1000)
  await manager.clock.suspend(2000)
  assert.equal(manager.peek(token).reason, 'absolute_timeout')
  assert.equal(manager.clock.suspendedMs, 5000)
  await assert.rejects(manager.clock.advance(-1), kind('invalid'))
  await assert.rejects(manager.clock.advance(1e18), kind('invalid'))
  await manager.close()
})

test('a real clock ends on time, without a sweep interval', async () => {
  const manager = shop({ clock: 'system', application: { idleTimeoutMs: 60 } })
  const { token } = manager.create()
  await until('the session has ended', () => manager.count() === 0)
  assert.equal(manager.begin(token).reason, 'idle_timeout')
  assert.ok(manager.stats().latenessMaxMs < 250)
  await manager.close()
})

test('RACE-02: sixteen writers lose nothing on different keys, and count exactly on one', async () => {
  const WRITERS = 16
  const ROUNDS = 50 * LONG
  const manager = shop({ application: { lock: 'shared' } })
  const { token } = manager.create({ data: { n: 0 } })
  const write = async (writer) => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = await manager.async.begin(token)
      session.data.set(`writer ${writer}`, round)
      await null
      for (;;) {
        const n = session.data.get('n')
        await null
        try {
          session.data.compareAndSet('n', n, n + 1)
          break
        } catch (error) {
          assert.equal(error.kind, 'conflict')
        }
      }
      session.finish()
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)))
  const session = manager.begin(token)
  assert.equal(session.data.get('n'), WRITERS * ROUNDS)
  for (let writer = 0; writer < WRITERS; writer++) assert.equal(session.data.get(`writer ${writer}`), ROUNDS - 1)
  session.finish()
  await manager.close()
})

test('OBS-01: what hides elsewhere is seen, and an administrator ends everything', async () => {
  const hang = (event) => (event.hang(), never())
  const manager = shop({
    classes: { hangs: { onEnd: hang }, throws: { onTimeout: () => { throw new Error('boom') } } },
    pools: { users: { capacity: 33 } },
    debug: true,
    clock: 'system',
    callbackDeadlineMs: 50,
  })
  const { id, token } = manager.create()
  const held = manager.begin(token)
  manager.damage(manager.create().id)
  manager.stallReaper(true)
  await until('the stalled reaper is seen', () => manager.stats().reaper === 'degraded', 3000)
  assert.ok(manager.stats().degraded)
  manager.stallReaper(false)
  assert.equal(manager.stats().damaged, 1)
  const explained = manager.explain(id)
  assert.equal(explained.requests.length, 1)
  assert.equal(explained.live.licensePool, 'users')
  assert.match(explained.text, /users/)
  for (const { id } of manager.list().sessions) assert.equal(manager.end(id, { actor: 'admin' }).outcome, 'ended')
  assert.equal(manager.count(), 0)
  assert.equal(manager.usage('users').inUse, 0)
  await until('the overrun is seen', () => manager.stats().callbacksOverrun > 0)
  assert.throws(() => held.data.get('k'), kind('gone'))
  await manager.close(0)
})

test('list, end_where and bulk timeouts: filters, pages, progress', async () => {
  const manager = shop({ applications: { shop: {}, bank: { protectedFromBulkEnd: true } } })
  for (let number = 0; number < 1000; number++) {
    const session = manager.beginNew({ application: number % 10 === 0 ? 'bank' : 'shop' })
    if (number < 5) session.login('ada')
    session.finish()
  }
  assert.equal(manager.list({ user: 'ada' }).sessions.length, 5)
  const first = manager.list({ application: 'shop' }, { limit: 100 })
  assert.ok(first.next !== null)
  let seen = first.sessions.length
  for (let { next } = first; next !== null; ) {
    const page = manager.list({ application: 'shop' }, { cursor: next, limit: 100 })
    seen += page.sessions.length
    next = page.next
  }
  assert.equal(seen, 900)
  const timeouts = await manager.setIdleTimeoutWhere({ application: 'bank' }, null)
  assert.equal(timeouts.changed, 100)
  assert.equal(manager.list({ immortal: true }).sessions.length, 100)
  const steps = []
  for await (const progress of manager.endWhere({}, { reason: 'revoked', actor: 'admin' }, { limit: 300 })) steps.push(progress)
  assert.ok(steps.length >= 3)
  assert.deepEqual([steps.at(-1).changed, steps.at(-1).protected, steps.at(-1).next], [900, 100, null])
  assert.equal((await manager.endWhere({ user: 'nobody' })).changed, 0)
  assert.equal(manager.count(), 100)
  await manager.close()
})

test('usage, accounts and the lifecycle log', async () => {
  const manager = shop({ pools: { users: { capacity: 3 } } })
  assert.deepEqual(manager.pools(), ['users'])
  const session = manager.beginNew()
  session.login('ada')
  const { inUse, available, highWater, holders } = manager.usage('users')
  assert.deepEqual([inUse, available, highWater], [1, 2, 1])
  assert.deepEqual(holders.map(({ holder, kind, connections, units }) => [holder, kind, connections, units]), [['ada', 'user', 1, 1]])
  session.end()
  assert.deepEqual(manager.auditRecords('users').map((record) => record.kind), ['grant', 'trade', 'release'])
  assert.equal(manager.auditRecords('users', { after: manager.auditRecords('users')[1].seq }).length, 1)
  assert.deepEqual([...new Set(manager.lifecycle().map((entry) => entry.what))].slice(0, 1), ['created'])
  assert.equal(manager.explain('AAAAAAAAAAAAAAAAAAAAAA'), null)
  await manager.close()
})

test('a session takes features', async () => {
  const pools = { users: { capacity: 2 }, cad: { capacity: 3, unitRule: 'session' } }
  const manager = shop({ application: { pool: 'users' }, pools })
  const session = manager.beginNew()
  session.takeFeature('cad')
  session.login('ann')
  session.takeFeature('cad', { count: 2, groups: ['leads'] })
  const [own, ann] = session.features()
  assert.deepEqual(own, { pool: 'cad', count: 1, holder: session.id, sinceMs: 0 })
  assert.deepEqual([ann.count, ann.holder], [2, 'ann'])
  assert.deepEqual(session.info().features, [own, ann])
  assert.throws(() => session.takeFeature('cad'), { kind: 'license_denied', reason: 'pool_exhausted' })
  for (const count of [0, -1, 1001, 1.5, NaN, '1', 2 ** 70]) {
    assert.throws(() => session.takeFeature('cad', { count }), { kind: 'invalid', message: /count/ })
  }
  assert.throws(() => session.takeFeature('cad', { counts: 1 }), { kind: 'invalid', message: /counts/ })
  assert.throws(() => session.returnFeature('plot'), { kind: 'invalid', message: /plot/ })
  assert.throws(() => session.returnFeature('cad', -1), { kind: 'invalid', message: /count/ })
  assert.equal(session.returnFeature('cad', 9), 3)
  assert.deepEqual(session.features(), [])
  session.takeFeature('cad')
  session.end()
  assert.throws(() => session.features(), { kind: 'gone' })
  assert.equal(manager.usage('cad').inUse, 0)
  await manager.close()
})

test('a pool has policies', async () => {
  const users = { capacity: 2, lingerMs: 1000, overdraft: '50%', reservations: [{ units: 1, members: ['group:leads'] }] }
  const manager = shop({ pools: { users }, clock: 'manual' })
  const session = manager.beginNew()
  assert.equal((await session.async.login('ann', { groups: ['leads'] })).tradeDenied, null)
  session.trade({ groups: ['leads'] })
  assert.throws(() => session.login('ann', { groups: 'leads' }), { kind: 'invalid', message: /groups/ })
  assert.throws(() => session.login('ann', { group: ['leads'] }), { kind: 'invalid', message: /group/ })
  session.end()
  const usage = manager.usage('users')
  assert.deepEqual([usage.inUse, usage.lingering, usage.overdrawn], [1, 1, 0])
  const [ann] = usage.holders
  assert.deepEqual([ann.kind, ann.connections, ann.lingering, ann.releaseMs], ['lingering', 0, 1, 1000])
  await manager.clock.advance(1000)
  assert.deepEqual(manager.usage('users').holders, [])
  const whys = manager.auditRecords('users').map(({ kind, why }) => [kind, why])
  assert.deepEqual(whys, [['grant', null], ['trade', 'reserved'], ['linger', null], ['release', 'lingered']])
  for (const [wrong, told] of [
    [{ overdraft: '10 %' }, /10 %/],
    [{ reservations: [{ units: 2 , members: ['ann'] }] }, /set 2 apart/],
    [{ reservations: [{ units: 1 }] }, /members/],
    [{ breakGlass: 1 }, /administrators/],
  ]) {
    assert.throws(() => shop({ pools: { users: { capacity: 1, ...wrong } } }), { kind: 'invalid', message: told })
  }
  await manager.close()
})

test('a pool is changed while it runs, has marks for readers, and tells its accounts as lines', async () => {
  const manager = shop({ pools: { users: { capacity: 2 } }, clock: 'manual' })
  const reservations = [{ members: ['ann', 'group:é'], units: 1, hard: false }]
  const wanted = { capacity: 2000, lingerMs: 1500, anonymousMinHoldMs: 20.4, lazyLingerMs: 0, lazyMinHoldMs: 30, overdraft: '10%', reservations, exclude: ['eve'], recovered: 2 }
  const changed = manager.changePool('users', wanted, { actor: 'root' })
  for (const [name, value] of Object.entries({ ...wanted, anonymousMinHoldMs: 20 })) assert.deepEqual(changed[name], value, name)
  assert.deepEqual(manager.pool('users'), changed)
  assert.deepEqual(manager.poolDifferences()[0], { pool: 'users', option: 'capacity', named: 2, inForce: 2000 })
  assert.equal(manager.changePool('users', { recovered: null }).recovered, null)
  for (const [wrong, told] of [
    [{ capacity: -1 }, /capacity/],
    [{ capacity: null }, /capacity/],
    [{ colour: 1 }, /colour/],
    [{ name: 'x' }, /name/],
    [{ recovered: 2001 }, /recovered/],
  ]) {
    assert.throws(() => manager.changePool('users', wrong), { kind: 'invalid', message: told })
  }
  const [record] = manager.auditRecords('users')
  assert.deepEqual([record.kind, record.holder, record.before, record.after], ['change', 'root', 0, 0])
  const created = Array.from({ length: 1200 }, () => manager.create())
  manager.end(created[0].id)
  manager.resetHighWater('users', 'monthly')
  assert.deepEqual([manager.highWater('users', 'monthly').units, manager.highWater('users', 'x').units], [1199, 1200])
  assert.deepEqual([manager.forgetHighWater('users', 'monthly'), manager.forgetHighWater('users', 'x')], [true, false])
  const accounts = [...manager.exportAccounts('users')].map((line) => JSON.parse(line))
  assert.deepEqual(accounts.map(({ seq }) => seq), Array.from({ length: 1203 }, (_, index) => index + 1))
  assert.deepEqual([...manager.exportAccounts('users', { after: 2, limit: 2 })].map((line) => JSON.parse(line).seq), [3, 4])
  await manager.close()
})

test('a lazy session writes with a unit or not at all', async () => {
  const pools = { users: { capacity: 1, anonymousPerClient: 3 } }
  const lazy = { licenseClass: 'lazy', lazyUntil: 'first_write', crawlers: ['Acme-Sync'], anonymousIdleTimeoutMs: 1000 }
  const manager = open({ applications: { shop: lazy }, pools, clock: 'manual' })
  const one = manager.beginNew()
  one.data.set('k', 1)
  one.finish()
  assert.equal(manager.usage('users').inUse, 1)
  const two = manager.beginNew()
  two.data.set('k', 1)
  assert.throws(() => two.finish(), { kind: 'license_denied', reason: 'pool_exhausted' })
  const again = manager.begin(two.token)
  assert.equal(again.data.get('k'), undefined)
  again.finish()
  const crawler = manager.beginNew({ userAgent: 'acme-sync/3' })
  crawler.data.set('k', 1)
  crawler.finish()
  assert.equal(manager.usage('users').inUse, 1)
  for (const [wrong, told] of [
    [{ lazyUntil: 'never' }, /never/],
    [{ detectCrawlers: 1 }, /detectCrawlers/],
    [{ crawlers: [''] }, /0 bytes/],
    [{ anonymousIdleTimeoutMs: 0 }, /anonymousIdleTimeoutMs/],
  ]) {
    assert.throws(() => open({ applications: { shop: wrong } }), { kind: 'invalid', message: told })
  }
  assert.throws(() => shop({ pools: { users: { capacity: 1, anonymousPerClient: 0 } } }), { kind: 'invalid', message: /0/ })
  await manager.close()
})

test('the log goes to a diagnostics channel, without a token in it', async () => {
  const lines = []
  const listen = (line) => lines.push(line)
  const log = channel('libsession:log')
  log.subscribe(listen)
  setLogLevel('trace')
  const manager = shop({ classes: { bad: { onEnd: () => { throw new Error('boom') } } }, clock: 'system', retries: 0 })
  const { id, token } = manager.create()
  manager.end(id)
  await until('a line is logged', () => lines.length > 0)
  setLogLevel('info')
  log.unsubscribe(listen)
  for (const { level, target, message } of lines) {
    assert.ok(['error', 'warn', 'info', 'debug', 'trace'].includes(level))
    assert.ok(target.startsWith('libsession'))
    assert.ok(!message.includes(token))
  }
  assert.throws(() => setLogLevel('loud'), kind('invalid'))
  await manager.close()
})

test('without threads and in poll mode the host does the work', () => {
  const ended = []
  const polled = open({ dispatch: 'poll', clock: 'manual', applications: { shop: { eventClasses: ['x'] } } })
  polled.register('x', { onEnd: (event) => void ended.push(event.reason) })
  polled.end(polled.create().id)
  assert.deepEqual(ended, [])
  assert.equal(polled.dispatch(), 1)
  assert.deepEqual(ended, ['ended'])
  polled[Symbol.dispose]()
  const idle = open({ threads: false, applications: { shop: { idleTimeoutMs: IDLE_MS } } })
  idle.create()
  assert.ok(idle.tick() <= IDLE_MS + 50)
  assert.equal(idle.stats().reaper, 'none')
  idle[Symbol.dispose]()
})
