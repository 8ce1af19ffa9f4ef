// Waiting for license units: promises, signals, tickets.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { Ticket, open } from 'libsession'
import { kind, until } from './helpers.mjs'

const full = () => {
  const manager = open({ applications: { shop: { pool: 'users' } }, pools: { users: { capacity: 1, queue: 10 } } })
  return { manager, first: manager.create() }
}
const waiting = (manager) => manager.usage('users').waiting

test('a promise waits for a unit and tells its position by a ticket', async () => {
  const { manager, first } = full()
  const ticket = new Ticket()
  assert.deepEqual([ticket.waits, ticket.position], [false, null])
  const one = manager.async.create({ waitMs: 600_000, priority: 1 })
  const other = manager.async.beginNew({ waitMs: 600_000, ticket })
  assert.equal(waiting(manager), 2)
  assert.equal(manager.stats().licenseWaiters, 2)
  assert.deepEqual([ticket.waits, ticket.position], [true, 2])
  const [, second] = manager.queue('users')
  assert.deepEqual([second.position, second.priority, second.offered], [2, 0, false])
  assert.equal(second.holder, second.sessionId)
  assert.equal(manager.queue('users', { skip: 1 }).length, 1)
  manager.end(first.id)
  const { id } = await one
  assert.equal(ticket.position, 1)
  manager.end(id)
  const session = await other
  assert.equal(session.isNew, true)
  session.finish()
  await manager.close()
})

test('a ticket cancels, also before the wait', async () => {
  const { manager } = full()
  const ticket = new Ticket()
  const waits = manager.async.create({ waitMs: 600_000, ticket })
  ticket.cancel()
  await assert.rejects(waits, kind('cancelled'))
  await assert.rejects(manager.async.create({ waitMs: 600_000, ticket }), kind('cancelled'))
  assert.equal(waiting(manager), 0)
  await manager.close()
})

test('an abort rejects with its reason and leaves no place', async () => {
  const { manager, first } = full()
  const { token } = first
  const session = manager.begin(token)
  for (const call of [
    (signal) => manager.async.create({ waitMs: 600_000, signal }),
    (signal) => manager.async.beginNew({ waitMs: 600_000, signal, ticket: new Ticket() }),
    (signal) => session.async.takeFeature('users', { waitMs: 600_000, signal }),
  ]) {
    const controller = new AbortController()
    const waits = call(controller.signal)
    await until('it waits', () => waiting(manager) === 1)
    controller.abort()
    assert.equal(waiting(manager), 0)
    await assert.rejects(waits, { name: 'AbortError' })
    const reason = new Error('never mind')
    await assert.rejects(call(AbortSignal.abort(reason)), reason)
    assert.equal(waiting(manager), 0)
  }
  await assert.rejects(manager.async.create({ waitMs: 600_000, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' })
  assert.equal(waiting(manager), 0)
  session.finish()
  assert.equal(manager.count(), 1)
  assert.deepEqual(manager.check(), [])
  await manager.close()
})

test('what is given to a call that was aborted is given back', async () => {
  const { manager, first } = full()
  const controller = new AbortController()
  const waits = manager.async.create({ waitMs: 600_000, signal: controller.signal })
  await until('it waits', () => waiting(manager) === 1)
  // The unit is given here and now; the promise would hear of it in the loop's next turn.
  manager.end(first.id)
  await until('it is given', () => waiting(manager) === 0)
  controller.abort()
  await waits.then((created) => manager.end(created.id), () => {})
  await until('it is given back', () => manager.count() === 0)
  assert.equal(manager.usage('users').inUse, 0)
  await manager.close()
})

test('a login and a trade wait, too', async () => {
  const manager = open({
    applications: { shop: { pool: 'users' } },
    pools: { users: { capacity: 3, unitRule: 'iris', maxConnections: 2, queue: 5 } },
  })
  const sessions = [1, 2, 3].map(() => manager.beginNew())
  sessions[0].login('ann')
  sessions[1].login('ann')
  const other = manager.create()
  const waits = sessions[2].async.login('ann', { waitMs: 600_000 })
  await until('it waits', () => waiting(manager) === 1)
  manager.end(other.id)
  assert.equal((await waits).tradeDenied, null)
  await sessions[2].async.trade({ waitMs: 1 })
  for (const session of sessions) session.finish()
  await manager.close()
})

test('synchronous calls do not wait, and options are checked', async () => {
  const { manager } = full()
  assert.throws(() => manager.create({ waitMs: 1 }), kind('invalid'))
  for (const options of [{ waitMs: -1 }, { priority: 10 }, { priority: 0.5 }, { ticket: {} }]) {
    await assert.rejects(manager.async.create(options), kind('invalid'))
  }
  await assert.rejects(manager.async.create({ waitMs: 0 }), kind('license_denied'))
  assert.throws(() => manager.queue('nobody'), kind('invalid'))
  await manager.close()
})

test('what is no AbortSignal is refused before anything starts', async () => {
  const { manager, first } = full()
  const session = manager.begin(first.token)
  for (const signal of [new AbortController(), 5, null, 'now', {}, { aborted: false }]) {
    for (const call of [
      () => manager.async.create({ waitMs: 600_000, signal }),
      () => manager.async.beginNew({ signal }),
      () => manager.async.begin(first.token, { signal, lock: 'none' }),
      () => session.async.lock('exclusive', { signal }),
      () => session.async.login('ann', { signal }),
      () => session.async.trade({ signal }),
      () => session.async.takeFeature('users', { waitMs: 600_000, signal }),
    ]) {
      await assert.rejects(call(), kind('invalid', { message: /^signal is .*, not an AbortSignal$/ }))
    }
  }
  assert.deepEqual([waiting(manager), manager.count(), manager.stats().inFlight, session.user], [0, 1, 1, null])
  session.finish()
  await manager.close()
})

const seats = () =>
  open({
    applications: { shop: { pool: 'users', licenseClass: 'lazy' } },
    pools: { users: { capacity: 1, unitRule: 'user', queue: 10 } },
  })

test('a login that was done when it was aborted resolves', async () => {
  const manager = seats()
  for (let round = 0; round < 20; round++) {
    const holder = manager.beginNew()
    holder.login('ann')
    const session = manager.beginNew()
    const controller = new AbortController()
    const login = session.async.login('bob', { waitMs: 600_000, signal: controller.signal })
    assert.equal(waiting(manager), 1)
    // The unit is given here and now; the promise hears of it in the loop's next turn.
    holder.end()
    for (const end = performance.now() + 10_000; session.user !== 'bob' && performance.now() < end; ) continue
    controller.abort()
    assert.equal((await login).token, session.token)
    assert.deepEqual([session.user, manager.usage('users').inUse], ['bob', 1])
    session.end()
  }
  assert.deepEqual(manager.check(), [])
  await manager.close()
})

test('a login that was aborted while it waits changes nothing', async () => {
  const manager = seats()
  const holder = manager.beginNew()
  holder.login('ann')
  const session = manager.beginNew()
  const { token } = session
  for (const call of [
    (signal) => session.async.login('bob', { waitMs: 600_000, signal }),
    (signal) => session.async.takeFeature('users', { waitMs: 600_000, signal }),
  ]) {
    const controller = new AbortController()
    const waits = call(controller.signal)
    assert.equal(waiting(manager), 1)
    controller.abort()
    assert.equal(waiting(manager), 0)
    await assert.rejects(waits, { name: 'AbortError' })
  }
  assert.deepEqual([session.user, session.token], [null, token])
  session.finish()
  holder.finish()
  await manager.close()
})

test('an abort during an asynchronous decider tells what became of the login', async () => {
  const manager = open({ applications: { shop: { eventClasses: ['watch'] } } })
  let answer
  manager.register('watch', { onLogin: () => new Promise((resolve) => (answer = resolve)) })
  const session = manager.beginNew()
  for (const admits of [false, true]) {
    const controller = new AbortController()
    const login = session.async.login('ann', { signal: controller.signal })
    await until('it is asked', () => answer !== undefined)
    controller.abort()
    answer(admits)
    answer = undefined
    if (admits) assert.equal((await login).token, session.token)
    else await assert.rejects(login, { name: 'AbortError' })
    assert.equal(session.user, admits ? 'ann' : null)
  }
  session.finish()
  await manager.close()
})

test('a feature and a lock that are given to a call that was aborted are given back', async () => {
  const manager = open({ applications: { shop: { pool: 'users' } }, pools: { users: { capacity: 9 }, reports: { capacity: 1, queue: 5 } } })
  const [one, two] = [manager.beginNew(), manager.beginNew()]
  two.takeFeature('reports')
  const controller = new AbortController()
  const takes = one.async.takeFeature('reports', { waitMs: 600_000, signal: controller.signal })
  two.returnFeature('reports')
  controller.abort()
  await assert.rejects(takes, { name: 'AbortError' })
  await until('it is returned', () => manager.usage('reports').inUse === 0)
  assert.deepEqual(one.features(), [])

  for (const before of [null, 'shared']) {
    one.unlock()
    if (before !== null) one.lock(before)
    const other = manager.begin(one.token, { lock: before ?? 'exclusive' })
    const again = new AbortController()
    const locks = one.async.lock('exclusive', { signal: again.signal })
    assert.equal(manager.stats().lockWaiters, 1)
    other.finish()
    again.abort()
    await assert.rejects(locks, { name: 'AbortError' })
    await until('it is given back', () => one.lockMode === before)
  }
  one.finish()
  two.finish()
  await manager.close()
})

test('a pending wait keeps the process, a manager does not', () => {
  const run = (code) => {
    const program = `import { open } from 'libsession'
      const manager = open({ applications: { shop: { pool: 'users' } }, pools: { users: { capacity: 1, queue: 1 } } })
      const { id } = manager.create()
      ${code}`
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: import.meta.dirname, encoding: 'utf8', timeout: 60_000 })
    assert.equal(done.status, 0, done.stderr)
    return done.stdout
  }
  assert.equal(run(''), '')
  assert.equal(
    run(`setTimeout(() => manager.end(id), 200).unref()
      console.log((await manager.async.create({ waitMs: 30_000 })).id !== id)`),
    'true\n',
  )
})
