// Calls that do not block, in C++: told to a callable, in an event loop, or by a future; what callables throw is contained.
#include <libsession.hpp>

#include <poll.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <stdexcept>
#include <thread>

namespace ls = libsession;
using namespace std::chrono_literals;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                             \
    }                                                                           \
  } while (0)

static ls::manager units(std::uint64_t capacity) {
  ls::pool users;
  users.name = "users";
  users.capacity = capacity;
  users.queue = 100;
  ls::application shop;
  shop.name = "shop";
  shop.pool = "users";
  ls::config config;
  config.add(users).add(shop);
  return ls::manager(config);
}

static ls::create_options patient(const ls::ticket* ticket = nullptr) {
  ls::create_options it;
  it.wait = 600s;
  it.ticket = ticket;
  return it;
}

template <class Done>
static void run_until(const ls::completions& loop, const Done& done) {
  while (!done()) {
    pollfd asked = {loop.fd(), POLLIN, 0};
    CHECK(poll(&asked, 1, 60000) == 1);
    CHECK(loop.run() > 0);
  }
}

template <class T>
static T soon(std::future<T> it) {
  CHECK(it.wait_for(60s) == std::future_status::ready);
  return it.get();
}

template <class Call>
static lses_status thrown_by(Call call) {
  try {
    (void)call();
  } catch (const ls::error& error) {
    return error.code();
  }
  return LSES_OK;
}

static void a_loop_is_told_of_everything() {
  ls::completions loop;
  ls::manager manager = units(1);
  auto here = std::this_thread::get_id();
  int told = 0;
  auto is_told = [&](int count) { return [&told, count] { return told == count; }; };

  // Move-only callables; never called in the call.
  auto held = std::make_unique<std::optional<ls::request>>();
  auto* first = held.get();
  manager.begin_new_async(patient(), {}, loop.bind([&, held = std::move(held)](ls::result<ls::request> it) mutable {
    CHECK(std::this_thread::get_id() == here);
    held->emplace(std::move(it).value());
    held.release();
    ++told;
  }));
  CHECK(told == 0);
  run_until(loop, is_told(1));
  std::unique_ptr<std::optional<ls::request>> owned(first);
  ls::request& request = **owned;

  ls::ticket ticket;
  manager.create_async(patient(&ticket), loop.bind([&](ls::result<ls::created> it) {
    CHECK(!it && it.code() == LSES_E_CANCELLED && !it.error().message.empty());
    ++told;
  }));
  CHECK(*ticket.position() == 1);
  ticket.cancel();
  CHECK(told == 1 && loop.run() == 1 && told == 2 && loop.run() == 0);

  request.login_async("ann", {}, loop.bind([&](ls::result<ls::login> it) {
    CHECK(it && !it->token.empty() && !it->trade_denied);
    ++told;
  }));
  request.trade_async({}, loop.bind([&](ls::result<void> it) {
    CHECK(it);
    ++told;
  }));
  request.take_feature_async("users", {200, {}}, loop.bind([&](ls::result<void> it) {
    CHECK(it.code() == LSES_E_LICENSE_DENIED && it.error().deny_reason == ls::deny_reason::pool_exhausted);
    ++told;
  }));
  run_until(loop, is_told(5));

  // The lock comes when the other request finishes.
  auto token = request.token();
  manager.begin_async(token, {}, loop.bind([&](ls::result<ls::begun> it) {
    CHECK(it && *it && it->status == LSES_OK);
    it->request->finish();
    ++told;
  }));
  manager.begin_async("nobody", {}, loop.bind([&](ls::result<ls::begun> it) {
    CHECK(it && !*it && it->status == LSES_ABSENT);
    ++told;
  }));
  run_until(loop, is_told(6));
  request.unlock(true);
  run_until(loop, is_told(7));
  request.lock_async(ls::lock_mode::exclusive, {}, loop.bind([&](ls::result<void> it) {
    CHECK(it);
    ++told;
  }));
  run_until(loop, is_told(8));
  CHECK(request.held_lock() == ls::lock_mode::exclusive);
  request.end();
  manager.begin_async(token, {}, loop.bind([&](ls::result<ls::begun> it) {
    CHECK(it && it->status == LSES_GONE && it->reason == ls::end_reason::ended);
    ++told;
  }));
  run_until(loop, is_told(9));
  CHECK(manager.usage("users").in_use == 0);

  // Refused at once: nobody is told.
  ls::begin_options wrong;
  wrong.lock = static_cast<ls::lock_mode>(99);
  CHECK(manager.try_begin_async("x", wrong, loop.bind([&](ls::result<ls::begun>) { ++told; })).code() == LSES_E_INVALID);
  CHECK(thrown_by([&] { manager.begin_async("x", wrong, [&](ls::result<ls::begun>) { ++told; }); }) == LSES_E_INVALID);
  CHECK(told == 9 && loop.run() == 0);
}

static void a_loop_that_goes_tells_all_and_keeps_nothing() {
  ls::manager manager = units(1);
  int closed = 0;
  {
    ls::completions loop;
    for (int i = 0; i < 3; i++) {
      auto kept = std::make_unique<int>(i);
      manager.create_async(patient(), loop.bind([&closed, kept = std::move(kept)](ls::result<ls::created> it) {
        closed += it.code() == LSES_E_CLOSED;
      }));
    }
    CHECK(manager.usage("users").in_use == 1);
    ls::completions moved = std::move(loop);
    CHECK(loop.get() == nullptr && closed == 0);
  }
  CHECK(closed == 3 && manager.count() == 0 && manager.usage("users").in_use == 0);
}

static void futures_come_from_anywhere() {
  ls::manager manager = units(1);
  auto made = soon(manager.create_async({}, ls::use_future));
  CHECK(!made.id.empty());
  auto denied = manager.create_async({}, ls::use_future);
  CHECK(thrown_by([&] { return soon(std::move(denied)); }) == LSES_E_LICENSE_DENIED);
  auto tried = soon(manager.try_create_async({}, ls::use_future));
  CHECK(!tried && tried.code() == LSES_E_LICENSE_DENIED);
  ls::ticket ticket;
  std::future<ls::request> seat = manager.begin_new_async(patient(&ticket), {}, ls::use_future);
  CHECK(seat.wait_for(0s) == std::future_status::timeout && ticket.waits());
  std::thread other([&] { manager.end(made.id); });
  auto request = soon(std::move(seat));
  other.join();
  auto login = soon(request.login_async("ann", {}, ls::use_future));
  CHECK(login.token == request.token());
  soon(request.trade_async({}, ls::use_future));
  soon(request.lock_async(ls::lock_mode::shared, 1s, ls::use_future));
  CHECK(soon(request.try_take_feature_async("users", {200, {}}, ls::use_future)).code() == LSES_E_LICENSE_DENIED);
  // Waits for a lock that are given up.
  ls::ticket begins, locks;
  ls::begin_options waits;
  waits.lock_timeout = 10min;
  waits.ticket = &begins;
  auto never = manager.begin_async(request.token(), waits, ls::use_future);
  CHECK(begins.waits() && !begins.position());
  begins.cancel();
  CHECK(!begins.waits() && thrown_by([&] { return soon(std::move(never)); }) == LSES_E_CANCELLED);
  CHECK(manager.try_begin(request.token(), waits).code() == LSES_E_CANCELLED);
  request.unlock(true);
  {
    auto other_request = soon(manager.begin_async(request.token(), {}, ls::use_future));
    auto no_lock = request.try_lock_async(ls::lock_mode::exclusive, 10min, locks, ls::use_future);
    CHECK(locks.waits());
    locks.cancel();
    CHECK(soon(std::move(no_lock)).code() == LSES_E_CANCELLED && !request.held_lock());
    other_request->finish();
  }
  request.lock(ls::lock_mode::exclusive, 0s);
  auto again = manager.begin_async(request.token(), {}, ls::use_future);
  request.finish();
  auto begun = soon(std::move(again));
  CHECK(begun && begun.status == LSES_OK);
  begun->end();
  CHECK(!soon(manager.begin_async("nobody", {}, ls::use_future)));
  // What can't be started has failed already.
  ls::begin_options wrong;
  wrong.lock = static_cast<ls::lock_mode>(99);
  CHECK(soon(manager.try_begin_async("x", wrong, ls::use_future)).code() == LSES_E_INVALID);
  CHECK(thrown_by([&] { return soon(manager.begin_async("x", wrong, ls::use_future)); }) == LSES_E_INVALID);
  CHECK(thrown_by([&] { soon(request.trade_async({}, ls::use_future)); }) == LSES_E_CLOSED);
}

static void ends_and_logouts_come_to_loops_callables_and_futures() {
  ls::completions loop;
  ls::manager manager = units(2);
  auto request = manager.begin_new();
  auto other = manager.begin_new();
  auto id = request.id();
  request.login("ann");
  int told = 0;
  request.logout_async(false, loop.bind([&](ls::result<std::optional<std::string>> it) {
    CHECK(it && *it && **it == request.token());
    ++told;
  }));
  run_until(loop, [&] { return told == 1; });
  request.login("ann");
  auto token = soon(request.logout_async(true, ls::use_future));
  CHECK(token == request.token());

  ls::end_options revoked;
  revoked.reason = ls::end_reason::revoked;
  revoked.actor = "bob";
  revoked.wait = 1min;
  request.end_async(revoked, [&](ls::result<ls::end_outcome> it) {
    CHECK(it && it->status == LSES_OK && it->receipt.reason == LSES_REASON_REVOKED);
    CHECK(it->json.find("\"actor\":\"bob\"") != std::string::npos);
  });
  ls::end_outcome gone = soon(manager.end_async(id, {}, ls::use_future));
  CHECK(gone.status == LSES_GONE && gone.receipt.reason == LSES_REASON_REVOKED && !gone.json.empty());
  auto absent = soon(manager.try_end_async("AAAAAAAAAAAAAAAAAAAAAA", {}, ls::use_future));
  CHECK(absent && absent->status == LSES_ABSENT && absent->json.empty());
  CHECK(soon(manager.try_end_async("no id", {}, ls::use_future)).code() == LSES_E_INVALID);
  CHECK(soon(request.try_logout_async(false, ls::use_future)).code() == LSES_GONE);

  // For want of a unit the session ends: the call has done what it could.
  other.login("ann");
  ls::create_options lazy;
  lazy.license_class = ls::license_class::lazy;
  auto second = manager.begin_new(lazy);
  second.login("ann");
  auto held = manager.begin_new();
  CHECK(manager.usage("users").in_use == 2);
  CHECK(soon(second.logout_async(false, ls::use_future)) == std::nullopt);
  CHECK(soon(second.end_async({}, ls::use_future)).status == LSES_GONE);
}

static std::atomic<int> caught{0};

static void on_exception(std::exception_ptr thrown) noexcept {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::runtime_error& it) {
    caught += std::strcmp(it.what(), "broken") == 0;
  } catch (int it) {
    caught += it;
  }
}

static void what_a_callable_throws_goes_no_further() {
  ls::completions loop;
  ls::manager manager = units(10);
  // Nobody is set: the text is written to stderr.
  manager.create_async({}, [](ls::result<ls::created>) { throw std::runtime_error("written"); });
  manager.create_async({}, [](ls::result<ls::created>) { throw 3; });
  CHECK(ls::set_exception_handler(on_exception) == nullptr);
  manager.create_async({}, [](ls::result<ls::created>) { throw std::runtime_error("broken"); });
  CHECK(caught == 1);
  manager.create_async({}, loop.bind([](ls::result<ls::created>) { throw std::runtime_error("broken"); }));
  manager.create_async({}, loop.bind([](ls::result<ls::created>) { throw 10; }));
  CHECK(loop.run() == 2 && caught == 12);
  CHECK(ls::set_exception_handler(nullptr) == on_exception);
}

int main() {
  a_loop_is_told_of_everything();
  a_loop_that_goes_tells_all_and_keeps_nothing();
  futures_come_from_anywhere();
  ends_and_logouts_come_to_loops_callables_and_futures();
  what_a_callable_throws_goes_no_further();
  std::puts("async: ok");
}
