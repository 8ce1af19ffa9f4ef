/* The story of examples/README.md in C:
 *
 *   cc hello.c $(pkg-config --cflags --libs libsession) && ./a.out
 */
#include <libsession.h>
#include <stdio.h>
#include <stdlib.h>

static void must(lses_status status) {
  if (status == LSES_OK) return;
  fprintf(stderr, "%s: %s\n", lses_status_name(status), lses_last_error_message());
  exit(1);
}

static int32_t on_end(void *user_data, const lses_event *event) {
  (void)user_data;
  printf("ended: %s\n", lses_end_reason_name(event->reason));
  return LSES_ALLOW;
}

int main(void) {
  lses_clock *clock; /* Stands still until it is told. */
  must(lses_clock_manual(&clock));
  lses_str classes = lses_cstr("greeter");
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.idle_timeout_ms = 15 * 60 * 1000;
  shop.event_classes = &classes;
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

  lses_event_class greeter = LSES_EVENT_CLASS_INIT;
  greeter.on_end = on_end;
  must(lses_manager_register(manager, "greeter", LSES_NTS, NULL, 0, &greeter));

  char token[LSES_TOKEN_SIZE];
  must(lses_manager_create(manager, NULL, token, NULL));
  lses_request *request;
  must(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, NULL));
  must(lses_request_set_text(request, "product", LSES_NTS, "tea", LSES_NTS));
  must(lses_request_login(request, "ada", LSES_NTS, token, NULL)); /* A new token for the client. */
  lses_buf user, product;
  must(lses_request_user(request, &user));
  must(lses_request_get_text(request, "product", LSES_NTS, &product));
  printf("hello %s, %s is in the cart\n", user.data, product.data);
  lses_buf_free(&user);
  lses_buf_free(&product);
  must(lses_request_finish(request));
  lses_request_free(request);

  char refused[LSES_TOKEN_SIZE];
  if (lses_manager_create(manager, NULL, refused, NULL) == LSES_E_LICENSE_DENIED)
    printf("no unit left: %s\n", lses_deny_reason_name(lses_last_error_deny_reason()));

  must(lses_clock_advance(clock, 15 * 60 * 1000, NULL));
  uint32_t reason;
  if (lses_manager_begin(manager, token, LSES_NTS, NULL, &request, &reason) == LSES_GONE)
    printf("gone: %s\n", lses_end_reason_name(reason));
  lses_usage usage = LSES_USAGE_INIT;
  must(lses_manager_usage(manager, "users", LSES_NTS, &usage, NULL));
  printf("units in use: %d\n", (int)usage.in_use);

  must(lses_manager_close(manager, 1000, NULL));
  lses_manager_free(manager);
  lses_clock_free(clock);
  return 0;
}
