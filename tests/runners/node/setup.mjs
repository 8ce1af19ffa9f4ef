// The lines before the first verb: options of the manager, its applications, pools and classes.

import { ScriptError, Words, camel, flag, names, number } from './line.mjs'

const WORDS = new Set(['store', 'durability', 'profile', 'dispatch', 'namespace', 'pool', 'license_class', 'lazy_until', 'lock', 'unit_rule',
  'timeout_on_application_change', 'trade_failure', 'evict', 'at_session_limit'])
const FLAGS = new Set(['threads', 'adopt', 'idle_counts_suspend', 'debug', 'enabled', 'protected_from_bulk_end',
  'event_classes_on_entry', 'holder_per_client', 'reclaim', 'detect_crawlers'])
const LISTS = new Set(['event_classes', 'required_event_classes', 'crawlers', 'administrators', 'include', 'exclude'])
const QUOTAS = new Set(['session_bytes', 'levels', 'value_bytes', 'subscript_bytes'])

function read(name, value) {
  if (WORDS.has(name)) return value
  if (FLAGS.has(name)) return flag(value)
  if (LISTS.has(name)) return names(value)
  if (name === 'overdraft' && value.endsWith('%')) return value
  return number(value, name)
}

/** `UNITS:MEMBER,…`, several of them with `;` between. */
function reservations(value, hard) {
  return value.split(';').map((one) => {
    const [units] = one.split(':', 1)
    return { units: number(units, 'units'), members: names(one.slice(units.length + 1)), hard }
  })
}

function option(name, value) {
  if (name === 'reserve' || name === 'reserve_soft') return ['reservations', reservations(value, name === 'reserve')]
  return [camel(name), read(name, value)]
}

function options(words) {
  return Object.fromEntries([...words.named].map(([name, value]) => option(name, value)))
}

/** What the manager will be opened with. */
export class Setup {
  #options
  #classes = []

  constructor(table) {
    this.#options = { store: table, occupyWorkers: true, applications: [], pools: [], quotas: {} }
  }

  /** Takes a line. `false`: it is a verb. */
  line([verb, ...rest]) {
    if (this.#options === null) return false
    const words = new Words(rest)
    switch (verb) {
      case 'config':
        for (const [name, value] of words.named) {
          const into = QUOTAS.has(name) ? this.#options.quotas : this.#options
          into[camel(name)] = read(name, value)
        }
        return true
      case 'application':
        this.#options.applications.push({ name: words.textAt(0), ...options(words) })
        return true
      case 'pool':
        this.#options.pools.push({ name: words.textAt(0), ...options(words) })
        return true
      case 'class':
        this.#classes.push(words)
        return true
      default:
        return false
    }
  }

  /** Hands over what was said, once. */
  take() {
    if (this.#options === null) throw new ScriptError('the manager could not be opened')
    const taken = { options: this.#options, classes: this.#classes }
    this.#options = null
    return taken
  }
}
