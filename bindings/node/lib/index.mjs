export {
  EventClass,
  Manager,
  ManualClock,
  SessionError,
  Ticket,
  endReasons,
  errorKinds,
  eventKinds,
  open,
  setLogLevel,
} from './index.cjs'
