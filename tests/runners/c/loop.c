/* Calls that may wait: as they are, or with --loop by a descriptor, as a server with an event loop makes them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

int with_loop;

typedef struct told {
  lses_completions *completions;
  int count;
  lses_status status;
  lses_request *request;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  json *receipt;
  uint32_t denied;
  answer failure;
} told;

/* The failure of this thread's last call, which lses_last_error_...() told its callback alone. */
static _Thread_local answer failure;

int told_failure(answer *out) {
  *out = failure;
  failure = (answer){0};
  return out->text != NULL;
}

static void on_done(void *user_data, lses_status status, const lses_answer *answer) {
  told *it = user_data;
  it->count++;
  it->status = status;
  it->request = answer->request;
  if (answer->token.data != NULL) memcpy(it->token, answer->token.data, answer->token.len + 1);
  if (answer->id.data != NULL) memcpy(it->id, answer->id.data, answer->id.len + 1);
  if (answer->json.data != NULL) it->receipt = parse_json(answer->json.data);
  if (answer->trade != LSES_OK) it->denied = lses_last_error_deny_reason();
  if (status != LSES_OK) it->failure = failed();
}

static void prepare(told *it) {
  memset(it, 0, sizeof *it);
  if (lses_completions_new(&it->completions) != LSES_OK) abort();
}

/* Runs a loop until a call that was started is told. */
static lses_status until_told(told *it, lses_status started) {
  struct pollfd ready = {.fd = -1, .events = POLLIN};
  lses_status status = started;
  if (started == LSES_OK) {
    if (lses_completions_fd(it->completions, &ready.fd) != LSES_OK) abort();
    while (it->count == 0) {
      size_t count = 0;
      if (poll(&ready, 1, -1) < 0 && errno != EINTR) abort();
      if (lses_completions_run(it->completions, SIZE_MAX, &count) != LSES_OK || (ready.revents != 0) != (count == 1)) {
        fprintf(stderr, "the descriptor was readable, and %zu calls were told\n", count);
        abort();
      }
    }
    status = it->status;
    failure = it->failure;
  }
  lses_completions_free(it->completions);
  return status;
}

lses_status call_create(const lses_create_options *options, char *token, char *id) {
  told it;
  if (!with_loop) return lses_manager_create(the->manager, options, token, id);
  prepare(&it);
  lses_status status =
      until_told(&it, lses_manager_create_async(the->manager, options, it.completions, on_done, &it));
  strcpy(token, it.token);
  strcpy(id, it.id);
  return status;
}

lses_status call_begin_new(const lses_create_options *create, const lses_begin_options *begin, lses_request **request) {
  told it;
  if (!with_loop) return lses_manager_begin_new(the->manager, create, begin, request);
  prepare(&it);
  lses_status status =
      until_told(&it, lses_manager_begin_new_async(the->manager, create, begin, it.completions, on_done, &it));
  *request = it.request;
  return status;
}

lses_status call_begin(lses_str token, const lses_begin_options *options, lses_request **request) {
  told it;
  if (!with_loop) return lses_manager_begin(the->manager, LEN(token), options, request, NULL);
  prepare(&it);
  lses_status status =
      until_told(&it, lses_manager_begin_async(the->manager, LEN(token), options, it.completions, on_done, &it));
  *request = it.request;
  return status;
}

lses_status call_login(lses_request *request, lses_str user, const lses_login_options *options, char *token,
                       uint32_t *denied) {
  told it;
  if (!with_loop) {
    lses_status trade = LSES_OK;
    lses_status status = lses_request_login_with(request, LEN(user), options, token, &trade);
    *denied = trade == LSES_OK ? 0 : lses_last_error_deny_reason();
    return status;
  }
  prepare(&it);
  lses_status status =
      until_told(&it, lses_request_login_async(request, LEN(user), options, it.completions, on_done, &it));
  strcpy(token, it.token);
  *denied = it.denied;
  return status;
}

lses_status call_trade(lses_request *request, const lses_login_options *options) {
  told it;
  if (!with_loop) return lses_request_trade_with(request, options);
  prepare(&it);
  return until_told(&it, lses_request_trade_async(request, options, it.completions, on_done, &it));
}

lses_status call_take_feature(lses_request *request, lses_str pool, const lses_feature_options *options) {
  told it;
  if (!with_loop) return lses_request_take_feature(request, LEN(pool), options);
  prepare(&it);
  return until_told(
      &it, lses_request_take_feature_async(request, LEN(pool), options, it.completions, on_done, &it));
}

static json *read_receipt(lses_buf *buf) {
  json *receipt = buf->data == NULL ? NULL : parse_json(buf->data);
  lses_buf_free(buf);
  return receipt;
}

lses_status call_end(const char *id, const lses_end_options *options, json **receipt) {
  told it;
  if (!with_loop) {
    lses_buf buf = LSES_BUF_INIT;
    lses_status status = lses_manager_end(the->manager, id, LSES_NTS, options, NULL, &buf);
    *receipt = read_receipt(&buf);
    return status;
  }
  prepare(&it);
  lses_status status =
      until_told(&it, lses_manager_end_async(the->manager, id, LSES_NTS, options, it.completions, on_done, &it));
  *receipt = it.receipt;
  return status;
}

lses_status call_end_request(lses_request *request, const lses_end_options *options, json **receipt) {
  told it;
  if (!with_loop) {
    lses_buf buf = LSES_BUF_INIT;
    lses_status status = lses_request_end(request, options, NULL, &buf);
    *receipt = read_receipt(&buf);
    return status;
  }
  prepare(&it);
  lses_status status = until_told(&it, lses_request_end_async(request, options, it.completions, on_done, &it));
  *receipt = it.receipt;
  return status;
}

lses_status call_logout(lses_request *request, int32_t force, char *token, json **receipt) {
  told it;
  if (!with_loop) {
    lses_buf buf = LSES_BUF_INIT;
    lses_status status = lses_request_logout(request, force, token, NULL, &buf);
    *receipt = read_receipt(&buf);
    return status;
  }
  prepare(&it);
  lses_status status = until_told(&it, lses_request_logout_async(request, force, it.completions, on_done, &it));
  strcpy(token, it.token);
  *receipt = it.receipt;
  return status;
}

lses_status call_lock(lses_request *request, uint32_t mode, int64_t timeout_ms) {
  told it;
  if (!with_loop) return lses_request_lock(request, mode, timeout_ms);
  prepare(&it);
  return until_told(&it, lses_request_lock_async(request, mode, timeout_ms, NULL, it.completions, on_done, &it));
}
