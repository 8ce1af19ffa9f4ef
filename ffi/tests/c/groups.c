/* Groups that the host tells: each function of lses_manager_set_group_resolver(), and what they owe. */
#include "check.h"

static int asked, dropped;
static lses_groups *kept;
static lses_manager *manager;

static void drop(void *user_data) {
  CHECK(user_data == &asked);
  dropped++;
}

static int32_t tell(void *user_data, const char *user, size_t user_len, lses_groups *groups) {
  CHECK(user_data == &asked && strlen(user) == user_len);
  asked++;
  kept = groups;
  STATUS(LSES_E_REENTRANT, lses_manager_set_group_resolver(manager, NULL, NULL, NULL));
  if (strcmp(user, "many") == 0) {
    for (int i = 0; i < 256; i++) OK(lses_groups_add(groups, "cad", LSES_NTS));
    STATUS(LSES_E_INVALID, lses_groups_add(groups, "cad", LSES_NTS));
    return 0;
  }
  if (strcmp(user, "none") == 0) {
    STATUS(LSES_E_INVALID, lses_groups_add(groups, "", 0));
    STATUS(LSES_E_INVALID, lses_groups_add(groups, NULL, 3));
    return 0;
  }
  if (strcmp(user, "down") == 0) {
    OK(lses_groups_say(groups, "the directory is down", LSES_NTS));
    return LSES_FAILED;
  }
  if (strcmp(user, "eve") == 0) OK(lses_groups_add(groups, "guests and more", 6));
  return strcmp(user, "odd") == 0 ? 7 : 0;
}

static lses_status login(lses_request *request, const char *user, lses_status *trade) {
  char token[LSES_TOKEN_SIZE];
  return lses_request_login(request, user, LSES_NTS, token, trade);
}

static void denied(lses_request *request, const char *user, const char *told) {
  STATUS(LSES_E_DENIED, login(request, user, NULL));
  CHECK(strstr(lses_last_error_message(), told) != NULL);
}

int main(void) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool pool = LSES_POOL_INIT;
  lses_str guests = lses_cstr("group:guests");
  pool.name = lses_cstr("users");
  pool.capacity = 3;
  pool.exclude = &guests;
  pool.exclude_count = 1;
  pool.lazy_linger_ms = 7;
  pool.lazy_min_hold_ms = 8;
  OK(lses_config_add_pool(config, &pool));
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  lses_buf json = LSES_BUF_INIT;
  OK(lses_manager_pool(manager, "users", LSES_NTS, &json));
  CHECK(strstr(json.data, "\"lazy_linger_ms\":7") != NULL && strstr(json.data, "\"lazy_min_hold_ms\":8") != NULL);
  lses_buf_free(&json);

  /* User data is dropped where nothing takes it. */
  STATUS(LSES_E_INVALID, lses_manager_set_group_resolver(NULL, tell, &asked, drop));
  OK(lses_manager_set_group_resolver(manager, NULL, &asked, drop));
  CHECK(dropped == 2);
  OK(lses_manager_set_group_resolver(manager, tell, &asked, drop));
  OK(lses_manager_set_group_resolver(manager, tell, &asked, drop));
  CHECK(dropped == 3);

  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  lses_status trade = LSES_OK;
  OK(login(request, "ann", &trade));
  CHECK(trade == LSES_OK && asked == 1);
  STATUS(LSES_E_STALE_HANDLE, lses_groups_add(kept, "late", LSES_NTS));
  STATUS(LSES_E_STALE_HANDLE, lses_groups_say(kept, "late", LSES_NTS));
  STATUS(LSES_E_INVALID, lses_groups_add(NULL, "late", LSES_NTS));
  OK(login(request, "eve", &trade));
  CHECK(trade == LSES_E_LICENSE_DENIED && asked == 2);
  STATUS(LSES_E_LICENSE_DENIED, lses_request_trade(request));
  STATUS(LSES_E_LICENSE_DENIED, lses_request_take_feature(request, "users", LSES_NTS, NULL));
  CHECK(asked == 4);

  /* A list that is given counts, also an empty one. */
  lses_feature_options feature = LSES_FEATURE_OPTIONS_INIT;
  feature.groups = &guests;
  OK(lses_request_trade_as(request, &guests, 0));
  OK(lses_request_take_feature(request, "users", LSES_NTS, &feature));
  CHECK(asked == 4);

  denied(request, "many", "257 groups");
  denied(request, "none", "0 bytes");
  denied(request, "down", "the directory is down");
  denied(request, "odd", "returned 7");
  lses_buf user = LSES_BUF_INIT;
  lses_usage usage = LSES_USAGE_INIT;
  OK(lses_manager_usage(manager, "users", LSES_NTS, &usage, &user));
  CHECK(strstr(user.data, "\"eve\"") != NULL && usage.in_use == 1);
  lses_buf_free(&user);

  OK(lses_manager_set_group_resolver(manager, NULL, NULL, NULL));
  CHECK(dropped == 4 && asked == 8);
  OK(login(request, "ann", &trade));
  CHECK(trade == LSES_OK && asked == 8);
  OK(lses_manager_set_group_resolver(manager, tell, &asked, drop));
  OK(lses_request_end(request, NULL, NULL, NULL));
  lses_request_free(request);
  OK(lses_manager_close(manager, 0, NULL));
  STATUS(LSES_E_CLOSED, lses_manager_set_group_resolver(manager, tell, &asked, drop));
  CHECK(dropped == 5);
  lses_manager_free(manager);
  CHECK(dropped == 6);
  return 0;
}
