// Many sessions expire in one sweep, each with an `onEnd` in JavaScript: how long is the loop blocked?

import { open } from 'libsession'

export async function expiries(sessions) {
  const manager = open({
    clock: 'manual',
    queue: 2 * sessions,
    applications: { shop: { idleTimeoutMs: 1000, eventClasses: ['x'] } },
  })
  let told = 0
  manager.register('x', { onEnd: () => void told++ })
  for (let number = 0; number < sessions; number++) manager.create()
  const gaps = []
  let last = performance.now()
  const watch = setInterval(() => {
    gaps.push(performance.now() - last)
    last = performance.now()
  }, 1)
  const start = performance.now()
  await manager.clock.advance(1000)
  while (told < sessions) await new Promise((resolve) => setImmediate(resolve))
  const total = performance.now() - start
  clearInterval(watch)
  await manager.close()
  gaps.sort((a, b) => a - b)
  return { blocked: gaps[Math.floor(gaps.length * 0.99)], worst: gaps.at(-1), total }
}
