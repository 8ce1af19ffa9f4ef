// Part of libsession.hpp: event classes.
#ifndef LIBSESSION_EVENT_HPP
#define LIBSESSION_EVENT_HPP

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libsession/request.hpp>

namespace libsession {

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

}  // namespace libsession

#endif
