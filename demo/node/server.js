// Two workers. They have one store, so that either may answer any request; one that dies is replaced.
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'

const WORKERS = 2
const serving = new Set()
let stopping = false

cluster.setupPrimary({ exec: fileURLToPath(new URL('worker.js', import.meta.url)) })
for (let count = 0; count < WORKERS; count++) cluster.fork()

cluster.on('listening', (worker, { address, port }) => {
  if (serving.size === 0) console.log(`listening at http://${address}:${port}/`)
  serving.add(worker.id)
})

cluster.on('exit', (worker, code, signal) => {
  if (stopping) return
  if (!serving.delete(worker.id)) process.exit(1) // it could not even start, and said why
  console.error(`worker ${worker.process.pid} ended: ${signal ?? code}`)
  cluster.fork()
})

process.on('SIGTERM', () => {
  stopping = true
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
})
