// What a running script knows: labels, deliveries, hanging callbacks, the lifecycle log so far.

import { ManualClock, Ticket, open } from '../../../bindings/node/lib/index.mjs'
import { entry } from './verbs.mjs'
import { scripted } from './behavior.mjs'
import { Setup } from './setup.mjs'
import { ScriptError, textOf } from './line.mjs'

export const NOBODY = '-'

/** How long something may take to happen on another thread, in real time. */
export const PATIENCE_MS = 5000
export const turn = () => new Promise((resolve) => setImmediate(resolve))

export class World {
  clock = new ManualClock()
  /** Session labels in the order of their first lines; ids by label and labels by id. */
  order = []
  ids = new Map()
  labels = new Map()
  /** Token texts by session label or token label. */
  tokens = new Map()
  /** Requests, each with the label of its session. */
  requests = new Map()
  versions = new Map()
  creating = null
  /** How far a script was told, per verb that answers "since last asked". */
  told = { events: new Map(), log: new Map(), audit: new Map(), cursors: new Map() }
  started = new Map()
  /** How many callbacks said that they hang. */
  hung = 0
  tickets = new Map()
  asked = []
  #opened = null
  #deliveries = new Map()
  #calls = new Map()
  #lifecycle = []
  #hanging = []
  #over = false

  constructor(table) {
    this.setup = new Setup(table)
  }

  /** The manager; it opens at its first use. */
  get manager() {
    if (this.#opened === null) {
      const { options, classes } = this.setup.take()
      this.#opened = open({ ...options, clock: this.clock })
      for (const words of classes) this.register(words)
    }
    return this.#opened
  }

  /** The ticket of a name. */
  ticket(name) {
    if (!this.tickets.has(name)) this.tickets.set(name, new Ticket())
    return this.tickets.get(name)
  }

  register(words) {
    const name = words.textAt(0)
    const namespace = words.text('namespace') ?? ''
    const options = { namespace, deadlineMs: words.number('deadline_ms'), compatVeto: words.flag('compat_veto') }
    this.manager.register(name, scripted(this, namespace, name, words), options)
  }

  /** Delivers what the last line caused, and reads the lifecycle log as far as it got. */
  async settle() {
    if (this.#opened === null) return
    await this.clock.advance(0)
    this.readLifecycle()
  }

  readLifecycle() {
    for (;;) {
      let more
      try {
        more = this.#opened.lifecycle({ after: this.#lifecycle.at(-1)?.seq ?? 0 })
      } catch {
        return // A closed manager tells nothing any more.
      }
      if (more.length === 0) return
      this.#lifecycle.push(...more)
    }
  }

  /** Issues a label for a session that is about to be made. */
  create(label) {
    if (!this.order.includes(label)) this.order.push(label)
    this.creating = label
  }

  created(label, id, token) {
    this.ids.set(label, id)
    this.labels.set(id, label)
    this.tokens.set(label, token)
  }

  labelOf(id) {
    return this.labels.get(id) ?? NOBODY
  }

  id(label) {
    if (!this.ids.has(label)) throw new ScriptError(`there is no session '${label}'`)
    return this.ids.get(label)
  }

  token(word) {
    if (word.startsWith('"')) return textOf(word)
    if (word.startsWith('id:')) return this.id(word.slice(3))
    if (!this.tokens.has(word)) throw new ScriptError(`there is no token '${word}'`)
    return this.tokens.get(word)
  }

  request(label) {
    if (!this.requests.has(label)) throw new ScriptError(`there is no request '${label}'`)
    return this.requests.get(label)
  }

  /** Ids inside of a text become labels. */
  withLabels(text) {
    let labelled = text
    for (const [id, label] of this.labels) labelled = labelled.replaceAll(id, label)
    return labelled
  }

  /** A delivery begins; answers its place. */
  delivered(session, className, kind, what) {
    if (this.creating !== null && session !== 'AAAAAAAAAAAAAAAAAAAAAA' && !this.labels.has(session)) {
      this.ids.set(this.creating, session)
      this.labels.set(session, this.creating)
    }
    const label = kind.startsWith('on_pool') ? NOBODY : this.labelOf(session)
    const counted = `${className} ${kind}`
    this.#calls.set(counted, this.calls(className, kind) + 1)
    return this.#place(label, what)
  }

  #place(label, what) {
    const delivery = { what, notes: [], label }
    if (!this.#deliveries.has(label)) this.#deliveries.set(label, [])
    this.#deliveries.get(label).push(delivery)
    return delivery
  }

  /** An attached object was let go. */
  dropped(session, what) {
    this.#place(this.labelOf(session), what)
  }

  note(place, text) {
    place.notes.push(text)
  }

  calls(className, kind) {
    return this.#calls.get(`${className} ${kind}`) ?? 0
  }

  deliveries(label, from) {
    const texts = (this.#deliveries.get(label) ?? []).slice(from)
    return texts.map(({ what, notes }) => this.withLabels(notes.length === 0 ? what : `${what}(${notes.join(';')})`))
  }

  entries(from) {
    return this.#lifecycle.slice(from).map((one) => ({ label: this.labelOf(one.sessionId), text: entry(this, one) }))
  }

  /** Hangs until `release`; the caller has said so to the engine. */
  hang(className) {
    if (this.#over) return Promise.resolve()
    this.hung++
    return new Promise((resolve) => this.#hanging.push({ className, resolve }))
  }

  /** Lets hanging callbacks go on; settles when they have. */
  async release(className) {
    const goes = (one) => className === undefined || one.className === className
    const going = this.#hanging.filter(goes)
    this.#hanging = this.#hanging.filter((one) => !goes(one))
    for (const one of going) one.resolve()
    const until = Date.now() + PATIENCE_MS
    while (Date.now() < until && this.#opened !== null && !this.#opened.closed) {
      // Others may hang only now that these make room.
      if ((await this.clock.advance(0)) <= this.#hanging.length) return
      await turn()
    }
  }

  /** The event log of the script. */
  log() {
    // A close hides its own ends: whether one could still be read is a matter of luck.
    const entries = this.entries(0).filter(({ text }) => !text.includes('.ended@') || !text.includes(':shutdown'))
    const lines = entries.map(({ text }) => `log ${text}\n`)
    for (const label of [...this.order, NOBODY]) {
      for (const delivery of this.deliveries(label, 0)) lines.push(`call ${label} ${delivery}\n`)
    }
    return lines.join('')
  }

  /** Ends the script: nothing hangs any more, and the manager is closed. */
  async over() {
    this.#over = true
    for (const { resolve } of this.#hanging) resolve()
    if (this.#opened !== null) await this.#opened.close(0)
    this.requests.clear()
    await Promise.allSettled(this.started.values())
  }
}
