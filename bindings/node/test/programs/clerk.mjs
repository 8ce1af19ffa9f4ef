// A process, a cluster worker or a worker thread that does what it is asked: { verb, ...words } -> { ok } or { error }.
import { createRequire } from 'node:module'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { open } from 'libsession'

const port = isMainThread ? process : parentPort
const say = (message) => (isMainThread ? process.send(message) : parentPort.postMessage(message))
const { store, name } = isMainThread ? JSON.parse(process.env.CLERK) : workerData

const manager = open({
  store,
  ...(name ? { name } : {}),
  applications: { shop: { idleTimeoutMs: null, absoluteTimeoutMs: null, eventClasses: ['audit'] } },
  pools: { users: { capacity: 3 } },
})
const requests = new Map()

/** A copy of SQLite that is not ours; `null` if there is none. */
function foreign() {
  // The benchmark's: it has to be built, and is not everywhere.
  const require = createRequire(new URL('../../benches/disk/package.json', import.meta.url))
  try {
    const Database = require('better-sqlite3')
    return (file, readonly) => new Database(file, { readonly, timeout: 20_000 })
  } catch {
    try {
      const { DatabaseSync } = require('node:sqlite')
      return (file, readOnly) => new DatabaseSync(file, { readOnly })
    } catch {
      return null
    }
  }
}

const openForeign = foreign()

/** Counts the sessions in the file with another copy of SQLite, which opens and closes it; `null` if there is none. */
function look(file, readonly) {
  const other = openForeign?.(file, readonly)
  if (other === undefined) return null
  try {
    return other.prepare('SELECT count(*) AS n FROM session').get().n
  } finally {
    other.close()
  }
}

const verbs = {
  create: () => manager.create(),
  async add({ token, times }) {
    for (let n = 0; n < times; n++) {
      const session = await manager.async.begin(token)
      session.data.set('n', (session.data.get('n') ?? 0) + 1)
      session.finish()
    }
  },
  async get({ token }) {
    const session = await manager.async.begin(token)
    const n = session.data.get('n')
    session.finish()
    return n
  },
  async begin({ token }) {
    const session = await manager.async.begin(token)
    session.data.set('n', -1)
    requests.set(token, session)
  },
  async login({ token, user }) {
    const session = await manager.async.begin(token)
    const login = session.login(user)
    session.finish()
    return login.token
  },
  peek: ({ token }) => manager.peek(token).live,
  end: ({ id }) => manager.end(id).outcome,
  count: () => manager.count(),
  usage: () => manager.usage('users').inUse,
  check: () => manager.check(),
  register() {
    manager.register('audit', { onEnd: (event) => say({ told: event.sessionId }) })
  },
  look: ({ file, readonly }) => look(file, readonly),
  /** As `add`, and looks into the file while the request is in flight. */
  async addAndLook({ token, file, readonly }) {
    const session = await manager.async.begin(token)
    session.data.set('n', (session.data.get('n') ?? 0) + 1)
    const seen = look(file, readonly)
    session.finish()
    return seen
  },
}

port.on('message', async ({ number, verb, ...words }) => {
  try {
    say({ number, ok: await verbs[verb](words) })
  } catch (error) {
    say({ number, error: error.kind ?? String(error) })
  }
})
say({ ready: true })
