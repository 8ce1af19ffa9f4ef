/* What a running script knows. */
#include "world.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

world *the;
static world present;

answer says(const char *how, ...) {
  va_list arguments, again;
  va_start(arguments, how);
  va_copy(again, arguments);
  size_t len = (size_t)vsnprintf(NULL, 0, how, arguments);
  answer it = {keep(len + 1), "", 0};
  vsnprintf(it.text, len + 1, how, again);
  va_end(again);
  va_end(arguments);
  return it;
}

answer wrong(const char *how, ...) {
  va_list arguments;
  va_start(arguments, how);
  char text[1000];
  vsnprintf(text, sizeof text, how, arguments);
  va_end(arguments);
  return (answer){keep_text(text, strlen(text)), "", 1};
}

answer failed(void) {
  lses_status status = lses_last_error_code();
  const char *name = lses_status_name(status);
  char *message = keep_text(lses_last_error_message(), strlen(lses_last_error_message()));
  answer it;
  if (told_failure(&it)) return it;
  if (status == LSES_ABSENT) {
    it = says("absent");
  } else if (status == LSES_GONE) {
    it = says("gone %s", lses_end_reason_name(lses_last_error_reason()));
  } else if (status == LSES_E_LICENSE_DENIED) {
    int64_t retry = lses_last_error_retry_after_ms();
    char *after = retry == LSES_UNSET ? "" : format(" retry_after=%lld", (long long)retry);
    it = says("error %s %s%s", name, lses_deny_reason_name(lses_last_error_deny_reason()), after);
  } else if (status == LSES_E_CONFLICT) {
    json *keys = parse_json(lses_last_error_keys());
    texts names = {0};
    for (size_t i = 0; keys != NULL && i < keys->count; i++) add(&names, keys->items[i]->text);
    it = says("error %s %s", name, joined(&names, " ", ""));
  } else {
    it = says("error %s", name);
  }
  it.message = message;
  return it;
}

void lock_world(void) { pthread_mutex_lock(&the->lock); }
void unlock_world(void) { pthread_mutex_unlock(&the->lock); }

void world_begin(const char *table) {
  memset(&present, 0, sizeof present);
  the = &present;
  pthread_mutex_init(&the->lock, NULL);
  pthread_cond_init(&the->released, NULL);
  the->table = table;
  if (lses_clock_manual(&the->clock) != LSES_OK || lses_config_new(&the->config) != LSES_OK ||
      lses_config_set_store(the->config, table, LSES_NTS) != LSES_OK ||
      lses_config_set_clock(the->config, the->clock) != LSES_OK) {
    fprintf(stderr, "%s\n", lses_last_error_message());
    exit(2);
  }
}

void world_end(void) {
  lock_world();
  the->over = 1;
  pthread_cond_broadcast(&the->released);
  unlock_world();
  if (the->manager != NULL) lses_manager_close(the->manager, 0, NULL);
  for (named_thing *it = the->requests; it != NULL; it = it->next) lses_request_free(it->request);
  for (started *it = the->started; it != NULL; it = it->next) pthread_join(it->thread, NULL);
  for (named_thing *it = the->tickets; it != NULL; it = it->next) lses_ticket_free(it->ticket);
  lses_manager_free(the->manager);
  /* What hung goes on, and must not outlive the script. */
  while (classes_in_use() > 0) sched_yield();
  lses_config_free(the->config);
  lses_clock_free(the->clock);
}

session *session_named(const char *label, int make) {
  for (session *it = the->sessions; it != NULL; it = it->next)
    if (strcmp(it->label, label) == 0) return it;
  if (!make) return NULL;
  session *new = keep(sizeof *new);
  new->label = keep_text(label, strlen(label));
  if (the->sessions_end == NULL) the->sessions = new;
  else the->sessions_end->next = new;
  the->sessions_end = new;
  return new;
}

session *session_with(const char *id) {
  for (known_id *it = the->ids; it != NULL; it = it->next)
    if (strcmp(it->id, id) == 0) return it->session;
  return NULL;
}

void know(session *session, const char *id) {
  strcpy(session->id, id);
  if (session_with(id) != NULL) return;
  known_id *new = keep(sizeof *new);
  strcpy(new->id, id);
  new->session = session;
  new->next = the->ids;
  the->ids = new;
}

named_thing *thing(named_thing **list, const char *name, int make) {
  for (named_thing *it = *list; it != NULL; it = it->next)
    if (strcmp(it->name, name) == 0) return it;
  if (!make) return NULL;
  named_thing *new = keep(sizeof *new);
  new->name = keep_text(name, strlen(name));
  new->next = *list;
  *list = new;
  return new;
}

/* A session is named by a line: the event log goes by the order of these. */
void creating(const char *label) {
  lock_world();
  session *it = session_named(label, 0);
  if (it == NULL || !it->ordered) {
    if (it == NULL) it = session_named(label, 1);
    static size_t order;
    it->ordered = (int)++order;
  }
  the->creating = it->label;
  unlock_world();
}

void created(const char *label, const char *id, const char *token) {
  lock_world();
  session *it = session_named(label, 1);
  know(it, id);
  unlock_world();
  renewed(label, token);
}

void renewed(const char *label, const char *token) {
  lock_world();
  thing(&the->tokens, label, 1)->text = keep_text(token, strlen(token));
  unlock_world();
}

char *label_of(const char *id) {
  lock_world();
  session *it = session_with(id);
  unlock_world();
  return it == NULL ? "-" : it->label;
}

char *id_of(const char *label) {
  lock_world();
  session *it = session_named(label, 0);
  unlock_world();
  return it == NULL || it->id[0] == '\0' ? NULL : it->id;
}

lses_request *request_of(const char *label, char **session_label) {
  lock_world();
  named_thing *it = thing(&the->requests, label, 0);
  unlock_world();
  if (it == NULL) return NULL;
  if (session_label != NULL) *session_label = it->text;
  return it->request;
}

char *with_labels(const char *text) {
  lock_world();
  char *result = keep_text(text, strlen(text));
  /* Nothing shorter than an id has one in it. */
  if (strlen(text) >= LSES_ID_SIZE - 1)
    for (known_id *it = the->ids; it != NULL; it = it->next)
      if (strstr(result, it->id) != NULL) result = replaced(result, it->id, it->session->label);
  unlock_world();
  return result;
}

static delivery *deliver(session *to, char *what) {
  delivery *new = keep(sizeof *new);
  new->what = what;
  if (to->last == NULL) to->first = new;
  else to->last->next = new;
  to->last = new;
  return new;
}

delivery *delivered(const char *session_id, const char *class_name, uint32_t kind, char *what, char **label) {
  lock_world();
  session *it = session_id == NULL ? NULL : session_with(session_id);
  if (it == NULL && session_id != NULL && the->creating != NULL) {
    it = session_named(the->creating, 1);
    know(it, session_id);
  }
  if (it == NULL || (kind >= LSES_EVENT_POOL_LOW && kind <= LSES_EVENT_POOL_OVERDRAFT)) it = session_named("-", 1);
  thing(&the->calls, format("%s.%s", class_name, lses_event_kind_name(kind)), 1)->number++;
  delivery *new = deliver(it, what);
  *label = it->label;
  unlock_world();
  return new;
}

void dropped(const char *session_id, char *what) {
  lock_world();
  session *it = session_with(session_id);
  deliver(it == NULL ? session_named("-", 1) : it, what);
  unlock_world();
}

void note(delivery *to, char *text) {
  lock_world();
  add(&to->notes, text);
  unlock_world();
}

void hang(const char *class_name, const lses_event *event) {
  lock_world();
  named_thing *of = thing(&the->releases, class_name, 1);
  uint64_t all = the->released_all, own = of->number;
  of->hanging++;
  unlock_world();
  /* The script may go on at once. */
  (void)lses_event_hang(event);
  lock_world();
  __atomic_add_fetch(&the->hung, 1, __ATOMIC_SEQ_CST);
  while (!the->over && the->released_all == all && of->number == own) pthread_cond_wait(&the->released, &the->lock);
  unlock_world();
}

static size_t hanging(void) {
  size_t count = 0;
  lock_world();
  for (named_thing *it = the->releases; it != NULL; it = it->next) count += it->hanging;
  unlock_world();
  return count;
}

void release(const char *class_name) {
  lock_world();
  if (class_name == NULL) {
    the->released_all++;
    for (named_thing *it = the->releases; it != NULL; it = it->next) it->hanging = 0;
  } else {
    named_thing *of = thing(&the->releases, class_name, 1);
    of->number++;
    of->hanging = 0;
  }
  pthread_cond_broadcast(&the->released);
  unlock_world();
  int32_t closed = 0;
  for (int tries = 0; tries < 5000; tries++) {
    if (the->manager == NULL || lses_manager_is_closed(the->manager, &closed) != LSES_OK || closed) return;
    /* Others may hang only now that these make room. */
    size_t running = 0;
    if (lses_clock_advance(the->clock, 0, &running) != LSES_OK) running = 0;
    if (running <= hanging()) return;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
}

texts deliveries(const char *label, size_t from) {
  texts found = {0};
  lock_world();
  session *it = session_named(label, 0);
  size_t place = 0;
  for (delivery *one = it == NULL ? NULL : it->first; one != NULL; one = one->next)
    if (place++ >= from)
      add(&found, one->notes.count == 0 ? one->what : format("%s(%s)", one->what, joined(&one->notes, ";", "")));
  unlock_world();
  for (size_t i = 0; i < found.count; i++) found.items[i] = with_labels(found.items[i]);
  return found;
}

const char *class_name(const char *name_space, const char *name) {
  return name_space[0] == '\0' ? name : format("%s:%s", name_space, name);
}

int opened(answer *out) {
  lock_world();
  lses_manager *manager = the->manager;
  lses_config *config = the->config;
  the->config = NULL;
  unlock_world();
  if (manager != NULL) return 1;
  if (config == NULL) {
    *out = wrong("the manager could not be opened");
    return 0;
  }
  lses_status status = lses_manager_new(config, &manager);
  if (status != LSES_OK) *out = failed();
  lses_config_free(config);
  if (status != LSES_OK) return 0;
  lock_world();
  the->manager = manager;
  unlock_world();
  for (size_t i = 0; i < the->classes.count; i++) {
    texts *words = (texts *)(void *)the->classes.items[i];
    answer registered = register_class(words->items, words->count);
    if (registered.wrong || strcmp(registered.text, "ok") != 0) {
      *out = registered;
      return 0;
    }
  }
  return 1;
}

static void read_lifecycle(void) {
  for (;;) {
    lses_buf text;
    /* A closed manager tells nothing any more. */
    if (lses_manager_lifecycle(the->manager, the->lifecycle_seq, 1000, &text) != LSES_OK) return;
    json *list = parse_json(text.data);
    lses_buf_free(&text);
    if (list == NULL || list->count == 0) return;
    for (size_t i = 0; i < list->count; i++) {
      json *one = list->items[i];
      if (the->entry_count == the->entry_room) {
        size_t room = the->entry_room == 0 ? 64 : the->entry_room * 2;
        entry *entries = keep(room * sizeof *entries);
        if (the->entry_count > 0) memcpy(entries, the->entries, the->entry_count * sizeof *entries);
        the->entries = entries;
        the->entry_room = room;
      }
      const char *detail = text_member(one, "detail", "");
      the->entries[the->entry_count++] = (entry){
          (char *)text_member(one, "session_id", ""),
          format("%s@%s%s%s", text_member(one, "what", ""), raw_member(one, "at_ms", ""), detail[0] == '\0' ? "" : ":",
                 one_word(detail))};
      the->lifecycle_seq = strtoull(raw_member(one, "seq", "0"), NULL, 10);
    }
  }
}

void settle(void) {
  if (the->manager == NULL) return;
  /* Refused only inside of a callback, where nothing is to be settled. */
  (void)lses_clock_advance(the->clock, 0, NULL);
  read_lifecycle();
}

static int by_order(const void *one, const void *other) {
  return (*(session *const *)one)->ordered - (*(session *const *)other)->ordered;
}

char *world_log(void) {
  texts lines = {0};
  for (size_t i = 0; i < the->entry_count; i++) {
    const char *text = the->entries[i].text;
    /* A close hides its own ends: whether one could still be read is a matter of luck. */
    if (strncmp(text, "ended@", 6) == 0 && strstr(text, ":shutdown") != NULL) continue;
    add(&lines, format("log %s.%s\n", label_of(the->entries[i].session), with_labels(text)));
  }
  size_t count = 0, place = 0;
  for (session *it = the->sessions; it != NULL; it = it->next) count += it->ordered != 0;
  session **order = keep((count + 1) * sizeof *order);
  for (session *it = the->sessions; it != NULL; it = it->next)
    if (it->ordered != 0) order[place++] = it;
  if (count > 1) qsort(order, count, sizeof *order, by_order);
  for (size_t i = 0; i <= count; i++) {
    const char *label = i < count ? order[i]->label : "-";
    texts found = deliveries(label, 0);
    for (size_t j = 0; j < found.count; j++) add(&lines, format("call %s %s\n", label, found.items[j]));
  }
  return joined(&lines, "", "");
}
