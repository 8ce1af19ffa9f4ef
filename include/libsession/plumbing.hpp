// Part of libsession.hpp: between C and C++; nothing here is for programs.
#ifndef LIBSESSION_PLUMBING_HPP
#define LIBSESSION_PLUMBING_HPP

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <libsession/error.hpp>

namespace libsession {

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

}  // namespace libsession

#endif
