// libsession.hpp: libsession.h for C++17, header-only.
//
// Owners are move-only and as large as a pointer; what they own is freed with them. Every function that can fail has
// two forms: `try_x` returns a `result`, and `x` throws `libsession::error` (without exceptions it writes the message
// to stderr and aborts). `absent` and `gone` are outcomes of `begin` and `touch`, not errors. Callbacks are lambdas;
// what they throw does not leave them: it counts as a failure, with its text, and goes to `on_exception`; of a call that does
// not block it goes to the `exception_handler`.
#ifndef LIBSESSION_HPP
#define LIBSESSION_HPP

#include <libsession/words.hpp>
#include <libsession/error.hpp>
#include <libsession/plumbing.hpp>
#include <libsession/data.hpp>
#include <libsession/options.hpp>
#include <libsession/async.hpp>
#include <libsession/request.hpp>
#include <libsession/event.hpp>
#include <libsession/config.hpp>
#include <libsession/manager.hpp>

#endif
