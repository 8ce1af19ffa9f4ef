// Without exceptions and without run-time types: the try_ forms say everything.
#include <libsession.hpp>

#include <cstdio>

namespace ls = libsession;

int main() {
  ls::config config;
  config.workers(65, 2);
  auto bad = ls::manager::try_open(config);
  if (bad || bad.code() != LSES_E_INVALID) return 1;
  ls::config good;
  auto opened = ls::manager::try_open(good);
  if (!opened) return 2;
  ls::manager& manager = *opened;
  if (!manager.try_register_class("watch", ls::event_class().on_end([](const ls::event&) {}))) return 3;
  auto made = manager.try_create();
  if (!made) return 4;
  auto begun = manager.try_begin(made->token);
  if (!begun || !*begun) return 5;
  // There is no pool here.
  if (begun->request->try_take_feature("cad", {2, {"leads"}}).code() != LSES_E_INVALID) return 9;
  if (begun->request->try_return_feature("cad") || begun->request->try_features().value() != "[]") return 10;
  if (!begun->request->try_set("k", std::string("v")) || !begun->request->try_finish()) return 6;
  if (manager.try_touch("nobody")->status != LSES_ABSENT) return 7;
  // Nobody waits where there is no pool.
  auto ticket = ls::ticket::try_make();
  if (!ticket || ticket->try_waits().value() || ticket->try_position().value() || !ticket->try_cancel()) return 11;
  ls::create_options waits;
  waits.wait = std::chrono::seconds(600);
  waits.priority = 3;
  waits.ticket = &*ticket;
  bool told = false;
  if (!manager.try_create_async(waits, [&told](ls::result<ls::created> it) { told = it && !it->token.empty(); }) || !told) return 12;
  auto loop = ls::completions::try_make();
  if (!loop || loop->try_fd().value() < 0) return 14;
  if (!manager.try_create_async({}, loop->bind([&told](ls::result<ls::created> it) { told = !it; }))) return 15;
  if (loop->try_run().value() != 1 || told) return 16;
  if (!manager.try_begin_new_async({}, {}, ls::use_future).get()) return 17;
  if (manager.try_queue("cad").code() != LSES_E_INVALID) return 13;
  auto closed = manager.try_close(std::chrono::seconds(1));
  if (!closed || closed->ended != 4) return 8;
  std::puts("plain: ok");
}
