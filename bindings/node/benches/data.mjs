/** 200 bytes of data. */
export const data = () => ({ user: 'ada', cart: ['tea', 'milk', 'bread'], note: 'x'.repeat(140) })
