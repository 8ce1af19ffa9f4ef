// A thread that shares a manager, first with the group resolver of another, then with its own.

import { parentPort } from 'node:worker_threads'
import { open } from 'libsession'

const manager = open({ name: 'groups-of-threads' })
const session = manager.beginNew()
const told = []
try {
  session.login('ann')
} catch (error) {
  told.push(`${error.kind}:${/another thread/.test(error.message)}`)
}
told.push((await session.async.login('ann')).tradeDenied.reason)
await manager.setGroupResolver(() => [])
told.push(session.login('bob').tradeDenied)
session.end()
parentPort.postMessage(told)
