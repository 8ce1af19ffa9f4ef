// The stores that are measured, behind one small face: make, touch, read, write, remove, count.

import session from 'express-session'
import { LRUCache } from 'lru-cache'
import { open } from 'libsession'
import { data } from './data.mjs'

const HOUR_MS = 3_600_000
const cookie = () => ({ originalMaxAge: HOUR_MS, expires: new Date(Date.now() + HOUR_MS), path: '/', httpOnly: true })
const nothing = () => {}

export const stores = {
  libsession() {
    const manager = open({
      maxSessions: 2_000_000,
      applications: { shop: { idleTimeoutMs: HOUR_MS, lock: 'shared' } },
    })
    return {
      make: () => manager.create({ data: data() }).token,
      touch: (token) => manager.touch(token),
      read(token) {
        const request = manager.begin(token)
        const user = request.data.get('user')
        request.finish()
        return user
      },
      write(token, round) {
        const request = manager.begin(token)
        request.data.set('round', round)
        request.finish()
      },
      remove: (token) => manager.end(manager.idOf(token)),
      count: () => manager.count(),
      close: () => manager.close(),
    }
  },
  Map() {
    const map = new Map()
    let next = 0
    return {
      make() {
        const key = `${next++}`.padStart(40, 'k')
        map.set(key, { data: data(), ends: Date.now() + HOUR_MS })
        return key
      },
      touch: (key) => (map.get(key).ends = Date.now() + HOUR_MS),
      read: (key) => map.get(key).data.user,
      write: (key, round) => (map.get(key).data.round = round),
      remove: (key) => map.delete(key),
      count: () => map.size,
      close: nothing,
    }
  },
  MemoryStore() {
    const store = new session.MemoryStore()
    let next = 0
    return {
      make() {
        const key = `${next++}`.padStart(40, 'k')
        store.set(key, { cookie: cookie(), ...data() }, nothing)
        return key
      },
      touch: (key) => store.touch(key, { cookie: cookie() }, nothing),
      read: (key) => store.get(key, nothing),
      write: (key, round) => store.set(key, { cookie: cookie(), ...data(), round }, nothing),
      remove: (key) => store.destroy(key, nothing),
      count: () => new Promise((resolve) => store.length((_, length) => resolve(length))),
      close: nothing,
    }
  },
  'lru-cache'() {
    const cache = new LRUCache({ max: 2_000_000, ttl: HOUR_MS, updateAgeOnGet: true })
    let next = 0
    const store = (key, value) => cache.set(key, JSON.stringify(value))
    return {
      make() {
        const key = `${next++}`.padStart(40, 'k')
        store(key, data())
        return key
      },
      touch: (key) => cache.get(key),
      read: (key) => JSON.parse(cache.get(key)).user,
      write: (key, round) => store(key, { ...data(), round }),
      remove: (key) => cache.delete(key),
      count: () => cache.size,
      close: nothing,
    }
  },
}
