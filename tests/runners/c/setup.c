/* The lines before the first verb: options of the manager, its applications, pools and classes. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define IS(word) (strcmp(name, word) == 0)

static int yes(const char *value) { return strcmp(value, "true") == 0; }

static answer option(const char *name, const char *value) {
  lses_config *config = the->config;
  int64_t number = 0;
  int good = number_of(value, &number);
  if (IS("store")) OR_FAILED(lses_config_set_store(config, value, LSES_NTS));
  else if (IS("durability")) OR_FAILED(lses_config_set_durability(config, value, LSES_NTS));
  else if (IS("profile")) OR_FAILED(lses_config_set_profile(config, value, LSES_NTS));
  else if (IS("dispatch"))
    OR_FAILED(lses_config_set_dispatch(config, strcmp(value, "thread") == 0   ? LSES_DISPATCH_THREAD
                                               : strcmp(value, "inline") == 0 ? LSES_DISPATCH_INLINE
                                                                              : LSES_DISPATCH_POLL));
  else if (IS("threads")) OR_FAILED(lses_config_set_threads(config, yes(value)));
  else if (IS("adopt")) OR_FAILED(lses_config_set_adopt(config, yes(value)));
  else if (IS("idle_counts_suspend")) OR_FAILED(lses_config_set_idle_counts_suspend(config, yes(value)));
  else if (IS("debug")) OR_FAILED(lses_config_set_debug(config, yes(value)));
  else if (!good) return wrong("'%s' is no number", value);
  else if (IS("max_sessions")) OR_FAILED(lses_config_set_max_sessions(config, (uint64_t)number));
  else if (IS("session_bytes")) OR_FAILED(lses_config_set_quotas(config, (size_t)number, 0, 0, 0));
  else if (IS("levels")) OR_FAILED(lses_config_set_quotas(config, 0, (size_t)number, 0, 0));
  else if (IS("value_bytes")) OR_FAILED(lses_config_set_quotas(config, 0, 0, (size_t)number, 0));
  else if (IS("subscript_bytes")) OR_FAILED(lses_config_set_quotas(config, 0, 0, 0, (size_t)number));
  else if (IS("workers") || IS("decider_workers")) {
    named_thing *known = thing(&the->cursors, "workers", 1), *deciders = thing(&the->cursors, "decider_workers", 1);
    thing(&the->cursors, name, 1)->number = (uint64_t)number;
    thing(&the->cursors, name, 1)->text = "given";
    OR_FAILED(lses_config_set_workers(config, known->text ? (size_t)known->number : 4,
                                      deciders->text ? (size_t)deciders->number : 2));
  } else if (IS("max_stuck")) OR_FAILED(lses_config_set_max_stuck(config, (size_t)number));
  else if (IS("queue")) OR_FAILED(lses_config_set_queue(config, (size_t)number));
  else if (IS("callback_deadline_ms")) OR_FAILED(lses_config_set_callback_deadline(config, number));
  else if (IS("retries")) OR_FAILED(lses_config_set_retries(config, (uint32_t)number));
  else if (IS("breaker_failures") || IS("breaker_probe_ms")) {
    named_thing *failures = thing(&the->cursors, "breaker_failures", 1), *probe = thing(&the->cursors, "breaker_probe_ms", 1);
    thing(&the->cursors, name, 1)->number = (uint64_t)number;
    thing(&the->cursors, name, 1)->text = "given";
    OR_FAILED(lses_config_set_breaker(config, failures->text ? (uint32_t)failures->number : 5,
                                      probe->text ? (int64_t)probe->number : 30000));
  } else if (IS("dead_letters") || IS("dead_letter_bytes")) {
    named_thing *count = thing(&the->cursors, "dead_letters", 1), *bytes = thing(&the->cursors, "dead_letter_bytes", 1);
    thing(&the->cursors, name, 1)->number = (uint64_t)number;
    thing(&the->cursors, name, 1)->text = "given";
    OR_FAILED(lses_config_set_dead_letters(config, count->text ? (size_t)count->number : 100000,
                                           bytes->text ? (size_t)bytes->number : (size_t)64 << 20));
  } else if (IS("tombstone_ms")) OR_FAILED(lses_config_set_tombstone(config, number));
  else if (IS("max_request_ms")) OR_FAILED(lses_config_set_max_request(config, number));
  else if (IS("lock_timeout_ms")) OR_FAILED(lses_config_set_lock_timeout(config, number));
  else if (IS("rotation_grace_ms")) OR_FAILED(lses_config_set_rotation_grace(config, number));
  else if (IS("lifecycle_log")) OR_FAILED(lses_config_set_lifecycle_log(config, (size_t)number));
  else return wrong("there is no option '%s'", name);
  return says("ok");
}

const lses_str *names(const char *value, size_t *count) {
  texts all = split(value, ',');
  lses_str *list = keep((all.count + 1) * sizeof *list);
  *count = 0;
  for (size_t i = 0; i < all.count; i++)
    if (all.items[i][0] != '\0') list[(*count)++] = lses_cstr(all.items[i]);
  return list;
}

static answer application(const words *words) {
  lses_application app = LSES_APPLICATION_INIT;
  app.name = text_of(at(words, 0));
  for (size_t i = 0; i < words->names.count; i++) {
    const char *name = words->names.items[i], *value = words->values.items[i];
    int64_t number = 0;
    int good = number_of(value, &number);
    uint32_t choice = yes(value) ? LSES_YES : LSES_NO;
    if (IS("enabled")) app.enabled = choice;
    else if (IS("namespace")) app.name_space = lses_cstr(value);
    else if (IS("event_classes")) app.event_classes = names(value, &app.event_class_count);
    else if (IS("required_event_classes")) app.required_event_classes = names(value, &app.required_event_class_count);
    else if (IS("pool")) app.pool = lses_cstr(value);
    else if (IS("license_class")) app.license_class = code_of(value, lses_license_class_name);
    else if (IS("lazy_until")) app.lazy_until = code_of(value, lses_lazy_until_name);
    else if (IS("detect_crawlers")) app.detect_crawlers = choice;
    else if (IS("crawlers")) app.crawlers = names(value, &app.crawler_count);
    else if (IS("lock")) app.lock = code_of(value, lses_lock_mode_name);
    else if (IS("timeout_on_application_change"))
      app.timeout_on_application_change = code_of(value, lses_application_timeout_name);
    else if (IS("protected_from_bulk_end")) app.protected_from_bulk_end = choice;
    else if (IS("event_classes_on_entry")) app.event_classes_on_entry = choice;
    else if (IS("debug")) app.debug = choice;
    else if (!good) return wrong("'%s' is no number", value);
    else if (IS("idle_timeout_ms")) app.idle_timeout_ms = number;
    else if (IS("absolute_timeout_ms")) app.absolute_timeout_ms = number;
    else if (IS("max_sessions")) app.max_sessions = number;
    else if (IS("max_extensions")) app.max_extensions = number;
    else if (IS("extension_cap_ms")) app.extension_cap_ms = number;
    else if (IS("anonymous_idle_timeout_ms")) app.anonymous_idle_timeout_ms = number;
    else if (IS("ask_lead_ms")) app.ask_lead_ms = number;
    else return wrong("an application has no option '%s'", name);
  }
  OR_FAILED(lses_config_add_application(the->config, &app));
  return says("ok");
}

/* UNITS:MEMBER,..., several of them with ';' between. */
static const lses_reservation *reservations(const char *value, uint32_t hard, size_t *count) {
  texts all = split(value, ';');
  lses_reservation *list = keep((all.count + 1) * sizeof *list);
  *count = 0;
  for (size_t i = 0; i < all.count; i++) {
    lses_reservation one = LSES_RESERVATION_INIT;
    char *members = strchr(all.items[i], ':');
    if (members == NULL) return NULL;
    one.units = strtoull(all.items[i], NULL, 10);
    one.members = names(members + 1, &one.member_count);
    one.hard = hard;
    list[(*count)++] = one;
  }
  return list;
}

static answer pool(const words *words) {
  lses_pool pool = LSES_POOL_INIT;
  pool.name = text_of(at(words, 0));
  if (named(words, "capacity") == NULL) return wrong("a pool needs its capacity");
  for (size_t i = 0; i < words->names.count; i++) {
    const char *name = words->names.items[i], *value = words->values.items[i];
    int64_t number = 0;
    int good = number_of(value, &number);
    if (IS("unit_rule")) pool.unit_rule = code_of(value, lses_unit_rule_name);
    else if (IS("evict")) pool.evict = code_of(value, lses_evict_name);
    else if (IS("at_session_limit")) pool.at_session_limit = code_of(value, lses_at_session_limit_name);
    else if (IS("holder_per_client")) pool.holder_per_client = yes(value) ? LSES_YES : LSES_NO;
    else if (IS("trade_failure"))
      pool.trade_failure = strcmp(value, "refuse") == 0 ? LSES_TRADE_FAILURE_REFUSE : LSES_TRADE_FAILURE_KEEP;
    else if (IS("reclaim")) pool.reclaim = yes(value) ? LSES_YES : LSES_NO;
    else if (IS("reserve")) pool.reservations = reservations(value, LSES_YES, &pool.reservation_count);
    else if (IS("reserve_soft")) pool.reservations = reservations(value, LSES_NO, &pool.reservation_count);
    else if (IS("administrators")) pool.administrators = names(value, &pool.administrator_count);
    else if (IS("include")) pool.include = names(value, &pool.include_count);
    else if (IS("exclude")) pool.exclude = names(value, &pool.exclude_count);
    else if (IS("overdraft") && value[strlen(value) - 1] == '%') pool.overdraft_percent = strtoll(value, NULL, 10);
    else if (!good) return wrong("'%s' is no number", value);
    else if (IS("recovered")) pool.recovered = number;
    else if (IS("linger_ms")) pool.linger_ms = number;
    else if (IS("min_hold_ms")) pool.min_hold_ms = number;
    else if (IS("anonymous_min_hold_ms")) pool.anonymous_min_hold_ms = number;
    else if (IS("lazy_linger_ms")) pool.lazy_linger_ms = number;
    else if (IS("lazy_min_hold_ms")) pool.lazy_min_hold_ms = number;
    else if (IS("overdraft")) pool.overdraft = number;
    else if (IS("overdraft_time_ms")) pool.overdraft_time_ms = number;
    else if (IS("break_glass")) pool.break_glass = number;
    else if (IS("evict_idle_ms")) pool.evict_idle_ms = number;
    else if (IS("capacity")) pool.capacity = (uint64_t)number;
    else if (IS("max_connections")) pool.max_connections = number;
    else if (IS("max_sessions_per_holder")) pool.max_sessions_per_holder = number;
    else if (IS("anonymous_cap")) pool.anonymous_cap = number;
    else if (IS("anonymous_per_client")) pool.anonymous_per_client = number;
    else if (IS("queue")) pool.queue = number;
    else if (IS("low")) pool.low = number;
    else if (IS("audit_records")) pool.audit_records = number;
    else return wrong("a pool has no option '%s'", name);
  }
  OR_FAILED(lses_config_add_pool(the->config, &pool));
  return says("ok");
}

int setup_line(char **items, size_t count, answer *out) {
  if (the->config == NULL) return 0;
  const char *name = items[0];
  words sorted = sorted_words(items + 1, count - 1);
  *out = says("ok");
  if (IS("config")) {
    for (size_t i = 0; i < sorted.names.count && !out->wrong && strcmp(out->text, "ok") == 0; i++)
      *out = option(sorted.names.items[i], sorted.values.items[i]);
  } else if (IS("application")) {
    *out = application(&sorted);
  } else if (IS("pool")) {
    *out = pool(&sorted);
  } else if (IS("class")) {
    texts *line = keep(sizeof *line);
    for (size_t i = 1; i < count; i++) add(line, items[i]);
    add(&the->classes, (char *)line);
  } else {
    return 0;
  }
  return 1;
}
