/* Verbs on the queues of pools, and the options of calls that wait in them. */
#include <string.h>

#include "world.h"

/* The ticket of a name; NULL if none can be made. */
static lses_ticket *ticket_of(const char *name) {
  lock_world();
  named_thing *it = thing(&the->tickets, name, 1);
  if (it->ticket == NULL && lses_ticket_new(&it->ticket) != LSES_OK) it->ticket = NULL;
  lses_ticket *ticket = it->ticket;
  unlock_world();
  return ticket;
}

const char *read_queue(const words *words, int64_t *wait_ms, int64_t *priority, lses_ticket **ticket) {
  const char *wait = named(words, "wait_ms"), *rank = named(words, "priority"), *name = named(words, "ticket");
  if (wait != NULL && !number_of(wait, wait_ms)) return "wait_ms= can't be read";
  if (rank != NULL && !number_of(rank, priority)) return "priority= can't be read";
  if (name != NULL && (*ticket = ticket_of(name)) == NULL) return "there is no ticket";
  return NULL;
}

static answer queue(const char *word) {
  lses_str pool = text_of(word);
  lses_buf buf;
  OR_FAILED(lses_manager_queue(the->manager, LEN(pool), 0, SIZE_MAX, &buf));
  json *list = parse_json(buf.data);
  lses_buf_free(&buf);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    const char *session = text_member(one, "session_id", ""), *holder = text_member(one, "holder", "");
    add(&all, format("%s:%s:%s:%s%s", raw_member(one, "position", "?"),
                     strcmp(holder, session) == 0 ? label_of(session) : one_word(holder), raw_member(one, "priority", "?"),
                     raw_member(one, "left_ms", "?"), strcmp(raw_member(one, "offered", ""), "true") == 0 ? "!" : ""));
  }
  return says("%s", joined(&all, ",", "none"));
}

static answer ticket(const char *verb, const char *name) {
  lses_ticket *of = ticket_of(name);
  uint64_t position = 0;
  if (of == NULL) return failed();
  if (strcmp(verb, "cancel") == 0) {
    OR_FAILED(lses_ticket_cancel(of));
    return says("ok");
  }
  OR_FAILED(lses_ticket_position(of, &position));
  return position == 0 ? says("none") : says("%llu", (unsigned long long)position);
}

int queue_verb(const char *verb, const words *words, answer *out) {
  int of_pool = strcmp(verb, "queue") == 0;
  if (!of_pool && strcmp(verb, "position") != 0 && strcmp(verb, "cancel") != 0) return 0;
  if (at(words, 0) == NULL) *out = wrong("word 1 is missing");
  else if (!of_pool) *out = ticket(verb, at(words, 0));
  else if (opened(out)) *out = queue(at(words, 0));
  return 1;
}
