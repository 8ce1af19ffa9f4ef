// The vocabularies are the engine's: a kind that is added there and not here fails.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as esm from 'libsession'
import { createRequire } from 'node:module'

const { EventClass, SessionError, endReasons, errorKinds, eventKinds } = esm
const types = readFileSync(new URL('../lib/index.d.cts', import.meta.url), 'utf8')
const native = createRequire(import.meta.url)('../native.cjs')

/** The texts of a union type. */
function union(name) {
  const body = new RegExp(`export type ${name} =([^]*?)\n(?=\n|export)`).exec(types)[1]
  return [...body.replace(/\/\*\*[^]*?\*\//g, '').matchAll(/'([A-Za-z_]+)'/g)].map((match) => match[1])
}

const method = (kind) => kind.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

test('every error kind has its code, its class and its type', () => {
  assert.equal(errorKinds.length, 22)
  for (const kind of errorKinds) {
    const error = new SessionError(kind, 'text')
    assert.equal(error.code, `ERR_SESSION_${kind.toUpperCase()}`)
    assert.equal(error.kind, kind)
    assert.equal(error.name, 'SessionError')
    assert.deepEqual([error.reason, error.retryAfterMs, error.keys, error.retryable], [null, null, [], false])
  }
  assert.deepEqual(union('ErrorKind'), [...errorKinds, 'absent', 'gone'])
  native.words().errorKinds.forEach(({ code }, index) => assert.equal(code, index + 1))
})

test('every event kind has its callback and its type', () => {
  assert.deepEqual(union('EventKind'), [...eventKinds])
  const callbacks = /export interface Callbacks \{([^]*?)\n\}/.exec(types)[1]
  assert.deepEqual([...callbacks.matchAll(/(on\w+)\?:/g)].map((match) => match[1]), eventKinds.map(method))
  for (const kind of eventKinds) {
    for (const name of [kind, method(kind), kind.slice(3)]) assert.ok(new EventClass('x').on(name, () => {}))
  }
})

test('every other vocabulary has its type', () => {
  const words = native.words()
  const names = (list) => list.map(({ name }) => name)
  assert.deepEqual(union('EndReason'), [...endReasons])
  assert.deepEqual(union('DenyReason'), names(words.denyReasons))
  assert.deepEqual(union('EndLevel'), names(words.endLevels))
  assert.deepEqual(union('TouchKind'), names(words.touchKinds))
  assert.deepEqual(union('LockMode'), names(words.lockModes))
  assert.deepEqual(union('LicenseClass'), names(words.licenseClasses))
  assert.deepEqual(union('LazyUntil'), names(words.lazyUntils))
  assert.deepEqual(union('Evict'), names(words.evicts))
  assert.deepEqual(union('AtSessionLimit'), names(words.atSessionLimits))
  assert.deepEqual(union('UnitRule'), names(words.unitRules))
  assert.deepEqual(union('ThreadKind'), names(words.threadKinds))
  for (const word of names(words.applicationTimeouts)) assert.ok(types.includes(`'${word}'`))
})

test('ESM and CommonJS are one package: the same classes', () => {
  const cjs = createRequire(import.meta.url)('libsession')
  assert.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).filter((name) => name !== 'default' && name !== 'module.exports').sort())
  for (const name of Object.keys(cjs)) assert.equal(cjs[name], esm[name])
})

test('what the types export as values is exported', () => {
  const values = [...types.matchAll(/^export (?:class|const|function) (\w+)/gm)].map((match) => match[1])
  assert.deepEqual([...new Set(values)].sort(), Object.keys(esm).filter((name) => name !== 'default').sort())
})

test('the words of the accounts are the same wherever they are told', () => {
  const read = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
  const core = read('core/src/license/audit.rs')
  const record = /export interface AuditRecord \{([^]*?)\n\}/.exec(types)[1]
  for (const [of, member] of [['AuditKind', 'kind'], ['AuditWhy', 'why']]) {
    const known = [...new RegExp(`impl ${of} \\{([^]*?)\n\\}`).exec(core)[1].matchAll(/=> "(\w+)"/g)].map((match) => match[1])
    assert.ok(known.length > 5, of)
    const told = new RegExp(`^  ${member}: (.*)$`, 'm').exec(record)[1]
    assert.deepEqual([...told.matchAll(/'(\w+)'/g)].map((match) => match[1]), known)
    for (const word of known) {
      assert.ok(read('include/libsession.h').includes(`"${word}"`), `${word} in the header`)
      assert.ok(read('bindings/python/python/libsession/_records.py').includes(`\`${word}\``), `${word} in Python`)
    }
  }
})

test('options have their own names in messages, and null is for what may be left out', async () => {
  const manager = esm.open({ pools: { max_connections: { capacity: 2 } } })
  const refused = (run, message) => assert.throws(run, { name: 'SessionError', kind: 'invalid', message })
  refused(() => esm.open({ callbackDeadlineMs: 0 }), /^callbackDeadlineMs can't be 0/)
  refused(() => esm.open({ pools: { a: { capacity: 1, minHoldMs: 1e16 } } }), /^minHoldMs of/)
  // Those of one word, too, but not in the midst of a sentence.
  refused(() => esm.open({ pools: { a: { capacity: 1, lingerMs: 1e16 } } }), /^lingerMs of \d+ s is over the bound of 100 years$/)
  refused(() => esm.open({ tombstoneMs: 1e16 }), /^tombstoneMs of/)
  refused(() => manager.register('slow', { onEnd() {} }, { deadlineMs: 0 }), /^the deadlineMs of an event class can't be 0$/)
  await assert.rejects(manager.async.create({ waitMs: 1e16 }), { kind: 'invalid', message: /^waitMs of/ })
  await assert.rejects(manager.drain(1e16), { kind: 'invalid', message: /^timeoutMs of/ })
  refused(() => esm.open({ pools: { a: { capacity: 1, queue: 1_000_001 } } }), /^pool 'a': queue 1000001 is over the bound of 1000000$/)
  refused(() => manager.auditRecords('max_connections', { limit: 0 }), /^limit 0 would tell nothing; it must be at least 1$/)
  refused(() => manager.changePool('max_connections', { maxConnections: 0 }), /^maxConnections 0 of pool 'max_connections'/)
  refused(() => manager.changePool('max_connections', { breakGlass: 3 }), /breakGlass/)
  const definition = manager.pool('max_connections')
  for (const [option, value] of Object.entries(definition)) {
    if (option === 'name') continue
    const change = () => manager.changePool('max_connections', { [option]: null })
    if (value === null) assert.equal(change()[option], null)
    else refused(change, new RegExp(`^${option} is null`))
    assert.deepEqual(manager.pool('max_connections'), definition)
  }
  const leftOut = union('PoolOptionLeftOut')
  assert.deepEqual(leftOut.sort(), Object.keys(definition).filter((option) => definition[option] === null).sort())
  await manager.close()
})
