// Part of libsession.hpp: numbers that have names.
#ifndef LIBSESSION_WORDS_HPP
#define LIBSESSION_WORDS_HPP

#include <libsession.h>

#include <chrono>
#include <cstdint>

namespace libsession {

using milliseconds = std::chrono::milliseconds;

/// As a timeout: never.
inline constexpr milliseconds never{0};

enum class end_reason : std::uint32_t {
  ended = LSES_REASON_ENDED,
  idle_timeout = LSES_REASON_IDLE_TIMEOUT,
  absolute_timeout = LSES_REASON_ABSOLUTE_TIMEOUT,
  revoked = LSES_REASON_REVOKED,
  evicted = LSES_REASON_EVICTED,
  replaced = LSES_REASON_REPLACED,
  parent_ended = LSES_REASON_PARENT_ENDED,
  start_denied = LSES_REASON_START_DENIED,
  license_denied = LSES_REASON_LICENSE_DENIED,
  expired_while_down = LSES_REASON_EXPIRED_WHILE_DOWN,
  shutdown = LSES_REASON_SHUTDOWN
};
enum class end_level : std::uint32_t { request = LSES_LEVEL_REQUEST, force = LSES_LEVEL_FORCE, kill = LSES_LEVEL_KILL };
enum class event_kind : std::uint32_t {
  start = LSES_EVENT_START,
  expiring = LSES_EVENT_EXPIRING,
  timeout = LSES_EVENT_TIMEOUT,
  end = LSES_EVENT_END,
  application_change = LSES_EVENT_APPLICATION_CHANGE,
  login = LSES_EVENT_LOGIN,
  logout = LSES_EVENT_LOGOUT,
  start_request = LSES_EVENT_START_REQUEST,
  end_request = LSES_EVENT_END_REQUEST,
  license_denied = LSES_EVENT_LICENSE_DENIED,
  context_lost = LSES_EVENT_CONTEXT_LOST,
  pool_low = LSES_EVENT_POOL_LOW,
  pool_exhausted = LSES_EVENT_POOL_EXHAUSTED,
  pool_recovered = LSES_EVENT_POOL_RECOVERED,
  pool_overdraft = LSES_EVENT_POOL_OVERDRAFT
};
enum class thread_kind : std::uint32_t {
  request = LSES_THREAD_REQUEST,
  reaper = LSES_THREAD_REAPER,
  admin = LSES_THREAD_ADMIN,
  recovery = LSES_THREAD_RECOVERY
};
enum class deny_reason : std::uint32_t {
  pool_exhausted = LSES_DENY_REASON_POOL_EXHAUSTED,
  holder_limit = LSES_DENY_REASON_HOLDER_LIMIT,
  excluded = LSES_DENY_REASON_EXCLUDED,
  reserved = LSES_DENY_REASON_RESERVED
};
enum class touch_kind : std::uint32_t {
  activity = LSES_TOUCH_ACTIVITY,
  keepalive = LSES_TOUCH_KEEPALIVE,
  none = LSES_TOUCH_NONE
};
enum class lock_mode : std::uint32_t {
  exclusive = LSES_LOCK_EXCLUSIVE,
  shared = LSES_LOCK_SHARED,
  none = LSES_LOCK_NONE
};
enum class license_class : std::uint32_t {
  named = LSES_LICENSE_CLASS_NAMED,
  anonymous = LSES_LICENSE_CLASS_ANONYMOUS,
  lazy = LSES_LICENSE_CLASS_LAZY,
  none = LSES_LICENSE_CLASS_NONE
};
enum class lazy_until : std::uint32_t {
  login = LSES_LAZY_UNTIL_LOGIN,
  second_request = LSES_LAZY_UNTIL_SECOND_REQUEST,
  first_write = LSES_LAZY_UNTIL_FIRST_WRITE
};
enum class evict : std::uint32_t { none = LSES_EVICT_NONE, anonymous = LSES_EVICT_ANONYMOUS, any = LSES_EVICT_ANY };
enum class at_session_limit : std::uint32_t {
  deny = LSES_AT_SESSION_LIMIT_DENY,
  evict_oldest = LSES_AT_SESSION_LIMIT_EVICT_OLDEST,
  evict_longest_idle = LSES_AT_SESSION_LIMIT_EVICT_LONGEST_IDLE
};
enum class unit_rule : std::uint32_t {
  session = LSES_UNIT_RULE_SESSION,
  user = LSES_UNIT_RULE_USER,
  staircase = LSES_UNIT_RULE_STAIRCASE,
  iris = LSES_UNIT_RULE_IRIS,
  hard = LSES_UNIT_RULE_HARD
};
enum class application_timeout : std::uint32_t {
  keep = LSES_APPLICATION_TIMEOUT_KEEP,
  adopt = LSES_APPLICATION_TIMEOUT_ADOPT,
  min = LSES_APPLICATION_TIMEOUT_MIN,
  max = LSES_APPLICATION_TIMEOUT_MAX
};
enum class dispatch_mode : std::uint32_t {
  thread = LSES_DISPATCH_THREAD,
  inline_ = LSES_DISPATCH_INLINE,
  poll = LSES_DISPATCH_POLL
};

/// The same word in every language.
inline const char* name(end_reason it) noexcept { return lses_end_reason_name(static_cast<std::uint32_t>(it)); }
inline const char* name(end_level it) noexcept { return lses_end_level_name(static_cast<std::uint32_t>(it)); }
inline const char* name(event_kind it) noexcept { return lses_event_kind_name(static_cast<std::uint32_t>(it)); }
inline const char* name(thread_kind it) noexcept { return lses_thread_kind_name(static_cast<std::uint32_t>(it)); }
inline const char* name(deny_reason it) noexcept { return lses_deny_reason_name(static_cast<std::uint32_t>(it)); }
inline const char* name(touch_kind it) noexcept { return lses_touch_kind_name(static_cast<std::uint32_t>(it)); }
inline const char* name(lock_mode it) noexcept { return lses_lock_mode_name(static_cast<std::uint32_t>(it)); }
inline const char* name(license_class it) noexcept { return lses_license_class_name(static_cast<std::uint32_t>(it)); }
inline const char* name(lazy_until it) noexcept { return lses_lazy_until_name(static_cast<std::uint32_t>(it)); }
inline const char* name(evict it) noexcept { return lses_evict_name(static_cast<std::uint32_t>(it)); }
inline const char* name(at_session_limit it) noexcept { return lses_at_session_limit_name(static_cast<std::uint32_t>(it)); }
inline const char* name(unit_rule it) noexcept { return lses_unit_rule_name(static_cast<std::uint32_t>(it)); }

}  // namespace libsession

#endif
