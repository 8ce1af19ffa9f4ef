// Part of libsession.hpp: values and paths.
#ifndef LIBSESSION_DATA_HPP
#define LIBSESSION_DATA_HPP

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <libsession/plumbing.hpp>

namespace libsession {

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

}  // namespace libsession

#endif
