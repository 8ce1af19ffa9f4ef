// The engine's lossless JSON, compared as values, and subscripts.

import { ScriptError } from './line.mjs'

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:]/gy

/** Text that is the same for the same value: no blanks, one way to write strings and floats. `null` if it is no JSON. */
export function canonical(text) {
  const tokens = []
  let at = 0
  for (;;) {
    at += /^\s*/.exec(text.slice(at))[0].length
    if (at >= text.length) break
    TOKEN.lastIndex = at
    const token = TOKEN.exec(text)?.[0]
    if (token === undefined) return null
    at += token.length
    if (token.startsWith('"')) tokens.push(JSON.stringify(JSON.parse(token)))
    else if (/^-?\d/.test(token)) tokens.push(/[.eE]/.test(token) ? `float ${Number(token)}` : String(BigInt(token)))
    else tokens.push(token)
  }
  return tokens.join('')
}

/** As `canonical`, of a tree: its nodes in any order. */
export function canonicalTree(text) {
  try {
    const nodes = []
    let rest = text.trim()
    if (!rest.startsWith('[') || !rest.endsWith(']')) return null
    rest = rest.slice(1, -1)
    let depth = 0
    let node = ''
    let quoted = false
    for (let index = 0; index < rest.length; index++) {
      const letter = rest[index]
      if (quoted && letter === '\\') node += letter + rest[++index]
      else {
        if (letter === '"') quoted = !quoted
        if (!quoted && (letter === '[' || letter === '{')) depth++
        if (!quoted && (letter === ']' || letter === '}')) depth--
        if (!quoted && depth === 0 && letter === ',') {
          nodes.push(canonical(node))
          node = ''
        } else node += letter
      }
    }
    if (node.trim() !== '') nodes.push(canonical(node))
    return nodes.sort().join('\n')
  } catch {
    return null
  }
}

/** As `canonical`, of a subscript: 1 is 1.0. */
export function canonicalNumber(text) {
  return /^-?\d/.test(text) ? String(Number(text)) : null
}

const BIG = /("(?:[^"\\]|\\.)*")|(-?\d{16,})(?![\d.eE])/g

function subscriptOf(value) {
  if (value !== null && typeof value === 'object' && typeof value.big === 'string') return BigInt(value.big)
  if (value !== null && typeof value === 'object' && typeof value.$float === 'string') return Number(value.$float)
  if (typeof value === 'string' || typeof value === 'number') return value
  throw new ScriptError('a subscript is a number or a text')
}

function read(text) {
  try {
    return JSON.parse(text.replace(BIG, (_, quoted, big) => quoted ?? `{"big":"${big}"}`))
  } catch {
    throw new ScriptError(`${text}: not JSON`)
  }
}

/** A path: a JSON list of subscripts, or a word. */
export function path(word, textOf) {
  if (!word.startsWith('[')) return [textOf(word)]
  const steps = read(word)
  if (!Array.isArray(steps)) throw new ScriptError('a path is a JSON list')
  return steps.map(subscriptOf)
}

export const subscript = (word) => subscriptOf(read(word))

export const subscriptText = (subscript) => (typeof subscript === 'string' ? JSON.stringify(subscript) : String(subscript))

/** Refuses what is no JSON. */
export function json(word) {
  if (canonical(word) === null) throw new ScriptError(`${word}: not JSON`)
  return word
}

/** The JavaScript value of a JSON text that has no float without a fraction. */
export const plain = read
