'use strict'

const { schemas, take } = require('./options.cjs')

const turn = setImmediate

/**
 * A bulk change in paced steps: `await` it for the sum, or iterate over it with `for await` for the progress after each
 * step. Between steps the rest of the program has its turn. `next` of a progress resumes it in another call.
 */
class Paced {
  #step
  #cursor
  #limit
  #sum = null

  constructor(step, page) {
    const { cursor = 0, limit = 256 } = take(schemas.page, page, 'paced')
    this.#step = step
    this.#cursor = cursor
    this.#limit = limit
  }

  async *[Symbol.asyncIterator]() {
    const sum = { scanned: 0, changed: 0, protected: 0, next: this.#cursor }
    while (sum.next !== null) {
      if (sum.scanned > 0) await new Promise((resolve) => turn(resolve))
      const { scanned, changed, protected: spared, next } = this.#step(sum.next, this.#limit)
      sum.scanned += scanned
      sum.changed += changed
      sum.protected += spared
      sum.next = next
      yield { ...sum }
    }
  }

  async #all() {
    let last = null
    for await (const progress of this) last = progress
    return last
  }

  then(resolve, reject) {
    this.#sum ??= this.#all()
    return this.#sum.then(resolve, reject)
  }

  catch(reject) {
    return this.then(undefined, reject)
  }

  finally(done) {
    this.#sum ??= this.#all()
    return this.#sum.finally(done)
  }
}

module.exports = { Paced }
