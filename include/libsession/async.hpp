// Part of libsession.hpp: calls that do not block.
//
// `x_async(..., done)` is `x(...)` without blocking. `done` takes a `result` of what x returns and is called once, unless the
// call itself fails. It is one of these:
//
//   - a callable: called in any thread, also in the call itself; it must not block (see lses_done_fn);
//   - `loop.bind(callable)`, where `loop` is a `completions`: called by `loop.run()`, in the thread of your own event loop;
//   - `use_future`: the call returns a `std::future` of what x returns, `try_x_async` one of a `result` of it. A call that can't
//     be started is a future that has failed.
#ifndef LIBSESSION_ASYNC_HPP
#define LIBSESSION_ASYNC_HPP

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <libsession/options.hpp>

namespace libsession {

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
  static bool has_value(lses_status status, const lses_answer&) noexcept { return status == LSES_OK; }
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

template <>
struct answer<end_outcome> : answer<void> {
  static bool has_value(lses_status status, const lses_answer&) noexcept { return status >= LSES_OK; }
  static result<end_outcome> of(lses_status status, const lses_answer& it) {
    end_outcome made;
    made.status = status;
    if (it.receipt == nullptr) return made;
    // The library's may be an older one, or a newer.
    std::memcpy(&made.receipt, it.receipt, std::min(it.receipt->size, sizeof made.receipt));
    made.receipt.size = sizeof made.receipt;
    made.json.assign(it.json.data, it.json.len);
    return made;
  }
};
/// Of a logout: the token, or none if the session ended for want of a unit.
template <>
struct answer<std::optional<std::string>> : answer<void> {
  static bool has_value(lses_status status, const lses_answer& it) noexcept {
    return status == LSES_OK || (status == LSES_GONE && it.receipt != nullptr);
  }
  static result<std::optional<std::string>> of(lses_status status, const lses_answer& it) {
    return status == LSES_OK ? std::optional<std::string>(it.token.data) : std::nullopt;
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
    auto came = answer<T>::has_value(status, *it) ? answer<T>::of(status, *it) : result<T>(failure::last(status));
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
/// were not called, and releases what nobody fetched (see lses_completions_free); managers may be destroyed before or after it.
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

}  // namespace libsession

#endif
