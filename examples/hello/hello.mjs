// The story of examples/README.md in Node: `node hello.mjs`.

import { open } from 'libsession'

const manager = open({
  clock: 'manual', // Stands still until it is told.
  applications: { shop: { idleTimeoutMs: 15 * 60_000, eventClasses: ['greeter'] } },
  pools: { users: { capacity: 1 } },
})
manager.register('greeter', {
  onEnd(event) {
    console.log(`ended: ${event.reason}`)
  },
})

const created = manager.create({ application: 'shop' })
const session = manager.begin(created.token)
session.data.set('product', 'tea')
const { token } = session.login('ada') // A new token for the client.
console.log(`hello ${session.user}, ${session.data.get('product')} is in the cart`)
session.finish()

try {
  manager.create({ application: 'shop' })
} catch (denied) {
  console.log(`no unit left: ${denied.reason}`)
}

await manager.clock.advance(15 * 60_000)
const late = manager.begin(token)
if (!late.live) console.log(`${late.outcome}: ${late.reason}`)
console.log(`units in use: ${manager.usage('users').inUse}`)
await manager.close()
