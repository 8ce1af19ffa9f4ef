/* Verbs on requests: data, locks, users, event classes, attachments. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static char *float_text(double number) {
  if (isnan(number)) return "{\"$float\":\"NaN\"}";
  if (isinf(number)) return number > 0 ? "{\"$float\":\"Infinity\"}" : "{\"$float\":\"-Infinity\"}";
  char text[64];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  return format("%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

static char *base64(const unsigned char *bytes, size_t len) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = keep(len / 3 * 4 + 5), *to = text;
  for (size_t i = 0; i < len; i += 3) {
    unsigned group = (unsigned)bytes[i] << 16 | (i + 1 < len ? (unsigned)bytes[i + 1] << 8 : 0) | (i + 2 < len ? bytes[i + 2] : 0);
    *to++ = letters[group >> 18];
    *to++ = letters[group >> 12 & 63];
    *to++ = i + 1 < len ? letters[group >> 6 & 63] : '=';
    *to++ = i + 2 < len ? letters[group & 63] : '=';
  }
  return text;
}

char *value_text(const lses_value *value) {
  switch (value->kind) {
    case LSES_VALUE_NONE: return "none";
    case LSES_VALUE_NULL: return "null";
    case LSES_VALUE_BOOL: return value->boolean ? "true" : "false";
    case LSES_VALUE_INT: return format("%lld", (long long)value->integer);
    case LSES_VALUE_FLOAT: return float_text(value->number);
    case LSES_VALUE_TEXT: return quoted(value->text, value->text_len);
    case LSES_VALUE_BYTES:
      return format("{\"$bytes\":\"%s\"}", base64((const unsigned char *)value->text, value->text_len));
    default: return keep_text(value->text, value->text_len);
  }
}

/* A subscript of JSON; 0 if it is none. */
static int subscript_of(const json *value, lses_subscript *out) {
  lses_subscript none = LSES_SUBSCRIPT_INIT;
  *out = none;
  if (value == NULL) return 0;
  if (value->kind == JSON_TEXT) {
    out->kind = LSES_SUBSCRIPT_TEXT;
    out->text = value->text;
    out->text_len = value->text_len;
  } else if (value->kind == JSON_INT) {
    out->kind = LSES_SUBSCRIPT_INT;
    out->integer = strtoll(value->raw, NULL, 10);
  } else if (value->kind == JSON_FLOAT) {
    out->kind = LSES_SUBSCRIPT_FLOAT;
    out->number = strtod(value->raw, NULL);
  } else if (member(value, "$float") != NULL) {
    out->kind = LSES_SUBSCRIPT_FLOAT;
    out->number = strtod(text_member(value, "$float", "NaN"), NULL);
  } else {
    return 0;
  }
  return 1;
}

static lses_subscript *path_of(const char *word, size_t *len) {
  if (word == NULL) return NULL;
  json *list = word[0] == '[' ? parse_json(word) : NULL;
  lses_subscript *path = keep(((list == NULL ? 1 : list->count) + 1) * sizeof *path);
  *len = 1;
  if (word[0] != '[') {
    lses_str text = text_of(word);
    path->kind = LSES_SUBSCRIPT_TEXT;
    path->text = text.data;
    path->text_len = text.len;
    return path;
  }
  if (list == NULL) return NULL;
  *len = list->count;
  for (size_t i = 0; i < list->count; i++)
    if (!subscript_of(list->items[i], &path[i])) return NULL;
  return path;
}

static answer value_answer(lses_status status, const lses_value *value, lses_buf *buf) {
  if (status != LSES_OK) return failed();
  answer it = says("%s", value_text(value));
  lses_buf_free(buf);
  return it;
}

static answer json_answer(lses_status status, lses_buf *buf) {
  if (status != LSES_OK) return failed();
  answer it = says("%s", buf->data);
  lses_buf_free(buf);
  return it;
}

static answer data(lses_request *request, const char *verb, const words *words) {
  lses_value value = LSES_VALUE_INIT, other = LSES_VALUE_INIT;
  lses_buf buf = LSES_BUF_INIT;
  size_t len = 0, number = 0;
  int32_t flag = 0;
  uint64_t version = 0;
  if (strcmp(verb, "count") == 0) {
    OR_FAILED(lses_request_count(request, &number));
    return says("%zu", number);
  }
  if (strcmp(verb, "bytes") == 0) {
    OR_FAILED(lses_request_bytes_used(request, &number));
    return says("%zu", number);
  }
  lses_subscript *path = path_of(at(words, 1), &len);
  if (path == NULL) return wrong("a path is a JSON list of numbers and texts, or a word");
  const char *word = at(words, 2);
  if (strcmp(verb, "expect") == 0) {
    lock_world();
    named_thing *known = word == NULL ? NULL : thing(&the->versions, word, 0);
    unlock_world();
    if (known == NULL) return wrong("there is no such version");
    OR_FAILED(lses_request_expect_version(request, path, known->number));
    return says("ok");
  }
  if (strcmp(verb, "get") == 0) return value_answer(lses_request_get(request, path, len, &value, &buf), &value, &buf);
  if (strcmp(verb, "pop") == 0) return value_answer(lses_request_pop(request, path, len, &value, &buf), &value, &buf);
  if (strcmp(verb, "get_versioned") == 0) {
    lses_status status = lses_request_get_versioned(request, path, len, &value, &buf, &version);
    if (status == LSES_OK && word != NULL) {
      lock_world();
      thing(&the->versions, word, 1)->number = version;
      unlock_world();
    }
    return value_answer(status, &value, &buf);
  }
  if (strcmp(verb, "kill") == 0) {
    OR_FAILED(lses_request_kill(request, path, len, &flag));
    return says("%s", flag ? "true" : "false");
  }
  if (strcmp(verb, "defined") == 0) {
    OR_FAILED(lses_request_defined(request, path, len, &flag));
    return says("%d", flag);
  }
  if (strcmp(verb, "entries") == 0) return json_answer(lses_request_entries(request, path, len, &buf), &buf);
  if (strcmp(verb, "next") == 0) {
    lses_subscript after, next;
    const char *from = named(words, "after");
    if (from != NULL && !subscript_of(parse_json(from), &after)) return wrong("a subscript is a number or a text");
    uint32_t direction = has_plain(words, "back") ? LSES_DIRECTION_BACKWARD : LSES_DIRECTION_FORWARD;
    OR_FAILED(lses_request_next(request, path, len, from == NULL ? NULL : &after, direction, &next, &buf));
    answer it = next.kind == LSES_SUBSCRIPT_NONE   ? says("none")
                : next.kind == LSES_SUBSCRIPT_INT  ? says("%lld", (long long)next.integer)
                : next.kind == LSES_SUBSCRIPT_TEXT ? says("%s", quoted(next.text, next.text_len))
                                                   : says("%s", next.text);
    lses_buf_free(&buf);
    return it;
  }
  if (word == NULL) return wrong("word 3 is missing");
  value = lses_value_json(word);
  if (strcmp(verb, "set") == 0) {
    OR_FAILED(lses_request_set(request, path, len, &value));
  } else if (strcmp(verb, "merge") == 0) {
    OR_FAILED(lses_request_merge(request, path, len, word, LSES_NTS));
  } else if (strcmp(verb, "cas") == 0) {
    if (at(words, 3) == NULL) return wrong("word 4 is missing");
    other = lses_value_json(at(words, 3));
    if (strcmp(word, "none") == 0) value.kind = LSES_VALUE_NONE;
    if (strcmp(at(words, 3), "none") == 0) other.kind = LSES_VALUE_NONE;
    OR_FAILED(lses_request_compare_and_set(request, path, len, &value, &other));
  }
  return says("ok");
}

static answer classes(lses_request *request, const char *verb, const words *words) {
  lses_str name = text_of(at(words, 1)), name_space = named_text(words, "namespace");
  int32_t flag = 0;
  if (strcmp(verb, "class_add") == 0) {
    OR_FAILED(lses_request_event_class_add(request, LEN(name), LEN(name_space)));
  } else if (strcmp(verb, "class_clear") == 0) {
    OR_FAILED(lses_request_event_class_clear(request));
  } else if (strcmp(verb, "event_class") == 0) {
    OR_FAILED(lses_request_set_event_class(request, LEN(name)));
  } else if (strcmp(verb, "class_remove") == 0) {
    OR_FAILED(lses_request_event_class_remove(request, LEN(name), LEN(name_space), &flag));
    return says("%s", flag ? "true" : "false");
  } else if (strcmp(verb, "class_exists") == 0) {
    OR_FAILED(lses_request_event_class_exists(request, LEN(name), LEN(name_space), &flag));
    return says("%s", flag ? "true" : "false");
  } else {
    lses_buf buf;
    OR_FAILED(lses_request_event_class_list(request, &buf));
    json *list = parse_json(buf.data);
    lses_buf_free(&buf);
    texts names = {0};
    for (size_t i = 0; list != NULL && i < list->count; i++)
      add(&names, (char *)class_name(text_member(list->items[i], "namespace", ""), text_member(list->items[i], "name", "")));
    return says("%s", joined(&names, " ", "none"));
  }
  return says("ok");
}

/* What is attached: its end is a delivery. */
typedef struct attached {
  char *session_id, *name;
} attached;

static void drop_attached(void *object) {
  attached *it = object;
  uint64_t now = 0;
  (void)lses_clock_now(the->clock, &now);
  dropped(it->session_id, format("drop.%s@%llu", it->name, (unsigned long long)now));
}

static answer attachments(lses_request *request, const char *session, const char *verb, const words *words) {
  lses_str name = text_of(at(words, 1));
  void *object = NULL;
  if (strcmp(verb, "attach") == 0) {
    attached *new = keep(sizeof *new);
    if (id_of(session) == NULL) return wrong("there is no session '%s'", session);
    new->session_id = id_of(session);
    new->name = keep_text(LEN(name));
    OR_FAILED(lses_request_attach(request, LEN(name), new, drop_attached));
    return says("ok");
  }
  if (strcmp(verb, "attachment") == 0) {
    OR_FAILED(lses_request_attachment(request, LEN(name), &object));
  } else {
    OR_FAILED(lses_request_detach(request, LEN(name), &object));
    if (object != NULL) drop_attached(object); /* The caller drops what it took. */
  }
  return says("%s", object != NULL ? "true" : "false");
}

static answer features(lses_request *request, const char *verb, const words *words) {
  lses_buf buf = LSES_BUF_INIT;
  texts all = {0};
  if (strcmp(verb, "features") == 0) {
    OR_FAILED(lses_request_features(request, &buf));
    json *list = parse_json(buf.data);
    lses_buf_free(&buf);
    for (size_t i = 0; i < list->count; i++) {
      json *one = list->items[i];
      add(&all, format("%s:%s:%s@%s", text_member(one, "pool", "?"), raw_member(one, "count", "?"),
                       with_labels(text_member(one, "holder", "?")), raw_member(one, "since_ms", "?")));
    }
    return says("%s", joined(&all, ",", "none"));
  }
  lses_str pool = text_of(at(words, 1));
  int64_t count = 1;
  if (named(words, "count") != NULL && !number_of(named(words, "count"), &count)) return wrong("count is a number");
  if (strcmp(verb, "give_back") == 0) {
    uint64_t returned = 0;
    OR_FAILED(lses_request_return_feature(request, LEN(pool), (uint64_t)count, &returned));
    return says("%llu", (unsigned long long)returned);
  }
  lses_feature_options options = LSES_FEATURE_OPTIONS_INIT;
  if (named(words, "groups") != NULL) options.groups = names(named(words, "groups"), &options.group_count);
  options.count = count;
  const char *why = read_queue(words, &options.wait_ms, &options.priority, &options.ticket);
  if (why != NULL) return wrong("%s", why);
  OR_FAILED(call_take_feature(request, pool, &options));
  return says("ok");
}

static const char *read_login(const words *words, lses_login_options *options) {
  if (named(words, "groups") != NULL) options->groups = names(named(words, "groups"), &options->group_count);
  return read_queue(words, &options->wait_ms, &options->priority, &options->ticket);
}

static answer on_request(lses_request *request, const char *session, const char *verb, const words *words) {
  char token[LSES_TOKEN_SIZE];
  if (strcmp(verb, "finish") == 0) OR_FAILED(lses_request_finish(request));
  else if (strcmp(verb, "save") == 0) OR_FAILED(lses_request_save(request));
  else if (strcmp(verb, "discard") == 0) OR_FAILED(lses_request_discard(request));
  else if (strcmp(verb, "unlock") == 0) OR_FAILED(lses_request_unlock(request, has_plain(words, "save")));
  else if (strcmp(verb, "trade") == 0) {
    lses_login_options options = LSES_LOGIN_OPTIONS_INIT;
    const char *why = read_login(words, &options);
    if (why != NULL) return wrong("%s", why);
    OR_FAILED(call_trade(request, &options));
  }
  else if (strcmp(verb, "request_end") == 0) OR_FAILED(lses_request_request_end(request, !has_plain(words, "false")));
  else if (strcmp(verb, "lock") == 0) {
    int64_t timeout = LSES_UNSET;
    const char *mode = at(words, 1), *wait = named(words, "timeout_ms");
    if (mode == NULL || (wait != NULL && !number_of(wait, &timeout))) return wrong("lock wants a mode and milliseconds");
    OR_FAILED(call_lock(request, code_of(mode, lses_lock_mode_name), timeout));
  } else if (strcmp(verb, "lock_mode") == 0) {
    uint32_t mode;
    OR_FAILED(lses_request_lock_mode(request, &mode));
    return says("%s", mode == 0 ? "free" : lses_lock_mode_name(mode));
  } else if (strcmp(verb, "rotate") == 0) {
    OR_FAILED(lses_request_rotate(request, token));
    renewed(session, token);
  } else if (strcmp(verb, "login") == 0) {
    uint32_t denied = 0;
    lses_str user = text_of(at(words, 1));
    lses_login_options options = LSES_LOGIN_OPTIONS_INIT;
    const char *why = read_login(words, &options);
    if (why != NULL) return wrong("%s", why);
    OR_FAILED(call_login(request, user, &options, token, &denied));
    renewed(session, token);
    if (denied != 0) return says("ok trade_denied %s", lses_deny_reason_name(denied));
  } else if (strcmp(verb, "logout") == 0) {
    json *receipt = NULL;
    lses_status status = call_logout(request, has_plain(words, "force"), token, &receipt);
    if (receipt != NULL) return says("ended %s", text_member(receipt, "reason", "?"));
    OR_FAILED(status);
    renewed(session, token);
  } else if (strcmp(verb, "take") == 0 || strcmp(verb, "give_back") == 0 || strcmp(verb, "features") == 0) {
    return features(request, verb, words);
  } else if (strstr(verb, "class") != NULL) {
    return classes(request, verb, words);
  } else if (strcmp(verb, "attach") == 0 || strcmp(verb, "attachment") == 0 || strcmp(verb, "detach") == 0) {
    return attachments(request, session, verb, words);
  } else {
    return data(request, verb, words);
  }
  return says("ok");
}

int request_verb(const char *verb, const words *words, answer *out) {
  static const char *const verbs[] = {
      "finish", "save", "discard", "unlock", "lock", "lock_mode", "get", "get_versioned", "pop", "expect", "set", "merge",
      "cas", "kill", "defined", "next", "entries", "count", "bytes", "request_end", "rotate", "login", "trade", "logout",
      "take", "give_back", "features", "class_add", "class_clear", "event_class", "class_remove", "class_exists", "classes", "attach", "attachment", "detach"};
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    if (strcmp(verbs[i], verb) != 0) continue;
    char *session = NULL;
    const char *label = at(words, 0);
    lses_request *request = label == NULL ? NULL : request_of(label, &session);
    *out = request == NULL ? wrong("there is no request '%s'", label == NULL ? "" : label)
                           : on_request(request, session, verb, words);
    return 1;
  }
  return 0;
}
