// A line of a script: words, and what is expected of the answer.

/** The script is wrong. */
export class ScriptError extends Error {}

/** Reads a line of a script: nothing for a comment, several for `times`. */
export function parse(raw) {
  const times = /^\s*times\s+(\d+)\s+(.*)$/.exec(raw)
  if (times) {
    const lines = []
    for (let number = 1; number <= Number(times[1]); number++) lines.push(...parse(times[2].replaceAll('%', String(number))))
    return lines
  }
  const words = split(raw)
  if (words.length === 0) return []
  let expect = null
  const arrow = words.indexOf('->')
  if (arrow >= 0) {
    const expected = words.splice(arrow).slice(1)
    let message = null
    if (expected.length >= 2 && expected.at(-2) === ':' && expected.at(-1).startsWith('"')) {
      message = textOf(expected.at(-1))
      expected.splice(-2)
    }
    expect = { text: expected.join(' '), message }
  }
  if (words.length === 0) throw new ScriptError('an expectation without a verb')
  return [{ words: words.map(expand), expect }]
}

/** Splits at blanks that are not inside of JSON; drops the comment. */
function split(raw) {
  const words = []
  let word = ''
  let depth = 0
  let quoted = false
  let escaped = false
  for (const letter of raw) {
    if (quoted) {
      word += letter
      quoted = escaped || letter !== '"'
      escaped = !escaped && letter === '\\'
      continue
    }
    if (letter === '#' && word === '') break
    if ((letter === ' ' || letter === '\t' || letter === '\r') && depth === 0) {
      if (word !== '') words.push(word)
      word = ''
      continue
    }
    if (letter === '"') quoted = true
    else if (letter === '[' || letter === '{') depth++
    else if (letter === ']' || letter === '}') depth = Math.max(0, depth - 1)
    word += letter
  }
  if (quoted || depth > 0) throw new ScriptError('JSON that does not end on its line')
  if (word !== '') words.push(word)
  return words
}

/** `@N`, also behind `=`, is a text of N times `x`. */
function expand(word) {
  const named = /^(?!["[{])([^=]*=)(.*)$/s.exec(word)
  const [before, after] = named ? [named[1], named[2]] : ['', word]
  const count = /^@(\d+)$/.exec(after)
  return count ? `${before}"${'x'.repeat(Number(count[1]))}"` : word
}

/** A word as text: a JSON string, or itself. */
export function textOf(word) {
  if (!word.startsWith('"')) return word
  try {
    const text = JSON.parse(word)
    if (typeof text === 'string') return text
  } catch {
    // It is no JSON at all: the same mistake.
  }
  throw new ScriptError(`${word} is not a text`)
}

/** The words behind a verb: in order, and by name. */
export class Words {
  constructor(words) {
    this.plain = []
    this.named = new Map()
    for (const word of words) {
      const named = /^([a-z_]*)=(.*)$/s.exec(word)
      if (named) this.named.set(named[1], named[2])
      else this.plain.push(word)
    }
  }

  at(index) {
    if (index >= this.plain.length) throw new ScriptError(`word ${index + 1} is missing`)
    return this.plain[index]
  }

  textAt(index) {
    return textOf(this.at(index))
  }

  has(word) {
    return this.plain.includes(word)
  }

  get(name) {
    return this.named.get(name)
  }

  text(name) {
    return this.named.has(name) ? textOf(this.named.get(name)) : undefined
  }

  number(name) {
    if (!this.named.has(name)) return undefined
    return number(this.named.get(name), name)
  }

  flag(name) {
    const value = this.named.get(name)
    if (value === undefined) return undefined
    return flag(value)
  }

  only(known) {
    for (const name of this.named.keys()) if (!known.includes(name)) throw new ScriptError(`'${name}=' is not known here`)
  }
}

export function number(value, name = value) {
  if (!/^-?\d+$/.test(value)) throw new ScriptError(`${name}=${value} is no number`)
  return Number(value)
}

export function flag(value) {
  if (value === 'true') return true
  if (value === 'false') return false
  throw new ScriptError(`'${value}' is neither true nor false`)
}

export const names = (value) => value.split(',').filter((name) => name !== '')

/** `idle_timeout_ms` as the package says it. */
export const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

/** The same object without what is undefined. */
export const given = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
