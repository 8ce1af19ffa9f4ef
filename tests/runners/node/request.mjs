// Verbs on requests: data, locks, users, event classes, attachments.

import { className, list } from './answer.mjs'
import { ScriptError, names, textOf } from './line.mjs'
import { queueOptions } from './sessions.mjs'
import { json, path, subscript, subscriptText } from './json.mjs'

const orNone = (text) => text ?? 'none'
const noneOr = (word) => (word === 'none' ? null : json(word))
const ok = () => 'ok'

const groups = (words) => (words.text('groups') === undefined ? {} : { groups: names(words.text('groups')) })

/** Goes on with a value that may be a promise. */
const then = (value, next) => (typeof value?.then === 'function' ? value.then(next) : next(value))

export function onRequest(world, verb, words, inside) {
  const { session, label } = world.request(words.at(0))
  const renew = (token) => world.tokens.set(label, token)
  switch (verb) {
    case 'finish':
      return then(inside ? session.finish() : session.async.finish(), ok)
    case 'save':
      return ok(session.save())
    case 'discard':
      return ok(session.discard())
    case 'unlock':
      return ok(session.unlock({ save: words.has('save') }))
    case 'lock':
      if (inside) return ok(session.lock(words.at(1)))
      return session.async.lock(words.at(1), { lockTimeoutMs: words.number('timeout_ms') }).then(ok)
    case 'lock_mode':
      return session.lockMode ?? 'free'
    case 'request_end':
      return ok(session.requestEnd(!words.has('false')))
    case 'rotate':
      return ok(renew(session.rotate()))
    case 'login':
      return then(inside ? session.login(words.textAt(1), groups(words)) : session.async.login(words.textAt(1), { ...groups(words), ...queueOptions(world, words) }), (login) => {
        renew(login.token)
        return login.tradeDenied === null ? 'ok' : `ok trade_denied ${login.tradeDenied.reason}`
      })
    case 'trade':
      if (inside) return ok(session.trade(groups(words)))
      return session.async.trade({ ...groups(words), ...queueOptions(world, words) }).then(ok)
    case 'logout': {
      const options = { force: words.has('force') }
      return then(inside ? session.logout(options) : session.async.logout(options), (logout) => {
        if (logout.ended !== null) return `ended ${logout.ended.reason}`
        return ok(renew(logout.token))
      })
    }
    case 'take': {
      const options = { count: words.number('count') ?? 1, ...groups(words) }
      if (inside) return ok(session.takeFeature(words.textAt(1), options))
      return session.async.takeFeature(words.textAt(1), { ...options, ...queueOptions(world, words) }).then(ok)
    }
    case 'give_back':
      return `${session.returnFeature(words.textAt(1), words.number('count') ?? 1)}`
    case 'features':
      return list(session.features().map((one) => `${one.pool}:${one.count}:${one.holder}@${one.sinceMs}`), ',')
    case 'class_add':
    case 'class_clear':
    case 'event_class':
    case 'class_remove':
    case 'class_exists':
    case 'classes':
      return classes(session, verb, words)
    case 'attach':
    case 'attachment':
    case 'detach':
      return attachments(world, session, label, verb, words.textAt(1))
    default:
      return data(world, session.data, verb, words)
  }
}

function classes(session, verb, words) {
  words.only(['namespace'])
  const namespace = words.text('namespace')
  switch (verb) {
    case 'class_add':
      return ok(session.eventClassAdd(words.textAt(1), namespace))
    case 'class_clear':
      return ok(session.eventClassClear())
    case 'event_class':
      return ok((session.eventClass = words.textAt(1)))
    case 'class_remove':
      return String(session.eventClassRemove(words.plain.length > 1 ? words.textAt(1) : null, namespace))
    case 'class_exists':
      return String(session.eventClassExists(words.textAt(1), namespace))
    default:
      return list(session.eventClassList().map((one) => className(one.namespace, one.name)), ' ')
  }
}

function attachments(world, session, label, verb, name) {
  switch (verb) {
    case 'attach': {
      const id = world.id(label)
      const let_go = () => world.dropped(id, `drop.${name}@${world.clock.nowMs}`)
      session.attach(name, { [Symbol.dispose]: let_go })?.[Symbol.dispose]()
      return 'ok'
    }
    case 'attachment':
      return String(session.attachment(name) !== undefined)
    default: {
      const object = session.detach(name)
      object?.[Symbol.dispose]()
      return String(object !== undefined)
    }
  }
}

function data(world, data, verb, words) {
  switch (verb) {
    case 'count':
      return String(data.count)
    case 'bytes':
      return String(data.bytesUsed)
    case 'expect': {
      const version = world.versions.get(words.at(2))
      if (version === undefined) throw new ScriptError('there is no such version')
      return ok(data.expectVersion(path(words.at(1), textOf)[0], version))
    }
    default:
  }
  const at = path(words.at(1), textOf)
  switch (verb) {
    case 'get':
      return orNone(data.getJSON(...at))
    case 'get_versioned': {
      const { version } = data.getVersioned(...at)
      if (words.plain.length > 2) world.versions.set(words.at(2), version)
      return orNone(data.getJSON(...at))
    }
    case 'pop': {
      const text = orNone(data.getJSON(...at))
      data.pop(...at)
      return text
    }
    case 'set':
      return ok(data.setJSON(at, json(words.at(2))))
    case 'merge':
      return ok(data.mergeJSON(at, json(words.at(2))))
    case 'cas':
      return ok(data.compareAndSetJSON(at, noneOr(words.at(2)), noneOr(words.at(3))))
    case 'kill':
      return String(data.kill(...at))
    case 'defined':
      return String(data.defined(...at))
    case 'next': {
      const after = words.get('after')
      const next = data.next(at, after === undefined ? null : subscript(after), { backward: words.has('back') })
      return next === undefined ? 'none' : subscriptText(next)
    }
    case 'entries':
      return data.treeJSON(...at)
    default:
      throw new ScriptError(`there is no verb '${verb}'`)
  }
}
