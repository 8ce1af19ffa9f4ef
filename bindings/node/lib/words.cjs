'use strict'

const native = require('../native.cjs')
const { invalid, shown } = require('./errors.cjs')

/** A vocabulary of the engine: its words, and its numbers both ways. */
function vocabulary(words) {
  const nameOf = []
  const codeOf = new Map()
  for (const { name, code } of words) {
    nameOf[code] = name
    codeOf.set(name, code)
  }
  return { names: Object.freeze(words.map((word) => word.name)), nameOf, codeOf }
}

const lists = native.words()
const kinds = vocabulary(lists.eventKinds)
const camel = (word) => word.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

/** The number of a word; 0 if there is none. */
function codeOf(words, what, word) {
  if (word === undefined || word === null) return 0
  const code = words.codeOf.get(word)
  if (code === undefined) throw invalid(`${what} is ${shown(word)}; it can be ${words.names.join(', ')}`)
  return code
}

module.exports = {
  codeOf,
  kinds,
  /** Name of the method for each event kind's number: `onEnd` for `on_end`. */
  methods: kinds.nameOf.map((name) => name && camel(name)),
  decides: new Set(lists.eventKinds.filter((kind) => kind.flag).map((kind) => kind.code)),
  reasons: vocabulary(lists.endReasons),
  levels: vocabulary(lists.endLevels),
  threads: vocabulary(lists.threadKinds),
  touches: vocabulary(lists.touchKinds),
  locks: vocabulary(lists.lockModes),
  licenseClasses: vocabulary(lists.licenseClasses),
  lazyUntils: vocabulary(lists.lazyUntils),
  evicts: vocabulary(lists.evicts),
  atSessionLimits: vocabulary(lists.atSessionLimits),
  unitRules: vocabulary(lists.unitRules),
  applicationTimeouts: vocabulary(lists.applicationTimeouts),
  denyReasons: vocabulary(lists.denyReasons),
  errorKinds: vocabulary(lists.errorKinds),
}
