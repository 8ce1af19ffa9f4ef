// The story of examples/README.md in C++:
//
//   c++ -std=c++17 hello.cpp $(pkg-config --cflags --libs libsession) && ./a.out
#include <iostream>
#include <libsession.hpp>

namespace ls = libsession;
using namespace std::chrono_literals;

int main() {
  ls::manual_clock clock;  // Stands still until it is told.
  ls::application shop;
  shop.name = "shop";
  shop.idle_timeout = 15min;
  shop.event_classes = {"greeter"};
  ls::pool users;
  users.name = "users";
  users.capacity = 1;
  ls::config config;
  config.clock(clock).add(shop).add(users);
  ls::manager manager(config);
  manager.register_class("greeter", ls::event_class().on_end([](const ls::event& event) {
    std::cout << "ended: " << name(*event.reason()) << std::endl;
  }));

  std::string token = manager.create().token;
  {
    auto request = manager.begin(token);
    request->set("product", "tea");
    token = request->login("ada").token;  // A new token for the client.
    std::cout << "hello " << *request->user() << ", " << std::get<std::string>(request->get("product"))
              << " is in the cart" << std::endl;
  }  // The request commits and finishes here.

  try {
    manager.create();
  } catch (const ls::error& refused) {
    std::cout << "no unit left: " << name(*refused.deny_reason()) << std::endl;
  }

  clock.advance(15min);
  if (auto begun = manager.begin(token); begun.status == LSES_GONE)
    std::cout << "gone: " << name(*begun.reason) << std::endl;
  std::cout << "units in use: " << manager.usage("users").in_use << std::endl;
}
