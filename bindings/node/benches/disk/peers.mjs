// What else keeps sessions on a disk: each store behind make, touch, read, write, remove, close. One that is not installed is
// left out, and said so.

import { join } from 'node:path'
import { data } from '../data.mjs'

const HOUR_MS = 3_600_000
const cookie = () => ({ originalMaxAge: HOUR_MS, expires: new Date(Date.now() + HOUR_MS), path: '/', httpOnly: true })

async function sessionFileStore(folder) {
  const { default: session } = await import('express-session')
  const { default: make } = await import('session-file-store')
  const store = new (make(session))({ path: join(folder, 'files'), ttl: 3600, reapInterval: -1, retries: 0, logFn() {} })
  let next = 0
  const call = (verb, ...words) =>
    new Promise((resolve, reject) => store[verb](...words, (error, found) => (error ? reject(error) : resolve(found))))
  return {
    async make() {
      const key = `${next++}`.padStart(40, 'k')
      await call('set', key, { cookie: cookie(), ...data() })
      return key
    },
    // What express-session does for a request: it reads, and touches or sets.
    touch: async (key) => call('touch', key, await call('get', key)),
    async read(key) {
      const found = await call('get', key)
      await call('touch', key, found)
      return found.user
    },
    write: async (key, round) => call('set', key, { ...(await call('get', key)), round }),
    remove: (key) => call('destroy', key),
    close() {},
  }
}

// Statements that are prepared once, the pragmas of a server, an index of the deadlines: what one would write. What is removed is
// on the disk at the return, as with libsession.
async function betterSqlite3(folder) {
  const { default: Database } = await import('better-sqlite3')
  const connect = (synchronous) => {
    const db = new Database(join(folder, 'sessions.db'))
    db.pragma('journal_mode = WAL')
    db.pragma(`synchronous = ${synchronous}`)
    return db
  }
  const [db, synced] = [connect('NORMAL'), connect('FULL')]
  db.exec('CREATE TABLE session(sid TEXT PRIMARY KEY, sess TEXT NOT NULL, ends INTEGER NOT NULL) WITHOUT ROWID')
  db.exec('CREATE INDEX session_ends ON session(ends)')
  const statement = {
    make: db.prepare('INSERT INTO session(sid, sess, ends) VALUES(?, ?, ?)'),
    touch: db.prepare('UPDATE session SET ends = ? WHERE sid = ? AND ends > ?'),
    read: db.prepare('SELECT sess FROM session WHERE sid = ? AND ends > ?'),
    write: db.prepare('UPDATE session SET sess = ?, ends = ? WHERE sid = ?'),
    remove: synced.prepare('DELETE FROM session WHERE sid = ?'),
  }
  let next = 0
  const read = (key) => JSON.parse(statement.read.get(key, Date.now()).sess)
  const touch = (key) => statement.touch.run(Date.now() + HOUR_MS, key, Date.now())
  return {
    make() {
      const key = `${next++}`.padStart(40, 'k')
      statement.make.run(key, JSON.stringify(data()), Date.now() + HOUR_MS)
      return key
    },
    touch,
    read(key) {
      const found = read(key)
      touch(key)
      return found.user
    },
    write: (key, round) => statement.write.run(JSON.stringify({ ...read(key), round }), Date.now() + HOUR_MS, key),
    remove: (key) => statement.remove.run(key),
    close() {
      synced.close()
      db.close()
    },
  }
}

const makers = { 'session-file-store': sessionFileStore, 'better-sqlite3': betterSqlite3 }

/** The stores that are installed. */
export async function peers(folder) {
  const stores = {}
  for (const [name, make] of Object.entries(makers)) {
    try {
      stores[name] = await make(folder)
    } catch (error) {
      if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
      console.error(`${name}: LEFT OUT, ${error.message.split('\n')[0]}`)
    }
  }
  return stores
}
