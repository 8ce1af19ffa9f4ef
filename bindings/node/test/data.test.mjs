import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { kind, shop } from './helpers.mjs'

let manager
let session
before(() => {
  manager = shop()
})
after(() => manager.close())

const fresh = () => manager.beginNew()

test('every value survives, as what it was', () => {
  session = fresh()
  const values = [
    null, true, false, 0, -0, 1, -7, 1.5, 2 ** 53 - 1, 1e300, Number.MIN_VALUE, Number.NaN, Infinity, -Infinity, '', 'tea', 'ä€😀',
    '\0', 2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n, new Uint8Array(), new Uint8Array([0, 255]), [], {}, [[], {}],
    { a: [1, { b: null }], $bytes: 'no bytes' }, { $bytes: 'AA==' }, { ['__proto__']: 1, x: 2 }, [1n, 2n ** 60n], [new Uint8Array([1])],
    { deep: { deeper: [Number.NaN, -0, 1e21] } },
  ]
  for (const value of values) {
    session.data.set('k', value)
    const got = session.data.get('k')
    if (Array.isArray(value) && value[0] === 1n) assert.deepEqual(got, [1, 2n ** 60n])
    else assert.deepEqual(got, value)
  }
  session.discard()
  session.finish()
})

test('objects are fresh copies, and undefined in them is left out as in JSON', () => {
  session = fresh()
  const value = { list: [1, undefined], gone: undefined }
  session.data.set('k', value)
  value.list.push(2)
  assert.deepEqual(session.data.get('k'), { list: [1, null] })
  assert.notEqual(session.data.get('k'), session.data.get('k'))
  session.finish()
})

test('what is no value is refused and changes nothing', () => {
  session = fresh()
  session.data.set('k', 1)
  const loop = {}
  loop.loop = loop
  for (const value of [undefined, Symbol('s'), () => {}, new Date(), new Map(), [new Date()], 2n ** 63n, 10n ** 20n]) {
    assert.throws(() => session.data.set('k', value), kind('invalid'))
  }
  assert.throws(() => session.data.set('k', loop), kind('quota'))
  for (const subscript of [undefined, null, Number.NaN, Infinity, {}, true]) {
    assert.throws(() => session.data.set(subscript, 1), kind('invalid'))
  }
  assert.equal(session.data.get('k'), 1)
  assert.equal(session.data.count, 1)
  session.finish()
})

test('quotas give a clear error and change nothing', () => {
  session = fresh()
  assert.throws(() => session.data.set('k', 'x'.repeat(64 * 1024 + 1)), kind('quota'))
  assert.throws(() => session.data.set('x'.repeat(256), 1), /255/)
  assert.throws(() => session.data.set(...Array(65).fill('a'), 1), kind('quota'))
  assert.equal(session.data.count, 0)
  session.finish()
})

test('the tree: paths, $DATA, $ORDER, kill, pop, merge', () => {
  session = fresh()
  const { data } = session
  data.set('cart', 2, 'milk')
  data.set('cart', 10, 'bread')
  data.set('cart', 'note', 'soon')
  data.set('cart', 'mine')
  assert.equal(data.defined('cart'), 11)
  assert.equal(data.defined('cart', 2), 1)
  assert.equal(data.defined('nothing'), 0)
  assert.equal(data.get('cart', 2.0), 'milk')
  assert.equal(data.get('cart', '2'), undefined)
  const order = []
  for (let next = data.next('cart'); next !== undefined; next = data.next('cart', next)) order.push(next)
  assert.deepEqual(order, [2, 10, 'note'])
  assert.equal(data.next(['cart'], null, { backward: true }), 'note')
  assert.deepEqual([...data.entries('cart')], [[[], 'mine'], [[2], 'milk'], [[10], 'bread'], [['note'], 'soon']])
  assert.equal(data.pop('cart', 2), 'milk')
  assert.equal(data.kill('cart', 10), true)
  assert.equal(data.kill('cart', 10), false)
  data.merge('copy', data.entries('cart'))
  assert.equal(data.get('copy', 'note'), 'soon')
  data.merge({ nested: { deep: [1], empty: '' } })
  assert.deepEqual(data.get('nested', 'deep'), [1])
  assert.throws(() => data.merge('x', 5), kind('invalid'))
  data.set(123456789012345678n, 'big')
  assert.equal(data.next([], 'zzz', { backward: true }), 'nested')
  assert.equal(data.next([]), 123456789012345678n)
  data.kill()
  assert.equal(data.count, 0)
  assert.equal(data.bytesUsed, 0)
  session.finish()
})

test('a float that another language wrote keeps its kind in the lossless text', () => {
  session = fresh()
  session.data.setJSON('f', '1.0')
  assert.equal(session.data.get('f'), 1)
  assert.equal(session.data.getJSON('f'), '1.0')
  assert.equal(session.data.getJSON('nothing'), undefined)
  session.data.mergeJSON('t', '[[["a"],2.0]]')
  assert.equal(session.data.treeJSON('t'), '[[["a"],2.0]]')
  session.finish()
})

test('compare_and_set commits at once, and a stale version conflicts', () => {
  const { token } = manager.create()
  const [one, other] = [0, 1].map(() => manager.begin(token, { lock: 'shared' }))
  one.data.compareAndSet('n', undefined, 1)
  assert.throws(() => other.data.compareAndSet('n', undefined, 2), kind('conflict', { retryable: true }))
  other.data.compareAndSet('n', 1, 2)
  const { value, version } = one.data.getVersioned('n')
  assert.equal(value, 2)
  other.data.set('n', 3)
  other.save()
  one.data.set('n', value + 1)
  one.data.set('m', 1)
  assert.ok(version > 0)
  assert.throws(() => one.finish(), kind('conflict'))
  assert.throws(() => one.data.get('n'), kind('closed'))
  other.data.expectVersion('n', version)
  other.data.set('n', 4)
  assert.throws(() => other.save(), (error) => error.kind === 'conflict' && error.keys.length === 1)
  other.discard()
  assert.equal(other.data.get('n'), 3)
  assert.equal(other.data.get('m'), undefined)
  other.finish()
})
