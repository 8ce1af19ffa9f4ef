// Part of libsession.hpp: a request, and what begins give.
#ifndef LIBSESSION_REQUEST_HPP
#define LIBSESSION_REQUEST_HPP

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libsession/async.hpp>
#include <libsession/data.hpp>

namespace libsession {

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
  auto locks(lock_mode mode, std::optional<milliseconds> timeout, lses_ticket* ticket = nullptr) const {
    return [handle = handle_, mode, timeout, ticket](auto... told) {
      return lses_request_lock_async(handle, static_cast<std::uint32_t>(mode), detail::ms(timeout), ticket, told...);
    };
  }
  auto ends(const end_options& options) const {
    return [handle = handle_, raw = options.raw()](auto... told) { return lses_request_end_async(handle, &raw, told...); };
  }
  auto logs_out(bool force) const {
    return [handle = handle_, force](auto... told) { return lses_request_logout_async(handle, force, told...); };
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
  /// The same, cancelled by a ticket.
  template <class F>
  auto try_lock_async(lock_mode mode, std::optional<milliseconds> timeout, const ticket& by, F done) {
    return detail::try_later<void>(std::move(done), locks(mode, timeout, by.get()));
  }
  template <class F>
  auto lock_async(lock_mode mode, std::optional<milliseconds> timeout, const ticket& by, F done) {
    return detail::later<void>(std::move(done), locks(mode, timeout, by.get()));
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
  /// The same, without blocking.
  template <class F>
  auto try_end_async(const end_options& options, F done) {
    return detail::try_later<end_outcome>(std::move(done), ends(options));
  }
  template <class F>
  auto end_async(const end_options& options, F done) {
    return detail::later<end_outcome>(std::move(done), ends(options));
  }
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
  /// The same, without blocking; the request must not be finished before.
  template <class F>
  auto try_logout_async(bool force, F done) {
    return detail::try_later<std::optional<std::string>>(std::move(done), logs_out(force));
  }
  template <class F>
  auto logout_async(bool force, F done) {
    return detail::later<std::optional<std::string>>(std::move(done), logs_out(force));
  }
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
  static bool has_value(lses_status status, const lses_answer&) noexcept { return status >= LSES_OK; }
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

}  // namespace libsession

#endif
