// A worker that shares a manager by its name: begins a session made elsewhere, counts, and makes one itself.
import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'libsession'

const manager = open({ name: workerData.name })
if (workerData.token) {
  const session = await manager.async.begin(workerData.token)
  for (let round = 0; round < (workerData.rounds ?? 1); round++) {
    for (;;) {
      const n = session.data.get('n')
      try {
        session.data.compareAndSet('n', n, n + 1)
        break
      } catch (error) {
        if (error.kind !== 'conflict') throw error
      }
    }
  }
  session.finish()
}
parentPort.postMessage({ count: manager.count(), created: manager.create() })
