/* Callbacks that do what a script says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define KINDS 16

typedef struct behavior {
  texts *steps; /* of actions */
  size_t count;
  size_t calls;
} behavior;

typedef struct scripted {
  char *name;
  behavior behaviors[KINDS];
} scripted;

static char *rest_of(char *action, const char *name) {
  size_t len = strlen(name);
  if (strncmp(action, name, len) != 0) return NULL;
  if (action[len] == '\0') return action + len;
  return action[len] == ':' ? action + len + 1 : NULL;
}

static int known_action(char *action) {
  static const char *const names[] = {"ok", "throw", "deny", "extend", "hang", "set", "timeout", "license", "keep", "see", "do"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (rest_of(action, names[i]) != NULL) return 1;
  return 0;
}

static const char *or_none(lses_str text) { return text.data == NULL ? "none" : text.data; }

static char *seen(const lses_event *event, const char *field) {
  lses_buf buf = LSES_BUF_INIT;
  char *text;
  if (strcmp(field, "application") == 0) return format("%s", event->application.data);
  if (strcmp(field, "old_application") == 0) return format("%s", or_none(event->old_application));
  if (strcmp(field, "namespace") == 0) return format("%s", event->name_space.data);
  if (strcmp(field, "user") == 0) return format("%s", or_none(event->user));
  if (strcmp(field, "old_user") == 0) return format("%s", or_none(event->old_user));
  if (strcmp(field, "level") == 0) return format("%s", event->level == 0 ? "none" : lses_end_level_name(event->level));
  if (strcmp(field, "thread") == 0) return format("%s", lses_thread_kind_name(event->thread));
  if (strcmp(field, "remaining") == 0)
    return event->remaining_ms == LSES_UNSET ? "none" : format("%lld", (long long)event->remaining_ms);
  if (strcmp(field, "pool") == 0) return format("%s", or_none(event->pool));
  if (strcmp(field, "in_use") == 0)
    return event->pool.data == NULL ? "none" : format("%llu", (unsigned long long)event->in_use);
  if (strcmp(field, "capacity") == 0)
    return event->pool.data == NULL ? "none" : format("%llu", (unsigned long long)event->capacity);
  if (strcmp(field, "data") == 0) {
    text = lses_event_data(event, &buf) == LSES_OK ? keep_text(buf.data, buf.len) : "corrupt";
  } else if (strncmp(field, "data.", 5) == 0) {
    lses_value value;
    lses_subscript key = lses_key(field + 5);
    text = lses_event_get(event, &key, 1, &value, &buf) == LSES_OK ? value_text(&value) : "corrupt";
  } else {
    text = format("no_field_%s", field);
  }
  lses_buf_free(&buf);
  return text;
}

static int32_t say(const lses_event *event, const char *text, int32_t answer) {
  (void)lses_event_say(event, text, LSES_NTS);
  return answer;
}

static int32_t run(scripted *class, const lses_event *event, int64_t *extend_ms) {
  behavior *behavior = &class->behaviors[event->kind];
  size_t call = __atomic_fetch_add(&behavior->calls, 1, __ATOMIC_SEQ_CST);
  if (call >= behavior->count) call = behavior->count - 1;
  uint64_t now = 0;
  (void)lses_clock_now(the->clock, &now);
  char *label;
  char *reason = event->reason == 0 ? "" : format(":%s", lses_end_reason_name(event->reason));
  char *number = event->attempt > 1 ? format("#%u", event->attempt) : "";
  char *what = format("%s.%s@%llu%s%s%s", class->name, lses_event_kind_name(event->kind), (unsigned long long)now, reason,
                      number, event->redelivered ? "!" : "");
  delivery *to = delivered(event->session_id.data, class->name, event->kind, what, &label);
  texts *step = &behavior->steps[call];
  for (size_t i = 0; i < step->count; i++) {
    char *action = step->items[i], *rest;
    if ((rest = rest_of(action, "ok")) != NULL) return LSES_ALLOW;
    if ((rest = rest_of(action, "throw")) != NULL) return say(event, *rest == '\0' ? "boom" : rest, LSES_FAILED);
    if ((rest = rest_of(action, "deny")) != NULL) return say(event, *rest == '\0' ? "boom" : rest, LSES_DENY);
    if ((rest = rest_of(action, "extend")) != NULL) {
      if (extend_ms != NULL) *extend_ms = strtoll(rest, NULL, 10);
      return LSES_EXTEND;
    }
    if ((rest = rest_of(action, "hang")) != NULL) {
      hang(class->name, event);
    } else if ((rest = rest_of(action, "set")) != NULL) {
      char *colon = strchr(rest, ':');
      if (event->request == NULL) return say(event, "set: this callback has no request", LSES_FAILED);
      if (colon == NULL) return say(event, "set wants KEY:JSON", LSES_FAILED);
      lses_subscript key = lses_key(keep_text(rest, (size_t)(colon - rest)));
      lses_value value = lses_value_json(colon + 1);
      if (lses_request_set(event->request, &key, 1, &value) != LSES_OK) note(to, format("set=%s", one_word(failed().text)));
    } else if ((rest = rest_of(action, "timeout")) != NULL) {
      if (event->request == NULL) return say(event, "timeout: this callback has no request", LSES_FAILED);
      if (lses_request_set_idle_timeout(event->request, strtoll(rest, NULL, 10)) != LSES_OK)
        note(to, format("timeout=%s", one_word(failed().text)));
    } else if ((rest = rest_of(action, "license")) != NULL) {
      (void)lses_event_set_license_class(event, code_of(rest, lses_license_class_name));
    } else if ((rest = rest_of(action, "keep")) != NULL) {
      (void)lses_event_set_end_session(event, 0);
    } else if ((rest = rest_of(action, "see")) != NULL) {
      note(to, one_word(format("%s=%s", rest, seen(event, rest))));
    } else if ((rest = rest_of(action, "do")) != NULL) {
      texts line = split(rest, ',');
      for (size_t word = 0; word < line.count; word++)
        if (strcmp(line.items[word], "@") == 0) line.items[word] = label;
      answer done = do_words(line.items, line.count);
      note(to, one_word(format("%s=%s%s", rest, done.wrong ? "script: " : "", with_labels(done.text))));
    }
  }
  return LSES_ALLOW;
}

static int in_use;

int classes_in_use(void) { return __atomic_load_n(&in_use, __ATOMIC_SEQ_CST); }

static void let_go(void *user_data) {
  (void)user_data;
  __atomic_sub_fetch(&in_use, 1, __ATOMIC_SEQ_CST);
}

static int32_t on_expiring(void *user_data, const lses_event *event, int64_t *extend_ms) {
  return run(user_data, event, extend_ms);
}

static int32_t on_event(void *user_data, const lses_event *event) { return on_expiring(user_data, event, NULL); }

answer register_class(char **items, size_t count) {
  words sorted = sorted_words(items, count);
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  if (sorted.plain.count == 0) return wrong("a class wants a name");
  lses_str name = text_of(at(&sorted, 0)), name_space = named_text(&sorted, "namespace");
  scripted *own = keep(sizeof *own);
  own->name = format("%s", class_name(name_space.data == NULL ? "" : name_space.data, name.data));
  lses_event_fn *slots[KINDS] = {
      NULL,           &class.on_start,        NULL,                  &class.on_timeout,       &class.on_end,
      &class.on_application_change, &class.on_login, &class.on_logout, &class.on_start_request, &class.on_end_request,
      &class.on_license_denied, &class.on_context_lost, &class.on_pool_low, &class.on_pool_exhausted,
      &class.on_pool_recovered, &class.on_pool_overdraft};
  for (size_t i = 0; i < sorted.names.count; i++) {
    const char *option = sorted.names.items[i], *value = sorted.values.items[i];
    if (strcmp(option, "namespace") == 0) continue;
    if (strcmp(option, "deadline_ms") == 0) {
      if (!number_of(value, &class.deadline_ms)) return wrong("deadline_ms=%s can't be read", value);
      continue;
    }
    if (strcmp(option, "compat_veto") == 0) {
      class.compat_veto = strcmp(value, "true") == 0 ? LSES_YES : LSES_NO;
      continue;
    }
    uint32_t kind = code_of(option, lses_event_kind_name);
    if (kind == 0 || kind >= KINDS) return wrong("there is no callback '%s'", option);
    texts steps = split(value, '|');
    own->behaviors[kind].steps = keep(steps.count * sizeof(texts));
    own->behaviors[kind].count = steps.count;
    for (size_t step = 0; step < steps.count; step++) {
      own->behaviors[kind].steps[step] = split(steps.items[step], '+');
      texts *actions = &own->behaviors[kind].steps[step];
      for (size_t action = 0; action < actions->count; action++)
        if (!known_action(actions->items[action])) return wrong("there is no action '%s'", actions->items[action]);
    }
    if (kind == LSES_EVENT_EXPIRING) class.on_expiring = on_expiring;
    else *slots[kind] = on_event;
  }
  class.user_data = own;
  class.drop_user_data = let_go;
  __atomic_add_fetch(&in_use, 1, __ATOMIC_SEQ_CST);
  OR_FAILED(lses_manager_register(the->manager, LEN(name), LEN(name_space), &class));
  return says("ok");
}
