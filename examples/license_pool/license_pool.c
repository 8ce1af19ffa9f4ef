/* A floating-license server in C: cc license_pool.c $(pkg-config --cflags --libs libsession) && ./a.out < story.txt */
#include <libsession.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) ((call) == LSES_OK ? (void)0 : (fprintf(stderr, "%s\n", lses_last_error_message()), exit(1)))
#define SAY(...) (printf("%2d min: ", minute()), printf(__VA_ARGS__))
#define IS(word) (strcmp(verb, word) == 0)
enum { MINUTE = 60 * 1000, CLIENTS = 8 };
static struct client { char user[16], token[LSES_TOKEN_SIZE]; lses_request *request; } clients[CLIENTS];
static lses_clock *now; /* Stands still until it is told; without it, the time is the machine's. */

static int minute(void) {
  uint64_t ms;
  return MUST(lses_clock_now(now, &ms)), (int)(ms / MINUTE);
}

static void on_login(void *user_data, lses_status status, const lses_answer *answer) {
  struct client *client = user_data;
  if (status == LSES_OK) memcpy(client->token, answer->token.data, answer->token.len + 1);
  else MUST(lses_request_end(client->request, NULL, NULL, NULL));
  lses_request_finish(client->request), lses_request_free(client->request);
  SAY("%s %s\n", client->user, status == LSES_OK ? "has a seat" : "gets no seat");
}

int main(void) {
  lses_application desktop = LSES_APPLICATION_INIT;
  desktop.name = lses_cstr("desktop"), desktop.pool = lses_cstr("cad");
  desktop.license_class = LSES_LICENSE_CLASS_LAZY; /* No seat before a login. */
  desktop.idle_timeout_ms = 10 * MINUTE;           /* Who does not poll for so long is gone. */
  lses_pool cad = LSES_POOL_INIT, render = LSES_POOL_INIT;
  cad.name = lses_cstr("cad"), cad.capacity = 2, cad.queue = 10; /* RESERVE is cad.reservations; BORROW: none. */
  cad.linger_ms = 2 * MINUTE, cad.reclaim = LSES_NO; /* LSES_YES: a seat that lingers goes to who waits, at once. */
  render.name = lses_cstr("render"), render.capacity = 1, render.unit_rule = LSES_UNIT_RULE_SESSION;
  lses_config *config;
  lses_manager *manager;
  MUST(lses_clock_manual(&now)), MUST(lses_config_new(&config)), MUST(lses_config_set_clock(config, now));
  MUST(lses_config_add_pool(config, &cad)), MUST(lses_config_add_pool(config, &render));
  MUST(lses_config_add_application(config, &desktop)), MUST(lses_manager_new(config, &manager));
  char line[128], verb[16], name[16], what[16];
  while (fgets(line, sizeof line, stdin)) {
    struct client *client = clients;
    lses_request *request; lses_buf json; uint32_t gone;
    if (sscanf(line, "%15s %15s %15s", verb, name, what) < 2 || IS("#")) { fputs(line, stdout); continue; }
    while (*client->user && strcmp(client->user, name)) if (++client == clients + CLIENTS) return 1;
    if (IS("start")) { /* No thread waits: on_login() is called when there is a seat. */
      uint64_t position;
      lses_login_options login = LSES_LOGIN_OPTIONS_INIT;
      strcpy(client->user, name), login.wait_ms = 30 * MINUTE;
      MUST(lses_ticket_new(&login.ticket)), MUST(lses_manager_begin_new(manager, NULL, NULL, &client->request));
      MUST(lses_request_login_async(client->request, name, LSES_NTS, &login, NULL, on_login, client));
      MUST(lses_ticket_position(login.ticket, &position)), lses_ticket_free(login.ticket);
      if (position) SAY("%s waits at position %d\n", name, (int)position);
    } else if (IS("poll") || IS("take") || IS("close")) {
      lses_status status = lses_manager_begin(manager, client->token, LSES_NTS, NULL, &request, &gone);
      if (status == LSES_GONE) SAY("%s is gone: %s\n", name, lses_end_reason_name(gone));
      else if (status != LSES_OK) SAY("%s is %s\n", name, lses_status_name(status));
      if (status != LSES_OK) continue;
      if (IS("close")) MUST(lses_request_end(request, NULL, NULL, NULL)), SAY("%s closes the window\n", name);
      else if (IS("take") && lses_request_take_feature(request, what, LSES_NTS, NULL) == LSES_OK)
        SAY("%s takes %s\n", name, what);
      else if (IS("take")) SAY("%s is denied: %s\n", name, lses_deny_reason_name(lses_last_error_deny_reason()));
      lses_request_finish(request), lses_request_free(request);
    } else if (IS("usage")) {
      lses_usage use = LSES_USAGE_INIT;
      MUST(lses_manager_usage(manager, name, LSES_NTS, &use, NULL)), SAY("%s has %d of %d seats, %d linger, %d wait\n",
        name, (int)use.in_use, (int)use.capacity, (int)use.lingering, (int)use.waiting);
    } else if (IS("explain")) { /* Its "text", which is the last. */
      if (lses_manager_explain_unit(manager, name, LSES_NTS, what, LSES_NTS, &json) != LSES_OK) continue;
      for (char *at = strstr(json.data, "\"text\":\"") + 8; *at != '"'; at++) putchar(*at != '\\' ? *at : (at++, '\n'));
      lses_buf_free(&json);
    } else if (IS("audit")) MUST(lses_manager_audit(manager, name, LSES_NTS, &json)), puts(json.data), lses_buf_free(&json);
    else if (IS("advance")) MUST(lses_clock_advance(now, atoi(name) * MINUTE, NULL));
  }
  MUST(lses_manager_close(manager, 0, NULL));
}
