#!/usr/bin/env node
// runner.mjs [--table memory|file] [--process N] [--log] SCRIPT…: replays scripts, see tests/README.md.

import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SessionError } from '../../../bindings/node/lib/index.mjs'
import * as answers from './answer.mjs'
import { canonical, canonicalNumber, canonicalTree } from './json.mjs'
import { ScriptError, parse } from './line.mjs'
import { answer } from './verbs.mjs'
import { World } from './world.mjs'

const bad = (got) => got === 'absent' || got.startsWith('error ') || got.startsWith('gone ')

/** The names of options as scripts have them: max_connections for maxConnections. */
const snake = (message) => message.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, (word) => word.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))

/** Does a line and settles; its answer, and the message of its error. */
async function doLine(world, line) {
  let got
  let message = ''
  try {
    got = await answer(world, line.words, false)
  } catch (error) {
    if (!(error instanceof SessionError)) throw error
    got = answers.error(error)
    message = world.withLabels(error.message)
  }
  await world.settle()
  return { got: world.withLabels(got), message }
}

function matches([verb], expected, got) {
  if (expected === '*' || expected === got) return true
  if (expected.endsWith('...')) return got.startsWith(expected.slice(0, -3).trimEnd())
  const same = (form) => form(expected) !== null && form(expected) === form(got)
  if (verb === 'get' || verb === 'get_versioned' || verb === 'pop') return same(canonical)
  if (verb === 'entries') return same(canonicalTree)
  if (verb === 'next') return same(canonicalNumber)
  return false
}

async function check(world, line) {
  const { got, message } = await doLine(world, line)
  const why = message === '' ? '' : ` (${message})`
  if (line.expect === null) return bad(got) ? `expected no error, got ${got}${why}` : null
  if (!matches(line.words, line.expect.text, got)) return `expected ${line.expect.text}, got ${got}${why}`
  const part = line.expect.message
  return part !== null && !message.includes(part) && !snake(message).includes(part) ? `expected a message with "${part}", got ${message}` : null
}

/** Replays a script on a table (`memory`, `file` with a directory made for it, any store): its log, and what was not met. */
export async function replay(path, table) {
  if (table !== 'file') return replayOn(path, table)
  const directory = mkdtempSync(join(tmpdir(), 'libsession-script-'))
  try {
    return await replayOn(path, `file:${directory}/store`)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function replayOn(path, store) {
  const failures = []
  const world = new World(store)
  const lines = readFileSync(path, 'utf8').split('\n')
  for (const [index, raw] of lines.entries()) {
    try {
      for (const line of parse(raw)) {
        const failure = await check(world, line)
        if (failure !== null) failures.push(`${path}:${index + 1}: ${failure}`)
      }
    } catch (error) {
      if (!(error instanceof ScriptError)) failures.push(`${path}:${index + 1}: ${error.stack}`)
      else failures.push(`${path}:${index + 1}: ${error.message}`)
    }
  }
  if (world.started.size > 0) failures.push(`${path}: never joined: ${[...world.started.keys()].join(' ')}`)
  const log = `# ${path}\n${world.log()}`
  await world.over()
  return { log, failures }
}

/** Every script below a folder, or the one file, in alphabetical order. */
export function scripts(root) {
  if (!statSync(root).isDirectory()) return root.endsWith('.txt') ? [root] : []
  return readdirSync(root, { recursive: true })
    .filter((name) => name.endsWith('.txt'))
    .map((name) => join(root, name))
    .sort((a, b) => (a < b ? -1 : 1))
}

function write(to, text) {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(to, bytes, at)
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error
    }
  }
}

async function main(words) {
  let table = 'memory'
  let log = false
  const paths = []
  while (words.length > 0) {
    const word = words.shift()
    if (word === '--log') log = true
    else if (word === '--table') table = words.shift()
    else if (word === '--process') words.shift()
    else paths.push(...scripts(word))
  }
  if (paths.length === 0) {
    write(2, 'usage: runner.mjs [--table memory|file] [--process N] [--log] SCRIPT…\n')
    return 2
  }
  let good = true
  for (const path of paths) {
    const report = await replay(path, table)
    if (log) write(1, report.log)
    for (const failure of report.failures) write(2, `${failure}\n`)
    good &&= report.failures.length === 0
  }
  return good ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
