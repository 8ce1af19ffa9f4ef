'use strict'

const { SessionError, invalid, shown } = require('./errors.cjs')

const LEVELS = 256

/** Whether JSON has all of it as it is: then it needs no writer of ours. */
function isPlain(value, level) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isInteger(value) ? Number.isSafeInteger(value) && !Object.is(value, -0) : Number.isFinite(value)
    case 'object': {
      if (value === null) return true
      if (level > LEVELS) return false
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++) if (!isPlain(value[index], level + 1)) return false
        return true
      }
      const prototype = Object.getPrototypeOf(value)
      if (prototype !== Object.prototype && prototype !== null) return false
      const keys = Object.keys(value)
      if (keys.length === 1 && keys[0].startsWith('$')) return false
      for (const key of keys) if (key === 'toJSON' || !isPlain(value[key], level + 1)) return false
      return true
    }
    default:
      return false
  }
}

function numberText(value) {
  if (!Number.isFinite(value)) return `{"$float":"${value}"}`
  if (Object.is(value, -0)) return '-0.0'
  const text = String(value)
  return Number.isSafeInteger(value) || /[.e]/.test(text) ? text : `${text}.0`
}

/** The engine's lossless JSON text of a value. */
function write(value, level) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      return numberText(value)
    case 'bigint':
      return String(value)
    case 'object':
      if (value === null) return 'null'
      return writeObject(value, level)
    default:
      throw invalid(`${shown(value)} is no value; kill() removes one`)
  }
}

function writeObject(value, level) {
  if (level > LEVELS) {
    throw new SessionError('quota', `a value is nested more than ${LEVELS} levels deep, or in itself; nothing was changed`)
  }
  if (value instanceof Uint8Array) {
    return `{"$bytes":"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}"}`
  }
  if (Array.isArray(value)) {
    const items = Array.from(value, (item) => (item === undefined ? 'null' : write(item, level + 1)))
    return `[${items.join(',')}]`
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw invalid(
      `${shown(value)} is no value: values are null, booleans, numbers, BigInt, strings, Uint8Array, arrays and plain objects`,
    )
  }
  const entries = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .map((key) => [JSON.stringify(key), write(value[key], level + 1)])
  if (entries.length === 1 && entries[0][0].startsWith('"$')) return `{"$map":[[${entries[0].join(',')}]]}`
  return `{${entries.map((entry) => entry.join(':')).join(',')}}`
}

const textOfValue = (value) => (isPlain(value, 0) ? JSON.stringify(value) : write(value, 0))

function stepText(step) {
  if (typeof step === 'string') return JSON.stringify(step)
  if (typeof step === 'bigint' || Number.isFinite(step)) return String(step)
  throw invalid(`the subscript ${shown(step)} is neither a string nor a number`)
}

function checkPath(path) {
  for (const step of path) {
    if (typeof step !== 'string' && typeof step !== 'bigint' && !(typeof step === 'number' && Number.isFinite(step))) {
      throw invalid(`the subscript ${shown(step)} is neither a string nor a finite number`)
    }
  }
  return path
}

function pathOf(path) {
  return checkPath(Array.isArray(path) ? path : [path])
}

function isTree(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function* nodesOf(tree, below, level) {
  if (level > LEVELS) throw new SessionError('quota', `a tree has more than ${LEVELS} levels; nothing was changed`)
  for (const key of Object.keys(tree)) {
    const value = tree[key]
    if (value === undefined) continue
    if (isTree(value)) yield* nodesOf(value, [...below, key], level + 1)
    else yield [[...below, key], value]
  }
}

/** The engine's JSON text of a tree: of `[path, value]` pairs, or of a plain object with one level for each subscript. */
function treeText(tree) {
  const pairs = typeof tree?.[Symbol.iterator] === 'function' && typeof tree !== 'string' ? tree : null
  if (pairs === null && !isTree(tree)) throw invalid(`${shown(tree)} is no tree: neither pairs of path and value nor a plain object`)
  const nodes = []
  for (const [path, value] of pairs ?? nodesOf(tree, [], 0)) {
    nodes.push(`[[${pathOf(path).map(stepText).join(',')}],${textOfValue(value)}]`)
  }
  return `[${nodes.join(',')}]`
}

/** A session's data as it was: read only. */
class ReadOnlyData {
  #native

  constructor(native) {
    this.#native = native
  }

  get(...path) {
    return this.#native.get(checkPath(path))
  }

  getJSON(...path) {
    return this.#native.getJson(checkPath(path)) ?? undefined
  }

  treeJSON(...path) {
    return this.#native.treeJson(checkPath(path))
  }

  defined(...path) {
    return this.#native.defined(checkPath(path))
  }

  next(path, after, { backward = false } = {}) {
    return this.#native.next(pathOf(path), after ?? null, backward)
  }

  entries(...path) {
    return this.#native.entries(checkPath(path))[Symbol.iterator]()
  }

  [Symbol.iterator]() {
    return this.entries()
  }
}

/** The data of a session, as one request sees it: committed data under its own writes. */
class Data {
  #native

  constructor(native) {
    this.#native = native
  }

  get(...path) {
    if (path.length === 1 && typeof path[0] === 'string') return this.#native.getText(path[0])
    return this.#native.get(checkPath(path))
  }

  getJSON(...path) {
    return this.#native.getJson(checkPath(path)) ?? undefined
  }

  treeJSON(...path) {
    return this.#native.treeJson(checkPath(path))
  }

  getVersioned(...path) {
    const [value, version] = this.#native.getVersioned(checkPath(path))
    return { value, version }
  }

  expectVersion(first, version) {
    this.#native.expectVersion(pathOf(first)[0], version)
  }

  set(...pathAndValue) {
    const value = pathAndValue.pop()
    const scalar = value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    const given = scalar ? value : textOfValue(value)
    if (pathAndValue.length === 1 && typeof pathAndValue[0] === 'string') {
      this.#native.setText(pathAndValue[0], given, !scalar)
    } else {
      this.#native.set(checkPath(pathAndValue), given, !scalar)
    }
  }

  setJSON(path, text) {
    if (typeof text !== 'string') throw invalid(`${shown(text)} is no JSON text`)
    this.#native.set(pathOf(path), text, true)
  }

  kill(...path) {
    return this.#native.kill(checkPath(path))
  }

  pop(...path) {
    return this.#native.pop(checkPath(path))
  }

  defined(...path) {
    return this.#native.defined(checkPath(path))
  }

  next(path, after, { backward = false } = {}) {
    return this.#native.next(pathOf(path), after ?? null, backward)
  }

  merge(...pathAndTree) {
    const tree = pathAndTree.pop()
    this.#native.merge(checkPath(pathAndTree), treeText(tree))
  }

  mergeJSON(path, text) {
    this.#native.merge(pathOf(path), text)
  }

  compareAndSet(path, expected, value) {
    const given = (one) => (one === undefined ? null : textOfValue(one))
    this.#native.compareAndSet(pathOf(path), given(expected), given(value))
  }

  compareAndSetJSON(path, expected, text) {
    this.#native.compareAndSet(pathOf(path), expected ?? null, text ?? null)
  }

  entries(...path) {
    return this.#native.entries(checkPath(path))[Symbol.iterator]()
  }

  [Symbol.iterator]() {
    return this.entries()
  }

  get count() {
    return this.#native.count()
  }

  get bytesUsed() {
    return this.#native.bytesUsed()
  }
}

const EMPTY = new ReadOnlyData({
  get: () => undefined,
  getJson: () => undefined,
  treeJson: () => '[]',
  defined: () => 0,
  next: () => undefined,
  entries: () => [],
})

module.exports = { Data, EMPTY, ReadOnlyData, pathOf, textOfValue }
