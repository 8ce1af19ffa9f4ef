// What all servers of the shop agree on. settings.c and settings.py say the same: a store refuses a process that differs.
import { open } from 'libsession'

const STORE = process.env.SHOP_STORE ?? 'file:/tmp/libsession-shop'
export const COOKIE = 'shop_session'
export const APPLICATION = 'shop'
export const POOL = 'users'

export function openManager() {
  return open({
    store: STORE,
    profile: 'iris',
    applications: [{ name: APPLICATION, idleTimeoutMs: 3000, extensionCapMs: 1000, eventClasses: ['mailer'] }],
    pools: [{ name: POOL, capacity: 6, queue: 10 }],
    callbackDeadlineMs: 500,
    retries: 2,
    debug: true,
  })
}
