// Callbacks that do what a script says.

import { SessionError, eventKinds } from '../../../bindings/node/lib/index.mjs'
import * as answers from './answer.mjs'
import { ScriptError, camel, number } from './line.mjs'
import { json } from './json.mjs'
import { answer } from './verbs.mjs'

/** The callbacks of a `class` line, for `register`. */
export function scripted(world, namespace, name, words) {
  const callbacks = {}
  for (const [option, value] of words.named) {
    if (['namespace', 'deadline_ms', 'compat_veto'].includes(option)) continue
    if (!eventKinds.includes(option)) throw new ScriptError(`there is no callback '${option}'`)
    const steps = value.split('|').map((step) => step.split('+').map(action))
    let calls = 0
    callbacks[camel(option)] = (event) => {
      const step = steps[Math.min(calls++, steps.length - 1)]
      return run(world, answers.className(namespace, name), step, event)
    }
  }
  return callbacks
}

function action(text) {
  const at = text.indexOf(':')
  const [name, rest] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
  switch (name) {
    case 'ok':
    case 'hang':
    case 'keep':
      return { name }
    case 'throw':
    case 'deny':
      return { name, text: rest === '' ? 'boom' : rest }
    case 'extend':
    case 'timeout':
      return { name, ms: number(rest) }
    case 'set': {
      const colon = rest.indexOf(':')
      if (colon < 0) throw new ScriptError('set wants KEY:JSON')
      return { name, key: rest.slice(0, colon), value: json(rest.slice(colon + 1)) }
    }
    case 'license':
    case 'see':
    case 'do':
      return { name, word: rest }
    default:
      throw new ScriptError(`there is no action '${text}'`)
  }
}

/** Does the actions of a step; returns a promise only if one of them waits. What `do` waits for is noted when it comes. */
function run(world, name, step, event) {
  const reason = event.reason === null ? '' : `:${event.reason}`
  const attempt = event.attempt > 1 ? `#${event.attempt}` : ''
  const again = event.redelivered ? '!' : ''
  const what = `${name}.${event.kind}@${world.clock.nowMs}${reason}${attempt}${again}`
  const place = world.delivered(event.sessionId, name, event.kind, what)
  const notes = []
  const from = (index) => {
    for (let next = index; next < step.length; next++) {
      const waits = act(world, name, place, step[next], event, notes)
      if (waits === 'over') break
      if (waits) return waits.then(() => from(next + 1))
    }
    return notes.length > 0 ? Promise.all(notes).then(() => undefined) : undefined
  }
  return from(0)
}

function act(world, name, place, action, event, notes) {
  switch (action.name) {
    case 'ok':
      return 'over'
    case 'throw':
      throw new Error(action.text)
    case 'deny':
      event.deny(action.text)
      return 'over'
    case 'extend':
      event.extend(action.ms)
      return 'over'
    case 'hang':
      event.hang()
      return world.hang(name)
    case 'set':
      return refused(world, place, 'set', () => request(event, 'set').data.setJSON([action.key], action.value))
    case 'timeout':
      return refused(world, place, 'timeout', () => (request(event, 'timeout').idleTimeoutMs = action.ms))
    case 'license':
      return void event.setLicenseClass(action.word)
    case 'keep':
      return void (event.endSession = false)
    case 'see':
      return void world.note(place, answers.word(`${action.word}=${seen(event, action.word)}`))
    default:
      return void doLine(world, place, action.word, notes)
  }
}

function request(event, what) {
  if (event.session === null) throw new Error(`${what}: this callback has no request`)
  return event.session
}

function refused(world, place, what, change) {
  try {
    change()
  } catch (error) {
    if (!(error instanceof SessionError)) throw error
    world.note(place, `${what}=${answers.word(answers.error(error))}`)
  }
  return undefined
}

function doLine(world, place, line, notes) {
  const words = line.split(',').map((word) => (word === '@' ? place.label : word))
  const at = place.notes.push('') - 1
  const note = (text) => void (place.notes[at] = answers.word(`${line}=${world.withLabels(text)}`))
  const failed = (error) => note(error instanceof SessionError ? answers.error(error) : `script: ${error.message}`)
  try {
    const got = answer(world, words, true)
    if (typeof got?.then === 'function') notes.push(got.then(note, failed))
    else note(got)
  } catch (error) {
    failed(error)
  }
}

function seen(event, field) {
  const orNone = (value) => (value === null || value === undefined ? 'none' : String(value))
  switch (field) {
    case 'application':
      return event.application
    case 'old_application':
      return orNone(event.oldApplication)
    case 'namespace':
      return event.namespace
    case 'user':
      return orNone(event.user)
    case 'old_user':
      return orNone(event.oldUser)
    case 'level':
      return orNone(event.level)
    case 'thread':
      return event.thread
    case 'remaining':
      return event.remainingMs === null ? 'none' : String(Math.floor(event.remainingMs))
    case 'pool':
      return orNone(event.pool?.pool)
    case 'in_use':
      return orNone(event.pool?.inUse)
    case 'capacity':
      return orNone(event.pool?.capacity)
    default:
      return seenData(event, field)
  }
}

function seenData(event, field) {
  if (field !== 'data' && !field.startsWith('data.')) return `no_field_${field}`
  try {
    return field === 'data' ? event.data.treeJSON() : event.data.getJSON(field.slice(5)) ?? 'none'
  } catch (error) {
    if (error instanceof SessionError && error.kind === 'corrupt') return 'corrupt'
    throw error
  }
}
