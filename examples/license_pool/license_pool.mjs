// A floating-license server in Node, a request a line: `node license_pool.mjs < story.txt`.

import { createInterface } from 'node:readline/promises'
import { open, Ticket } from 'libsession'

const MINUTE = 60_000
const manager = open({
  clock: 'manual', // Stands still until it is told; without it, the time is the machine's.
  // No seat before a login. Who does not poll for ten minutes is gone.
  applications: { desktop: { pool: 'cad', licenseClass: 'lazy', idleTimeoutMs: 10 * MINUTE } },
  pools: {
    // reclaim: true: a seat that lingers goes to who waits, at once. RESERVE is reservations; BORROW: none.
    cad: { capacity: 2, queue: 10, lingerMs: 2 * MINUTE, reclaim: false },
    render: { capacity: 1, unitRule: 'session' },
  },
})
const tokens = new Map() // The clients' secrets.
const starting = []

const say = (text) => console.log(`${String(manager.clock.nowMs / MINUTE).padStart(2)} min: ${text}`)

async function start(user, ticket) {
  const session = manager.beginNew({ application: 'desktop' })
  const login = session.async.login(user, { waitMs: 30 * MINUTE, ticket })
  if (ticket.waits) say(`${user} waits at position ${ticket.position}`)
  try {
    tokens.set(user, (await login).token)
    session.finish()
    say(`${user} has a seat`)
  } catch {
    session.end()
    say(`${user} gets no seat`)
  }
}

function begin(user) {
  const session = manager.begin(tokens.get(user))
  if (session.live) return session
  say(`${user} is ${[session.outcome, session.reason].filter(Boolean).join(': ')}`)
}

const requests = {
  start(user) {
    const ticket = new Ticket()
    starting.push({ ticket, answer: start(user, ticket) })
  },
  poll: (user) => begin(user)?.finish(),
  take(user, feature) {
    const session = begin(user)
    try {
      session?.takeFeature(feature)
      if (session) say(`${user} takes ${feature}`)
    } catch (denied) {
      say(`${user} is denied: ${denied.reason}`)
    }
    session?.finish()
  },
  close(user) {
    if (begin(user)?.end()) say(`${user} closes the window`)
  },
  advance: (minutes) => manager.clock.advance(minutes * MINUTE),
  usage(pool) {
    const use = manager.usage(pool)
    say(`${pool} has ${use.inUse} of ${use.capacity} seats, ${use.lingering} linger, ${use.waiting} wait`)
  },
  explain: (pool, user) => process.stdout.write(manager.explainUnit(pool, user)?.text ?? ''),
  audit: (pool) => console.log(JSON.stringify(manager.audit(pool))),
}

for await (const line of createInterface({ input: process.stdin })) {
  const [request, ...words] = line.split(' ')
  if (Object.hasOwn(requests, request)) await requests[request](...words)
  else console.log(line)
  for (const { ticket, answer } of starting) if (!ticket.waits) await answer
}
await manager.close(0)
