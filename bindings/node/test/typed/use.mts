// Compiles under --strict: the types say what the package does.

import { Manager, ManualClock, SessionError, EventClass, open } from 'libsession'
import type { Callbacks, EndReason, Event, NotLive, Session, Value } from 'libsession'

class Audit implements Callbacks {
  readonly ended: EndReason[] = []

  onEnd(event: Event): void {
    if (event.reason !== null) this.ended.push(event.reason)
  }

  async onStart(event: Event): Promise<boolean> {
    event.session?.data.set('started', Date.now())
    event.setLicenseClass('anonymous')
    return event.application !== 'closed'
  }
}

export async function story(): Promise<EndReason | null> {
  const clock = new ManualClock()
  await using manager: Manager = open({
    name: 'typed',
    clock,
    applications: { shop: { idleTimeoutMs: 900_000, absoluteTimeoutMs: null, eventClasses: ['audit'], lock: 'shared' } },
    pools: [{ name: 'users', capacity: 5, unitRule: 'staircase' }],
    quotas: { valueBytes: 1024 },
  })
  manager.register('audit', Audit)
  manager.register('other', new Audit(), { namespace: 'n', deadlineMs: 100 })
  manager.register(new EventClass('third').on('end', (event) => event.deny()).on('on_start', () => false).on('onLogin', () => {}))

  const { token } = await manager.async.create({ data: { cart: ['tea', 2, 2n ** 60n, new Uint8Array(2), { deep: null }] } })
  const begun: Session | NotLive = manager.begin(token, { touch: 'activity', lock: 'exclusive' })
  if (!begun.live) return begun.reason
  using session = begun
  const cart: Value | undefined = session.data.get('cart', 1)
  session.data.set('cart', 1, 'milk')
  session.data.merge('cart', { nested: { deep: 1 } })
  session.data.compareAndSet(['n'], undefined, 1)
  for (const [path, value] of session.data.entries('cart')) console.log(path.length, value, cart)
  session.idleTimeoutMs = null
  const login = await session.async.login('ada')
  console.log(login.tradeDenied?.reason, login.token)
  session.takeFeature('cad', { count: 2, groups: ['leads'] })
  const returned: number = session.returnFeature('cad', 2)
  for (const { pool, count, holder, sinceMs } of session.features()) console.log(pool, count + returned, holder, sinceMs)

  try {
    manager.create({ application: 'shop' })
  } catch (error) {
    if (error instanceof SessionError && error.code === 'ERR_SESSION_LICENSE_DENIED') console.log(error.retryAfterMs)
  }
  for await (const { changed } of manager.endWhere({ user: 'ada' }, { reason: 'revoked' })) console.log(changed)
  const { changed } = await manager.endWhere()
  console.log(changed, manager.stats().ended.idle_timeout ?? 0)
  const pending: number = await clock.advance(1000)
  const signal = AbortSignal.timeout(10)
  await manager.async.begin(token, { signal, lockTimeoutMs: 10 })
  return pending > 0 ? 'ended' : null
}

// @ts-expect-error: there is no such option
open({ idle: '30m' })
// @ts-expect-error: there is no such level
open().end('id', { level: 'hard' })
// @ts-expect-error: a date is no value
open().beginNew().data.set('when', new Date())
// @ts-expect-error: a session is made by a manager
new Session()
// @ts-expect-error: how long a unit lingers is not left out but 0
open().changePool('users', { lingerMs: null })
open().changePool('users', { recovered: null, overdraftTimeMs: null })
