// Opens managers with everything pending that may be pending, and comes to its end: the process must, too.
import { open } from 'libsession'

const manager = open({ applications: { shop: { idleTimeoutMs: 3_600_000, eventClasses: ['x'] } } })
manager.register('x', { onStartRequest: () => new Promise(() => {}), onEnd: (event) => console.log(`ended: ${event.reason}`) })
manager.beginNew().finish()
manager.create()
open({ name: 'named' }).create()
open()
console.log('at the end')
