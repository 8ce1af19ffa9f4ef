/* Verbs on the manager and on time, and lines that run on a thread of their own. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

#define IS(word) (strcmp(verb, word) == 0)

/* Who tells groups: `USER=A,B`, or `USER=!TEXT` for one of whom it can't; others have none. */
static int32_t tell_groups(void *user_data, const char *user, size_t user_len, lses_groups *groups) {
  const words *told = user_data;
  lock_world();
  add(&the->asked, keep_text(user, user_len));
  unlock_world();
  const char *value = named(told, user);
  if (value == NULL) return 0;
  if (value[0] == '!') {
    (void)lses_groups_say(groups, value + 1, LSES_NTS);
    return LSES_FAILED;
  }
  size_t count = 0;
  const lses_str *all = names(value, &count);
  for (size_t i = 0; i < count; i++) (void)lses_groups_add(groups, all[i].data, all[i].len);
  return 0;
}

static answer resolver(const words *told) {
  if (told->names.count == 0) {
    OR_FAILED(lses_manager_set_group_resolver(the->manager, NULL, NULL, NULL));
    return says("ok");
  }
  words *kept = keep(sizeof *kept);
  *kept = *told;
  OR_FAILED(lses_manager_set_group_resolver(the->manager, tell_groups, kept, NULL));
  return says("ok");
}

static answer asked(void) {
  lock_world();
  char *all = joined(&the->asked, ",", "none");
  the->asked = (texts){0};
  unlock_world();
  return says("%s", all);
}

static int64_t real_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How long a started line may take to wait or return, in real time. */
#define PATIENCE_MS 5000

static void *run_started(void *argument) {
  started *it = argument;
  it->result = do_words(it->items, it->count);
  __atomic_store_n(&it->finished, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static uint64_t waiters_now(void) {
  lses_stats stats = LSES_STATS_INIT;
  return lses_manager_stats(the->manager, &stats, NULL) == LSES_OK ? stats.lock_waiters + stats.license_waiters : 0;
}

static answer start(char **rest, size_t count) {
  if (count < 2) return wrong("start wants a name and a line");
  uint64_t waiters = waiters_now(), hung = __atomic_load_n(&the->hung, __ATOMIC_SEQ_CST);
  started *it = keep(sizeof *it);
  it->name = rest[0];
  it->items = rest + 1;
  it->count = count - 1;
  if (pthread_create(&it->thread, NULL, run_started, it) != 0) return wrong("no thread");
  it->next = the->started;
  the->started = it;
  int64_t until = real_ms() + PATIENCE_MS;
  while (!__atomic_load_n(&it->finished, __ATOMIC_SEQ_CST) && waiters_now() <= waiters &&
         __atomic_load_n(&the->hung, __ATOMIC_SEQ_CST) <= hung) {
    if (real_ms() > until) return wrong("'%s' neither returned nor waits", it->name);
    nanosleep(&(struct timespec){0, 200000}, NULL);
  }
  return says("ok");
}

static answer join(const char *name) {
  started **place = &the->started;
  while (*place != NULL && strcmp((*place)->name, name) != 0) place = &(*place)->next;
  started *it = *place;
  if (it == NULL) return wrong("nothing was started as '%s'", name);
  int64_t until = real_ms() + PATIENCE_MS;
  while (!__atomic_load_n(&it->finished, __ATOMIC_SEQ_CST)) {
    if (real_ms() > until) return wrong("'%s' does not return", name);
    nanosleep(&(struct timespec){0, 200000}, NULL);
  }
  *place = it->next;
  pthread_join(it->thread, NULL);
  return it->result;
}

static answer redeliver(const char *place) {
  uint64_t id = 0;
  size_t count;
  if (place != NULL) {
    lses_buf buf;
    OR_FAILED(lses_manager_dead_letters(the->manager, 0, 10000, &buf));
    json *list = parse_json(buf.data);
    lses_buf_free(&buf);
    size_t number = strtoull(place, NULL, 10);
    if (list == NULL || number < 1 || number > list->count) return wrong("there is no such dead letter");
    id = strtoull(raw_member(list->items[number - 1], "id", "0"), NULL, 10);
  }
  OR_FAILED(lses_manager_redeliver(the->manager, id, &count));
  return says("%zu", count);
}

static answer close_manager(const char *grace) {
  lses_close_report report = LSES_CLOSE_REPORT_INIT;
  int64_t ms = 5000;
  if (grace != NULL && !number_of(grace, &ms)) return wrong("close wants milliseconds");
  OR_FAILED(lses_manager_close(the->manager, ms, &report));
  return says("ended=%llu in_flight=%llu delivered=%llu undelivered=%llu stuck=%llu deferred=%s",
              (unsigned long long)report.ended, (unsigned long long)report.in_flight, (unsigned long long)report.delivered,
              (unsigned long long)report.undelivered, (unsigned long long)report.stuck, report.deferred ? "true" : "false");
}

static answer manage(const char *verb, char **rest, size_t rest_count, const words *words) {
  const char *first = at(words, 0);
  size_t count = 0;
  int64_t number = 0;
  int32_t flag = 0;
  if (IS("open")) return says("ok");
  if (IS("class")) return register_class(rest, rest_count);
  if (IS("start")) return start(rest, rest_count);
  if (IS("resolver")) return resolver(words);
  if (IS("asked")) return asked();
  if (IS("redeliver")) return redeliver(first);
  if (IS("close")) return close_manager(first);
  if (IS("reap")) {
    OR_FAILED(lses_manager_reap_now(the->manager, &count));
    return says("%zu", count);
  }
  if (IS("tick")) {
    OR_FAILED(lses_manager_tick(the->manager, &number));
    return number == LSES_UNSET ? says("never") : says("%lld", (long long)number);
  }
  if (first == NULL) return wrong("word 1 is missing");
  if (IS("unregister")) {
    lses_str name = text_of(first), name_space = named_text(words, "namespace");
    OR_FAILED(lses_manager_unregister(the->manager, LEN(name), LEN(name_space), &flag));
    return says("%s", flag ? "true" : "false");
  }
  if (IS("damage")) {
    const char *id = id_of(first);
    if (id == NULL) return wrong("there is no session '%s'", first);
    lses_status status = lses_manager_damage(the->manager, id, LSES_NTS);
    if (status == LSES_ABSENT) return says("false");
    OR_FAILED(status);
    return says("true");
  }
  if (IS("stall")) {
    OR_FAILED(lses_manager_stall_reaper(the->manager, strcmp(first, "true") == 0));
    return says("ok");
  }
  if (!number_of(first, &number)) return wrong("a number is wanted");
  if (IS("dispatch")) {
    OR_FAILED(lses_manager_dispatch(the->manager, (size_t)number, 0, &count));
    return says("%zu", count);
  }
  if (IS("advance")) {
    OR_FAILED(lses_clock_advance(the->clock, number, &count));
    return says("%zu", count);
  }
  OR_FAILED(lses_clock_suspend(the->clock, number));
  return says("ok");
}

int manage_verb(const char *verb, char **rest, size_t count, const words *words, answer *out) {
  static const char *const verbs[] = {"open", "unregister", "resolver", "asked", "redeliver", "reap", "tick", "dispatch", "damage",
                                      "stall", "close", "advance", "suspend", "start", "class"};
  const char *first = at(words, 0);
  uint64_t now = 0;
  int64_t number = 0;
  if (IS("now")) {
    *out = lses_clock_now(the->clock, &now) == LSES_OK ? says("%llu", (unsigned long long)now) : failed();
  } else if (IS("wall")) {
    *out = lses_clock_wall(the->clock, &number) == LSES_OK ? says("%lld", (long long)number) : failed();
  } else if (IS("set_wall")) {
    *out = first == NULL || !number_of(first, &number)              ? wrong("milliseconds are wanted")
           : lses_clock_set_wall(the->clock, number) == LSES_OK ? says("ok")
                                                                    : failed();
  } else if (IS("join")) {
    *out = first == NULL ? wrong("word 1 is missing") : join(first);
  } else if (IS("release")) {
    release(first);
    *out = says("ok");
  } else if (IS("config") || IS("application") || IS("pool")) {
    *out = wrong("%s comes before the first verb", verb);
  } else {
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
      if (!IS(verbs[i])) continue;
      if (opened(out)) *out = manage(verb, rest, count, words);
      return 1;
    }
    return 0;
  }
  return 1;
}

answer do_words(char **items, size_t count) {
  answer out;
  if (count == 0) return wrong("an empty line");
  if (setup_line(items, count, &out)) return out;
  words words = sorted_words(items + 1, count - 1);
  const char *verb = items[0];
  /* What was told of the verb before, of an end that was an answer too, is none of this one's. */
  told_failure(&out);
  if (manage_verb(verb, items + 1, count - 1, &words, &out) || session_verb(verb, &words, &out) ||
      request_verb(verb, &words, &out) || look_verb(verb, &words, &out) || pool_verb(verb, &words, &out) ||
      queue_verb(verb, &words, &out))
    return out;
  return wrong("there is no verb '%s'", verb);
}
