// Part of libsession.hpp: the manager, and the log.
#ifndef LIBSESSION_MANAGER_HPP
#define LIBSESSION_MANAGER_HPP

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libsession/config.hpp>
#include <libsession/event.hpp>

namespace libsession {

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
  auto ends(std::string_view id, const end_options& options) const {
    return [handle = get(), id, raw = options.raw()](auto... told) {
      return lses_manager_end_async(handle, id.data(), id.size(), &raw, told...);
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
  /// The same, without blocking.
  template <class F>
  auto try_end_async(std::string_view id, const end_options& options, F done) {
    return detail::try_later<end_outcome>(std::move(done), ends(id, options));
  }
  template <class F>
  auto end_async(std::string_view id, const end_options& options, F done) {
    return detail::later<end_outcome>(std::move(done), ends(id, options));
  }
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
