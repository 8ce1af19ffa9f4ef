/* The demo's shop in C: libmicrohttpd, a thread for each connection. `server [PAGE]`, PORT in the environment. */
#include "shop.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shop {
  lses_manager *manager;
  const char *page;
} shop;

const char *query(const call *call, const char *name) {
  return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

void say(answer *answer, const char *format, ...) {
  va_list words, again;
  va_start(words, format);
  va_copy(again, words);
  int len = vsnprintf(NULL, 0, format, words);
  free(answer->body);
  answer->body = len < 0 ? NULL : malloc((size_t)len + 1);
  if (answer->body) vsnprintf(answer->body, (size_t)len + 1, format, again);
  va_end(again);
  va_end(words);
}

/* The text without what JSON would have to escape. */
static void plain(char *out, size_t size, const char *text) {
  size_t len = 0;
  for (; *text && len + 1 < size; text++) {
    out[len++] = (unsigned char)*text < ' ' || *text == '"' || *text == '\\' ? '\'' : *text;
  }
  out[len] = 0;
}

void failed(answer *answer, lses_status status) {
  char reason[64] = "null", message[512];
  if (status == LSES_OK || status == LSES_EXTENDED) return;
  answer->status = 400;
  if (status == LSES_ABSENT || status == LSES_GONE) answer->status = 401;
  if (status == LSES_E_CORRUPT) answer->status = 500;
  if (status == LSES_E_LOCK_TIMEOUT) answer->status = 409;
  if (status == LSES_GONE) snprintf(reason, sizeof reason, "\"%s\"", lses_end_reason_name(lses_last_error_reason()));
  if (status == LSES_E_LICENSE_DENIED) {
    answer->status = 503;
    answer->retry_after_ms = lses_last_error_retry_after_ms();
    if (answer->retry_after_ms < 0) answer->retry_after_ms = 1000;
    snprintf(reason, sizeof reason, "\"%s\"", lses_deny_reason_name(lses_last_error_deny_reason()));
  }
  plain(message, sizeof message, lses_last_error_message());
  say(answer, "{\"error\":\"%s\",\"reason\":%s,\"message\":\"%s\"}", lses_status_name(status), reason, message);
}

/* --- a download ---------------------------------------------------------------------------------------------------- */

typedef struct download {
  lses_request *request;
  long chunks;
} download;

static ssize_t next_chunk(void *cls, uint64_t position, char *out, size_t size) {
  download *down = cls;
  (void)position;
  if (down->chunks-- <= 0) {
    lses_request_finish(down->request);
    return MHD_CONTENT_READER_END_OF_STREAM;
  }
  usleep(100000);
  size = size < 1024 ? size : 1024;
  memset(out, 'x', size);
  return (ssize_t)size;
}

/* Also when the browser is gone: the request finishes. */
static void download_over(void *cls) {
  download *down = cls;
  lses_request_free(down->request);
  free(down);
}

/* --- libmicrohttpd ------------------------------------------------------------------------------------------------- */

static struct MHD_Response *response_of(answer *answer) {
  if (answer->download) {
    download *down = malloc(sizeof *down);
    if (!down) return NULL;
    *down = (download){answer->download, answer->chunks};
    answer->download = NULL;
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, next_chunk, down, download_over);
  }
  const char *body = answer->body ? answer->body : answer->buf.data ? answer->buf.data : "";
  return MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, answer *answer) {
  char text[128];
  struct MHD_Response *response = response_of(answer);
  if (!response) return MHD_NO;
  MHD_add_response_header(response, "Content-Type", answer->type ? answer->type : "application/json");
  snprintf(text, sizeof text, "%ld", (long)getpid());
  MHD_add_response_header(response, "X-Process", text); /* for the demo's story */
  if (answer->token[0]) {
    snprintf(text, sizeof text, COOKIE "=%s; HttpOnly; Path=/; SameSite=Lax", answer->token);
    MHD_add_response_header(response, "Set-Cookie", text);
  }
  if (answer->retry_after_ms != LSES_UNSET) {
    long long seconds = (answer->retry_after_ms + 999) / 1000;
    snprintf(text, sizeof text, "%lld", seconds > 0 ? seconds : 1);
    MHD_add_response_header(response, "Retry-After", text);
  }
  enum MHD_Result queued = MHD_queue_response(connection, answer->status, response);
  MHD_destroy_response(response);
  return queued;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state) {
  (void)version;
  (void)upload;
  static int begun;
  if (!*state) { /* the headers are there, the body is not */
    *state = &begun;
    return MHD_YES;
  }
  if (*upload_size) { /* bodies are of no interest */
    *upload_size = 0;
    return MHD_YES;
  }
  const shop *shop = cls;
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char address[INET_ADDRSTRLEN] = "";
  if (info && info->client_addr->sa_family == AF_INET) {
    inet_ntop(AF_INET, &((const struct sockaddr_in *)info->client_addr)->sin_addr, address, sizeof address);
  }
  const char *token = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, COOKIE);
  call call = {shop->manager, connection, token ? token : "", address, shop->page};
  answer answer = {.status = 200, .buf = LSES_BUF_INIT, .retry_after_ms = LSES_UNSET};
  handler handler = visitor_handler(method, url);
  if (!handler) handler = admin_handler(method, url);
  if (handler) {
    handler(&call, &answer);
  } else {
    answer.status = 404;
    say(&answer, "{\"error\":\"absent\",\"message\":\"no such page\"}");
  }
  enum MHD_Result sent = send_answer(connection, &answer);
  lses_request_free(answer.download);
  lses_buf_free(&answer.buf);
  free(answer.body);
  return sent;
}

/* --- the process -------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
  /* The signals go to sigwait() below, in no thread to a handler. */
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);

  shop shop = {NULL, argc > 1 ? argv[1] : "../page.html"};
  if (open_manager(&shop.manager) != LSES_OK || culprits_register(shop.manager) != LSES_OK) {
    fprintf(stderr, "server: %s\n", lses_last_error_message());
    return 1;
  }
  const char *port = getenv("PORT");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(port ? atoi(port) : 0))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct MHD_Daemon *daemon =
      MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, on_request, &shop,
                       MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
  const union MHD_DaemonInfo *info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
  if (!info) {
    fprintf(stderr, "server: can't listen on 127.0.0.1:%s\n", port ? port : "0");
    return 1;
  }
  printf("listening at http://127.0.0.1:%u/\n", (unsigned)info->port);
  fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  MHD_stop_daemon(daemon);
  lses_manager_close(shop.manager, 1000, NULL);
  lses_manager_free(shop.manager);
  return 0;
}
