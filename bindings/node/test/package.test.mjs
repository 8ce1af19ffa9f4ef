// The package as it is published: types, exports, tarballs, and that nothing generated is stale.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))
const root = join(here, '../..')
let folder
let tarballs

function run(command, words, options = {}) {
  const done = spawnSync(command, words, { cwd: here, encoding: 'utf8', timeout: 120_000, ...options })
  assert.equal(done.status, 0, `${command} ${words.join(' ')}: ${done.error ?? ''}${done.stdout}${done.stderr}`)
  return done.stdout
}

const tool = (name, ...words) => run(process.execPath, [binary(name), ...words])

/** The script of a tool that is a dependency for development. */
function binary(name) {
  const manifest = JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8'))
  const { bin } = manifest
  return join(here, 'node_modules', name, typeof bin === 'string' ? bin : (bin[name.split('/').at(-1)] ?? Object.values(bin)[0]))
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'libsession-test-'))
  tarballs = run(process.execPath, ['tools/pack.mjs', folder]).trim().split('\n')
})
after(() => rmSync(folder, { recursive: true }))

test('the typed examples compile under --strict', () => {
  run(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', 'test/typed'])
})

test('publint finds nothing', () => {
  const report = tool('publint', tarballs[0], '--strict')
  assert.doesNotMatch(report, /Errors|Warnings/)
})

test('the types resolve from every kind of import', () => {
  tool('@arethetypeswrong/cli', tarballs[0])
})

test('two tarballs install offline, without a script, and say hello', () => {
  const app = join(folder, 'app')
  run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', app, ...tarballs])
  for (const name of ['libsession', 'libsession-linux-x64-gnu']) {
    const { scripts, version } = JSON.parse(readFileSync(join(app, 'node_modules', name, 'package.json'), 'utf8'))
    assert.equal(scripts, undefined)
    assert.equal(version, JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).version)
  }
  const expected = readFileSync(join(root, 'examples/hello/expected.txt'), 'utf8')
  writeFileSync(join(app, 'hello.mjs'), readFileSync(join(root, 'examples/hello/hello.mjs')))
  assert.equal(run(process.execPath, ['hello.mjs'], { cwd: app }), expected)
  writeFileSync(join(app, 'hello.cjs'), "const { open } = require('libsession'); const m = open(); m.create(); console.log(m.count())")
  assert.equal(run(process.execPath, ['hello.cjs'], { cwd: app }), '1\n')
})

test('without the platform package the loader says what is missing', () => {
  const app = join(folder, 'alone')
  run('npm', ['install', '--offline', '--omit=optional', '--no-audit', '--no-fund', '--prefix', app, tarballs[0]])
  const done = spawnSync(process.execPath, ['-e', "require('libsession')"], { cwd: app, encoding: 'utf8' })
  assert.notEqual(done.status, 0)
  assert.match(done.stderr, /npm\/cli\/issues\/4828/)
  assert.match(done.stderr, /libsession-linux-x64-gnu/)
})

test('the generated loader and types are those of this source', () => {
  run('git', ['diff', '--exit-code', '--', 'native.cjs', 'native.d.ts'])
})

test('the engine, the crates and the package have one version', () => {
  const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))
  assert.match(readFileSync(join(root, 'Cargo.toml'), 'utf8'), new RegExp(`^version = "${version.replaceAll('.', '\\.')}"$`, 'm'))
})

test('the lock file names no registry, and only tests need an install script', () => {
  const lock = JSON.parse(readFileSync(join(here, 'package-lock.json'), 'utf8'))
  for (const [name, { resolved, dev, hasInstallScript }] of Object.entries(lock.packages)) {
    assert.equal(resolved, undefined, name)
    if (hasInstallScript) assert.equal(dev, true, name)
  }
})

