// What sessions cost in memory and in the collector's pauses; for a process of its own.

import { stores } from './peers.mjs'

const collect = () => {
  for (let round = 0; round < 3; round++) globalThis.gc()
}

/** Bytes of RSS a session, milliseconds of a full collection, milliseconds of a count. */
export async function memory(name, sessions) {
  const store = stores[name]()
  store.remove(store.make())
  collect()
  const before = process.memoryUsage().rss
  const first = store.make()
  for (let number = 1; number < sessions; number++) {
    store.make()
    // A store that calls back later must not pile its callbacks up.
    if (number % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  const rss = (process.memoryUsage().rss - before) / sessions
  const pauses = Array.from({ length: 5 }, () => {
    const start = performance.now()
    globalThis.gc()
    return performance.now() - start
  })
  const timed = async () => {
    const start = performance.now()
    await store.count()
    return performance.now() - start
  }
  let count = await timed()
  // The first call also pays for being the first; where a call takes a second, nobody notices.
  if (count < 1) for (let round = 0; round < 20; round++) count = Math.min(count, await timed())
  store.touch(first)
  return { rss, gc: Math.min(...pauses), count }
}
