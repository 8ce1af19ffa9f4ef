// Works on its own manager, or on a shared one, until it is stopped: sessions end all the time, callbacks are slow or hang.
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { open } from 'libsession'

const how = isMainThread ? process.argv[2] : workerData.how
const manager = open({
  ...(workerData?.name ? { name: workerData.name } : {}),
  applications: { shop: { idleTimeoutMs: 5, eventClasses: ['x'] } },
})
manager.register('x', {
  onTimeout: () => new Promise((resolve) => setTimeout(resolve, 1)),
  onEnd: () => new Promise(() => {}),
  onStartRequest() {},
})
let started = false
const work = () => {
  for (let number = 0; number < 20; number++) manager.beginNew().finish()
  void manager.async.begin(manager.create().token, { lockTimeoutMs: 1000 }).catch(() => {})
  void manager.drain(1000).catch(() => {})
  if (!started) parentPort?.postMessage('busy')
  started = true
  setImmediate(work)
}
work()
const stop = { exit: () => process.exit(7), throw: () => { throw new Error('uncaught') }, reject: () => void Promise.reject(new Error('unhandled')) }
if (how in stop) setTimeout(stop[how], 5 + Math.random() * 10)
