// One table of a directory: cluster workers, worker threads and other processes are one; kill -9 strands nothing.

import assert from 'node:assert/strict'
import cluster from 'node:cluster'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { open } from 'libsession'
import { until } from './helpers.mjs'

const CLERK = fileURLToPath(new URL('programs/clerk.mjs', import.meta.url))
const LONG = Number(process.env.TORTURE ?? 1)

/** Another process, cluster worker or thread: asks it, and keeps what it is told. */
class Clerk {
  told = []
  #answers = new Map()
  #number = 0

  constructor(port, send, stop) {
    Object.assign(this, { port, send, stop })
    this.ready = new Promise((resolve) => (this.#answers.ready = resolve))
    port.on('message', (message) => {
      if (message.ready) return this.#answers.ready()
      if (message.told) return this.told.push(message.told)
      const { resolve, reject } = this.#answers.get(message.number)
      this.#answers.delete(message.number)
      return message.error ? reject(new Error(message.error)) : resolve(message.ok)
    })
  }

  ask(verb, words = {}) {
    const number = ++this.#number
    return new Promise((resolve, reject) => {
      this.#answers.set(number, { resolve, reject })
      this.send({ number, verb, ...words })
    })
  }
}

async function ready(clerk) {
  await clerk.ready
  return clerk
}

function ofProcess(data) {
  const child = fork(CLERK, { env: { ...process.env, CLERK: JSON.stringify(data) } })
  return ready(new Clerk(child, (message) => child.send(message), () => { child.kill('SIGKILL'); return once(child, 'exit') }))
}

function ofCluster(data) {
  cluster.setupPrimary({ exec: CLERK })
  const worker = cluster.fork({ CLERK: JSON.stringify(data) })
  const stop = () => { worker.process.kill('SIGKILL'); return once(worker, 'exit') }
  return ready(new Clerk(worker, (message) => worker.send(message), stop))
}

function ofThread(data) {
  const worker = new Worker(CLERK, { workerData: data })
  return ready(new Clerk(worker, (message) => worker.postMessage(message), () => worker.terminate()))
}

/** A directory of its own, and clerks that do not outlive the test. */
async function scene(kinds, play) {
  const directory = mkdtempSync(join(tmpdir(), 'lses-node-'))
  const store = `file:${join(directory, 'store')}`
  const clerks = []
  const hire = async (kind, more = {}) => {
    const clerk = await kind({ store, ...more })
    clerks.push(clerk)
    return clerk
  }
  try {
    for (const kind of kinds) await hire(kind)
    await play({ directory, store, clerks, hire })
  } finally {
    await Promise.all(clerks.map((clerk) => clerk.stop()))
    rmSync(directory, { recursive: true })
  }
}

test('a manager that adopts goes by what the store says itself, and serves nobody', () =>
  scene([ofProcess], async ({ store, clerks: [clerk] }) => {
    const { id, token } = await clerk.ask('create')
    const manager = open({ store, adopt: true })
    assert.equal(manager.count(), 1)
    const [pool] = manager.pools()
    assert.deepEqual([manager.usage(pool).inUse, manager.usage(pool).capacity, manager.poolDifferences()], [1, 3, []])
    assert.throws(() => manager.create(), { code: 'ERR_SESSION_INVALID', message: /adopt/ })
    assert.throws(() => manager.begin(token), { code: 'ERR_SESSION_INVALID', message: /adopt/ })
    manager.end(id)
    assert.equal(await clerk.ask('usage'), 0)
    await manager.close()
    assert.throws(() => open({ store, adopt: true, maxSessions: 7 }), { code: 'ERR_SESSION_INVALID', message: /adopt/ })
    assert.throws(() => open({ store: `${store}/none`, adopt: true }), { code: 'ERR_SESSION_INVALID', message: /there is no store/ })
  }))

for (const [what, kinds] of [
  ['cluster workers', [ofCluster, ofCluster]],
  ['processes', [ofProcess, ofProcess]],
  ['worker threads', [ofThread, ofThread]],
  ['a thread, a cluster worker and a process', [ofThread, ofCluster, ofProcess]],
]) {
  test(`${what} of one directory are one table and one pool`, () =>
    scene(kinds, async ({ clerks }) => {
      const [one, two] = clerks
      const { id, token } = await one.ask('create')
      const times = 25 * LONG
      await Promise.all(clerks.map((clerk) => clerk.ask('add', { token, times })))
      assert.equal(await two.ask('get', { token }), clerks.length * times)
      const renewed = await two.ask('login', { token, user: 'ada' })
      assert.equal(await one.ask('peek', { token: renewed }), true)
      // Three units, whoever asks.
      await one.ask('create')
      await two.ask('create')
      for (const clerk of clerks) {
        await assert.rejects(clerk.ask('create'), /license_denied/)
        assert.equal(await clerk.ask('usage'), 3)
      }
      assert.equal(await two.ask('end', { id }), 'ended')
      assert.equal(await one.ask('peek', { token: renewed }), false)
      assert.equal(await one.ask('usage'), 2)
      for (const clerk of clerks) assert.deepEqual(await clerk.ask('check'), [])
    }))
}

test('worker threads share a manager of one name on a directory, and one of another name is another participant', () =>
  scene([], async ({ store, hire }) => {
    const shared = { name: 'on-disk' }
    const [one, two] = [await hire(ofThread, shared), await hire(ofThread, shared)]
    const { token } = await one.ask('create')
    await Promise.all([one, two].map((clerk) => clerk.ask('add', { token, times: 50 })))
    const other = await hire(ofThread, { name: 'on-disk-too' })
    assert.equal(await other.ask('get', { token }), 100)
    assert.equal(await other.ask('count'), 1)
    assert.deepEqual(await other.ask('check'), [])
    assert.throws(() => open({ store, maxSessions: 5 }), /configur/)
    const options = { name: 'on-disk', store, applications: { shop: { idleTimeoutMs: null, absoluteTimeoutMs: null, eventClasses: ['audit'] } }, pools: { users: { capacity: 3 } } }
    const manager = open(options)
    assert.equal(manager.count(), 1)
    await manager.close()
    await open({ ...options, name: 'on-disk-too' }).close()
  }))

test('the lock of a process that is killed in a request is free within a second, and its session lives', () =>
  scene([ofProcess], async ({ clerks: [survivor], hire }) => {
    let best = Infinity
    for (let round = 0; round < 3; round++) {
      const victim = await hire(round % 2 === 0 ? ofProcess : ofCluster)
      const { id, token } = await victim.ask('create')
      await victim.ask('add', { token, times: 3 })
      await victim.ask('begin', { token })
      const waiting = survivor.ask('get', { token })
      await victim.stop()
      victim.stop = async () => {}
      const killed = performance.now()
      assert.equal(await waiting, 3)
      best = Math.min(best, performance.now() - killed)
      assert.equal(await survivor.ask('end', { id }), 'ended')
    }
    assert.ok(best < 1000, `it took ${best} ms`)
    assert.equal(await survivor.ask('usage'), 0)
    assert.deepEqual(await survivor.ask('check'), [])
  }))

test('a class that only another process has is called there', () =>
  scene([ofProcess, ofCluster], async ({ clerks: [ends, tells] }) => {
    await tells.ask('register')
    const { id } = await ends.ask('create')
    assert.equal(await ends.ask('end', { id }), 'ended')
    await until('the other was told', () => tells.told.length > 0)
    assert.deepEqual([ends.told, tells.told], [[], [id]])
  }))

test('another SQLite in the process opens and closes the file while we run', (context) =>
  scene([ofProcess, ofThread], async ({ directory, clerks: [one, two] }) => {
    const file = join(directory, 'store', 'store.lsdb')
    const { token } = await two.ask('create')
    if ((await one.ask('look', { file, readonly: true })) === null) {
      console.error('SKIPPED: another SQLite in the process (no better-sqlite3: npm install in benches/disk; no node:sqlite)')
      return context.skip('no other SQLite is installed')
    }
    const rounds = 10 * LONG
    for (let round = 0; round < rounds; round++) {
      // Its last close in a process drops what locks the process has by POSIX, and a writing one may remove the log.
      const words = { token, file, readonly: round % 2 === 0 }
      await Promise.all([one.ask('add', { token, times: 5 }), two.ask('add', { token, times: 5 }), one.ask('look', words)])
      assert.equal(await one.ask('addAndLook', words), 1)
      assert.equal(await two.ask('addAndLook', words), 1)
    }
    const { id } = await one.ask('create')
    assert.equal(await two.ask('look', { file, readonly: true }), 2)
    assert.equal(await two.ask('end', { id }), 'ended')
    assert.equal(await one.ask('look', { file, readonly: true }), 1)
    for (const clerk of [one, two]) {
      assert.equal(await clerk.ask('get', { token }), 12 * rounds)
      assert.deepEqual(await clerk.ask('check'), [])
    }
  }))

test('sessions outlive the manager and the process, and close ends none', () =>
  scene([ofProcess], async ({ store, clerks: [clerk], hire }) => {
    const { token } = await clerk.ask('create')
    await clerk.ask('add', { token, times: 2 })
    await clerk.stop()
    clerk.stop = async () => {}
    const options = { store, applications: { shop: { idleTimeoutMs: null, absoluteTimeoutMs: null, eventClasses: ['audit'] } }, pools: { users: { capacity: 3 } } }
    const manager = open(options)
    assert.equal(manager.count(), 1)
    const session = manager.begin(token)
    assert.equal(session.data.get('n'), 2)
    session.finish()
    const report = await manager.close()
    assert.equal(report.ended, 0)
    const next = await hire(ofProcess)
    assert.equal(await next.ask('get', { token }), 2)
    assert.deepEqual(await next.ask('check'), [])
  }))
