// Makes `import 'libsession'` mean this package everywhere in the repository: the examples read as they do elsewhere.

import { mkdirSync, rmSync, symlinkSync } from 'node:fs'

const root = new URL('../../../node_modules/', import.meta.url)
mkdirSync(root, { recursive: true })
const link = new URL('libsession', root)
rmSync(link, { force: true, recursive: true })
symlinkSync('../bindings/node', link, 'dir')
