// CPU nanoseconds an operation, one at a time; the median of seven runs.

import { stores } from './peers.mjs'

const RUNS = 7
const SESSIONS = 10_000

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]
}

async function measure(rounds, body) {
  const runs = []
  for (let run = 0; run < RUNS; run++) {
    const before = process.cpuUsage()
    for (let round = 0; round < rounds; round++) body(round)
    // What a store leaves for later turns of the loop is part of its price.
    await new Promise((resolve) => setImmediate(resolve))
    const { user, system } = process.cpuUsage(before)
    runs.push(((user + system) * 1000) / rounds)
  }
  return median(runs)
}

/** The figures of every store. */
export async function operations(rounds) {
  const figures = {}
  for (const [name, make] of Object.entries(stores)) {
    const store = make()
    const keys = Array.from({ length: SESSIONS }, () => store.make())
    const key = (round) => keys[(round * 7919) % SESSIONS]
    figures[name] = {
      touch: await measure(rounds, (round) => store.touch(key(round))),
      read: await measure(rounds, (round) => store.read(key(round))),
      write: await measure(rounds, (round) => store.write(key(round), round)),
      create: await measure(Math.floor(rounds / 10), () => store.remove(store.make())),
    }
    await store.close()
  }
  return figures
}
