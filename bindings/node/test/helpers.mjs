import assert from 'node:assert/strict'
import { open } from 'libsession'

export const IDLE_MS = 1000

/** A manager on a manual clock with one application `shop`; `classes` are registered and listed by its sessions. */
export function shop({ classes = {}, application = {}, ...options } = {}) {
  const manager = open({
    clock: 'manual',
    applications: { shop: { idleTimeoutMs: IDLE_MS, eventClasses: Object.keys(classes), ...application } },
    ...options,
  })
  for (const [name, callbacks] of Object.entries(classes)) manager.register(name, callbacks)
  return manager
}

/** Waits in real time until something is so, with a bound. */
export async function until(what, isSo, patienceMs = 10_000) {
  const end = performance.now() + patienceMs
  while (!isSo()) {
    if (performance.now() > end) assert.fail(`in ${patienceMs} ms it did not come about that ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** For `assert.throws` and `assert.rejects`. */
export const kind = (word, more = {}) => ({ name: 'SessionError', code: `ERR_SESSION_${word.toUpperCase()}`, kind: word, ...more })

export const never = () => new Promise(() => {})
