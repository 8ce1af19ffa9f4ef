// The event classes of the story: one that behaves, and three that ruin other systems.

export function register(manager) {
  manager.register('mailer', { onEnd() {} })
  manager.register('throws', {
    onEnd() {
      throw new Error('the mail server is not there')
    },
  })
  manager.register('hangs', { onEnd: () => new Promise(() => {}) }) // never settles
  manager.register('keeps', { onEnd: (event) => void (event.endSession = false) }, { compatVeto: true })
}
