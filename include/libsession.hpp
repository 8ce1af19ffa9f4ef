// libsession.hpp: libsession.h for C++17, header-only.
//
// Owners are move-only and as large as a pointer; what they own is freed with them. Every function that can fail has
// two forms: `try_x` returns a `result`, and `x` throws `libsession::error` (without exceptions it writes the message
// to stderr and aborts). `absent` and `gone` are outcomes of `begin` and `touch`, not errors. Callbacks are lambdas;
// what they throw does not leave them: it counts as a failure, with its text, and goes to `on_exception`; of a call that does
// not block it goes to the `exception_handler`.
#ifndef LIBSESSION_HPP
#define LIBSESSION_HPP

#include <libsession.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define LIBSESSION_HPP_EXCEPTIONS 1
#else
#define LIBSESSION_HPP_EXCEPTIONS 0
#endif

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

// === Errors ===

/// What went wrong: a copy of what the C interface remembers for the thread.
struct failure {
  lses_status code = LSES_OK;
  std::string message;
  std::optional<end_reason> reason;
  std::optional<libsession::deny_reason> deny_reason;
  std::optional<milliseconds> retry_after;
  std::string keys;  ///< JSON list of the first subscripts in conflict, or "".

  static failure last(lses_status code) {
    failure it;
    it.code = code;
    it.message = lses_last_error_message();
    if (auto reason = lses_last_error_reason()) it.reason = static_cast<end_reason>(reason);
    if (auto reason = lses_last_error_deny_reason()) it.deny_reason = static_cast<libsession::deny_reason>(reason);
    if (auto after = lses_last_error_retry_after_ms(); after != LSES_UNSET) it.retry_after = milliseconds(after);
    it.keys = lses_last_error_keys();
    return it;
  }
};

/// Why a call did not do what it was asked for.
class error : public std::runtime_error {
 public:
  explicit error(failure what)
      : std::runtime_error(std::string(lses_status_name(what.code)) + ": " + what.message), what_(std::move(what)) {}
  /// LSES_E_..., LSES_ABSENT or LSES_GONE.
  lses_status code() const noexcept { return what_.code; }
  const failure& why() const noexcept { return what_; }
  std::optional<end_reason> reason() const noexcept { return what_.reason; }
  std::optional<libsession::deny_reason> deny_reason() const noexcept { return what_.deny_reason; }
  std::optional<milliseconds> retry_after() const noexcept { return what_.retry_after; }

 private:
  failure what_;
};

namespace detail {
[[noreturn]] inline void raise(const failure& what) {
#if LIBSESSION_HPP_EXCEPTIONS
  throw error(what);
#else
  std::fprintf(stderr, "%s: %s\n", lses_status_name(what.code), what.message.c_str());
  std::abort();
#endif
}
}  // namespace detail

/// A value, or why there is none.
template <class T>
class result {
 public:
  result(T value) : it_(std::in_place_index<0>, std::move(value)) {}
  result(failure why) : it_(std::in_place_index<1>, std::move(why)) {}
  bool has_value() const noexcept { return it_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  /// The value; throws if there is none.
  T& value() & {
    if (!has_value()) detail::raise(*std::get_if<1>(&it_));
    return *std::get_if<0>(&it_);
  }
  T value() && {
    if (!has_value()) detail::raise(*std::get_if<1>(&it_));
    return std::move(*std::get_if<0>(&it_));
  }
  /// Only if there is one.
  T& operator*() noexcept { return *std::get_if<0>(&it_); }
  T* operator->() noexcept { return std::get_if<0>(&it_); }
  /// Only if there is no value.
  const failure& error() const noexcept { return *std::get_if<1>(&it_); }
  lses_status code() const noexcept { return has_value() ? LSES_OK : error().code; }

 private:
  std::variant<T, failure> it_;
};

template <>
class result<void> {
 public:
  result() = default;
  result(failure why) : why_(std::move(why)) {}
  bool has_value() const noexcept { return !why_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (why_) detail::raise(*why_);
  }
  const failure& error() const noexcept { return *why_; }
  lses_status code() const noexcept { return why_ ? why_->code : LSES_OK; }

 private:
  std::optional<failure> why_;
};

namespace detail {

/// Calls that give a status.
inline result<void> check(lses_status status) {
  if (status == LSES_OK) return {};
  return failure::last(status);
}

/// A buffer of the library.
class buf {
 public:
  buf() = default;
  buf(const buf&) = delete;
  buf& operator=(const buf&) = delete;
  ~buf() { lses_buf_free(&it_); }
  lses_buf* out() noexcept { return &it_; }
  bool none() const noexcept { return it_.data == nullptr; }
  std::string text() const { return none() ? std::string() : std::string(it_.data, it_.len); }

 private:
  lses_buf it_ = LSES_BUF_INIT;
};

inline result<std::string> text(lses_status status, const buf& from) {
  if (status != LSES_OK) return failure::last(status);
  return from.text();
}

inline result<std::optional<std::string>> optional_text(lses_status status, const buf& from) {
  if (status != LSES_OK) return failure::last(status);
  if (from.none()) return std::optional<std::string>();
  return std::optional<std::string>(from.text());
}

template <class T>
result<T> number(lses_status status, const T& from) {
  if (status != LSES_OK) return failure::last(status);
  return from;
}

inline lses_str str(std::string_view text) noexcept {
  lses_str it = {text.data() == nullptr ? "" : text.data(), text.size()};
  return it;
}
inline lses_str str(const std::optional<std::string>& text) noexcept {
  lses_str none = LSES_STR_NONE;
  return text ? str(std::string_view(*text)) : none;
}
inline std::string_view view(const lses_str& text) noexcept {
  return text.data == nullptr ? std::string_view() : std::string_view(text.data, text.len);
}
inline std::int64_t ms(const std::optional<milliseconds>& it) noexcept { return it ? it->count() : LSES_UNSET; }
template <class E>
std::uint32_t code(const std::optional<E>& it) noexcept {
  return it ? static_cast<std::uint32_t>(*it) : 0;
}
inline std::vector<lses_str> strs(const std::vector<std::string>& texts) {
  std::vector<lses_str> all;
  for (const auto& text : texts) all.push_back(str(std::string_view(text)));
  return all;
}
/// Groups that are given, or that there are none; else nothing.
inline const lses_str* given(const std::vector<lses_str>& all, bool none) noexcept {
  static const lses_str nothing = LSES_STR_NONE;
  return !all.empty() ? all.data() : none ? &nothing : nullptr;
}
inline std::uint32_t choice(const std::optional<bool>& it) noexcept { return it ? (*it ? LSES_YES : LSES_NO) : 0; }

template <class H, void (*Free)(H*)>
struct deleter {
  void operator()(H* handle) const noexcept { Free(handle); }
};
template <class H, void (*Free)(H*)>
using owner = std::unique_ptr<H, deleter<H, Free>>;

}  // namespace detail

// === Data ===

/// A value that says there is none; unlike a node without a value.
struct null {};
/// A list or map as JSON text.
struct json {
  std::string text;
};
using bytes = std::vector<unsigned char>;
/// The value of a node; the first alternative is no value at all.
using value = std::variant<std::monostate, null, bool, std::int64_t, double, std::string, bytes, json>;

/// One step of a path: a number or a text.
class subscript {
 public:
  subscript(const char* text) : subscript(std::string_view(text)) {}
  subscript(std::string_view text) : text_(text) { it_.kind = LSES_SUBSCRIPT_TEXT; }
  subscript(const std::string& text) : subscript(std::string_view(text)) {}
  subscript(int number) : subscript(static_cast<std::int64_t>(number)) {}
  subscript(std::int64_t number) {
    it_.kind = LSES_SUBSCRIPT_INT;
    it_.integer = number;
  }
  subscript(double number) {
    it_.kind = LSES_SUBSCRIPT_FLOAT;
    it_.number = number;
  }
  /// A number of up to 18 digits.
  static subscript decimal(std::string_view text, double number = 0) {
    subscript it(text);
    it.it_.kind = LSES_SUBSCRIPT_DECIMAL;
    it.it_.number = number;
    return it;
  }
  bool is_text() const noexcept { return it_.kind == LSES_SUBSCRIPT_TEXT; }
  const std::string& text() const noexcept { return text_; }
  std::int64_t integer() const noexcept { return it_.integer; }
  double number() const noexcept { return it_.kind == LSES_SUBSCRIPT_INT ? static_cast<double>(it_.integer) : it_.number; }
  /// For the C interface, as long as this lives.
  lses_subscript raw() const noexcept {
    lses_subscript raw = it_;
    raw.text = text_.data();
    raw.text_len = text_.size();
    return raw;
  }

 private:
  lses_subscript it_ = LSES_SUBSCRIPT_INIT;
  std::string text_;
};

/// A path: `{"cart", 1}`.
class path {
 public:
  path() = default;
  path(const char* text) : steps_{subscript(text)} {}
  path(const std::string& text) : steps_{subscript(text)} {}
  path(std::initializer_list<subscript> steps) : steps_(steps) {}
  path(std::vector<subscript> steps) : steps_(std::move(steps)) {}
  std::vector<lses_subscript> raw() const {
    std::vector<lses_subscript> raw;
    raw.reserve(steps_.size());
    for (const auto& step : steps_) raw.push_back(step.raw());
    return raw;
  }

 private:
  std::vector<subscript> steps_;
};

namespace detail {

inline lses_value raw(const value& from) {
  lses_value it = LSES_VALUE_INIT;
  auto put = [&it](std::uint32_t kind, const void* data, std::size_t size) {
    it.kind = kind;
    it.text = size == 0 ? "" : static_cast<const char*>(data);
    it.text_len = size;
  };
  if (std::holds_alternative<null>(from)) it.kind = LSES_VALUE_NULL;
  if (auto* boolean = std::get_if<bool>(&from)) it = lses_value_bool(*boolean);
  if (auto* integer = std::get_if<std::int64_t>(&from)) it = lses_value_int(*integer);
  if (auto* number = std::get_if<double>(&from)) it = lses_value_float(*number);
  if (auto* text = std::get_if<std::string>(&from)) put(LSES_VALUE_TEXT, text->data(), text->size());
  if (auto* data = std::get_if<bytes>(&from)) put(LSES_VALUE_BYTES, data->data(), data->size());
  if (auto* text = std::get_if<json>(&from)) put(LSES_VALUE_JSON, text->text.data(), text->text.size());
  return it;
}

inline value cooked(const lses_value& from) {
  switch (from.kind) {
    case LSES_VALUE_NULL: return null{};
    case LSES_VALUE_BOOL: return from.boolean != 0;
    case LSES_VALUE_INT: return from.integer;
    case LSES_VALUE_FLOAT: return from.number;
    case LSES_VALUE_TEXT: return std::string(from.text, from.text_len);
    case LSES_VALUE_BYTES: return bytes(from.text, from.text + from.text_len);
    case LSES_VALUE_JSON: return json{std::string(from.text, from.text_len)};
    default: return std::monostate{};
  }
}

}  // namespace detail

// === Options ===

/// An application; what is not given has the default of lses_application.
struct application {
  std::string name;
  std::string name_space;
  std::optional<std::string> pool;
  std::vector<std::string> event_classes;
  std::vector<std::string> required_event_classes;
  std::optional<milliseconds> idle_timeout;
  std::optional<milliseconds> absolute_timeout;
  std::optional<std::int64_t> max_sessions;
  std::optional<std::int64_t> max_extensions;
  std::optional<milliseconds> extension_cap;
  std::optional<milliseconds> ask_lead;
  std::optional<libsession::license_class> license_class;
  std::optional<lock_mode> lock;
  std::optional<application_timeout> timeout_on_application_change;
  std::optional<bool> enabled;
  std::optional<bool> protected_from_bulk_end;
  std::optional<bool> event_classes_on_entry;
  std::optional<bool> debug;
  std::optional<libsession::lazy_until> lazy_until;
  std::optional<bool> detect_crawlers;
  std::vector<std::string> crawlers;
  std::optional<milliseconds> anonymous_idle_timeout;
};

/// Units of a pool that are set apart for some: users by name, or "user:NAME", and groups as "group:NAME".
struct reservation {
  std::vector<std::string> members;
  std::uint64_t units = 0;
  bool soft = false;  ///< Whether others may use the units.
};

/// A license pool; what is not given has the default of lses_pool.
struct pool {
  std::string name;
  std::uint64_t capacity = 0;
  std::optional<libsession::unit_rule> unit_rule;
  std::optional<std::int64_t> max_connections;
  std::optional<std::int64_t> max_sessions_per_holder;
  std::optional<std::int64_t> anonymous_cap;
  std::optional<std::int64_t> anonymous_per_client;
  std::optional<std::int64_t> queue;  ///< most who may wait for units
  std::optional<std::int64_t> low;
  std::optional<std::int64_t> audit_records;
  std::optional<bool> holder_per_client;
  bool refuse_login_on_trade_failure = false;
  std::optional<std::int64_t> recovered;
  std::optional<milliseconds> linger;
  std::optional<milliseconds> lazy_linger;  ///< where a lazy session needed the unit last
  std::optional<milliseconds> min_hold;
  std::optional<milliseconds> anonymous_min_hold;
  std::optional<milliseconds> lazy_min_hold;
  std::optional<bool> reclaim;
  std::optional<std::int64_t> overdraft;
  std::optional<std::int64_t> overdraft_percent;
  std::optional<milliseconds> overdraft_time;
  std::optional<libsession::evict> evict;
  std::optional<milliseconds> evict_idle;
  std::optional<libsession::at_session_limit> at_session_limit;
  std::vector<reservation> reservations;
  std::optional<std::int64_t> break_glass;
  std::vector<std::string> administrators;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
};

/// Stands for one wait in the queue of a pool: tells the position, and cancels the wait. Any thread may use it; destroyed while a
/// call waits with it, the wait goes on.
class ticket {
 public:
  static result<ticket> try_make() {
    lses_ticket* handle = nullptr;
    auto status = lses_ticket_new(&handle);
    if (status != LSES_OK) return failure::last(status);
    return ticket(handle);
  }
  ticket() : ticket(try_make().value()) {}
  explicit ticket(lses_ticket* handle) noexcept : handle_(handle) {}
  lses_ticket* get() const noexcept { return handle_.get(); }

  /// Cancels the wait, or the next one before it begins.
  result<void> try_cancel() const { return detail::check(lses_ticket_cancel(get())); }
  void cancel() const { try_cancel().value(); }
  /// How many come first, plus one; none if nothing waits with this ticket.
  result<std::optional<std::uint64_t>> try_position() const {
    std::uint64_t position = 0;
    auto status = lses_ticket_position(get(), &position);
    if (status != LSES_OK) return failure::last(status);
    return position == 0 ? std::nullopt : std::optional<std::uint64_t>(position);
  }
  std::optional<std::uint64_t> position() const { return try_position().value(); }
  /// Whether a call waits with this ticket now.
  result<bool> try_waits() const {
    std::int32_t waits = 0;
    auto status = lses_ticket_waits(get(), &waits);
    return detail::number(status, waits != 0);
  }
  bool waits() const { return try_waits().value(); }

 private:
  detail::owner<lses_ticket, lses_ticket_free> handle_;
};

/// How a session is made; what is not given has the default of lses_create_options.
struct create_options {
  std::optional<std::string> application;
  std::optional<std::string> address;
  std::optional<std::string> user_agent;
  std::optional<std::string> referrer;
  std::optional<std::string> data;  ///< A JSON object.
  std::optional<milliseconds> idle_timeout;
  std::optional<milliseconds> absolute_timeout;
  std::optional<libsession::license_class> license_class;
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels

  lses_create_options raw() const noexcept {
    lses_create_options it = LSES_CREATE_OPTIONS_INIT;
    it.application = detail::str(application);
    it.address = detail::str(address);
    it.user_agent = detail::str(user_agent);
    it.referrer = detail::str(referrer);
    it.data = detail::str(data);
    it.idle_timeout_ms = detail::ms(idle_timeout);
    it.absolute_timeout_ms = detail::ms(absolute_timeout);
    it.license_class = detail::code(license_class);
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// How a request begins; what is not given has the default of lses_begin_options.
struct begin_options {
  std::optional<std::string> application;
  std::optional<milliseconds> lock_timeout;
  std::optional<touch_kind> touch;
  std::optional<lock_mode> lock;

  lses_begin_options raw() const noexcept {
    lses_begin_options it = LSES_BEGIN_OPTIONS_INIT;
    it.application = detail::str(application);
    it.lock_timeout_ms = detail::ms(lock_timeout);
    it.touch = detail::code(touch);
    it.lock = detail::code(lock);
    return it;
  }
};

/// How a session is ended; what is not given has the default of lses_end_options.
struct end_options {
  std::optional<std::string> actor;
  std::optional<std::string> note;
  std::optional<milliseconds> wait;
  std::optional<end_level> level;
  std::optional<end_reason> reason;

  lses_end_options raw() const noexcept {
    lses_end_options it = LSES_END_OPTIONS_INIT;
    it.actor = detail::str(actor);
    it.note = detail::str(note);
    it.wait_ms = detail::ms(wait);
    it.level = detail::code(level);
    it.reason = detail::code(reason);
    return it;
  }
};

/// How a feature is taken.
struct feature_options {
  std::uint64_t count = 1;  ///< how often, at once: 1 to 1000, all or none
  std::vector<std::string> groups;  ///< those that the user belongs to; empty: the manager's group resolver is asked for them
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels
  bool no_groups = false;  ///< the user belongs to none: nobody is asked for them

  /// `all` are the groups' texts.
  lses_feature_options raw(const std::vector<lses_str>& all) const noexcept {
    lses_feature_options it = LSES_FEATURE_OPTIONS_INIT;
    it.groups = detail::given(all, no_groups);
    it.group_count = all.size();
    it.count = count > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(count);
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// What else is known of who logs in.
struct login_options {
  std::vector<std::string> groups;  ///< those that the user belongs to; empty: the manager's group resolver is asked for them
  std::optional<milliseconds> wait = {};  ///< how long it waits in the queue of the pool if there is no unit
  int priority = 0;                       ///< who has a higher one is served first: -9 to 9
  const libsession::ticket* ticket = nullptr;  ///< tells the position, and cancels
  bool no_groups = false;  ///< the user belongs to none: nobody is asked for them

  /// `all` are the groups' texts.
  lses_login_options raw(const std::vector<lses_str>& all) const noexcept {
    lses_login_options it = LSES_LOGIN_OPTIONS_INIT;
    it.groups = detail::given(all, no_groups);
    it.group_count = all.size();
    it.wait_ms = detail::ms(wait);
    it.priority = priority;
    it.ticket = ticket == nullptr ? nullptr : ticket->get();
    return it;
  }
};

/// Which sessions are meant; an empty one means all.
struct filter {
  std::optional<std::string> user, application, pool, holder;
  std::optional<milliseconds> older_than, idle_for;
  std::optional<bool> active;  ///< true: had a request; false: none yet.
  std::optional<bool> overdue, damaged, immortal;

  lses_filter raw() const noexcept {
    lses_filter it = LSES_FILTER_INIT;
    it.user = detail::str(user);
    it.application = detail::str(application);
    it.pool = detail::str(pool);
    it.holder = detail::str(holder);
    it.older_than_ms = detail::ms(older_than);
    it.idle_for_ms = detail::ms(idle_for);
    it.state = active ? (*active ? LSES_STATE_ACTIVE : LSES_STATE_NEW) : 0;
    it.overdue = detail::choice(overdue);
    it.damaged = detail::choice(damaged);
    it.immortal = detail::choice(immortal);
    return it;
  }
};

/// The outcome of an end.
struct end_outcome {
  lses_status status = LSES_OK;  ///< LSES_OK, LSES_GONE (another had ended it), LSES_EXTENDED or LSES_ABSENT.
  lses_receipt receipt = LSES_RECEIPT_INIT;
  std::string json;  ///< All of the receipt.
};

namespace detail {
template <class Call>
result<end_outcome> ended(Call call) {
  end_outcome it;
  buf text;
  it.status = call(&it.receipt, text.out());
  if (it.status < 0) return failure::last(it.status);
  it.json = text.text();
  return it;
}
}  // namespace detail

/// A session that was made.
struct created {
  std::string id;
  std::string token;
};

/// The outcome of a login.
struct login {
  std::string token;
  std::optional<deny_reason> trade_denied;
};

// === Calls that do not block ===
//
// `x_async(..., done)` is `x(...)` without blocking. `done` takes a `result` of what x returns and is called once, unless the
// call itself fails. It is one of these:
//
//   - a callable: called in any thread, also in the call itself; it must not block (see lses_done_fn);
//   - `loop.bind(callable)`, where `loop` is a `completions`: called by `loop.run()`, in the thread of your own event loop;
//   - `use_future`: the call returns a `std::future` of what x returns, `try_x_async` one of a `result` of it. A call that can't
//     be started is a future that has failed.

/// In place of a callback: the call returns a future.
struct use_future_t {};
inline constexpr use_future_t use_future{};

#if LIBSESSION_HPP_EXCEPTIONS
/// Is told what a callback of a call that does not block has thrown; it goes no further.
using exception_handler = void (*)(std::exception_ptr thrown) noexcept;
#endif

namespace detail {

/// A callback that is called by those who run completions.
template <class F>
struct bound {
  lses_completions* at;
  F done;
};

template <class F>
struct is_bound : std::false_type {};
template <class F>
struct is_bound<bound<F>> : std::true_type {};

#if LIBSESSION_HPP_EXCEPTIONS
inline std::atomic<exception_handler>& thrower() noexcept {
  static std::atomic<exception_handler> handler{nullptr};
  return handler;
}

inline void thrown() noexcept {
  if (auto handler = thrower().load()) return handler(std::current_exception());
  const char* what = "an exception that is no std::exception";
  try {
    throw;
  } catch (const std::exception& it) {
    std::fprintf(stderr, "libsession: the callback of an asynchronous call threw: %s\n", it.what());
    return;
  } catch (...) {
  }
  std::fprintf(stderr, "libsession: the callback of an asynchronous call threw %s\n", what);
}
#endif

/// What a C answer is as a T; the status is one that has a value.
template <class T>
struct answer;
template <>
struct answer<void> {
  static bool has_value(lses_status status) noexcept { return status == LSES_OK; }
  static result<void> of(lses_status, const lses_answer&) { return {}; }
};
template <>
struct answer<created> : answer<void> {
  static result<created> of(lses_status, const lses_answer& it) { return created{it.id.data, it.token.data}; }
};
template <>
struct answer<login> : answer<void> {
  static result<login> of(lses_status, const lses_answer& it) {
    login made{it.token.data, {}};
    if (it.trade != LSES_OK) made.trade_denied = static_cast<deny_reason>(lses_last_error_deny_reason());
    return made;
  }
};

/// A callback on its way through C.
template <class T, class F>
struct told {
  F done;

  lses_completions* at() const noexcept {
    if constexpr (is_bound<F>::value) {
      return done.at;
    } else {
      return nullptr;
    }
  }
  void call(lses_status status, const lses_answer* it) {
    auto came = answer<T>::has_value(status) ? answer<T>::of(status, *it) : result<T>(failure::last(status));
    if constexpr (is_bound<F>::value) {
      done.done(std::move(came));
    } else {
      done(std::move(came));
    }
  }
  static void on_done(void* self, lses_status status, const lses_answer* it) noexcept {
#if LIBSESSION_HPP_EXCEPTIONS
    try {
      std::unique_ptr<told>(static_cast<told*>(self))->call(status, it);
    } catch (...) {
      thrown();
    }
#else
    std::unique_ptr<told>(static_cast<told*>(self))->call(status, it);
#endif
  }
};

/// Starts a call that tells a callback.
template <class T, class F, class Start>
result<void> tell(F done, const Start& start) {
  std::unique_ptr<told<T, F>> kept(new told<T, F>{std::move(done)});
  auto status = start(kept->at(), told<T, F>::on_done, kept.get());
  if (status != LSES_OK) return failure::last(status);
  (void)kept.release();  // It was told, or will be, and frees itself then.
  return {};
}

/// Starts a call that keeps a promise of a P; `settle` does so with a result.
template <class T, class P, class Start, class Settle>
std::future<P> promise(const Start& start, Settle settle) {
  std::promise<P> promise;
  auto future = promise.get_future();
  auto done = [promise = std::move(promise), settle](result<T> it) mutable { settle(promise, std::move(it)); };
  if (auto started = tell<T>(std::move(done), start); !started) {
    std::promise<P> failed;
    settle(failed, result<T>(started.error()));
    return failed.get_future();
  }
  return future;
}

/// An asynchronous call that does not throw.
template <class T, class F, class Start>
auto try_later(F done, const Start& start) {
  if constexpr (std::is_same_v<F, use_future_t>) {
    return promise<T, result<T>>(start, [](auto& promise, result<T> it) { promise.set_value(std::move(it)); });
  } else {
    return tell<T>(std::move(done), start);
  }
}

/// One that does.
template <class T, class F, class Start>
auto later(F done, const Start& start) {
  if constexpr (std::is_same_v<F, use_future_t>) {
    return promise<T, T>(start, [](auto& promise, result<T> it) {
#if LIBSESSION_HPP_EXCEPTIONS
      if (!it) return promise.set_exception(std::make_exception_ptr(error(it.error())));
#endif
      if constexpr (std::is_void_v<T>) {
        it.value();
        promise.set_value();
      } else {
        promise.set_value(std::move(it).value());
      }
    });
  } else {
    tell<T>(std::move(done), start).value();
  }
}

}  // namespace detail

#if LIBSESSION_HPP_EXCEPTIONS
/// Sets who is told what callbacks of calls that do not block have thrown, in the thread that threw, and returns who was before.
/// With none, the default, the text goes to stderr.
inline exception_handler set_exception_handler(exception_handler it) noexcept { return detail::thrower().exchange(it); }
#endif

/// Brings the callbacks of calls that do not block to the thread of an event loop. Destroyed, it tells LSES_E_CLOSED to all that
/// were not called, and releases what nobody fetched (see lses_completions_free): do so before the managers are.
///
///     completions loop;                                        // loop.fd() into epoll
///     manager.begin_new_async(create, {}, loop.bind([](result<request> it) { ... }));
///     loop.run();                                              // when the descriptor is readable
class completions {
 public:
  static result<completions> try_make() {
    lses_completions* handle = nullptr;
    auto status = lses_completions_new(&handle);
    if (status != LSES_OK) return failure::last(status);
    return completions(handle);
  }
  completions() : completions(try_make().value()) {}
  explicit completions(lses_completions* handle) noexcept : handle_(handle) {}
  lses_completions* get() const noexcept { return handle_.get(); }

  /// Readable exactly while a callback is to be called; not to be read from or closed.
  result<int> try_fd() const {
    std::int32_t fd = -1;
    auto status = lses_completions_fd(get(), &fd);
    return detail::number(status, static_cast<int>(fd));
  }
  int fd() const { return try_fd().value(); }
  /// Calls those that are ready, at most so many, in this thread; tells how many.
  result<std::size_t> try_run(std::size_t max = SIZE_MAX) const {
    std::size_t count = 0;
    auto status = lses_completions_run(get(), max, &count);
    return detail::number(status, count);
  }
  std::size_t run(std::size_t max = SIZE_MAX) const { return try_run(max).value(); }
  /// A callback that `run` calls.
  template <class F>
  detail::bound<F> bind(F done) const {
    return {get(), std::move(done)};
  }

 private:
  detail::owner<lses_completions, lses_completions_free> handle_;
};
static_assert(sizeof(completions) == sizeof(void*));

// === Request ===

/// What can be done with a request; `request` owns one, a callback's event lends one.
class request_ref {
  // What starts an asynchronous call; `told` is where it tells whom.
  auto logs_in(std::string_view user, const login_options& options) const {
    return [handle = handle_, user, &options](auto... told) {
      auto all = detail::strs(options.groups);
      auto raw = options.raw(all);
      return lses_request_login_async(handle, user.data(), user.size(), &raw, told...);
    };
  }
  auto trades(const login_options& options) const {
    return [handle = handle_, &options](auto... told) {
      auto all = detail::strs(options.groups);
      auto raw = options.raw(all);
      return lses_request_trade_async(handle, &raw, told...);
    };
  }
  auto takes(std::string_view pool, const feature_options& options) const {
    return [handle = handle_, pool, &options](auto... told) {
      auto all = detail::strs(options.groups);
      auto raw = options.raw(all);
      return lses_request_take_feature_async(handle, pool.data(), pool.size(), &raw, told...);
    };
  }
  auto locks(lock_mode mode, std::optional<milliseconds> timeout) const {
    return [handle = handle_, mode, timeout](auto... told) {
      return lses_request_lock_async(handle, static_cast<std::uint32_t>(mode), detail::ms(timeout), told...);
    };
  }

 public:
  explicit request_ref(lses_request* handle) noexcept : handle_(handle) {}
  lses_request* get() const noexcept { return handle_; }

  /// The session's public id.
  result<std::string> try_id() {
    char id[LSES_ID_SIZE];
    auto status = lses_request_id(handle_, id);
    if (status != LSES_OK) return failure::last(status);
    return std::string(id);
  }
  std::string id() { return try_id().value(); }
  /// The secret for the client.
  result<std::string> try_token() {
    char token[LSES_TOKEN_SIZE];
    auto status = lses_request_token(handle_, token);
    if (status != LSES_OK) return failure::last(status);
    return std::string(token);
  }
  std::string token() { return try_token().value(); }
  /// Whether this is the session's first request.
  result<bool> try_is_new() {
    std::int32_t flag = 0;
    auto status = lses_request_is_new(handle_, &flag);
    return detail::number(status, flag != 0);
  }
  bool is_new() { return try_is_new().value(); }
  /// The session as it is now, as JSON.
  result<std::string> try_info() {
    detail::buf text;
    auto status = lses_request_info(handle_, text.out());
    return detail::text(status, text);
  }
  std::string info() { return try_info().value(); }
  result<std::string> try_application() {
    detail::buf text;
    auto status = lses_request_application(handle_, text.out());
    return detail::text(status, text);
  }
  std::string application() { return try_application().value(); }
  result<std::optional<std::string>> try_user() {
    detail::buf text;
    auto status = lses_request_user(handle_, text.out());
    return detail::optional_text(status, text);
  }
  std::optional<std::string> user() { return try_user().value(); }
  result<std::optional<std::string>> try_license_holder() {
    detail::buf text;
    auto status = lses_request_license_holder(handle_, text.out());
    return detail::optional_text(status, text);
  }
  std::optional<std::string> license_holder() { return try_license_holder().value(); }
  /// The value at a path; `std::monostate` if there is none.
  result<libsession::value> try_get(const path& where) {
    auto raw = where.raw();
    lses_value found = LSES_VALUE_INIT;
    detail::buf text;
    auto status = lses_request_get(handle_, raw.data(), raw.size(), &found, text.out());
    if (status != LSES_OK) return failure::last(status);
    return detail::cooked(found);
  }
  libsession::value get(const path& where) { return try_get(where).value(); }
  /// Removes a subtree and returns its value.
  result<libsession::value> try_pop(const path& where) {
    auto raw = where.raw();
    lses_value found = LSES_VALUE_INIT;
    detail::buf text;
    auto status = lses_request_pop(handle_, raw.data(), raw.size(), &found, text.out());
    if (status != LSES_OK) return failure::last(status);
    return detail::cooked(found);
  }
  libsession::value pop(const path& where) { return try_pop(where).value(); }
  /// The value and the version of its first subscript; a later write to it conflicts if that moved.
  result<std::pair<libsession::value, std::uint64_t>> try_get_versioned(const path& where) {
    auto raw = where.raw();
    lses_value found = LSES_VALUE_INIT;
    std::uint64_t version = 0;
    detail::buf text;
    auto status = lses_request_get_versioned(handle_, raw.data(), raw.size(), &found, text.out(), &version);
    if (status != LSES_OK) return failure::last(status);
    return std::make_pair(detail::cooked(found), version);
  }
  std::pair<libsession::value, std::uint64_t> get_versioned(const path& where) { return try_get_versioned(where).value(); }
  result<void> try_expect_version(const subscript& first, std::uint64_t version) {
    auto raw = first.raw();
    return detail::check(lses_request_expect_version(handle_, &raw, version));
  }
  void expect_version(const subscript& first, std::uint64_t version) { try_expect_version(first, version).value(); }
  /// Sets a value.
  result<void> try_set(const path& where, const libsession::value& what) {
    auto raw = where.raw();
    auto raw_value = detail::raw(what);
    return detail::check(lses_request_set(handle_, raw.data(), raw.size(), &raw_value));
  }
  void set(const path& where, const libsession::value& what) { try_set(where, what).value(); }
  /// Sets a value if it is `expected` now; commits at once.
  result<void> try_compare_and_set(const path& where, const libsession::value& expected, const libsession::value& what) {
    auto raw = where.raw();
    auto raw_expected = detail::raw(expected), raw_value = detail::raw(what);
    return detail::check(lses_request_compare_and_set(handle_, raw.data(), raw.size(), &raw_expected, &raw_value));
  }
  void compare_and_set(const path& where, const libsession::value& expected, const libsession::value& what) { try_compare_and_set(where, expected, what).value(); }
  /// Removes a subtree; the empty path removes all.
  result<bool> try_kill(const path& where) {
    auto raw = where.raw();
    std::int32_t existed = 0;
    auto status = lses_request_kill(handle_, raw.data(), raw.size(), &existed);
    return detail::number(status, existed != 0);
  }
  bool kill(const path& where) { return try_kill(where).value(); }
  /// 0 nothing, 1 a value, 10 children, 11 both.
  result<int> try_defined(const path& where) {
    auto raw = where.raw();
    std::int32_t defined = 0;
    auto status = lses_request_defined(handle_, raw.data(), raw.size(), &defined);
    return detail::number(status, static_cast<int>(defined));
  }
  int defined(const path& where) { return try_defined(where).value(); }
  /// The subscript below a path that follows `after`; none at the end.
  result<std::optional<subscript>> try_next(const path& where, const std::optional<subscript>& after = {}, bool backward = false) {
    auto raw = where.raw();
    lses_subscript from = LSES_SUBSCRIPT_INIT, found = LSES_SUBSCRIPT_INIT;
    if (after) from = after->raw();
    detail::buf text;
    auto status = lses_request_next(handle_, raw.data(), raw.size(), &from,
                                    backward ? LSES_DIRECTION_BACKWARD : LSES_DIRECTION_FORWARD, &found, text.out());
    if (status != LSES_OK) return failure::last(status);
    switch (found.kind) {
      case LSES_SUBSCRIPT_TEXT: return std::optional<subscript>(std::string_view(found.text, found.text_len));
      case LSES_SUBSCRIPT_INT: return std::optional<subscript>(found.integer);
      case LSES_SUBSCRIPT_DECIMAL:
        return std::optional<subscript>(subscript::decimal({found.text, found.text_len}, found.number));
      default: return std::optional<subscript>();
    }
  }
  std::optional<subscript> next(const path& where, const std::optional<subscript>& after = {}, bool backward = false) { return try_next(where, after, backward).value(); }
  /// Lays a tree, a JSON list of [path, value], over the subtree at a path.
  result<void> try_merge(const path& where, std::string_view tree_json) {
    auto raw = where.raw();
    return detail::check(lses_request_merge(handle_, raw.data(), raw.size(), tree_json.data(), tree_json.size()));
  }
  void merge(const path& where, std::string_view tree_json) { try_merge(where, tree_json).value(); }
  /// Every node below a path that has a value: a JSON list of [path, value].
  result<std::string> try_entries(const path& where = {}) {
    auto raw = where.raw();
    detail::buf text;
    auto status = lses_request_entries(handle_, raw.data(), raw.size(), text.out());
    return detail::text(status, text);
  }
  std::string entries(const path& where = {}) { return try_entries(where).value(); }
  result<std::size_t> try_count() {
    std::size_t number = 0;
    auto status = lses_request_count(handle_, &number);
    return detail::number(status, number);
  }
  std::size_t count() { return try_count().value(); }
  result<std::size_t> try_bytes_used() {
    std::size_t number = 0;
    auto status = lses_request_bytes_used(handle_, &number);
    return detail::number(status, number);
  }
  std::size_t bytes_used() { return try_bytes_used().value(); }
  /// Commits the writes so far.
  result<void> try_save() {
    return detail::check(lses_request_save(handle_));
  }
  void save() { try_save().value(); }
  /// Drops the writes so far.
  result<void> try_discard() {
    return detail::check(lses_request_discard(handle_));
  }
  void discard() { try_discard().value(); }
  /// Commits, frees the lock and ends the request.
  result<void> try_finish() {
    return detail::check(lses_request_finish(handle_));
  }
  void finish() { try_finish().value(); }
  /// Tries the license trade again after a login whose trade was denied.
  result<void> try_trade(const std::vector<std::string>& groups = {}) {
    auto all = detail::strs(groups);
    return detail::check(lses_request_trade_as(handle_, detail::given(all, false), all.size()));
  }
  void trade(const std::vector<std::string>& groups = {}) { try_trade(groups).value(); }
  /// The same, waiting for a unit as the options say.
  result<void> try_trade(const login_options& options) {
    auto all = detail::strs(options.groups);
    auto raw = options.raw(all);
    return detail::check(lses_request_trade_with(handle_, &raw));
  }
  void trade(const login_options& options) { try_trade(options).value(); }
  /// The same, without blocking: see "Calls that do not block".
  template <class F>
  auto try_trade_async(const login_options& options, F done) {
    return detail::try_later<void>(std::move(done), trades(options));
  }
  template <class F>
  auto trade_async(const login_options& options, F done) {
    return detail::later<void>(std::move(done), trades(options));
  }
  /// Takes a feature, units of a pool beside the session's license, until it is returned or the session ends.
  result<void> try_take_feature(std::string_view pool, const feature_options& options = {}) {
    auto all = detail::strs(options.groups);
    auto raw = options.raw(all);
    return detail::check(lses_request_take_feature(handle_, pool.data(), pool.size(), &raw));
  }
  void take_feature(std::string_view pool, const feature_options& options = {}) { try_take_feature(pool, options).value(); }
  /// The same, without blocking.
  template <class F>
  auto try_take_feature_async(std::string_view pool, const feature_options& options, F done) {
    return detail::try_later<void>(std::move(done), takes(pool, options));
  }
  template <class F>
  auto take_feature_async(std::string_view pool, const feature_options& options, F done) {
    return detail::later<void>(std::move(done), takes(pool, options));
  }
  /// Returns a feature as often as asked, or as it is taken; tells how often.
  result<std::uint64_t> try_return_feature(std::string_view pool, std::uint64_t count = 1) {
    std::uint64_t returned = 0;
    auto status = lses_request_return_feature(handle_, pool.data(), pool.size(), count, &returned);
    return detail::number(status, returned);
  }
  std::uint64_t return_feature(std::string_view pool, std::uint64_t count = 1) {
    return try_return_feature(pool, count).value();
  }
  /// The features that the session has taken, as JSON list.
  result<std::string> try_features() {
    detail::buf text;
    auto status = lses_request_features(handle_, text.out());
    return detail::text(status, text);
  }
  std::string features() { return try_features().value(); }
  /// Frees the lock early.
  result<void> try_unlock(bool save = false) {
    return detail::check(lses_request_unlock(handle_, save));
  }
  void unlock(bool save = false) { try_unlock(save).value(); }
  /// Takes the lock again.
  result<void> try_lock(lock_mode mode, std::optional<milliseconds> timeout = {}) {
    return detail::check(lses_request_lock(handle_, static_cast<std::uint32_t>(mode), detail::ms(timeout)));
  }
  void lock(lock_mode mode, std::optional<milliseconds> timeout = {}) { try_lock(mode, timeout).value(); }
  /// The same, without blocking.
  template <class F>
  auto try_lock_async(lock_mode mode, std::optional<milliseconds> timeout, F done) {
    return detail::try_later<void>(std::move(done), locks(mode, timeout));
  }
  template <class F>
  auto lock_async(lock_mode mode, std::optional<milliseconds> timeout, F done) {
    return detail::later<void>(std::move(done), locks(mode, timeout));
  }
  /// The lock this request holds now.
  result<std::optional<lock_mode>> try_held_lock() {
    std::uint32_t mode = 0;
    auto status = lses_request_lock_mode(handle_, &mode);
    if (status != LSES_OK) return failure::last(status);
    return mode == 0 ? std::nullopt : std::optional<lock_mode>(static_cast<lock_mode>(mode));
  }
  std::optional<lock_mode> held_lock() { return try_held_lock().value(); }
  /// Sets the session's idle timeout, at once; `never` is never.
  result<void> try_set_idle_timeout(milliseconds timeout) {
    return detail::check(lses_request_set_idle_timeout(handle_, timeout.count()));
  }
  void set_idle_timeout(milliseconds timeout) { try_set_idle_timeout(timeout).value(); }
  /// Sets the session's absolute timeout; only earlier.
  result<void> try_set_absolute_timeout(milliseconds timeout) {
    return detail::check(lses_request_set_absolute_timeout(handle_, timeout.count()));
  }
  void set_absolute_timeout(milliseconds timeout) { try_set_absolute_timeout(timeout).value(); }
  /// Ends the session when its last request in flight finishes.
  result<void> try_request_end(bool end = true) {
    return detail::check(lses_request_request_end(handle_, end));
  }
  void request_end(bool end = true) { try_request_end(end).value(); }
  /// Ends the session now.
  result<end_outcome> try_end(const end_options& options = {}) {
    auto raw = options.raw();
    return detail::ended(
        [&](lses_receipt* receipt, lses_buf* json) { return lses_request_end(handle_, &raw, receipt, json); });
  }
  end_outcome end(const end_options& options = {}) { return try_end(options).value(); }
  /// A new token for the same session.
  result<std::string> try_rotate() {
    char token[LSES_TOKEN_SIZE];
    auto status = lses_request_rotate(handle_, token);
    if (status != LSES_OK) return failure::last(status);
    return std::string(token);
  }
  std::string rotate() { return try_rotate().value(); }
  /// The host has authenticated a user.
  result<libsession::login> try_login(std::string_view user, const std::vector<std::string>& groups = {}) {
    char token[LSES_TOKEN_SIZE];
    lses_status trade = LSES_OK;
    auto all = detail::strs(groups);
    auto status =
        lses_request_login_as(handle_, user.data(), user.size(), detail::given(all, false), all.size(), token, &trade);
    if (status != LSES_OK) return failure::last(status);
    libsession::login it{token, {}};
    if (trade != LSES_OK) it.trade_denied = static_cast<deny_reason>(lses_last_error_deny_reason());
    return it;
  }
  libsession::login login(std::string_view user, const std::vector<std::string>& groups = {}) {
    return try_login(user, groups).value();
  }
  /// The same, waiting for a unit as the options say.
  result<libsession::login> try_login(std::string_view user, const login_options& options) {
    char token[LSES_TOKEN_SIZE];
    lses_status trade = LSES_OK;
    auto all = detail::strs(options.groups);
    auto raw = options.raw(all);
    auto status = lses_request_login_with(handle_, user.data(), user.size(), &raw, token, &trade);
    if (status != LSES_OK) return failure::last(status);
    libsession::login it{token, {}};
    if (trade != LSES_OK) it.trade_denied = static_cast<deny_reason>(lses_last_error_deny_reason());
    return it;
  }
  libsession::login login(std::string_view user, const login_options& options) { return try_login(user, options).value(); }
  /// The same, without blocking; the request must not be finished before.
  template <class F>
  auto try_login_async(std::string_view user, const login_options& options, F done) {
    return detail::try_later<libsession::login>(std::move(done), logs_in(user, options));
  }
  template <class F>
  auto login_async(std::string_view user, const login_options& options, F done) {
    return detail::later<libsession::login>(std::move(done), logs_in(user, options));
  }
  /// The user leaves; the new token, or none if the session ended for want of a unit.
  result<std::optional<std::string>> try_logout(bool force = false) {
    char token[LSES_TOKEN_SIZE];
    lses_receipt receipt = LSES_RECEIPT_INIT;
    auto status = lses_request_logout(handle_, force, token, &receipt, nullptr);
    if (status == LSES_OK) return std::optional<std::string>(token);
    if (status == LSES_GONE && receipt.reason != 0) return std::optional<std::string>();
    return failure::last(status);
  }
  std::optional<std::string> logout(bool force = false) { return try_logout(force).value(); }
  /// Puts an event class to the front of the session's list.
  result<void> try_event_class_add(std::string_view name, std::string_view name_space = {}) {
    return detail::check(
        lses_request_event_class_add(handle_, name.data(), name.size(), name_space.data(), name_space.size()));
  }
  void event_class_add(std::string_view name, std::string_view name_space = {}) { try_event_class_add(name, name_space).value(); }
  /// Removes an event class, or all.
  result<bool> try_event_class_remove(std::string_view name = {}, std::string_view name_space = {}) {
    std::int32_t existed = 0;
    auto status = lses_request_event_class_remove(handle_, name.data(), name.size(), name_space.data(),
                                                  name_space.size(), &existed);
    return detail::number(status, existed != 0);
  }
  bool event_class_remove(std::string_view name = {}, std::string_view name_space = {}) { return try_event_class_remove(name, name_space).value(); }
  result<bool> try_event_class_exists(std::string_view name, std::string_view name_space = {}) {
    std::int32_t exists = 0;
    auto status = lses_request_event_class_exists(handle_, name.data(), name.size(), name_space.data(),
                                                  name_space.size(), &exists);
    return detail::number(status, exists != 0);
  }
  bool event_class_exists(std::string_view name, std::string_view name_space = {}) { return try_event_class_exists(name, name_space).value(); }
  /// The session's event classes, as JSON.
  result<std::string> try_event_class_list() {
    detail::buf text;
    auto status = lses_request_event_class_list(handle_, text.out());
    return detail::text(status, text);
  }
  std::string event_class_list() { return try_event_class_list().value(); }
  /// Empties the session's list.
  result<void> try_event_class_clear() {
    return detail::check(lses_request_event_class_clear(handle_));
  }
  void event_class_clear() { try_event_class_clear().value(); }
  result<void> try_set_event_class(std::string_view name) {
    return detail::check(lses_request_set_event_class(handle_, name.data(), name.size()));
  }
  void set_event_class(std::string_view name) { try_set_event_class(name).value(); }
  /// Keeps an object with the session under a name; it is destroyed after the session's `on_end`.
  template <class T>
  result<void> try_attach(std::string_view name, std::unique_ptr<T> object) {
    return detail::check(lses_request_attach(handle_, name.data(), name.size(), object.release(),
                                             [](void* kept) { delete static_cast<T*>(kept); }));
  }
  template <class T>
  void attach(std::string_view name, std::unique_ptr<T> object) {
    try_attach(name, std::move(object)).value();
  }
  /// The object under this name, which must be a `T`; null if there is none. The session still owns it.
  template <class T>
  result<T*> try_attachment(std::string_view name) {
    void* kept = nullptr;
    auto status = lses_request_attachment(handle_, name.data(), name.size(), &kept);
    return detail::number(status, static_cast<T*>(kept));
  }
  template <class T>
  T* attachment(std::string_view name) {
    return try_attachment<T>(name).value();
  }
  /// Takes the object away from the session; it must be a `T`.
  template <class T>
  result<std::unique_ptr<T>> try_detach(std::string_view name) {
    void* kept = nullptr;
    auto status = lses_request_detach(handle_, name.data(), name.size(), &kept);
    if (status != LSES_OK) return failure::last(status);
    return std::unique_ptr<T>(static_cast<T*>(kept));
  }
  template <class T>
  std::unique_ptr<T> detach(std::string_view name) {
    return try_detach<T>(name).value();
  }

 protected:
  lses_request* handle_;
};

/// A request in flight. Its destructor commits and finishes; `finish` tells whether that worked.
class request : public request_ref {
 public:
  explicit request(lses_request* handle) noexcept : request_ref(handle) {}
  request(request&& other) noexcept : request_ref(other.release()) {}
  request& operator=(request&& other) noexcept {
    if (this != &other) {
      lses_request_free(handle_);
      handle_ = other.release();
    }
    return *this;
  }
  request(const request&) = delete;
  request& operator=(const request&) = delete;
  ~request() { lses_request_free(handle_); }
  lses_request* release() noexcept { return std::exchange(handle_, nullptr); }
};
static_assert(sizeof(request) == sizeof(void*));

/// The outcome of a begin: a request, or why there is none.
struct begun {
  lses_status status = LSES_ABSENT;  ///< LSES_OK, LSES_ABSENT or LSES_GONE.
  std::optional<libsession::request> request;
  std::optional<end_reason> reason;  ///< With LSES_GONE.
  explicit operator bool() const noexcept { return request.has_value(); }
  libsession::request* operator->() noexcept { return &*request; }
};

namespace detail {
template <>
struct answer<request> : answer<void> {
  static result<request> of(lses_status, const lses_answer& it) { return request(it.request); }
};
template <>
struct answer<begun> {
  static bool has_value(lses_status status) noexcept { return status >= LSES_OK; }
  static result<begun> of(lses_status status, const lses_answer& it) {
    begun made;
    made.status = status;
    if (it.request != nullptr) made.request.emplace(it.request);
    if (it.reason != 0) made.reason = static_cast<end_reason>(it.reason);
    return made;
  }
};
}  // namespace detail

/// The outcome of a touch.
struct touched {
  lses_status status = LSES_ABSENT;   ///< LSES_OK, LSES_ABSENT or LSES_GONE.
  std::optional<milliseconds> left;   ///< Time until the deadline; none if there is none, or a request is in flight.
  std::optional<end_reason> reason;   ///< With LSES_GONE.
  explicit operator bool() const noexcept { return status == LSES_OK; }
};

// === Event classes ===

/// What a deciding callback answers.
class verdict {
 public:
  static verdict allow() { return verdict(LSES_ALLOW, {}, {}); }
  static verdict deny(std::string text = {}) { return verdict(LSES_DENY, std::move(text), {}); }
  static verdict extend(milliseconds by) { return verdict(LSES_EXTEND, {}, by); }
  static verdict failed(std::string text = {}) { return verdict(LSES_FAILED, std::move(text), {}); }
  std::int32_t code() const noexcept { return code_; }
  const std::string& text() const noexcept { return text_; }
  milliseconds by() const noexcept { return by_; }

 private:
  verdict(std::int32_t code, std::string text, milliseconds by) : code_(code), text_(std::move(text)), by_(by) {}
  std::int32_t code_;
  std::string text_;
  milliseconds by_;
};

/// What a callback is told; valid while it runs.
class event {
 public:
  explicit event(const lses_event* it) noexcept : it_(it) {}
  const lses_event* get() const noexcept { return it_; }
  event_kind kind() const noexcept { return static_cast<event_kind>(it_->kind); }
  std::uint64_t event_id() const noexcept { return it_->event_id; }
  std::optional<end_reason> reason() const noexcept { return maybe<end_reason>(it_->reason); }
  std::optional<end_level> level() const noexcept { return maybe<end_level>(it_->level); }
  thread_kind thread() const noexcept { return static_cast<thread_kind>(it_->thread); }
  unsigned attempt() const noexcept { return it_->attempt; }
  bool redelivered() const noexcept { return it_->redelivered != 0; }
  std::string_view session_id() const noexcept { return detail::view(it_->session_id); }
  std::string_view application() const noexcept { return detail::view(it_->application); }
  std::string_view old_application() const noexcept { return detail::view(it_->old_application); }
  std::string_view name_space() const noexcept { return detail::view(it_->name_space); }
  std::string_view user() const noexcept { return detail::view(it_->user); }
  std::string_view old_user() const noexcept { return detail::view(it_->old_user); }
  std::string_view pool() const noexcept { return detail::view(it_->pool); }
  std::uint64_t in_use() const noexcept { return it_->in_use; }
  std::uint64_t capacity() const noexcept { return it_->capacity; }
  std::optional<milliseconds> remaining() const noexcept {
    return it_->remaining_ms == LSES_UNSET ? std::nullopt : std::optional<milliseconds>(it_->remaining_ms);
  }
  std::uint64_t at_ms() const noexcept { return it_->at_ms; }
  std::int64_t wall_ms() const noexcept { return it_->wall_ms; }
  /// For deciders: the request or draft that they act under.
  std::optional<request_ref> request() const noexcept {
    return it_->request == nullptr ? std::nullopt : std::optional<request_ref>(request_ref(it_->request));
  }
  /// A value of the session's data as it was when the event happened.
  result<libsession::value> try_get(const path& where) const {
    auto raw = where.raw();
    lses_value found = LSES_VALUE_INIT;
    detail::buf text;
    auto status = lses_event_get(it_, raw.data(), raw.size(), &found, text.out());
    if (status != LSES_OK) return failure::last(status);
    return detail::cooked(found);
  }
  libsession::value get(const path& where) const { return try_get(where).value(); }
  /// All of the session's data: a JSON list of [path, value].
  result<std::string> try_data() const {
    detail::buf text;
    auto status = lses_event_data(it_, text.out());
    return detail::text(status, text);
  }
  std::string data() const { return try_data().value(); }
  void set_license_class(libsession::license_class it) const {
    detail::check(lses_event_set_license_class(it_, static_cast<std::uint32_t>(it))).value();
  }
  void set_end_session(bool end) const { detail::check(lses_event_set_end_session(it_, end)).value(); }
  milliseconds time_left() const {
    std::int64_t left = 0;
    detail::check(lses_event_time_left(it_, &left)).value();
    return milliseconds(left);
  }
  /// For tests under a manual clock: this callback is going to hang.
  void hang() const { detail::check(lses_event_hang(it_)).value(); }

 private:
  template <class E>
  static std::optional<E> maybe(std::uint32_t code) noexcept {
    return code == 0 ? std::nullopt : std::optional<E>(static_cast<E>(code));
  }
  const lses_event* it_;
};

namespace detail {

struct callbacks {
  std::function<verdict(const event&)> deciders[16];
  std::function<void(const event&)> notifications[16];
#if LIBSESSION_HPP_EXCEPTIONS
  std::function<void(const event&, std::exception_ptr)> on_exception;
#endif

  std::int32_t run(const lses_event* raw, std::int64_t* extend_ms) {
    event it(raw);
    if (auto& notify = notifications[raw->kind]) {
      notify(it);
      return LSES_ALLOW;
    }
    auto answer = deciders[raw->kind](it);
    if (!answer.text().empty()) (void)lses_event_say(raw, answer.text().data(), answer.text().size());
    if (extend_ms != nullptr) *extend_ms = answer.by().count();
    return answer.code();
  }

  std::int32_t contained(const lses_event* raw, std::int64_t* extend_ms) noexcept {
#if LIBSESSION_HPP_EXCEPTIONS
    std::exception_ptr caught;
    try {
      return run(raw, extend_ms);
    } catch (const std::exception& thrown) {
      caught = std::current_exception();
      (void)lses_event_say(raw, thrown.what(), LSES_NTS);
    } catch (...) {
      caught = std::current_exception();
      (void)lses_event_say(raw, "an exception that is no std::exception", LSES_NTS);
    }
    try {
      if (on_exception) on_exception(event(raw), caught);
    } catch (...) {
    }
    return LSES_FAILED;
#else
    return run(raw, extend_ms);
#endif
  }

  static std::int32_t on_event(void* self, const lses_event* raw) noexcept {
    return static_cast<callbacks*>(self)->contained(raw, nullptr);
  }
  static std::int32_t on_expiring(void* self, const lses_event* raw, std::int64_t* extend_ms) noexcept {
    return static_cast<callbacks*>(self)->contained(raw, extend_ms);
  }
  static void drop(void* self) noexcept { delete static_cast<callbacks*>(self); }
};

}  // namespace detail

/// Tells the groups of a user; nothing if it can't.
using group_resolver = std::function<std::optional<std::vector<std::string>>(std::string_view user)>;

namespace detail {

inline std::int32_t tell_all_groups(const group_resolver& tell, std::string_view user, lses_groups* groups) {
  auto told = tell(user);
  if (!told) return LSES_FAILED;
  for (const auto& group : *told) (void)lses_groups_add(groups, group.data(), group.size());
  return LSES_OK;
}

inline std::int32_t tell_groups(void* self, const char* user, std::size_t user_len, lses_groups* groups) noexcept {
  const auto& tell = *static_cast<group_resolver*>(self);
#if LIBSESSION_HPP_EXCEPTIONS
  try {
    return tell_all_groups(tell, {user, user_len}, groups);
  } catch (const std::exception& thrown) {
    (void)lses_groups_say(groups, thrown.what(), LSES_NTS);
  } catch (...) {
    (void)lses_groups_say(groups, "an exception that is no std::exception", LSES_NTS);
  }
  return LSES_FAILED;
#else
  return tell_all_groups(tell, {user, user_len}, groups);
#endif
}

inline void drop_group_resolver(void* self) noexcept { delete static_cast<group_resolver*>(self); }

}  // namespace detail

/// A set of callbacks. Lambdas: those that decide take a `const event&` and return a `verdict`, the others return nothing.
class event_class {
 public:
  event_class() : callbacks_(std::make_unique<detail::callbacks>()) {}

  event_class& on_start(std::function<verdict(const event&)> it) {
    callbacks_->deciders[LSES_EVENT_START] = std::move(it);
    table_.on_start = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_expiring(std::function<verdict(const event&)> it) {
    callbacks_->deciders[LSES_EVENT_EXPIRING] = std::move(it);
    table_.on_expiring = detail::callbacks::on_expiring;
    return *this;
  }
  event_class& on_timeout(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_TIMEOUT] = std::move(it);
    table_.on_timeout = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_end(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_END] = std::move(it);
    table_.on_end = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_application_change(std::function<verdict(const event&)> it) {
    callbacks_->deciders[LSES_EVENT_APPLICATION_CHANGE] = std::move(it);
    table_.on_application_change = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_login(std::function<verdict(const event&)> it) {
    callbacks_->deciders[LSES_EVENT_LOGIN] = std::move(it);
    table_.on_login = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_logout(std::function<verdict(const event&)> it) {
    callbacks_->deciders[LSES_EVENT_LOGOUT] = std::move(it);
    table_.on_logout = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_start_request(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_START_REQUEST] = std::move(it);
    table_.on_start_request = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_end_request(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_END_REQUEST] = std::move(it);
    table_.on_end_request = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_license_denied(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_LICENSE_DENIED] = std::move(it);
    table_.on_license_denied = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_context_lost(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_CONTEXT_LOST] = std::move(it);
    table_.on_context_lost = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_pool_low(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_POOL_LOW] = std::move(it);
    table_.on_pool_low = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_pool_exhausted(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_POOL_EXHAUSTED] = std::move(it);
    table_.on_pool_exhausted = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_pool_recovered(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_POOL_RECOVERED] = std::move(it);
    table_.on_pool_recovered = detail::callbacks::on_event;
    return *this;
  }
  event_class& on_pool_overdraft(std::function<void(const event&)> it) {
    callbacks_->notifications[LSES_EVENT_POOL_OVERDRAFT] = std::move(it);
    table_.on_pool_overdraft = detail::callbacks::on_event;
    return *this;
  }
  /// How long one callback may take.
  event_class& deadline(milliseconds it) {
    table_.deadline_ms = it.count();
    return *this;
  }
  /// In profile `iris`: `on_timeout` and `on_end` are called at the asking point.
  event_class& compat_veto(bool it) {
    table_.compat_veto = it ? LSES_YES : LSES_NO;
    return *this;
  }
#if LIBSESSION_HPP_EXCEPTIONS
  /// Is told of every exception that a callback of this class threw. What it throws itself is dropped.
  event_class& on_exception(std::function<void(const event&, std::exception_ptr)> it) {
    callbacks_->on_exception = std::move(it);
    return *this;
  }
#endif

 private:
  friend class manager;
  lses_event_class table_ = LSES_EVENT_CLASS_INIT;
  std::unique_ptr<detail::callbacks> callbacks_;
};

// === Clock, configuration ===

/// A clock that stands still until it is told.
class manual_clock {
 public:
  manual_clock() {
    lses_clock* handle = nullptr;
    detail::check(lses_clock_manual(&handle)).value();
    handle_.reset(handle);
  }
  lses_clock* get() const noexcept { return handle_.get(); }
  /// Goes forward, and does what is due; tells how many callbacks still run.
  result<std::size_t> try_advance(milliseconds by) {
    std::size_t pending = 0;
    auto status = lses_clock_advance(handle_.get(), by.count(), &pending);
    return detail::number(status, pending);
  }
  std::size_t advance(milliseconds by) { return try_advance(by).value(); }
  void suspend(milliseconds by) { detail::check(lses_clock_suspend(handle_.get(), by.count())).value(); }
  void set_wall(std::int64_t unix_ms) { detail::check(lses_clock_set_wall(handle_.get(), unix_ms)).value(); }
  void set_settle(milliseconds it) { detail::check(lses_clock_set_settle(handle_.get(), it.count())).value(); }
  std::uint64_t now() const {
    std::uint64_t ms = 0;
    detail::check(lses_clock_now(handle_.get(), &ms)).value();
    return ms;
  }

 private:
  detail::owner<lses_clock, lses_clock_free> handle_;
};

/// What a manager is opened with. Calls can be chained; what is wrong is told by the manager.
class config {
 public:
  config() {
    lses_config* handle = nullptr;
    detail::check(lses_config_new(&handle)).value();
    handle_.reset(handle);
  }
  lses_config* get() const noexcept { return handle_.get(); }
  /// The first setter that was refused, if one was.
  const std::optional<failure>& refused() const noexcept { return refused_; }

  config& store(std::string_view it) { return took(lses_config_set_store(get(), it.data(), it.size())); }
  config& durability(std::string_view it) { return took(lses_config_set_durability(get(), it.data(), it.size())); }
  config& profile(std::string_view it) { return took(lses_config_set_profile(get(), it.data(), it.size())); }
  config& clock(const manual_clock& it) { return took(lses_config_set_clock(get(), it.get())); }
  config& dispatch(dispatch_mode it) { return took(lses_config_set_dispatch(get(), static_cast<std::uint32_t>(it))); }
  config& threads(bool it) { return took(lses_config_set_threads(get(), it)); }
  config& workers(std::size_t workers, std::size_t decider_workers) { return took(lses_config_set_workers(get(), workers, decider_workers)); }
  config& max_stuck(std::size_t it) { return took(lses_config_set_max_stuck(get(), it)); }
  config& queue(std::size_t it) { return took(lses_config_set_queue(get(), it)); }
  config& lifecycle_log(std::size_t it) { return took(lses_config_set_lifecycle_log(get(), it)); }
  config& retries(std::uint32_t it) { return took(lses_config_set_retries(get(), it)); }
  config& max_sessions(std::uint64_t it) { return took(lses_config_set_max_sessions(get(), it)); }
  config& callback_deadline(milliseconds it) { return took(lses_config_set_callback_deadline(get(), it.count())); }
  config& tombstone(milliseconds it) { return took(lses_config_set_tombstone(get(), it.count())); }
  config& max_request(milliseconds it) { return took(lses_config_set_max_request(get(), it.count())); }
  config& lock_timeout(milliseconds it) { return took(lses_config_set_lock_timeout(get(), it.count())); }
  config& rotation_grace(milliseconds it) { return took(lses_config_set_rotation_grace(get(), it.count())); }
  config& breaker(std::uint32_t failures, milliseconds probe) { return took(lses_config_set_breaker(get(), failures, probe.count())); }
  config& dead_letters(std::size_t count, std::size_t bytes) { return took(lses_config_set_dead_letters(get(), count, bytes)); }
  config& quotas(std::size_t session_bytes, std::size_t levels, std::size_t value_bytes, std::size_t subscript_bytes) {
    return took(lses_config_set_quotas(get(), session_bytes, levels, value_bytes, subscript_bytes));
  }
  config& idle_counts_suspend(bool it) { return took(lses_config_set_idle_counts_suspend(get(), it)); }
  config& debug(bool it) { return took(lses_config_set_debug(get(), it)); }
  config& add(const application& it) {
    auto classes = detail::strs(it.event_classes), required = detail::strs(it.required_event_classes);
    auto crawlers = detail::strs(it.crawlers);
    lses_application raw = LSES_APPLICATION_INIT;
    raw.name = detail::str(std::string_view(it.name));
    raw.name_space = detail::str(std::string_view(it.name_space));
    raw.pool = detail::str(it.pool);
    raw.event_classes = classes.data();
    raw.event_class_count = classes.size();
    raw.required_event_classes = required.data();
    raw.required_event_class_count = required.size();
    raw.idle_timeout_ms = detail::ms(it.idle_timeout);
    raw.absolute_timeout_ms = detail::ms(it.absolute_timeout);
    raw.max_sessions = it.max_sessions.value_or(LSES_UNSET);
    raw.max_extensions = it.max_extensions.value_or(LSES_UNSET);
    raw.extension_cap_ms = detail::ms(it.extension_cap);
    raw.ask_lead_ms = detail::ms(it.ask_lead);
    raw.license_class = detail::code(it.license_class);
    raw.lock = detail::code(it.lock);
    raw.timeout_on_application_change = detail::code(it.timeout_on_application_change);
    raw.enabled = detail::choice(it.enabled);
    raw.protected_from_bulk_end = detail::choice(it.protected_from_bulk_end);
    raw.event_classes_on_entry = detail::choice(it.event_classes_on_entry);
    raw.debug = detail::choice(it.debug);
    raw.lazy_until = detail::code(it.lazy_until);
    raw.detect_crawlers = detail::choice(it.detect_crawlers);
    raw.crawlers = crawlers.data();
    raw.crawler_count = crawlers.size();
    raw.anonymous_idle_timeout_ms = detail::ms(it.anonymous_idle_timeout);
    return took(lses_config_add_application(get(), &raw));
  }
  config& add(const pool& it) {
    lses_pool raw = LSES_POOL_INIT;
    raw.name = detail::str(std::string_view(it.name));
    raw.capacity = it.capacity;
    raw.max_connections = it.max_connections.value_or(LSES_UNSET);
    raw.max_sessions_per_holder = it.max_sessions_per_holder.value_or(LSES_UNSET);
    raw.anonymous_cap = it.anonymous_cap.value_or(LSES_UNSET);
    raw.anonymous_per_client = it.anonymous_per_client.value_or(LSES_UNSET);
    raw.queue = it.queue.value_or(LSES_UNSET);
    raw.low = it.low.value_or(LSES_UNSET);
    raw.audit_records = it.audit_records.value_or(LSES_UNSET);
    raw.unit_rule = detail::code(it.unit_rule);
    raw.trade_failure = it.refuse_login_on_trade_failure ? LSES_TRADE_FAILURE_REFUSE : LSES_TRADE_FAILURE_KEEP;
    raw.holder_per_client = detail::choice(it.holder_per_client);
    raw.recovered = it.recovered.value_or(LSES_UNSET);
    raw.linger_ms = detail::ms(it.linger);
    raw.min_hold_ms = detail::ms(it.min_hold);
    raw.anonymous_min_hold_ms = detail::ms(it.anonymous_min_hold);
    raw.lazy_linger_ms = detail::ms(it.lazy_linger);
    raw.lazy_min_hold_ms = detail::ms(it.lazy_min_hold);
    raw.reclaim = detail::choice(it.reclaim);
    raw.overdraft = it.overdraft.value_or(LSES_UNSET);
    raw.overdraft_percent = it.overdraft_percent.value_or(LSES_UNSET);
    raw.overdraft_time_ms = detail::ms(it.overdraft_time);
    raw.evict = detail::code(it.evict);
    raw.evict_idle_ms = detail::ms(it.evict_idle);
    raw.at_session_limit = detail::code(it.at_session_limit);
    raw.break_glass = it.break_glass.value_or(LSES_UNSET);
    std::vector<std::vector<lses_str>> members;
    std::vector<lses_reservation> reservations;
    for (const auto& one : it.reservations) {
      members.push_back(detail::strs(one.members));
      lses_reservation reserved = LSES_RESERVATION_INIT;
      reserved.members = members.back().data();
      reserved.member_count = members.back().size();
      reserved.units = one.units;
      reserved.soft = detail::choice(one.soft);
      reservations.push_back(reserved);
    }
    auto administrators = detail::strs(it.administrators);
    auto include = detail::strs(it.include), exclude = detail::strs(it.exclude);
    raw.reservations = reservations.data();
    raw.reservation_count = reservations.size();
    raw.administrators = administrators.data();
    raw.administrator_count = administrators.size();
    raw.include = include.data();
    raw.include_count = include.size();
    raw.exclude = exclude.data();
    raw.exclude_count = exclude.size();
    return took(lses_config_add_pool(get(), &raw));
  }

 private:
  config& took(lses_status status) {
    if (status != LSES_OK && !refused_) refused_ = failure::last(status);
    return *this;
  }
  detail::owner<lses_config, lses_config_free> handle_;
  std::optional<failure> refused_;
};

// === Manager ===

/// One table of sessions. Its destructor closes with a grace of 5 s if `close` was not called.
class manager {
  // What starts an asynchronous call; `told` is where it tells whom.
  auto creates(const create_options& options) const {
    return [handle = get(), raw = options.raw()](auto... told) {
      return lses_manager_create_async(handle, &raw, told...);
    };
  }
  auto begins_new(const create_options& create, const begin_options& begin) const {
    return [handle = get(), create = create.raw(), begin = begin.raw()](auto... told) {
      return lses_manager_begin_new_async(handle, &create, &begin, told...);
    };
  }
  auto begins(std::string_view token, const begin_options& options) const {
    return [handle = get(), token, raw = options.raw()](auto... told) {
      return lses_manager_begin_async(handle, token.data(), token.size(), &raw, told...);
    };
  }

 public:
  static result<manager> try_open(const config& it) {
    if (it.refused()) return *it.refused();
    lses_manager* handle = nullptr;
    auto status = lses_manager_new(it.get(), &handle);
    if (status != LSES_OK) return failure::last(status);
    return manager(handle);
  }
  explicit manager(const config& it) : manager(try_open(it).value()) {}
  explicit manager(lses_manager* handle) noexcept : handle_(handle) {}
  manager(manager&&) = default;
  manager& operator=(manager&& other) noexcept {
    if (this != &other) {
      shut();
      handle_ = std::move(other.handle_);
    }
    return *this;
  }
  ~manager() { shut(); }
  lses_manager* get() const noexcept { return handle_.get(); }
  /// Gives the handle away, open.
  lses_manager* release() noexcept { return handle_.release(); }

  result<created> try_create(const create_options& options = {}) {
    auto raw = options.raw();
    char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
    auto status = lses_manager_create(get(), &raw, token, id);
    if (status != LSES_OK) return failure::last(status);
    return created{id, token};
  }
  created create(const create_options& options = {}) { return try_create(options).value(); }
  /// As create, without blocking: see "Calls that do not block".
  template <class F>
  auto try_create_async(const create_options& options, F done) {
    return detail::try_later<created>(std::move(done), creates(options));
  }
  template <class F>
  auto create_async(const create_options& options, F done) {
    return detail::later<created>(std::move(done), creates(options));
  }
  result<request> try_begin_new(const create_options& create = {}, const begin_options& begin = {}) {
    auto raw_create = create.raw();
    auto raw_begin = begin.raw();
    lses_request* handle = nullptr;
    auto status = lses_manager_begin_new(get(), &raw_create, &raw_begin, &handle);
    if (status != LSES_OK) return failure::last(status);
    return request(handle);
  }
  request begin_new(const create_options& create = {}, const begin_options& begin = {}) {
    return try_begin_new(create, begin).value();
  }
  /// As begin_new, without blocking.
  template <class F>
  auto try_begin_new_async(const create_options& create, const begin_options& begin, F done) {
    return detail::try_later<request>(std::move(done), begins_new(create, begin));
  }
  template <class F>
  auto begin_new_async(const create_options& create, const begin_options& begin, F done) {
    return detail::later<request>(std::move(done), begins_new(create, begin));
  }
  result<begun> try_begin(std::string_view token, const begin_options& options = {}) {
    auto raw = options.raw();
    lses_request* handle = nullptr;
    std::uint32_t reason = 0;
    begun it;
    it.status = lses_manager_begin(get(), token.data(), token.size(), &raw, &handle, &reason);
    if (it.status < 0) return failure::last(it.status);
    if (handle != nullptr) it.request.emplace(handle);
    if (reason != 0) it.reason = static_cast<end_reason>(reason);
    return it;
  }
  begun begin(std::string_view token, const begin_options& options = {}) { return try_begin(token, options).value(); }
  /// As begin, without blocking for the session's lock.
  template <class F>
  auto try_begin_async(std::string_view token, const begin_options& options, F done) {
    return detail::try_later<begun>(std::move(done), begins(token, options));
  }
  template <class F>
  auto begin_async(std::string_view token, const begin_options& options, F done) {
    return detail::later<begun>(std::move(done), begins(token, options));
  }
  result<touched> try_touch(std::string_view token, touch_kind kind = touch_kind::activity) {
    std::int64_t left = LSES_UNSET;
    std::uint32_t reason = 0;
    touched it;
    it.status =
        lses_manager_touch(get(), token.data(), token.size(), static_cast<std::uint32_t>(kind), &left, &reason);
    if (it.status < 0) return failure::last(it.status);
    if (left != LSES_UNSET) it.left = milliseconds(left);
    if (reason != 0) it.reason = static_cast<end_reason>(reason);
    return it;
  }
  touched touch(std::string_view token, touch_kind kind = touch_kind::activity) { return try_touch(token, kind).value(); }
  /// The public id of the live session that a token opens.
  result<std::optional<std::string>> try_id_of(std::string_view token) {
    char id[LSES_ID_SIZE];
    auto status = lses_manager_id_of(get(), token.data(), token.size(), id);
    if (status < 0) return failure::last(status);
    return status == LSES_OK ? std::optional<std::string>(id) : std::nullopt;
  }
  std::optional<std::string> id_of(std::string_view token) { return try_id_of(token).value(); }
  result<end_outcome> try_end(std::string_view id, const end_options& options = {}) {
    auto raw = options.raw();
    return detail::ended([&](lses_receipt* receipt, lses_buf* json) {
      return lses_manager_end(get(), id.data(), id.size(), &raw, receipt, json);
    });
  }
  end_outcome end(std::string_view id, const end_options& options = {}) { return try_end(id, options).value(); }
  result<lses_progress> try_end_where(const filter& which, const end_options& options = {}, std::uint64_t cursor = 0,
                                      std::size_t limit = 1000) {
    auto raw_filter = which.raw();
    auto raw_options = options.raw();
    lses_progress it = LSES_PROGRESS_INIT;
    auto status = lses_manager_end_where(get(), &raw_filter, &raw_options, cursor, limit, &it);
    return detail::number(status, it);
  }
  lses_progress end_where(const filter& which, const end_options& options = {}, std::uint64_t cursor = 0,
                          std::size_t limit = 1000) {
    return try_end_where(which, options, cursor, limit).value();
  }
  result<lses_progress> try_set_idle_timeout_where(const filter& which, milliseconds timeout, std::uint64_t cursor = 0,
                                                   std::size_t limit = 1000) {
    auto raw = which.raw();
    lses_progress it = LSES_PROGRESS_INIT;
    auto status = lses_manager_set_idle_timeout_where(get(), &raw, timeout.count(), cursor, limit, &it);
    return detail::number(status, it);
  }
  lses_progress set_idle_timeout_where(const filter& which, milliseconds timeout, std::uint64_t cursor = 0,
                                       std::size_t limit = 1000) {
    return try_set_idle_timeout_where(which, timeout, cursor, limit).value();
  }
  /// By public id; tells whether it is live.
  result<bool> try_set_idle_timeout(std::string_view id, milliseconds timeout) {
    auto status = lses_manager_set_idle_timeout(get(), id.data(), id.size(), timeout.count());
    if (status < 0) return failure::last(status);
    return status == LSES_OK;
  }
  bool set_idle_timeout(std::string_view id, milliseconds timeout) { return try_set_idle_timeout(id, timeout).value(); }
  /// By public id; tells whether it is live.
  result<bool> try_set_absolute_timeout(std::string_view id, milliseconds timeout) {
    auto status = lses_manager_set_absolute_timeout(get(), id.data(), id.size(), timeout.count());
    if (status < 0) return failure::last(status);
    return status == LSES_OK;
  }
  bool set_absolute_timeout(std::string_view id, milliseconds timeout) { return try_set_absolute_timeout(id, timeout).value(); }
  /// How many sessions are live.
  result<std::uint64_t> try_count() {
    std::uint64_t number = 0;
    auto status = lses_manager_count(get(), &number);
    return detail::number(status, number);
  }
  std::uint64_t count() { return try_count().value(); }
  /// Everything about one session, as JSON; none if it is unknown.
  result<std::optional<std::string>> try_explain(std::string_view id) {
    detail::buf text;
    auto status = lses_manager_explain(get(), id.data(), id.size(), text.out());
    if (status < 0) return failure::last(status);
    return status == LSES_OK ? std::optional<std::string>(text.text()) : std::nullopt;
  }
  std::optional<std::string> explain(std::string_view id) { return try_explain(id).value(); }
  /// Each violation of an invariant, as JSON list; empty without a defect.
  result<std::string> try_check() {
    detail::buf text;
    auto status = lses_manager_check(get(), text.out());
    return detail::text(status, text);
  }
  std::string check() { return try_check().value(); }
  /// The names of the pools, as JSON list.
  result<std::string> try_pools() {
    detail::buf text;
    auto status = lses_manager_pools(get(), text.out());
    return detail::text(status, text);
  }
  std::string pools() { return try_pools().value(); }
  result<std::string> try_stats_json() {
    detail::buf text;
    auto status = lses_manager_stats(get(), nullptr, text.out());
    return detail::text(status, text);
  }
  std::string stats_json() { return try_stats_json().value(); }
  result<std::string> try_usage_json(std::string_view pool) {
    detail::buf text;
    auto status = lses_manager_usage(get(), pool.data(), pool.size(), nullptr, text.out());
    return detail::text(status, text);
  }
  std::string usage_json(std::string_view pool) { return try_usage_json(pool).value(); }
  /// A recount beside the counters, as JSON.
  result<std::string> try_audit(std::string_view pool) {
    detail::buf text;
    auto status = lses_manager_audit(get(), pool.data(), pool.size(), text.out());
    return detail::text(status, text);
  }
  std::string audit(std::string_view pool) { return try_audit(pool).value(); }
  result<std::string> try_audit_records(std::string_view pool, std::uint64_t after = 0, std::size_t limit = 1000) {
    detail::buf text;
    auto status = lses_manager_audit_records(get(), pool.data(), pool.size(), after, limit, text.out());
    return detail::text(status, text);
  }
  std::string audit_records(std::string_view pool, std::uint64_t after = 0, std::size_t limit = 1000) { return try_audit_records(pool, after, limit).value(); }
  /// Accounts as lines of JSON, each with a line feed at its end; `last` takes where the next call goes on.
  result<std::string> try_export_accounts(std::string_view pool, std::uint64_t after = 0, std::size_t limit = 1000,
                                          std::uint64_t *last = nullptr) {
    detail::buf text;
    auto status = lses_manager_export_accounts(get(), pool.data(), pool.size(), after, limit, text.out(), last);
    return detail::text(status, text);
  }
  std::string export_accounts(std::string_view pool, std::uint64_t after = 0, std::size_t limit = 1000,
                              std::uint64_t *last = nullptr) {
    return try_export_accounts(pool, after, limit, last).value();
  }
  /// The definition of a pool that is in force, as JSON.
  result<std::string> try_pool(std::string_view pool) {
    detail::buf text;
    auto status = lses_manager_pool(get(), pool.data(), pool.size(), text.out());
    return detail::text(status, text);
  }
  std::string pool(std::string_view pool) { return try_pool(pool).value(); }
  /// Changes the options of a pool that a JSON object names, while it runs; the definition in force from now on.
  result<std::string> try_change_pool(std::string_view pool, std::string_view options,
                                      std::optional<std::string_view> actor = std::nullopt) {
    detail::buf text;
    auto status = lses_manager_change_pool(get(), pool.data(), pool.size(), options.data(), options.size(),
                                           actor ? actor->data() : nullptr, actor ? actor->size() : 0, text.out());
    return detail::text(status, text);
  }
  std::string change_pool(std::string_view pool, std::string_view options,
                          std::optional<std::string_view> actor = std::nullopt) {
    return try_change_pool(pool, options, actor).value();
  }
  /// Where the definitions in force are others than those that this manager was opened with, as JSON list.
  result<std::string> try_pool_differences() {
    detail::buf text;
    auto status = lses_manager_pool_differences(get(), text.out());
    return detail::text(status, text);
  }
  std::string pool_differences() { return try_pool_differences().value(); }
  /// The most units in use since a reader reset its mark, and when that was.
  result<std::pair<std::uint64_t, std::int64_t>> try_high_water(std::string_view pool, std::string_view reader) {
    std::uint64_t units = 0;
    std::int64_t at = 0;
    auto status = lses_manager_high_water(get(), pool.data(), pool.size(), reader.data(), reader.size(), &units, &at);
    return detail::number(status, std::pair<std::uint64_t, std::int64_t>(units, at));
  }
  std::pair<std::uint64_t, std::int64_t> high_water(std::string_view pool, std::string_view reader) {
    return try_high_water(pool, reader).value();
  }
  result<void> try_reset_high_water(std::string_view pool, std::string_view reader) {
    return detail::check(lses_manager_reset_high_water(get(), pool.data(), pool.size(), reader.data(), reader.size()));
  }
  void reset_high_water(std::string_view pool, std::string_view reader) { try_reset_high_water(pool, reader).value(); }
  /// Forgets a reader's mark; tells whether there was one.
  result<bool> try_forget_high_water(std::string_view pool, std::string_view reader) {
    auto status = lses_manager_forget_high_water(get(), pool.data(), pool.size(), reader.data(), reader.size());
    if (status < 0) return failure::last(status);
    return status == LSES_OK;
  }
  bool forget_high_water(std::string_view pool, std::string_view reader) {
    return try_forget_high_water(pool, reader).value();
  }
  result<std::string> try_lifecycle(std::uint64_t after = 0, std::size_t limit = 1000) {
    detail::buf text;
    auto status = lses_manager_lifecycle(get(), after, limit, text.out());
    return detail::text(status, text);
  }
  std::string lifecycle(std::uint64_t after = 0, std::size_t limit = 1000) { return try_lifecycle(after, limit).value(); }
  result<std::string> try_dead_letters(std::uint64_t after = 0, std::size_t limit = 1000) {
    detail::buf text;
    auto status = lses_manager_dead_letters(get(), after, limit, text.out());
    return detail::text(status, text);
  }
  std::string dead_letters(std::uint64_t after = 0, std::size_t limit = 1000) { return try_dead_letters(after, limit).value(); }
  /// Delivers a dead letter again, or all.
  result<std::size_t> try_redeliver(std::uint64_t id = 0) {
    std::size_t number = 0;
    auto status = lses_manager_redeliver(get(), id, &number);
    return detail::number(status, number);
  }
  std::size_t redeliver(std::uint64_t id = 0) { return try_redeliver(id).value(); }
  result<std::size_t> try_reap_now() {
    std::size_t number = 0;
    auto status = lses_manager_reap_now(get(), &number);
    return detail::number(status, number);
  }
  std::size_t reap_now() { return try_reap_now().value(); }
  result<bool> try_drain(milliseconds timeout) {
    std::int32_t drained = 0;
    auto status = lses_manager_drain(get(), timeout.count(), &drained);
    return detail::number(status, drained != 0);
  }
  bool drain(milliseconds timeout) { return try_drain(timeout).value(); }
  result<std::size_t> try_dispatch(std::size_t max, milliseconds timeout = milliseconds(0)) {
    std::size_t number = 0;
    auto status = lses_manager_dispatch(get(), max, timeout.count(), &number);
    return detail::number(status, number);
  }
  std::size_t dispatch(std::size_t max, milliseconds timeout = milliseconds(0)) { return try_dispatch(max, timeout).value(); }
  result<int> try_event_fd() {
    std::int32_t fd = -1;
    auto status = lses_manager_event_fd(get(), &fd);
    return detail::number(status, static_cast<int>(fd));
  }
  int event_fd() { return try_event_fd().value(); }
  /// Engine time in milliseconds.
  result<std::uint64_t> try_now() {
    std::uint64_t ms = 0;
    auto status = lses_manager_now(get(), &ms);
    return detail::number(status, ms);
  }
  std::uint64_t now() { return try_now().value(); }
  /// For tests.
  result<bool> try_damage(std::string_view id) {
    auto status = lses_manager_damage(get(), id.data(), id.size());
    if (status < 0) return failure::last(status);
    return status == LSES_OK;
  }
  bool damage(std::string_view id) { return try_damage(id).value(); }
  /// For tests.
  result<void> try_stall_reaper(bool stall) {
    return detail::check(lses_manager_stall_reaper(get(), stall));
  }
  void stall_reaper(bool stall) { try_stall_reaper(stall).value(); }
  result<bool> try_is_closed() {
    std::int32_t closed = 0;
    auto status = lses_manager_is_closed(get(), &closed);
    return detail::number(status, closed != 0);
  }
  bool is_closed() { return try_is_closed().value(); }
  /// Registers an event class in this process and takes its lambdas, which live until they are called no more.
  result<void> try_register_class(std::string_view name, event_class& it, std::string_view name_space = {}) {
    it.table_.user_data = it.callbacks_.release();
    it.table_.drop_user_data = detail::callbacks::drop;
    return detail::check(
        lses_manager_register(get(), name.data(), name.size(), name_space.data(), name_space.size(), &it.table_));
  }
  result<void> try_register_class(std::string_view name, event_class&& it, std::string_view name_space = {}) {
    return try_register_class(name, it, name_space);
  }
  void register_class(std::string_view name, event_class& it, std::string_view name_space = {}) {
    try_register_class(name, it, name_space).value();
  }
  void register_class(std::string_view name, event_class&& it, std::string_view name_space = {}) {
    try_register_class(name, it, name_space).value();
  }
  /// Unregisters; returns when none of its callbacks runs any more. Tells whether it was there.
  result<bool> try_unregister_class(std::string_view name, std::string_view name_space = {}) {
    std::int32_t existed = 0;
    auto status = lses_manager_unregister(get(), name.data(), name.size(), name_space.data(), name_space.size(), &existed);
    return detail::number(status, existed != 0);
  }
  bool unregister_class(std::string_view name, std::string_view name_space = {}) {
    return try_unregister_class(name, name_space).value();
  }
  /// Sets who tells the groups of a user, in place of the one before; an empty function takes it away. It is asked by logins,
  /// trades and features that no groups are given with, where the rules of the pool name groups. One that throws, or gives
  /// nothing, fails: the call is denied. When this returns, the one before does not run any more.
  result<void> try_set_group_resolver(group_resolver tell) {
    if (!tell) return detail::check(lses_manager_set_group_resolver(get(), nullptr, nullptr, nullptr));
    auto kept = std::make_unique<group_resolver>(std::move(tell));
    return detail::check(
        lses_manager_set_group_resolver(get(), detail::tell_groups, kept.release(), detail::drop_group_resolver));
  }
  void set_group_resolver(group_resolver tell) { try_set_group_resolver(std::move(tell)).value(); }
  /// Those who wait for units of a pool, as JSON list.
  result<std::string> try_queue(std::string_view pool, std::size_t skip = 0, std::size_t limit = 1000) {
    detail::buf text;
    auto status = lses_manager_queue(get(), pool.data(), pool.size(), skip, limit, text.out());
    return detail::text(status, text);
  }
  std::string queue(std::string_view pool, std::size_t skip = 0, std::size_t limit = 1000) {
    return try_queue(pool, skip, limit).value();
  }
  result<lses_usage> try_usage(std::string_view pool) {
    lses_usage it = LSES_USAGE_INIT;
    auto status = lses_manager_usage(get(), pool.data(), pool.size(), &it, nullptr);
    return detail::number(status, it);
  }
  lses_usage usage(std::string_view pool) { return try_usage(pool).value(); }
  result<lses_stats> try_stats() {
    lses_stats it = LSES_STATS_INIT;
    auto status = lses_manager_stats(get(), &it, nullptr);
    return detail::number(status, it);
  }
  lses_stats stats() { return try_stats().value(); }
  /// A page of live sessions, a JSON list; `next` is the next page's cursor, 0 at the end.
  result<std::string> try_list(const filter& which, std::uint64_t cursor, std::size_t limit, std::uint64_t& next) {
    auto raw = which.raw();
    detail::buf text;
    auto status = lses_manager_list(get(), &raw, cursor, limit, text.out(), &next);
    return detail::text(status, text);
  }
  std::string list(const filter& which, std::uint64_t cursor, std::size_t limit, std::uint64_t& next) {
    return try_list(which, cursor, limit, next).value();
  }
  /// No-thread mode: does what is due; when to call again at the latest, none if nothing is due.
  result<std::optional<milliseconds>> try_tick() {
    std::int64_t next = LSES_UNSET;
    auto status = lses_manager_tick(get(), &next);
    if (status != LSES_OK) return failure::last(status);
    return next == LSES_UNSET ? std::nullopt : std::optional<milliseconds>(next);
  }
  std::optional<milliseconds> tick() { return try_tick().value(); }
  /// Ends every session with `shutdown`, delivers callbacks for at most the grace, and stops the threads.
  result<lses_close_report> try_close(milliseconds grace = milliseconds(5000)) {
    lses_close_report it = LSES_CLOSE_REPORT_INIT;
    auto status = lses_manager_close(get(), grace.count(), &it);
    return detail::number(status, it);
  }
  lses_close_report close(milliseconds grace = milliseconds(5000)) { return try_close(grace).value(); }

 private:
  void shut() noexcept {
    if (handle_) (void)lses_manager_close(get(), 5000, nullptr);
    handle_.reset();
  }
  detail::owner<lses_manager, lses_manager_free> handle_;
};
static_assert(sizeof(manager) == sizeof(void*));

/// Sends log messages to a function `(int level, std::string_view message)`; it must not throw.
template <class F>
result<void> try_set_log(F on_log, int level = LSES_LOG_INFO) {
  auto* box = new F(std::move(on_log));
  auto call = [](void* self, std::int32_t at, const char* message, std::size_t len) noexcept {
    (*static_cast<F*>(self))(static_cast<int>(at), std::string_view(message, len));
  };
  return detail::check(lses_set_log(call, level, box, [](void* self) { delete static_cast<F*>(self); }));
}

}  // namespace libsession

#endif
