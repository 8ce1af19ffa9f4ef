/* Verbs that look: info, list, explain, stats, usage, accounts, dead letters, events, the log. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* Calls that give JSON; `wrong` if they don't. */
#define JSON(place, call)                \
  do {                                   \
    lses_buf buf_;                       \
    OR_FAILED((call)(&buf_));            \
    (place) = parse_json(buf_.data);     \
    lses_buf_free(&buf_);                \
    if ((place) == NULL) return wrong("an answer that is no JSON"); \
  } while (0)

#define IS(word) (strcmp(field, word) == 0)

static char *copy(const char *text) { return keep_text(text, strlen(text)); }

/* One field of a live session; NULL: there is none. */
static char *info_field(const json *info, const char *field) {
  static const char *const plain[] = {"state", "application", "namespace"};
  static const char *const maybe[] = {"user", "holder", "pool", "address", "user_agent", "referrer"};
  static const char *const raw[][3] = {
      {"created", "created_ms", ""},          {"created_at", "created_at", ""},
      {"last_used", "last_used_ms", ""},      {"idle_timeout", "idle_timeout_ms", "never"},
      {"absolute_timeout", "absolute_timeout_ms", "never"}, {"deadline", "deadline_ms", "never"},
      {"immortal", "immortal", ""},           {"overdue", "overdue", ""},
      {"in_flight", "in_flight", ""},         {"data_bytes", "data_bytes", "none"}};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (IS(plain[i])) return copy(text_member(info, field, ""));
  for (size_t i = 0; i < sizeof maybe / sizeof *maybe; i++)
    if (IS(maybe[i])) return copy(text_member(info, field, "none"));
  for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
    if (IS(raw[i][0])) return copy(raw_member(info, raw[i][1], raw[i][2]));
  return NULL;
}

static char *explain_field(const json *explain, const char *field) {
  json *live = member(explain, "live"), *ended = member(explain, "ended"), *next = member(explain, "next");
  if (IS("state"))
    return live->kind == JSON_MAP    ? "live"
           : ended->kind == JSON_MAP ? format("gone %s", text_member(ended, "reason", "?"))
                                     : "absent";
  if (IS("lock_waiters") || IS("damaged")) return copy(raw_member(explain, field, "?"));
  if (IS("next"))
    return next->kind != JSON_MAP ? "none"
                                  : format("%s@%s", one_word(text_member(next, "what", "?")), raw_member(next, "at_ms", "?"));
  if (IS("receipt")) return ended->kind == JSON_MAP ? receipt_text(ended) : "none";
  texts items = {0};
  json *list = member(explain, IS("classes") ? "event_classes" : field);
  if (list == NULL || list->kind != JSON_LIST) return NULL;
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    if (IS("requests"))
      add(&items, format("%s/%s@%s", text_member(one, "touch", "?"), text_member(one, "lock", "free"),
                         raw_member(one, "started_ms", "?")));
    else if (IS("extensions"))
      add(&items, format("%s+%s@%s", text_member(one, "class", "?"), raw_member(one, "by_ms", "?"),
                         raw_member(one, "at_ms", "?")));
    else if (IS("classes"))
      add(&items, format("%s%s", class_name(text_member(one, "namespace", ""), text_member(one, "name", "")),
                         strcmp(raw_member(one, "registered", ""), "true") == 0 ? "" : "!"));
    else if (IS("failures"))
      add(&items, format("%s.%s:%s", text_member(one, "class", "?"), text_member(one, "kind", "?"),
                         one_word(text_member(one, "text", ""))));
    else return NULL;
  }
  return joined(&items, ",", "none");
}

static answer fields(const words *words, size_t from, const json *of, char *(*one)(const json *, const char *)) {
  texts all = {0};
  for (size_t i = from; i < words->plain.count; i++) {
    char *text = one(of, words->plain.items[i]);
    if (text == NULL) return wrong("there is no field '%s'", words->plain.items[i]);
    add(&all, text);
  }
  return says("%s", joined(&all, " ", ""));
}

static answer explained(const words *words, json **out) {
  const char *id = id_of(at(words, 0));
  if (id == NULL) return wrong("there is no session '%s'", at(words, 0));
  lses_buf buf;
  OR_FAILED(lses_manager_explain(the->manager, id, LSES_NTS, &buf));
  *out = parse_json(buf.data);
  lses_buf_free(&buf);
  return *out == NULL ? wrong("an answer that is no JSON") : says("ok");
}

static answer info(const words *words) {
  json *of = NULL;
  lses_request *request = request_of(at(words, 0), NULL);
  if (request != NULL) {
    lses_buf buf;
    OR_FAILED(lses_request_info(request, &buf));
    of = parse_json(buf.data);
    lses_buf_free(&buf);
  } else {
    json *explain = NULL;
    answer got = explained(words, &explain);
    if (explain == NULL) return got;
    of = member(explain, "live");
    json *ended = member(explain, "ended");
    if (of->kind != JSON_MAP)
      return ended->kind == JSON_MAP ? says("gone %s", text_member(ended, "reason", "?")) : says("absent");
  }
  return fields(words, 1, of, info_field);
}

static answer explain(const words *words) {
  json *of = NULL;
  answer got = explained(words, &of);
  return of == NULL ? got : fields(words, 1, of, explain_field);
}

static answer explains(const words *words) {
  json *of = NULL;
  lses_str part = text_of(at(words, 1));
  answer got = explained(words, &of);
  if (of == NULL) return got;
  int has = strstr(with_labels(text_member(of, "text", "")), part.data) != NULL;
  json *trace = member(of, "trace");
  for (size_t i = 0; !has && i < trace->count; i++) has = strstr(with_labels(trace->items[i]->text), part.data) != NULL;
  return says("%s", has ? "true" : "false");
}

static answer listing(const words *words) {
  lses_filter filter = LSES_FILTER_INIT;
  const char *why = read_filter(words, &filter);
  int64_t limit = 1000;
  if (why != NULL || (named(words, "limit") != NULL && !number_of(named(words, "limit"), &limit)))
    return wrong("%s", why == NULL ? "limit= can't be read" : why);
  texts labels = {0};
  uint64_t cursor = 0;
  do {
    lses_buf buf;
    OR_FAILED(lses_manager_list(the->manager, &filter, cursor, (size_t)limit, &buf, &cursor));
    json *page = parse_json(buf.data);
    lses_buf_free(&buf);
    for (size_t i = 0; page != NULL && i < page->count; i++) add(&labels, label_of(text_member(page->items[i], "id", "")));
  } while (cursor != 0);
  sort(&labels);
  return says("%s", joined(&labels, " ", "none"));
}

static char *stat(const json *stats, const char *field) {
  if (strncmp(field, "ended.", 6) == 0) {
    if (code_of(field + 6, lses_end_reason_name) == 0) return NULL;
    return copy(raw_member(member(stats, "ended_by_reason"), field + 6, "0"));
  }
  if (IS("reaper")) return copy(text_member(stats, field, "?"));
  if (IS("breakers_open")) {
    json *list = member(stats, field);
    texts names = {0};
    for (size_t i = 0; i < list->count; i++) add(&names, list->items[i]->text);
    return joined(&names, ",", "none");
  }
  const char *raw = raw_member(stats, field, NULL);
  return raw == NULL ? NULL : copy(raw);
}

static lses_status get_stats(lses_buf *buf) { return lses_manager_stats(the->manager, NULL, buf); }
static lses_status get_check(lses_buf *buf) { return lses_manager_check(the->manager, buf); }
static lses_status get_letters(lses_buf *buf) { return lses_manager_dead_letters(the->manager, 0, 10000, buf); }

static answer stats(const words *words) {
  json *of;
  JSON(of, get_stats);
  return fields(words, 0, of, stat);
}

static answer check(void) {
  json *list;
  JSON(list, get_check);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) add(&all, list->items[i]->text);
  return says("%s", joined(&all, "; ", "ok"));
}

static char *usage_field(const json *usage, const char *field) {
  if (strcmp(field, "denials_by_reason") == 0) {
    json *of = member(usage, field);
    texts counted = {0};
    static const char *const reasons[] = {"excluded", "holder_limit", "pool_exhausted", "reserved"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
      const char *count = raw_member(of, reasons[i], "?");
      if (strcmp(count, "0") != 0) add(&counted, format("%s:%s", reasons[i], count));
    }
    return joined(&counted, ",", "none");
  }
  if (IS("release_ms")) {
    json *list = member(usage, "holders");
    texts left = {0};
    for (size_t i = 0; i < list->count; i++) {
      json *one = list->items[i];
      const char *ms = raw_member(one, "release_ms", "null");
      if (strcmp(ms, "null") != 0)
        add(&left, format("%s:%s:%s", one_word(with_labels(text_member(one, "holder", ""))), raw_member(one, "lingering", "?"), ms));
    }
    sort(&left);
    return joined(&left, ",", "none");
  }
  if (!IS("holders")) {
    const char *raw = raw_member(usage, field, NULL);
    return raw == NULL ? NULL : copy(raw);
  }
  json *list = member(usage, field);
  texts holders = {0};
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    add(&holders, format("%s:%s:%s:%s", one_word(with_labels(text_member(one, "holder", ""))), text_member(one, "kind", "?"),
                         raw_member(one, "connections", "?"), raw_member(one, "units", "?")));
  }
  sort(&holders);
  return joined(&holders, ",", "none");
}

static answer usage(const words *words) {
  lses_str pool = text_of(at(words, 0));
  lses_buf buf;
  OR_FAILED(lses_manager_usage(the->manager, LEN(pool), NULL, &buf));
  json *of = parse_json(buf.data);
  lses_buf_free(&buf);
  if (words->plain.count == 1) return says("%s/%s", raw_member(of, "in_use", "?"), raw_member(of, "capacity", "?"));
  return fields(words, 1, of, usage_field);
}

static answer unit(const words *words) {
  lses_str pool = text_of(at(words, 0)), holder = text_of(at(words, 1));
  const char *id = id_of(at(words, 1));
  if (id != NULL) holder = lses_cstr(id);
  int says_part = at(words, 2) != NULL;
  lses_buf buf;
  lses_status status = lses_manager_explain_unit(the->manager, LEN(pool), LEN(holder), &buf);
  if (status == LSES_ABSENT) return says_part ? wrong("it holds nothing") : says("none");
  OR_FAILED(status);
  json *of = parse_json(buf.data);
  lses_buf_free(&buf);
  if (says_part) return says("%s", strstr(with_labels(text_member(of, "text", "")), text_of(at(words, 2)).data) != NULL ? "true" : "false");
  json *one = member(of, "holder"), *list = member(of, "sessions");
  texts sessions = {0};
  for (size_t i = 0; i < list->count; i++) add(&sessions, label_of(text_member(list->items[i], "id", "")));
  sort(&sessions);
  return says("%s %s %s %s %s", text_member(one, "kind", "?"), raw_member(one, "connections", "?"), raw_member(one, "units", "?"),
              raw_member(one, "lingering", "?"), joined(&sessions, ",", "none"));
}

static answer audit(const words *words) {
  lses_str pool = text_of(at(words, 0));
  lses_buf buf;
  OR_FAILED(lses_manager_audit(the->manager, LEN(pool), &buf));
  json *of = parse_json(buf.data);
  lses_buf_free(&buf);
  const char *counted = raw_member(of, "counted", "?"), *recounted = raw_member(of, "recounted", "?");
  json *list = member(of, "differences");
  if (list->count == 0 && strcmp(counted, recounted) == 0) return says("equal %s", counted);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) add(&all, list->items[i]->text);
  return says("counted %s recounted %s: %s", counted, recounted, joined(&all, "; ", ""));
}

static answer audit_records(const words *words) {
  lses_str pool = text_of(at(words, 0));
  lock_world();
  named_thing *told = thing(&the->told_audit, pool.data, 1);
  unlock_world();
  lses_buf buf;
  OR_FAILED(lses_manager_audit_records(the->manager, LEN(pool), told->number, 10000, &buf));
  json *list = parse_json(buf.data);
  lses_buf_free(&buf);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    const char *reason = text_member(one, "reason", NULL), *why = text_member(one, "why", NULL);
    const char *session = text_member(one, "session_id", ""), *holder = text_member(one, "holder", "");
    /* A session that was refused and has no label is its own holder all the same. */
    holder = strcmp(holder, session) == 0 ? label_of(session) : one_word(holder);
    told->number = strtoull(raw_member(one, "seq", "0"), NULL, 10);
    add(&all, format("%s %s %s %s>%s%s%s%s%s", text_member(one, "kind", "?"), label_of(session), holder, raw_member(one, "before", "?"), raw_member(one, "after", "?"),
                     reason == NULL ? "" : " ", reason == NULL ? "" : reason, why == NULL ? "" : " ", why == NULL ? "" : why));
  }
  return says("%s", joined(&all, ", ", "none"));
}

static answer dead_letters(const words *words) {
  json *list;
  const char *of = at(words, 0) == NULL ? NULL : id_of(at(words, 0));
  if (at(words, 0) != NULL && of == NULL) return wrong("there is no session '%s'", at(words, 0));
  JSON(list, get_letters);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    const char *session = text_member(one, "session_id", "");
    if (of != NULL && strcmp(of, session) != 0) continue;
    const char *class = class_name(text_member(one, "namespace", ""), text_member(one, "class", ""));
    add(&all, format("%s %s.%s %s %s%s", label_of(session), class, text_member(one, "kind", "?"),
                     raw_member(one, "attempts", "?"), one_word(text_member(one, "error", "")),
                     strcmp(raw_member(one, "completed_late", ""), "true") == 0 ? " late" : ""));
  }
  return says("%s", joined(&all, ", ", "none"));
}

static answer events(const words *words) {
  lock_world();
  session *of = session_named(at(words, 0), 1);
  unlock_world();
  texts new = deliveries(of->label, of->told_events);
  of->told_events += new.count;
  return says("%s", joined(&new, " ", "none"));
}

static answer lifecycle(const words *words) {
  settle();
  const char *of = at(words, 0);
  lock_world();
  size_t *told = of == NULL ? &the->told_log : &session_named(of, 1)->told_log;
  unlock_world();
  texts all = {0};
  for (size_t i = *told; i < the->entry_count; i++) {
    char *label = label_of(the->entries[i].session);
    if (of == NULL || strcmp(of, label) == 0) add(&all, format("%s.%s", label, with_labels(the->entries[i].text)));
  }
  *told = the->entry_count;
  return says("%s", joined(&all, ", ", "none"));
}

int look_verb(const char *verb, const words *words, answer *out) {
  if (strcmp(verb, "unit") == 0 || strcmp(verb, "unit_says") == 0) {
    if (words->plain.count < 2) *out = wrong("%s wants a pool and a holder", verb);
    else if (opened(out)) *out = unit(words);
    return 1;
  }
  static const char *const verbs[] = {"info", "sessions", "list", "explain", "explains", "stats", "check", "usage", "audit",
                                      "audit_records", "dead_letters", "calls", "events", "log"};
  static const char needs[] = {1, 0, 0, 1, 2, 0, 0, 1, 1, 1, 0, 2, 1, 0};
  size_t which = 0;
  while (which < sizeof verbs / sizeof *verbs && strcmp(verbs[which], verb) != 0) which++;
  if (which == sizeof verbs / sizeof *verbs) return 0;
  if (words->plain.count < (size_t)needs[which]) {
    *out = wrong("word %d is missing", needs[which]);
    return 1;
  }
  if (which < 11 && !opened(out)) return 1;
  uint64_t count = 0;
  switch (which) {
    case 0: *out = info(words); break;
    case 1: *out = lses_manager_count(the->manager, &count) == LSES_OK ? says("%llu", (unsigned long long)count) : failed(); break;
    case 2: *out = listing(words); break;
    case 3: *out = explain(words); break;
    case 4: *out = explains(words); break;
    case 5: *out = stats(words); break;
    case 6: *out = check(); break;
    case 7: *out = usage(words); break;
    case 8: *out = audit(words); break;
    case 9: *out = audit_records(words); break;
    case 10: *out = dead_letters(words); break;
    case 11: {
      lock_world();
      named_thing *calls = thing(&the->calls, format("%s.%s", at(words, 0), at(words, 1)), 0);
      count = calls == NULL ? 0 : calls->number;
      unlock_world();
      *out = says("%llu", (unsigned long long)count);
      break;
    }
    case 12: *out = events(words); break;
    default: *out = lifecycle(words);
  }
  return 1;
}
