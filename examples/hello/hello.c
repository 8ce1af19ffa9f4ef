/* Hello in C: one license unit, one session that goes silent, and the unit that comes back by itself.
 *
 *   cc hello.c $(pkg-config --cflags --libs libsession) && ./a.out
 */
#include <libsession.h>
#include <stdio.h>
#include <stdlib.h>

static void must(lses_status status) {
  if (status != LSES_OK) {
    fprintf(stderr, "%s: %s\n", lses_status_name(status), lses_last_error_message());
    exit(1);
  }
}

static int32_t print_end(void *user_data, const lses_event *event) {
  (void)user_data;
  printf("ended %s\n", lses_end_reason_name(event->reason));
  return LSES_ALLOW;
}

int main(void) {
  lses_clock *clock; /* Stands still until it is told: 15 minutes pass at once. */
  must(lses_clock_manual(&clock));

  lses_str audit_name = lses_cstr("audit");
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.idle_timeout_ms = 15 * 60 * 1000;
  shop.event_classes = &audit_name;
  shop.event_class_count = 1;
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = 1;

  lses_config *config;
  must(lses_config_new(&config));
  must(lses_config_set_clock(config, clock));
  must(lses_config_add_application(config, &shop));
  must(lses_config_add_pool(config, &users));
  lses_manager *manager;
  must(lses_manager_new(config, &manager));
  lses_config_free(config);

  lses_event_class audit = LSES_EVENT_CLASS_INIT;
  audit.on_end = print_end;
  must(lses_manager_register(manager, "audit", LSES_NTS, NULL, 0, &audit));

  char token[LSES_TOKEN_SIZE];
  must(lses_manager_create(manager, NULL, token, NULL));

  lses_request *request;
  must(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, NULL));
  must(lses_request_set_text(request, "cart", LSES_NTS, "apples", LSES_NTS));
  lses_buf cart;
  must(lses_request_get_text(request, "cart", LSES_NTS, &cart));
  printf("cart: %s\n", cart.data);
  lses_buf_free(&cart);
  must(lses_request_finish(request));
  lses_request_free(request);

  char second[LSES_TOKEN_SIZE];
  if (lses_manager_create(manager, NULL, second, NULL) == LSES_E_LICENSE_DENIED)
    printf("refused: %s\n", lses_deny_reason_name(lses_last_error_deny_reason()));

  must(lses_clock_advance(clock, 15 * 60 * 1000, NULL));
  must(lses_manager_create(manager, NULL, second, NULL));
  printf("created again\n");

  must(lses_manager_close(manager, 1000, NULL));
  lses_manager_free(manager);
  lses_clock_free(clock);
  return 0;
}
