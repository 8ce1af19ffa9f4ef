// node tools/pack.mjs DIR: packs what is published, the package and the one with this platform's binary, into DIR.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))
const PLATFORM = 'linux-x64-gnu'
const BINARY = `libsession.${PLATFORM}.node`

const to = resolve(process.argv[2] ?? '.')
mkdirSync(to, { recursive: true })
const stage = mkdtempSync(join(tmpdir(), 'libsession-pack-'))
const main = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))
const { version, license, repository, engines } = main
const platform = `libsession-${PLATFORM}`

function pack(name, files, manifest) {
  const folder = join(stage, name)
  mkdirSync(folder)
  for (const file of files) cpSync(join(here, file), join(folder, file), { recursive: true })
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  execFileSync('npm', ['pack', '--silent', '--pack-destination', to], { cwd: folder, stdio: 'ignore' })
  console.log(join(to, `${name}-${version}.tgz`))
}

try {
  const { devDependencies, scripts, napi, ...published } = main
  pack('libsession', [...main.files, 'README.md'], { ...published, optionalDependencies: { [platform]: version } })
  const description = `The binary of libsession for ${PLATFORM}.`
  const fits = { os: ['linux'], cpu: ['x64'], libc: ['glibc'] }
  pack(platform, [BINARY], { name: platform, version, description, license, repository, engines, ...fits, main: BINARY, files: [BINARY] })
} finally {
  rmSync(stage, { recursive: true })
}
