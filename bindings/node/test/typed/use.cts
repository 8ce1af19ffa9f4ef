// The same from CommonJS.

import session = require('libsession')

const manager: session.Manager = session.open({ applications: [{ name: 'shop' }] })
const found = manager.begin(undefined)
if (found.live) found.finish()
else console.log(found.outcome)
