// The demo's shop in Node: Express in a cluster, two workers. demo/README.md says what each address does.
import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import express from 'express'
import { SessionError } from 'libsession'
import { APPLICATION, COOKIE, openManager, POOL } from '../shop/settings.mjs'
import { register } from './culprits.js'

const manager = openManager()
register(manager)

// --- what a visitor sees ---

const app = express()
app.disable('x-powered-by')
app.use((request, response, next) => {
  response.set('X-Process', String(process.pid)) // for the demo's story
  next()
})

function token(request) {
  const cookies = (request.headers.cookie ?? '').split(/; */).map((pair) => pair.split('='))
  return cookies.find(([name]) => name === COOKIE)?.[1]
}

/** The live session of the request, or an error that says why there is none. It waits its turn. */
async function begin(request) {
  const session = await manager.async.begin(token(request))
  if (!session.live) {
    throw new SessionError(session.outcome, 'there is no live session', { reason: session.reason })
  }
  return session
}

app.get('/', async (request, response) => {
  const page = await readFile(new URL('../page.html', import.meta.url), 'utf8')
  response.type('html').send(page.replace('{{server}}', 'Node: Express'))
})

app.post('/login', async (request, response) => {
  const { user, culprit = '', idle_ms: idleMs, wait_ms: waitMs = 0 } = request.query
  const client = { address: request.socket.remoteAddress, userAgent: request.headers['user-agent'] }
  const session = await manager.async.beginNew({ application: APPLICATION, ...client, waitMs: Number(waitMs) })
  let login
  try {
    for (const name of culprit.split(',').filter(Boolean)) session.eventClassAdd(name)
    if (idleMs !== undefined) session.idleTimeoutMs = Number(idleMs)
    session.data.set('count', 0)
    login = await session.async.login(user)
  } finally {
    await session.async.finish()
  }
  response.cookie(COOKIE, login.token, { httpOnly: true, sameSite: 'lax' }).json({ id: session.id, user })
})

// Counts; takes its time, if asked to. It holds the session's lock: other requests of the session wait, at any server.
app.post('/work', async (request, response) => {
  const session = await begin(request)
  let answer
  try {
    if (request.query.ms) await wait(Number(request.query.ms))
    session.data.set('count', session.data.get('count') + 1)
    answer = { count: session.data.get('count') }
  } finally {
    await session.async.finish()
  }
  response.json(answer)
})

// A download that takes its time. Its request is in flight until the last byte, or until the browser is gone.
app.get('/slow', async (request, response) => {
  const session = await begin(request)
  try {
    session.unlock()
    response.type('application/octet-stream')
    for (let left = Number(request.query.ms ?? 3000); left > 0 && !response.destroyed; left -= 100) {
      response.write(Buffer.alloc(1024, 'x'))
      await wait(100)
    }
    response.end()
  } finally {
    await session.async.finish()
  }
})

app.post('/leave', async (request, response) => {
  const session = await begin(request)
  response.json(outcome(await session.async.end({ level: 'request', actor: 'the user' })))
})

// --- what an administrator sees ---

function receipt(found, outcome) {
  return {
    outcome,
    id: found.id,
    user: found.user,
    reason: found.reason,
    level: found.level,
    actor: found.actor,
    note: found.note,
    at_ms: found.atMs,
    late_ms: found.lateMs,
    license_free_at_ms: found.licenseFreeAtMs,
    callbacks: found.callbacks.map(({ eventClass, kind, outcome }) => ({ class: eventClass, kind, outcome })),
  }
}

function outcome(ended) {
  if (ended.outcome === 'extended') return { outcome: 'extended', class: ended.extendedBy, by_ms: ended.extendedMs }
  if (ended.outcome === 'absent') throw new SessionError('absent', 'there is no such session')
  return receipt(ended.receipt, ended.outcome)
}

function row(session) {
  return {
    id: session.id,
    user: session.user,
    state: session.state,
    in_flight: session.inFlight,
    holder: session.licenseHolder,
    last_used_ms: session.lastUsedMs,
    deadline_ms: session.deadlineMs,
  }
}

function id(request) {
  if (!request.query.id) throw new SessionError('invalid', 'which session? ?id=…')
  return request.query.id
}

app.get('/admin/sessions', (request, response) => {
  response.json(manager.list().sessions.map(row))
})

app.get('/admin/explain', (request, response) => {
  const found = manager.explain(id(request))
  if (!found) throw new SessionError('absent', 'there is no such session')
  response.json({
    id: found.id,
    live: found.live && row(found.live),
    ended: found.ended && receipt(found.ended, 'gone'),
    requests: found.requests.map(({ process, lock }) => ({ process, lock })),
    extensions: found.extensions.map(({ eventClass, extendedMs }) => ({ class: eventClass, by_ms: extendedMs })),
    damaged: found.damaged,
    text: found.text,
  })
})

app.post('/admin/end', async (request, response) => {
  const options = { reason: 'revoked', actor: 'the administrator', waitMs: 2000 }
  response.json(outcome(await manager.async.end(id(request), options)))
})

app.get('/admin/usage', (request, response) => {
  const found = manager.usage(POOL)
  response.json({
    capacity: found.capacity,
    in_use: found.inUse,
    available: found.available,
    high_water: found.highWater,
    denials: found.denials,
    holders: found.holders.map(({ holder, units }) => ({ holder, units })),
  })
})

app.get('/admin/queue', (request, response) => {
  response.json(manager.queue(POOL).map(({ position, process }) => ({ position, process })))
})

app.get('/admin/holder', (request, response) => {
  const found = manager.explainUnit(POOL, request.query.user ?? '')
  if (!found) throw new SessionError('absent', 'holds no unit')
  const { holder, units } = found.holder
  response.json({ holder: { holder, units }, text: found.text })
})

app.get('/admin/accounts', (request, response) => {
  const records = manager.auditRecords(POOL, { after: Number(request.query.after ?? 0) })
  response.json(
    records.map(({ seq, kind, sessionId, holder, before, after, why }) => ({
      seq,
      kind,
      session_id: sessionId,
      holder,
      before,
      after,
      why,
    })),
  )
})

app.get('/admin/audit', (request, response) => {
  const { counted, recounted, differences } = manager.audit(POOL)
  response.json({ counted, recounted, differences })
})

app.get('/admin/check', (request, response) => {
  response.json(manager.check())
})

app.get('/admin/dead_letters', (request, response) => {
  response.json(
    manager.deadLetters().map(({ sessionId, eventClass, kind, attempts, error }) => ({
      session_id: sessionId,
      class: eventClass,
      kind,
      attempts,
      error,
    })),
  )
})

app.post('/admin/damage', (request, response) => {
  response.json({ damaged: manager.damage(id(request)) })
})

// --- what goes wrong ---

const STATUS = { absent: 401, gone: 401, corrupt: 500, lock_timeout: 409, license_denied: 503 }

app.use((error, request, response, next) => {
  if (response.headersSent || !(error instanceof SessionError)) return next(error)
  response.status(STATUS[error.kind] ?? 400)
  if (error.kind === 'license_denied') {
    response.set('Retry-After', String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1000) / 1000))))
    return response.json({ error: error.kind, reason: error.reason, retry_after_ms: error.retryAfterMs })
  }
  response.json({ error: error.kind, reason: error.reason, message: error.message })
})

const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', (error) => {
  if (error) throw error
})

process.on('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await manager.close(1000)
  process.exit(0)
})
