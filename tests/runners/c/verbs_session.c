/* Verbs on sessions: create, begin, touch, end, timeouts. */
#include <string.h>

#include "world.h"

/* Reads a named duration or number; a word that is none makes the script wrong. */
#define NUMBER(name, place)                                                                      \
  do {                                                                                           \
    const char *word_ = named(words, name);                                                      \
    if (word_ != NULL && !number_of(word_, place)) return name "= can't be read";                \
  } while (0)
#define CODE(name, place, names)                                                                 \
  do {                                                                                           \
    const char *word_ = named(words, name);                                                      \
    if (word_ != NULL && (*(place) = code_of(word_, names)) == 0) return name "= is no such word"; \
  } while (0)

static const char *read_create(const words *words, lses_create_options *options) {
  const char *data = named(words, "data");
  options->application = named_text(words, "app");
  options->address = named_text(words, "address");
  options->user_agent = named_text(words, "user_agent");
  options->referrer = named_text(words, "referrer");
  if (data != NULL) options->data = lses_cstr(data);
  NUMBER("idle_timeout_ms", &options->idle_timeout_ms);
  NUMBER("absolute_timeout_ms", &options->absolute_timeout_ms);
  CODE("license", &options->license_class, lses_license_class_name);
  return read_queue(words, &options->wait_ms, &options->priority, &options->ticket);
}

static const char *read_begin(const words *words, lses_begin_options *options) {
  CODE("touch", &options->touch, lses_touch_kind_name);
  CODE("lock", &options->lock, lses_lock_mode_name);
  NUMBER("lock_timeout_ms", &options->lock_timeout_ms);
  return NULL;
}

static const char *read_end(const words *words, lses_end_options *options) {
  CODE("level", &options->level, lses_end_level_name);
  CODE("reason", &options->reason, lses_end_reason_name);
  NUMBER("wait_ms", &options->wait_ms);
  options->actor = named_text(words, "actor");
  options->note = named_text(words, "note");
  return NULL;
}

static uint32_t choice(const words *words, const char *name) {
  const char *word = named(words, name);
  return word == NULL ? 0 : strcmp(word, "true") == 0 ? LSES_YES : LSES_NO;
}

const char *read_filter(const words *words, lses_filter *filter) {
  filter->user = named_text(words, "user");
  filter->application = named_text(words, "app");
  filter->pool = named_text(words, "pool");
  filter->holder = named_text(words, "holder");
  if (filter->holder.data != NULL && id_of(filter->holder.data) != NULL) filter->holder = lses_cstr(id_of(filter->holder.data));
  const char *state = named(words, "state");
  if (state != NULL) filter->state = strcmp(state, "new") == 0 ? LSES_STATE_NEW : LSES_STATE_ACTIVE;
  filter->overdue = choice(words, "overdue");
  filter->damaged = choice(words, "damaged");
  filter->immortal = choice(words, "immortal");
  NUMBER("older_than_ms", &filter->older_than_ms);
  NUMBER("idle_for_ms", &filter->idle_for_ms);
  return NULL;
}

/* The text of the token that a word means; NULL data if there is none. */
static lses_str token_of(const char *word) {
  if (word == NULL || word[0] == '"') return text_of(word);
  if (strncmp(word, "id:", 3) == 0) return lses_cstr(id_of(word + 3));
  lock_world();
  named_thing *token = thing(&the->tokens, word, 0);
  unlock_world();
  return lses_cstr(token == NULL ? NULL : token->text);
}

static answer create(const words *words) {
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  const char *why = read_create(words, &options);
  if (why != NULL) return wrong("%s", why);
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  creating(at(words, 0));
  OR_FAILED(call_create(&options, token, id));
  created(at(words, 0), id, token);
  return says("ok");
}

static answer begun(const char *label, lses_request *request, const char *session_label) {
  int32_t is_new = 0;
  OR_FAILED(lses_request_is_new(request, &is_new));
  lock_world();
  named_thing *it = thing(&the->requests, label, 1);
  lses_request *before = it->request;
  it->request = request;
  it->text = keep_text(session_label, strlen(session_label));
  unlock_world();
  lses_request_free(before);
  return says(is_new ? "ok new" : "ok");
}

static answer begin_new(const words *words) {
  lses_create_options create = LSES_CREATE_OPTIONS_INIT;
  lses_begin_options begin = LSES_BEGIN_OPTIONS_INIT;
  const char *why = read_create(words, &create);
  if (why == NULL) why = read_begin(words, &begin);
  if (why != NULL || at(words, 1) == NULL) return wrong("%s", why == NULL ? "a label is missing" : why);
  lses_request *request;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  creating(at(words, 1));
  OR_FAILED(call_begin_new(&create, &begin, &request));
  OR_FAILED(lses_request_id(request, id));
  OR_FAILED(lses_request_token(request, token));
  created(at(words, 1), id, token);
  return begun(at(words, 0), request, at(words, 1));
}

static answer begin(const words *words) {
  lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
  const char *why = read_begin(words, &options);
  if (why != NULL) return wrong("%s", why);
  options.application = named_text(words, "app");
  lses_str token = token_of(at(words, 1));
  if (token.data == NULL) return wrong("there is no token '%s'", at(words, 1));
  lses_request *request;
  char id[LSES_ID_SIZE];
  OR_FAILED(call_begin(token, &options, &request));
  OR_FAILED(lses_request_id(request, id));
  return begun(at(words, 0), request, label_of(id));
}

static answer touch(const words *words, const char *kind) {
  lses_str token = token_of(at(words, 0));
  uint32_t code = code_of(kind, lses_touch_kind_name);
  if (token.data == NULL || code == 0) return wrong("there is no such token or touch");
  int64_t left;
  OR_FAILED(lses_manager_touch(the->manager, LEN(token), code, &left, NULL));
  return left == LSES_UNSET ? says("live never") : says("live %lld", (long long)left);
}

static answer id(const words *words) {
  lses_str token = token_of(at(words, 0));
  if (token.data == NULL) return wrong("there is no token '%s'", at(words, 0));
  char id[LSES_ID_SIZE];
  lses_status status = lses_manager_id_of(the->manager, LEN(token), id);
  if (status == LSES_ABSENT) return says("none");
  OR_FAILED(status);
  return says("%s", label_of(id));
}

static answer timeouts(const words *words) {
  int64_t idle = LSES_UNSET, absolute = LSES_UNSET;
  const char *label = at(words, 0);
  if ((named(words, "idle_ms") != NULL && !number_of(named(words, "idle_ms"), &idle)) ||
      (named(words, "absolute_ms") != NULL && !number_of(named(words, "absolute_ms"), &absolute)))
    return wrong("milliseconds are wanted");
  lses_request *request = request_of(label, NULL);
  const char *id = id_of(label);
  if (request == NULL && id == NULL) return wrong("there is no session '%s'", label);
  if (idle != LSES_UNSET)
    OR_FAILED(request != NULL ? lses_request_set_idle_timeout(request, idle)
                              : lses_manager_set_idle_timeout(the->manager, id, LSES_NTS, idle));
  if (absolute != LSES_UNSET)
    OR_FAILED(request != NULL ? lses_request_set_absolute_timeout(request, absolute)
                              : lses_manager_set_absolute_timeout(the->manager, id, LSES_NTS, absolute));
  return says("ok");
}

static answer where(const char *verb, const words *words) {
  lses_filter filter = LSES_FILTER_INIT;
  lses_end_options end = LSES_END_OPTIONS_INIT;
  lses_progress progress = LSES_PROGRESS_INIT;
  int64_t limit = 10000, idle = LSES_UNSET;
  const char *why = read_filter(words, &filter);
  if (why == NULL) why = read_end(words, &end);
  if (named(words, "limit") != NULL && !number_of(named(words, "limit"), &limit)) why = "limit= can't be read";
  if (named(words, "idle_ms") != NULL && !number_of(named(words, "idle_ms"), &idle)) why = "idle_ms= can't be read";
  if (why != NULL) return wrong("%s", why);
  lock_world();
  named_thing *place = thing(&the->cursors, verb, 1);
  unlock_world();
  uint64_t cursor = has_plain(words, "resume") ? place->number : 0;
  if (strcmp(verb, "end_where") == 0)
    OR_FAILED(lses_manager_end_where(the->manager, &filter, &end, cursor, (size_t)limit, &progress));
  else
    OR_FAILED(lses_manager_set_idle_timeout_where(the->manager, &filter, idle, cursor, (size_t)limit, &progress));
  place->number = progress.next;
  return says("changed=%llu protected=%llu %s", (unsigned long long)progress.changed, (unsigned long long)progress.spared,
              progress.next == 0 ? "done" : "more");
}

char *receipt_text(const json *receipt) {
  texts parts = {0};
  add(&parts, format("ended %s %s at=%s", text_member(receipt, "reason", "?"), text_member(receipt, "level", "?"),
                     raw_member(receipt, "at_ms", "?")));
  if (member(receipt, "actor")->kind == JSON_TEXT) add(&parts, format("by=%s", text_member(receipt, "actor", "")));
  if (member(receipt, "note")->kind == JSON_TEXT) add(&parts, format("note=%s", raw_member(receipt, "note", "")));
  const char *late = raw_member(receipt, "late_ms", NULL), *free_at = raw_member(receipt, "license_free_at_ms", NULL);
  if (late != NULL) add(&parts, format("late=%s", late));
  if (free_at != NULL) add(&parts, format("free=%s", free_at));
  json *callbacks = member(receipt, "callbacks");
  for (size_t i = 0; callbacks != NULL && i < callbacks->count; i++) {
    json *one = callbacks->items[i];
    add(&parts, format("%s.%s=%s", text_member(one, "class", "?"), text_member(one, "kind", "?"),
                       one_word(text_member(one, "outcome", "?"))));
  }
  return joined(&parts, " ", "");
}

static answer end(const words *words) {
  lses_end_options options = LSES_END_OPTIONS_INIT;
  const char *why = read_end(words, &options), *label = at(words, 0);
  if (why != NULL) return wrong("%s", why);
  lses_request *request = request_of(label, NULL);
  const char *id = id_of(label);
  if (request == NULL && id == NULL) return wrong("there is no session '%s'", label);
  json *receipt = NULL;
  lses_status status =
      request != NULL ? call_end_request(request, &options, &receipt) : call_end(id, &options, &receipt);
  if (receipt == NULL) return failed();
  switch (status) {
    case LSES_OK: return says("%s", receipt_text(receipt));
    case LSES_GONE: return says("was %s", receipt_text(receipt));
    case LSES_EXTENDED: return says("extended %s %s", text_member(receipt, "class", "?"), raw_member(receipt, "by_ms", "?"));
    default: return failed();
  }
}

int session_verb(const char *verb, const words *words, answer *out) {
  static const char *const verbs[] = {"create", "begin_new", "begin", "touch", "peek", "id", "token", "timeout",
                                      "timeout_where", "end", "end_where"};
  size_t which = 0;
  while (which < sizeof verbs / sizeof *verbs && strcmp(verbs[which], verb) != 0) which++;
  if (which == sizeof verbs / sizeof *verbs) return 0;
  if (which != 8 && which != 10 && at(words, 0) == NULL) {
    *out = wrong("word 1 is missing");
    return 1;
  }
  if (!opened(out)) return 1;
  switch (which) {
    case 0: *out = create(words); break;
    case 1: *out = begin_new(words); break;
    case 2: *out = begin(words); break;
    case 3: *out = touch(words, at(words, 1) == NULL ? "activity" : at(words, 1)); break;
    case 4: *out = touch(words, "none"); break;
    case 5: *out = id(words); break;
    case 6: {
      lses_str token = token_of(at(words, 1));
      if (token.data == NULL) {
        *out = wrong("there is no token '%s'", at(words, 1) == NULL ? "" : at(words, 1));
        break;
      }
      renewed(at(words, 0), token.data);
      *out = says("ok");
      break;
    }
    case 7: *out = timeouts(words); break;
    case 9: *out = end(words); break;
    default: *out = where(verb, words);
  }
  return 1;
}
