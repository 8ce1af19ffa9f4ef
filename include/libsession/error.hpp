// Part of libsession.hpp: what goes wrong.
#ifndef LIBSESSION_ERROR_HPP
#define LIBSESSION_ERROR_HPP

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include <libsession/words.hpp>

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define LIBSESSION_HPP_EXCEPTIONS 1
#else
#define LIBSESSION_HPP_EXCEPTIONS 0
#endif

namespace libsession {

/// What went wrong: a copy of what the C interface remembers for the thread.
struct failure {
  lses_status code = LSES_OK;
  std::string message;
  std::optional<end_reason> reason;
  std::optional<libsession::deny_reason> deny_reason;
  std::optional<milliseconds> retry_after;
  bool retryable = false;  ///< Whether the same call may succeed later without a change by the caller.
  std::string keys;  ///< JSON list of the first subscripts in conflict, or "".

  static failure last(lses_status code) {
    failure it;
    it.code = code;
    it.message = lses_last_error_message();
    if (auto reason = lses_last_error_reason()) it.reason = static_cast<end_reason>(reason);
    if (auto reason = lses_last_error_deny_reason()) it.deny_reason = static_cast<libsession::deny_reason>(reason);
    if (auto after = lses_last_error_retry_after_ms(); after != LSES_UNSET) it.retry_after = milliseconds(after);
    it.retryable = lses_last_error_retryable() != 0;
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
  /// When the same call would get in if only time passed (lses_last_error_retry_after_ms()).
  std::optional<milliseconds> retry_after() const noexcept { return what_.retry_after; }
  bool retryable() const noexcept { return what_.retryable; }

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

}  // namespace libsession

#endif
