/* What an administrator sees: the library's JSON as it is. */
#include "shop.h"

#include <stdlib.h>
#include <string.h>

static const char *given(const call *call, const char *name) {
  const char *value = query(call, name);
  return value ? value : "";
}

static const char *id(const call *call) {
  return given(call, "id");
}

static void sessions(const call *call, answer *answer) {
  failed(answer, lses_manager_list(call->manager, NULL, 0, 1000, &answer->buf, NULL));
}

static void explain(const call *call, answer *answer) {
  failed(answer, lses_manager_explain(call->manager, id(call), LSES_NTS, &answer->buf));
}

static void end(const call *call, answer *answer) {
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.reason = LSES_REASON_REVOKED;
  options.actor = lses_cstr("the administrator");
  options.wait_ms = 2000;
  lses_status status = lses_manager_end(call->manager, id(call), LSES_NTS, &options, NULL, &answer->buf);
  if (status != LSES_GONE) failed(answer, status); /* another had ended it: its receipt is as good */
}

static void usage(const call *call, answer *answer) {
  failed(answer, lses_manager_usage(call->manager, POOL, LSES_NTS, NULL, &answer->buf));
}

static void queue(const call *call, answer *answer) {
  failed(answer, lses_manager_queue(call->manager, POOL, LSES_NTS, 0, 1000, &answer->buf));
}

static void holder(const call *call, answer *answer) {
  const char *user = given(call, "user");
  failed(answer, lses_manager_explain_unit(call->manager, POOL, LSES_NTS, user, LSES_NTS, &answer->buf));
}

static void accounts(const call *call, answer *answer) {
  uint64_t after = strtoull(given(call, "after"), NULL, 10);
  failed(answer, lses_manager_audit_records(call->manager, POOL, LSES_NTS, after, 1000, &answer->buf));
}

static void audit(const call *call, answer *answer) {
  failed(answer, lses_manager_audit(call->manager, POOL, LSES_NTS, &answer->buf));
}

static void check(const call *call, answer *answer) {
  failed(answer, lses_manager_check(call->manager, &answer->buf));
}

static void dead_letters(const call *call, answer *answer) {
  failed(answer, lses_manager_dead_letters(call->manager, 0, 1000, &answer->buf));
}

static void damage(const call *call, answer *answer) {
  lses_status status = lses_manager_damage(call->manager, id(call), LSES_NTS);
  say(answer, "{\"damaged\":%s}", status == LSES_OK ? "true" : "false");
  if (status != LSES_OK && status != LSES_ABSENT) failed(answer, status);
}

handler admin_handler(const char *method, const char *url) {
  static const struct { const char *method, *url; handler handler; } handlers[] = {
    {"GET", "/admin/sessions", sessions}, {"GET", "/admin/explain", explain},
    {"POST", "/admin/end", end},          {"GET", "/admin/usage", usage},
    {"GET", "/admin/audit", audit},       {"GET", "/admin/check", check},
    {"GET", "/admin/queue", queue},       {"GET", "/admin/holder", holder},
    {"GET", "/admin/accounts", accounts}, {"GET", "/admin/dead_letters", dead_letters},
    {"POST", "/admin/damage", damage},
  };
  for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
    if (!strcmp(method, handlers[i].method) && !strcmp(url, handlers[i].url)) return handlers[i].handler;
  }
  return NULL;
}
