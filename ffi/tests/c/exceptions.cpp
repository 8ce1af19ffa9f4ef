// Exceptions, lambdas, move-only owners: exceptions [raw] — with `raw`, an exception leaves a C callback: that must abort.
#include <libsession.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

ls::manager second_unit(ls::config& config);

static ls::config shop(const ls::manual_clock* clock) {
  ls::application shop;
  shop.name = "shop";
  shop.idle_timeout = clock == nullptr ? 20ms : 900s;
  shop.event_classes = {"watch"};
  shop.max_extensions = 1;
  ls::pool users;
  users.name = "users";
  users.capacity = 2;
  ls::config config;
  config.add(shop).add(users);
  if (clock != nullptr) config.clock(*clock);
  return config;
}

static std::int32_t raw_throw(void*, const lses_event*) { throw std::runtime_error("raw"); }

static int raw() {
  auto config = shop(nullptr);
  ls::manager manager(config);
  lses_event_class watch = LSES_EVENT_CLASS_INIT;
  watch.on_end = raw_throw;
  CHECK(lses_manager_register(manager.get(), "watch", 5, nullptr, 0, &watch) == LSES_OK);
  manager.create();
  std::this_thread::sleep_for(5s);
  return 0;
}

struct counted {
  std::atomic<int>* count;
  explicit counted(std::atomic<int>* count) : count(count) {}
  ~counted() { ++*count; }
};

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "raw") == 0) return raw();

  std::atomic<int> caught{0}, dropped{0};
  ls::manual_clock clock;
  auto config = shop(&clock);
  {
    ls::manager manager = second_unit(config);
    auto keep = std::make_shared<counted>(&dropped);
    manager.register_class("watch", ls::event_class()
                                        .on_start([keep](const ls::event& event) {
                                          event.request()->set("n", std::int64_t{1});
                                          return event.user().empty() ? ls::verdict::allow() : ls::verdict::deny();
                                        })
                                        .on_end([](const ls::event& event) {
                                          if (std::get<std::int64_t>(event.get("n")) == 1) throw std::runtime_error("broken");
                                        })
                                        .on_expiring([](const ls::event&) { return ls::verdict::extend(60s); })
                                        .on_exception([&caught](const ls::event& event, std::exception_ptr thrown) {
                                          CHECK(event.kind() == ls::event_kind::end && thrown != nullptr);
                                          ++caught;
                                          throw 42;  // Nobody hears of it.
                                        }));
    keep.reset();
    auto refused = manager.try_register_class("watch", ls::event_class().on_end([](const ls::event&) {}));
    CHECK(!refused && refused.code() == LSES_E_EXISTS);

    auto made = manager.create();
    auto begun = manager.begin(made.token);
    CHECK(begun && begun->is_new());
    ls::request request = std::move(*begun.request);
    request.set({"cart", 1}, std::string("tea"));
    request.set({"cart", 2.5}, ls::bytes{0, 1, 255});
    request.set("list", ls::json{"[1,2]"});
    CHECK(std::get<std::string>(request.get({"cart", 1})) == "tea");
    CHECK(std::get<ls::bytes>(request.get({"cart", 2.5})) == (ls::bytes{0, 1, 255}));
    CHECK(std::holds_alternative<std::monostate>(request.get("nothing")));
    CHECK(request.next("cart")->integer() == 1 && request.defined("cart") == 10);
    CHECK(request.next("cart", ls::subscript(1))->number() == 2.5);
    request.attach("object", std::make_unique<counted>(&dropped));
    CHECK(request.attachment<counted>("object") != nullptr && request.attachment<counted>("other") == nullptr);
    CHECK(!request.user());
    auto login = request.login("ada");
    CHECK(!login.trade_denied && *request.user() == "ada");
    auto conflict = request.try_compare_and_set("n", std::int64_t{7}, std::int64_t{8});
    CHECK(!conflict && conflict.code() == LSES_E_CONFLICT && conflict.error().keys.find("n") != std::string::npos);
    bool thrown = false;
    try {
      request.set_idle_timeout(-1s);
    } catch (const ls::error& error) {
      thrown = error.code() == LSES_E_INVALID && std::strstr(error.what(), "-1000") != nullptr;
    }
    CHECK(thrown);
    request.finish();

    clock.advance(900s - 1ms);
    CHECK(manager.touch(login.token, ls::touch_kind::none).left == 60001ms);  // Extended.
    clock.advance(61s);
    CHECK(manager.touch(login.token).reason == ls::end_reason::idle_timeout);
    clock.advance(60s);
    CHECK(caught == 4);  // Once, and three times again.
    CHECK(manager.dead_letters().find("broken") != std::string::npos);
    CHECK(dropped == 1 && manager.usage("users").in_use == 0 && manager.check() == "[]");

    auto ended = manager.end(manager.create().id, {});
    CHECK(ended.status == LSES_OK && ended.receipt.reason == LSES_REASON_ENDED);
    ls::manager moved = std::move(manager);
    CHECK(manager.get() == nullptr && moved.count() == 0);
    moved.close(1s);
    CHECK(moved.try_count().code() == LSES_E_CLOSED);
  }
  CHECK(dropped == 2);
  {
    ls::pool cad;
    cad.name = "cad";
    cad.capacity = 2;
    cad.exclude = {"group:guests"};
    cad.lazy_linger = 7ms;
    cad.lazy_min_hold = 8ms;
    ls::config named;
    named.add(cad);
    ls::manager manager(named);
    CHECK(manager.pool("cad").find("\"lazy_linger_ms\":7") != std::string::npos);
    auto keep = std::make_shared<counted>(&dropped);
    int asked = 0;
    manager.set_group_resolver([keep, &asked](std::string_view user) -> std::optional<std::vector<std::string>> {
      ++asked;
      if (user == "bad") throw std::runtime_error("no directory");
      if (user == "odd") throw 42;
      if (user == "nil") return std::nullopt;
      return std::vector<std::string>{user == "eve" ? "guests" : "cad"};
    });
    keep.reset();
    ls::request request = manager.begin_new();
    for (auto user : {"bad", "odd", "nil"}) CHECK(request.try_login(user).code() == LSES_E_DENIED);
    CHECK(request.try_login("bad").error().message.find("no directory") != std::string::npos);
    CHECK(request.login("eve").trade_denied == ls::deny_reason::excluded && asked == 5);
    CHECK(request.try_take_feature("cad").code() == LSES_E_LICENSE_DENIED && asked == 6);
    ls::feature_options none;
    none.no_groups = true;
    CHECK(request.try_take_feature("cad", none) && asked == 6);
    CHECK(request.try_take_feature("cad", {1, {"guests"}}).code() == LSES_E_LICENSE_DENIED && asked == 6);
    CHECK(!request.login("ann").trade_denied && asked == 7);
    manager.set_group_resolver(nullptr);
    CHECK(dropped == 3 && !request.login("eve").trade_denied);
    manager.set_group_resolver([](std::string_view) { return std::vector<std::string>{}; });
    CHECK(!request.login("bad").trade_denied);
    request.end();
  }
  std::puts("exceptions: ok");
}
