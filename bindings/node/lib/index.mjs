export {
  EventClass,
  Manager,
  ManualClock,
  SessionError,
  endReasons,
  errorKinds,
  eventKinds,
  open,
  setLogLevel,
} from './index.cjs'
