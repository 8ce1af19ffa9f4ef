/* What a visitor sees. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVER "{{server}}"

static void page(const call *call, answer *answer) {
  FILE *file = fopen(call->page, "rb");
  char *text = calloc(1, 65536);
  if (!file || !text) {
    say(answer, "{\"error\":\"internal\",\"message\":\"no page\"}");
    answer->status = 500;
  } else {
    text[fread(text, 1, 65535, file)] = 0;
    char *mark = strstr(text, SERVER);
    if (mark) *mark = 0;
    say(answer, "%s%s%s", text, mark ? "C: libmicrohttpd" : "", mark ? mark + strlen(SERVER) : "");
    answer->type = "text/html; charset=utf-8";
  }
  if (file) fclose(file);
  free(text);
}

/* Adds the classes of "a,b". */
static lses_status add_classes(lses_request *request, const char *names) {
  lses_status status = LSES_OK;
  while (status == LSES_OK && names && *names) {
    size_t len = strcspn(names, ",");
    if (len) status = lses_request_event_class_add(request, names, len, NULL, 0);
    names += len + (names[len] == ',');
  }
  return status;
}

static lses_status enter(const call *call, answer *answer, lses_request *request) {
  lses_status status = add_classes(request, query(call, "culprit"));
  const char *idle_ms = query(call, "idle_ms");
  if (status == LSES_OK && idle_ms) status = lses_request_set_idle_timeout(request, atoll(idle_ms));
  lses_subscript count = lses_key("count");
  lses_value zero = lses_value_int(0);
  if (status == LSES_OK) status = lses_request_set(request, &count, 1, &zero);
  const char *user = query(call, "user");
  if (status == LSES_OK) status = lses_request_login(request, user ? user : "", LSES_NTS, answer->token, NULL);
  if (status == LSES_OK) status = lses_request_info(request, &answer->buf);
  if (status == LSES_OK) status = lses_request_finish(request);
  return status;
}

static void login(const call *call, answer *answer) {
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  options.address = lses_cstr(call->address);
  options.user_agent = lses_cstr(MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "User-Agent"));
  const char *wait_ms = query(call, "wait_ms");
  if (wait_ms) options.wait_ms = atoll(wait_ms);
  lses_request *request = NULL;
  lses_status status = lses_manager_begin_new(call->manager, &options, NULL, &request);
  if (status == LSES_OK) status = enter(call, answer, request);
  if (status != LSES_OK) failed(answer, status);
  lses_request_free(request);
}

/* Counts; takes its time, if asked to. It holds the session's lock: other requests of the session wait, at any server. */
static void work(const call *call, answer *answer) {
  lses_request *request = NULL;
  lses_subscript count = lses_key("count");
  lses_value value = LSES_VALUE_INIT;
  lses_buf buf = LSES_BUF_INIT;
  lses_status status = lses_manager_begin(call->manager, call->token, LSES_NTS, NULL, &request, NULL);
  if (status == LSES_OK) status = lses_request_get(request, &count, 1, &value, &buf);
  const char *ms = query(call, "ms");
  if (status == LSES_OK && ms) usleep((useconds_t)atol(ms) * 1000);
  value = lses_value_int(value.integer + 1);
  if (status == LSES_OK) status = lses_request_set(request, &count, 1, &value);
  if (status == LSES_OK) status = lses_request_finish(request);
  if (status == LSES_OK) {
    say(answer, "{\"count\":%lld}", (long long)value.integer);
  } else {
    failed(answer, status);
  }
  lses_buf_free(&buf);
  lses_request_free(request);
}

/* A download that takes its time. Its request is in flight until the last byte, or until the browser is gone. */
static void slow(const call *call, answer *answer) {
  lses_request *request = NULL;
  lses_status status = lses_manager_begin(call->manager, call->token, LSES_NTS, NULL, &request, NULL);
  if (status == LSES_OK) status = lses_request_unlock(request, 1);
  if (status != LSES_OK) {
    failed(answer, status);
    lses_request_free(request);
    return;
  }
  const char *ms = query(call, "ms");
  answer->download = request;
  answer->chunks = (ms ? atol(ms) : 3000) / 100;
}

static void leave(const call *call, answer *answer) {
  lses_request *request = NULL;
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.level = LSES_LEVEL_REQUEST;
  options.actor = lses_cstr("the user");
  lses_status status = lses_manager_begin(call->manager, call->token, LSES_NTS, NULL, &request, NULL);
  if (status == LSES_OK) status = lses_request_end(request, &options, NULL, &answer->buf);
  if (status != LSES_OK && status != LSES_EXTENDED) failed(answer, status);
  lses_request_free(request);
}

handler visitor_handler(const char *method, const char *url) {
  static const struct { const char *method, *url; handler handler; } handlers[] = {
    {"GET", "/", page}, {"POST", "/login", login}, {"POST", "/work", work}, {"GET", "/slow", slow}, {"POST", "/leave", leave},
  };
  for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
    if (!strcmp(method, handlers[i].method) && !strcmp(url, handlers[i].url)) return handlers[i].handler;
  }
  return NULL;
}
