// A cluster worker: a process of its own has a manager of its own.
import cluster from 'node:cluster'
import { open } from 'libsession'

const manager = open({ name: 'web' })
if (cluster.isPrimary) {
  manager.create()
  const worker = cluster.fork()
  worker.on('message', (count) => {
    console.log(`primary ${manager.count()}, worker ${count}`)
    worker.disconnect()
  })
} else {
  process.send(manager.count())
}
