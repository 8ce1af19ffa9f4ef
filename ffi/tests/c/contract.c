/* What every function promises: results on failure, user data dropped once, unregistering, freeing inside of a callback,
 * the queue's overflow, the clock to the millisecond, sizes of structs, three places where callbacks run. */
#include "check.h"

#include <poll.h>
#include <stdatomic.h>

static atomic_int drops, calls, gate;

static void count_drop(void *user_data) {
  CHECK(user_data == &drops);
  drops++;
}

static int32_t count_call(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  calls++;
  return LSES_ALLOW;
}

static int32_t wait_gate(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  calls++;
  while (!gate) usleep(200);
  return LSES_ALLOW;
}

static lses_event_class class_with(lses_event_fn on_end) {
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.user_data = &drops;
  class.drop_user_data = count_drop;
  class.on_end = on_end;
  return class;
}

static void create(lses_manager *manager, char *id) {
  char token[LSES_TOKEN_SIZE];
  OK(lses_manager_create(manager, NULL, token, id));
}

static void results_on_failure(void) {
  setup it = setup_with((setup_options){.manual = 1});
  lses_request *request = (lses_request *)&it;
  uint32_t reason = 77;
  STATUS(LSES_ABSENT, lses_manager_begin(it.manager, "x", 1, NULL, &request, &reason));
  CHECK(request == NULL && reason == 77);
  lses_manager *none = (lses_manager *)&it;
  lses_config *bad;
  OK(lses_config_new(&bad));
  OK(lses_config_set_workers(bad, 65, 2));
  STATUS(LSES_E_INVALID, lses_manager_new(bad, &none));
  CHECK(none == NULL && strstr(lses_last_error_message(), "65") != NULL);
  lses_config_free(bad);
  lses_config_free(bad);
  STATUS(LSES_E_STALE_HANDLE, lses_config_set_retries(bad, 1));
  lses_buf buf = {(char *)1, 1, 1};
  STATUS(LSES_ABSENT, lses_manager_explain(it.manager, "AAAAAAAAAAAAAAAAAAAAAA", 22, &buf));
  CHECK(buf.data == NULL && buf.len == 0);
  STATUS(LSES_E_INVALID, lses_manager_explain(it.manager, "short", 5, &buf));
  uint64_t count = 7;
  STATUS(LSES_E_STALE_HANDLE, lses_manager_count((lses_manager *)it.clock, &count));
  STATUS(LSES_E_STALE_HANDLE, lses_manager_count((lses_manager *)&count, &count));
  CHECK(count == 7);
  char token[LSES_TOKEN_SIZE] = "untouched";
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  options.application = lses_cstr("nowhere");
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  CHECK(strcmp(token, "untouched") == 0 && strstr(lses_last_error_message(), "nowhere") != NULL);
  options = (lses_create_options)LSES_CREATE_OPTIONS_INIT;
  options.idle_timeout_ms = -1;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  options.idle_timeout_ms = INT64_MAX;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  options = (lses_create_options)LSES_CREATE_OPTIONS_INIT;
  options.address.data = "\xc3\x28";
  options.address.len = 2;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  options.address.len = (size_t)1 << 63;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  /* What is too long is not read: neither these bytes, which are no text, nor any behind the bound. */
  char address[258];
  memset(address, 0xff, sizeof address);
  options.address.data = address;
  options.address.len = 300;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  CHECK(strcmp(lses_last_error_message(), "client.address of 300 bytes is over the bound of 256") == 0);
  options.address.len = LSES_NTS;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &options, token, NULL));
  CHECK(strcmp(lses_last_error_message(), "client.address of 257 bytes or more is over the bound of 256") == 0);
  char id[LSES_ID_SIZE];
  memset(address, 'x', 256);
  address[256] = '\0';
  options.user_agent = options.referrer = options.address;
  OK(lses_manager_create(it.manager, &options, token, id));
  OK(lses_manager_end(it.manager, id, LSES_NTS, NULL, NULL, NULL));
  OK(lses_manager_count(it.manager, &count));
  CHECK(count == 0);
  teardown(it);
}

static void user_data_is_dropped_once(void) {
  setup it = setup_with((setup_options){.manual = 1});
  lses_event_class class = class_with(count_call);
  int32_t existed;
  drops = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  CHECK(drops == 0);
  STATUS(LSES_E_EXISTS, lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  CHECK(drops == 1);
  STATUS(LSES_E_INVALID, lses_manager_register(it.manager, "", 0, NULL, 0, &class));
  CHECK(drops == 2);
  STATUS(LSES_E_INVALID, lses_manager_register(NULL, "x", 1, NULL, 0, &class));
  CHECK(drops == 3);
  STATUS(LSES_E_INVALID, lses_manager_register(it.manager, "\xff", 1, NULL, 0, &class));
  CHECK(drops == 4);
  class.deadline_ms = -1;
  STATUS(LSES_E_INVALID, lses_manager_register(it.manager, "x", 1, NULL, 0, &class));
  CHECK(drops == 5);
  OK(lses_manager_unregister(it.manager, "watch", 5, NULL, 0, &existed));
  CHECK(existed == 1 && drops == 6);
  OK(lses_manager_unregister(it.manager, "watch", 5, NULL, 0, &existed));
  CHECK(existed == 0 && drops == 6);
  class = class_with(count_call);
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  teardown(it);
  WAIT_FOR(drops == 7);
  drops = 0;
  OK(lses_set_log(NULL, 0, &drops, count_drop)); /* No hook: nothing needs the data. */
  CHECK(drops == 1);
}

static lses_manager *self;

static int32_t free_self(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  lses_manager_free(self);
  uint64_t count;
  CHECK(lses_manager_count(self, &count) == LSES_E_STALE_HANDLE);
  calls++;
  return LSES_ALLOW;
}

static void freed_inside_of_a_callback(void) {
  for (uint32_t mode = LSES_DISPATCH_THREAD; mode <= LSES_DISPATCH_INLINE; mode++) {
    setup it = setup_with((setup_options){.idle_timeout_ms = 20, .dispatch = mode});
    lses_event_class class = class_with(free_self);
    char id[LSES_ID_SIZE];
    calls = drops = 0;
    self = it.manager;
    OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
    create(it.manager, id); /* The reaper ends it. */
    WAIT_FOR(calls == 1);
    WAIT_FOR(drops == 1);
  }
}

static void *unregister(void *manager) {
  int32_t existed;
  OK(lses_manager_unregister(manager, "watch", 5, NULL, 0, &existed));
  CHECK(existed == 1);
  return NULL;
}

static void unregistering_waits(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000});
  lses_event_class class = class_with(wait_gate);
  char id[LSES_ID_SIZE];
  calls = drops = gate = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  create(it.manager, id);
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL)); /* Does not wait. */
  WAIT_FOR(calls == 1);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, unregister, it.manager) == 0);
  usleep(20000);
  CHECK(drops == 0);
  gate = 1;
  pthread_join(thread, NULL);
  CHECK(drops == 1 && calls == 1);
  teardown(it);
}

static int32_t unregister_self(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  CHECK(lses_manager_unregister(self, "watch", 5, NULL, 0, NULL) == LSES_E_REENTRANT);
  calls++;
  return LSES_ALLOW;
}

static void unregistering_itself_is_reentrant(void) {
  setup it = setup_with((setup_options){.manual = 1});
  lses_event_class class = class_with(unregister_self);
  char id[LSES_ID_SIZE];
  calls = 0;
  self = it.manager;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  create(it.manager, id);
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  OK(lses_clock_advance(it.clock, 0, NULL));
  CHECK(calls == 1);
  teardown(it);
}

static void overflow_becomes_dead_letters(void) {
  enum { MANY = 200 };
  setup it = setup_with((setup_options){.manual = 1, .dispatch = LSES_DISPATCH_POLL, .queue = 50});
  lses_event_class class = class_with(count_call);
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  char id[LSES_ID_SIZE];
  for (int i = 0; i < MANY; i++) {
    create(it.manager, id);
    OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  }
  lses_stats stats = LSES_STATS_INIT;
  OK(lses_manager_stats(it.manager, &stats, NULL));
  CHECK(stats.live == 0 && stats.callbacks_queued + stats.dead_letters == MANY && stats.callbacks_queued <= 50);
  size_t delivered;
  do OK(lses_manager_dispatch(it.manager, 10, 0, &delivered));
  while (delivered > 0);
  OK(lses_manager_stats(it.manager, &stats, NULL));
  CHECK((uint64_t)calls == stats.callbacks_delivered && stats.callbacks_delivered + stats.dead_letters == MANY);
  teardown(it);
}

static int readable(int fd) {
  struct pollfd it = {fd, POLLIN, 0};
  return poll(&it, 1, 0) == 1;
}

static void poll_mode_has_a_descriptor(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000, .dispatch = LSES_DISPATCH_POLL});
  lses_event_class class = class_with(count_call);
  char id[LSES_ID_SIZE];
  int32_t fd = -1, again = -2;
  size_t delivered;
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  OK(lses_manager_event_fd(it.manager, &fd));
  OK(lses_manager_event_fd(it.manager, &again));
  CHECK(fd >= 0 && fd == again);
  OK(lses_manager_dispatch(it.manager, 10, 0, &delivered));
  CHECK(delivered == 0 && !readable(fd));
  for (int i = 0; i < 3; i++) {
    create(it.manager, id);
    OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  }
  CHECK(calls == 0);
  struct pollfd wait = {fd, POLLIN, 0};
  CHECK(poll(&wait, 1, 5000) == 1);
  OK(lses_manager_dispatch(it.manager, 2, 0, &delivered));
  CHECK(delivered == 2 && readable(fd));
  OK(lses_manager_dispatch(it.manager, 2, 0, &delivered));
  CHECK(delivered == 1 && calls == 3 && !readable(fd));
  teardown(it);
}

static void no_thread_mode_ticks(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 30, .no_threads = 1});
  lses_event_class class = class_with(count_call);
  char id[LSES_ID_SIZE];
  int64_t next = 0;
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  OK(lses_manager_tick(it.manager, &next));
  create(it.manager, id);
  OK(lses_manager_tick(it.manager, &next));
  CHECK(next > 0 && next <= 100);
  WAIT_FOR((lses_manager_tick(it.manager, &next), calls == 1));
  teardown(it);
}

static void timeouts_are_exact(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 900000, .manual = 1});
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  uint32_t reason;
  int64_t left;
  OK(lses_manager_create(it.manager, NULL, token, id));
  OK(lses_manager_set_absolute_timeout(it.manager, id, 22, 3600000));
  for (int i = 0; i < 5; i++) {
    OK(lses_clock_advance(it.clock, 600000, NULL));
    OK(lses_manager_touch(it.manager, token, 40, LSES_TOUCH_ACTIVITY, &left, NULL));
    CHECK(left == (i < 4 ? 900000 : 600000));
  }
  STATUS(LSES_E_INVALID, lses_manager_set_absolute_timeout(it.manager, id, 22, 3600001));
  OK(lses_clock_advance(it.clock, 599999, NULL));
  OK(lses_manager_touch(it.manager, token, 40, LSES_TOUCH_ACTIVITY, &left, NULL));
  CHECK(left == 1);
  OK(lses_clock_advance(it.clock, 1, NULL));
  STATUS(LSES_GONE, lses_manager_touch(it.manager, token, 40, LSES_TOUCH_ACTIVITY, &left, &reason));
  CHECK(reason == LSES_REASON_ABSOLUTE_TIMEOUT);
  OK(lses_manager_create(it.manager, NULL, token, id));
  OK(lses_clock_advance(it.clock, 899999, NULL));
  OK(lses_manager_touch(it.manager, token, 40, LSES_TOUCH_KEEPALIVE, &left, NULL));
  CHECK(left == 1);
  OK(lses_manager_set_idle_timeout(it.manager, id, 22, 3600000)); /* Effective at once, counted from the last use. */
  OK(lses_clock_advance(it.clock, 2700000, NULL));
  OK(lses_manager_touch(it.manager, token, 40, LSES_TOUCH_NONE, &left, NULL));
  CHECK(left == 1);
  OK(lses_clock_set_wall(it.clock, 4102444800000));
  OK(lses_manager_touch(it.manager, token, 40, LSES_TOUCH_NONE, &left, NULL));
  CHECK(left == 1);
  OK(lses_clock_advance(it.clock, 1, NULL));
  STATUS(LSES_GONE, lses_manager_touch(it.manager, token, 40, LSES_TOUCH_NONE, &left, &reason));
  CHECK(reason == LSES_REASON_IDLE_TIMEOUT);
  teardown(it);
}

static void sizes_tell_versions(void) {
  setup it = setup_with((setup_options){.manual = 1});
  char token[LSES_TOKEN_SIZE];
  struct {
    lses_create_options known;
    uint64_t unknown;
  } newer = {LSES_CREATE_OPTIONS_INIT, 0};
  newer.known.size = sizeof newer;
  OK(lses_manager_create(it.manager, &newer.known, token, NULL));
  newer.unknown = 1;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &newer.known, token, NULL));
  /* That of a program that was compiled before sessions could wait for units, and one that never was. */
  newer.known.size = offsetof(lses_create_options, wait_ms);
  OK(lses_manager_create(it.manager, &newer.known, token, NULL));
  newer.known.size = offsetof(lses_create_options, wait_ms) - 8;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &newer.known, token, NULL));
  newer.known.size = 0;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &newer.known, token, NULL));
  newer.known.size = SIZE_MAX;
  STATUS(LSES_E_INVALID, lses_manager_create(it.manager, &newer.known, token, NULL));
  struct {
    lses_stats known;
    uint64_t unknown;
  } stats = {LSES_STATS_INIT, 99};
  stats.known.size = sizeof stats;
  OK(lses_manager_stats(it.manager, &stats.known, NULL));
  CHECK(stats.known.live == 2 && stats.unknown == 99 && stats.known.size == sizeof stats);
  stats.known.size = 16;
  STATUS(LSES_E_INVALID, lses_manager_stats(it.manager, &stats.known, NULL));
  teardown(it);
}

static void pools_have_policies(void) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = 2;
  users.reservation_count = 1;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  lses_str leads = lses_cstr("group:leads");
  lses_reservation reserved = LSES_RESERVATION_INIT;
  reserved.members = &leads;
  reserved.member_count = 1;
  reserved.units = 1;
  users.reservations = &reserved;
  /* They grow, too: each begins with its size, the same in all of a list. */
  lses_reservation several[2] = {reserved, reserved};
  users.capacity = 2;
  users.reservations = several;
  users.reservation_count = 2;
  several[0].size = 3;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  CHECK(strstr(lses_last_error_message(), "lses_reservation.size is 3") != NULL);
  several[0].size = sizeof reserved;
  several[1].size = sizeof reserved + 8;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  several[1].size = sizeof reserved;
  several[1].hard = 7;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  struct newer {
    lses_reservation known;
    uint64_t more;
  } newer[2] = {{reserved, 0}, {reserved, 0}};
  newer[0].known.size = newer[1].known.size = sizeof *newer;
  newer[1].known.hard = LSES_NO;
  users.name = lses_cstr("newer");
  users.reservations = &newer->known;
  OK(lses_config_add_pool(config, &users));
  newer[1].more = 1;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  users.name = lses_cstr("users");
  users.reservations = &reserved;
  users.reservation_count = 1;
  users.linger_ms = 1000;
  users.overdraft = 1;
  users.overdraft_percent = 10;
  STATUS(LSES_E_INVALID, lses_config_add_pool(config, &users));
  users.overdraft = LSES_UNSET;
  OK(lses_config_add_pool(config, &users));
  /* A program of before the policies passes a shorter struct. */
  lses_pool old = LSES_POOL_INIT;
  old.size = offsetof(lses_pool, recovered);
  old.name = lses_cstr("old");
  old.capacity = 1;
  OK(lses_config_add_pool(config, &old));
  /* How many may wait has a bound. */
  lses_config *crowded;
  lses_manager *none;
  OK(lses_config_new(&crowded));
  old.queue = 1000001;
  old.size = sizeof old;
  OK(lses_config_add_pool(crowded, &old));
  STATUS(LSES_E_INVALID, lses_manager_new(crowded, &none));
  CHECK(strstr(lses_last_error_message(), "queue 1000001 is over the bound of 1000000") != NULL);
  old.queue = -1;
  STATUS(LSES_E_INVALID, lses_config_add_pool(crowded, &old));
  CHECK(strcmp(lses_last_error_message(), "queue -1 is below 0") == 0);
  lses_config_free(crowded);
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.pool = lses_cstr("users");
  shop.lazy_until = 9;
  STATUS(LSES_E_INVALID, lses_config_add_application(config, &shop));
  shop.lazy_until = LSES_LAZY_UNTIL_FIRST_WRITE;
  shop.crawler_count = 1;
  STATUS(LSES_E_INVALID, lses_config_add_application(config, &shop));
  lses_str crawler = lses_cstr("acme-sync");
  shop.crawlers = &crawler;
  CHECK(strcmp(lses_lazy_until_name(shop.lazy_until), "first_write") == 0);
  /* A program of before lazy sessions passes a shorter struct. */
  lses_application before = LSES_APPLICATION_INIT;
  before.size = offsetof(lses_application, lazy_until);
  before.name = lses_cstr("before");
  before.pool = lses_cstr("old");
  before.lazy_until = 9;
  OK(lses_config_add_application(config, &shop));
  OK(lses_config_add_application(config, &before));
  lses_clock *clock;
  OK(lses_clock_manual(&clock));
  OK(lses_config_set_clock(config, clock));
  lses_manager *manager;
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  /* What is not there is told by its name. */
  lses_buf json = LSES_BUF_INIT;
  STATUS(LSES_ABSENT, lses_manager_explain_unit(manager, "users", LSES_NTS, "eve", LSES_NTS, &json));
  CHECK(strcmp(lses_last_error_message(), "holder 'eve' has no unit of pool 'users'") == 0);
  STATUS(LSES_ABSENT, lses_manager_forget_high_water(manager, "users", LSES_NTS, "daily", LSES_NTS));
  CHECK(strcmp(lses_last_error_message(), "reader 'daily' has no high-water mark of pool 'users'") == 0);
  /* A limit is 1 or more. */
  STATUS(LSES_E_INVALID, lses_manager_audit_records(manager, "users", LSES_NTS, 0, 0, &json));
  CHECK(strstr(lses_last_error_message(), "limit 0") != NULL);
  STATUS(LSES_E_INVALID, lses_manager_queue(manager, "users", LSES_NTS, 0, 0, &json));
  STATUS(LSES_E_INVALID, lses_manager_lifecycle(manager, 0, 0, &json));
  STATUS(LSES_E_INVALID, lses_manager_dead_letters(manager, 0, 0, &json));
  char token[LSES_TOKEN_SIZE];
  OK(lses_manager_create(manager, NULL, token, NULL));
  STATUS(LSES_E_LICENSE_DENIED, lses_manager_create(manager, NULL, token, NULL));
  CHECK(lses_last_error_deny_reason() == LSES_DENY_REASON_RESERVED);
  lses_request *request;
  OK(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, NULL));
  lses_str group = lses_cstr("leads");
  lses_status trade;
  OK(lses_request_login_as(request, "ann", LSES_NTS, &group, 1, token, &trade));
  CHECK(trade == LSES_OK);
  STATUS(LSES_E_INVALID, lses_request_trade_as(request, NULL, 1));
  OK(lses_request_trade_as(request, &group, 1));
  OK(lses_request_end(request, NULL, NULL, NULL));
  lses_request_free(request);
  lses_usage usage = LSES_USAGE_INIT;
  OK(lses_manager_usage(manager, "users", LSES_NTS, &usage, NULL));
  CHECK(usage.in_use == 1 && usage.lingering == 1 && usage.overdrawn == 0);
  CHECK(usage.free + usage.reserved + usage.break_glass == usage.available);
  CHECK(usage.denials_reserved == 1 && usage.denials_reserved + usage.denials_pool_exhausted == usage.denials);
  OK(lses_clock_advance(clock, 1000, NULL));
  OK(lses_manager_usage(manager, "users", LSES_NTS, &usage, NULL));
  CHECK(usage.in_use == 0 && usage.lingering == 0);
  /* It is changed while it runs. */
  lses_buf text;
  OK(lses_manager_change_pool(manager, "users", LSES_NTS, "{\"capacity\":7,\"reservations\":[]}", LSES_NTS, "root", LSES_NTS,
                              &text));
  CHECK(strstr(text.data, "\"capacity\":7,") != NULL && strstr(text.data, "\"reservations\":[]") != NULL);
  lses_buf_free(&text);
  STATUS(LSES_E_INVALID, lses_manager_change_pool(manager, "users", LSES_NTS, "{\"capacity\":-7}", LSES_NTS, NULL, 0, NULL));
  STATUS(LSES_E_INVALID, lses_manager_change_pool(manager, "users", LSES_NTS, NULL, 0, NULL, 0, NULL));
  OK(lses_manager_pool(manager, "users", LSES_NTS, &text));
  CHECK(strstr(text.data, "\"capacity\":7,") != NULL);
  lses_buf_free(&text);
  OK(lses_manager_pool_differences(manager, &text));
  CHECK(strstr(text.data, "\"option\":\"capacity\",\"named\":") != NULL);
  lses_buf_free(&text);
  uint64_t units = 0, last = 0;
  int64_t when = -1;
  OK(lses_manager_reset_high_water(manager, "users", LSES_NTS, "monthly", LSES_NTS));
  OK(lses_manager_high_water(manager, "users", LSES_NTS, "monthly", LSES_NTS, &units, &when));
  CHECK(units == 0 && when >= 0);
  OK(lses_manager_high_water(manager, "users", LSES_NTS, "weekly", LSES_NTS, &units, NULL));
  CHECK(units == 1);
  OK(lses_manager_forget_high_water(manager, "users", LSES_NTS, "monthly", LSES_NTS));
  STATUS(LSES_ABSENT, lses_manager_forget_high_water(manager, "users", LSES_NTS, "monthly", LSES_NTS));
  STATUS(LSES_E_INVALID, lses_manager_reset_high_water(manager, "users", LSES_NTS, "", LSES_NTS));
  OK(lses_manager_export_accounts(manager, "users", LSES_NTS, 0, 10, &text, &last));
  CHECK(last >= 3 && text.len > 0 && text.data[text.len - 1] == '\n' && strstr(text.data, "\"holder\":\"root\"") != NULL);
  lses_buf_free(&text);
  OK(lses_manager_export_accounts(manager, "users", LSES_NTS, last, 10, &text, &last));
  CHECK(text.len == 0 && last >= 3);
  lses_buf_free(&text);
  STATUS(LSES_E_INVALID, lses_manager_export_accounts(manager, "users", LSES_NTS, 0, 0, &text, NULL));
  OK(lses_manager_close(manager, 0, NULL));
  lses_manager_free(manager);
  lses_clock_free(clock);
}

static void features_are_taken_and_returned(void) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool cad = LSES_POOL_INIT;
  cad.name = lses_cstr("cad");
  cad.capacity = 3;
  cad.unit_rule = LSES_UNIT_RULE_SESSION;
  OK(lses_config_add_pool(config, &cad));
  lses_application system = LSES_APPLICATION_INIT;
  system.name = lses_cstr("system");
  system.license_class = LSES_LICENSE_CLASS_NONE;
  OK(lses_config_add_application(config, &system));
  lses_manager *manager;
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  OK(lses_request_take_feature(request, "cad", LSES_NTS, NULL));
  lses_feature_options options = LSES_FEATURE_OPTIONS_INIT;
  options.count = 2;
  OK(lses_request_take_feature(request, "cad", 3, &options));
  STATUS(LSES_E_LICENSE_DENIED, lses_request_take_feature(request, "cad", LSES_NTS, &options));
  CHECK(lses_last_error_deny_reason() == LSES_DENY_REASON_POOL_EXHAUSTED);
  int64_t wrong[] = {0, -1, 1001, INT64_MAX};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    options.count = wrong[i];
    STATUS(LSES_E_INVALID, lses_request_take_feature(request, "cad", LSES_NTS, &options));
  }
  options.count = 1;
  options.group_count = 1; /* and no groups */
  STATUS(LSES_E_INVALID, lses_request_take_feature(request, "cad", LSES_NTS, &options));
  options.size = 3;
  STATUS(LSES_E_INVALID, lses_request_take_feature(request, "cad", LSES_NTS, &options));
  STATUS(LSES_E_INVALID, lses_request_take_feature(request, NULL, 3, NULL));
  STATUS(LSES_E_INVALID, lses_request_take_feature(request, "plot", LSES_NTS, NULL));
  STATUS(LSES_E_INVALID, lses_request_features(request, NULL));
  lses_buf json = LSES_BUF_INIT;
  OK(lses_request_features(request, &json));
  CHECK(strstr(json.data, "\"pool\":\"cad\"") != NULL && strstr(json.data, "\"count\":3") != NULL);
  lses_buf_free(&json);
  OK(lses_request_return_feature(request, "cad", LSES_NTS, 1, NULL));
  uint64_t returned = 0;
  OK(lses_request_return_feature(request, "cad", LSES_NTS, UINT64_MAX, &returned));
  CHECK(returned == 2);
  OK(lses_request_take_feature(request, "cad", LSES_NTS, NULL));
  OK(lses_request_end(request, NULL, NULL, NULL));
  STATUS(LSES_GONE, lses_request_take_feature(request, "cad", LSES_NTS, NULL));
  lses_request_free(request);
  STATUS(LSES_E_STALE_HANDLE, lses_request_return_feature(request, "cad", LSES_NTS, 1, NULL));
  lses_usage usage = LSES_USAGE_INIT;
  OK(lses_manager_usage(manager, "cad", LSES_NTS, &usage, NULL));
  CHECK(usage.in_use == 0 && usage.high_water == 3);
  OK(lses_manager_close(manager, 0, NULL));
  lses_manager_free(manager);
}

typedef struct waiting {
  lses_manager *manager;
  lses_ticket *ticket;
  lses_status status;
  char token[LSES_TOKEN_SIZE];
} waiting;

static void *create_waiting(void *of) {
  waiting *it = of;
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  options.wait_ms = 600000;
  options.ticket = it->ticket;
  it->status = lses_manager_create(it->manager, &options, it->token, NULL);
  return NULL;
}

static void until_so_many_wait(lses_manager *manager, uint64_t count) {
  lses_stats stats = LSES_STATS_INIT;
  for (int tries = 0; tries < 60000; tries++) {
    OK(lses_manager_stats(manager, &stats, NULL));
    if (stats.license_waiters == count) return;
    usleep(1000);
  }
  CHECK(stats.license_waiters == count);
}

typedef struct told {
  int count; /* atomic */
  lses_status status;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE], message[512];
  lses_request *request;
} told;

static void tell(void *user_data, lses_status status, const lses_answer *answer) {
  told *it = user_data;
  it->status = status;
  CHECK(answer->size == sizeof(lses_answer) && (status == LSES_OK || lses_last_error_code() == status));
  snprintf(it->message, sizeof it->message, "%s", status == LSES_OK ? "" : lses_last_error_message());
  if (answer->token.data != NULL) strcpy(it->token, answer->token.data);
  if (answer->id.data != NULL) strcpy(it->id, answer->id.data);
  CHECK(answer->token.data == NULL || strlen(answer->token.data) == answer->token.len);
  it->request = answer->request;
  __atomic_add_fetch(&it->count, 1, __ATOMIC_SEQ_CST);
}

static void until_told(const told *it) {
  for (int tries = 0; tries < 60000 && __atomic_load_n(&it->count, __ATOMIC_SEQ_CST) == 0; tries++) usleep(1000);
  CHECK(__atomic_load_n(&it->count, __ATOMIC_SEQ_CST) == 1);
}

static lses_manager *one_unit(char *id) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = 1;
  users.queue = 10;
  OK(lses_config_add_pool(config, &users));
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.pool = users.name;
  OK(lses_config_add_application(config, &shop));
  lses_manager *manager;
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  char token[LSES_TOKEN_SIZE];
  OK(lses_manager_create(manager, NULL, token, id));
  return manager;
}

static void tickets_cancel_and_may_be_freed(void) {
  char id[LSES_ID_SIZE];
  lses_manager *manager = one_unit(id);
  STATUS(LSES_E_INVALID, lses_ticket_new(NULL));
  waiting one = {manager, NULL, LSES_OK, ""}, other = {manager, NULL, LSES_OK, ""};
  uint64_t position = 9;
  int32_t waits = 9;
  OK(lses_ticket_new(&one.ticket));
  OK(lses_ticket_new(&other.ticket));
  OK(lses_ticket_position(one.ticket, &position));
  OK(lses_ticket_waits(one.ticket, &waits));
  CHECK(position == 0 && waits == 0);
  pthread_t first, second;
  pthread_create(&first, NULL, create_waiting, &one);
  until_so_many_wait(manager, 1);
  pthread_create(&second, NULL, create_waiting, &other);
  until_so_many_wait(manager, 2);
  OK(lses_ticket_position(other.ticket, &position));
  OK(lses_ticket_waits(other.ticket, &waits));
  CHECK(position == 2 && waits == 1);
  lses_buf json = LSES_BUF_INIT;
  OK(lses_manager_queue(manager, "users", LSES_NTS, 1, 10, &json));
  CHECK(strstr(json.data, "\"position\":2") != NULL && strstr(json.data, "\"position\":1,") == NULL);
  lses_buf_free(&json);
  /* Cancelled from another thread. */
  OK(lses_ticket_cancel(one.ticket));
  pthread_join(first, NULL);
  CHECK(one.status == LSES_E_CANCELLED);
  OK(lses_ticket_position(other.ticket, &position));
  CHECK(position == 1);
  lses_ticket_free(one.ticket);
  STATUS(LSES_E_STALE_HANDLE, lses_ticket_cancel(one.ticket));
  /* Freed while a call waits with it: the wait goes on. */
  lses_ticket_free(other.ticket);
  STATUS(LSES_E_STALE_HANDLE, lses_ticket_position(other.ticket, &position));
  OK(lses_manager_end(manager, id, LSES_NTS, NULL, NULL, NULL));
  pthread_join(second, NULL);
  CHECK(other.status == LSES_OK && strlen(other.token) == LSES_TOKEN_SIZE - 1);
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  int64_t wrong[] = {10, -10, 1000, INT64_MIN};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    options.priority = wrong[i];
    STATUS(LSES_E_INVALID, lses_manager_create(manager, &options, one.token, NULL));
  }
  OK(lses_manager_close(manager, 0, NULL));
  lses_manager_free(manager);
}

static void who_waits_by_callback_has_no_thread(void) {
  char id[LSES_ID_SIZE];
  lses_manager *manager = one_unit(id);
  told first = {0}, second = {0}, third = {0}, fourth = {0};
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  STATUS(LSES_E_INVALID, lses_manager_create_async(manager, &options, NULL, NULL, NULL));
  options.size = 3;
  STATUS(LSES_E_INVALID, lses_manager_create_async(manager, &options, NULL, tell, &first));
  CHECK(first.count == 0);
  /* Without a wait it is told at once. */
  OK(lses_manager_create_async(manager, NULL, NULL, tell, &first));
  CHECK(first.count == 1 && first.status == LSES_E_LICENSE_DENIED && first.message[0] != '\0' && first.id[0] == '\0');
  options.size = sizeof options;
  options.wait_ms = 600000;
  OK(lses_ticket_new(&options.ticket));
  OK(lses_manager_create_async(manager, &options, NULL, tell, &second));
  OK(lses_manager_begin_new_async(manager, &options, NULL, NULL, tell, &third));
  until_so_many_wait(manager, 2);
  CHECK(second.count == 0 && third.count == 0);
  OK(lses_manager_end(manager, id, LSES_NTS, NULL, NULL, NULL));
  until_told(&second);
  CHECK(second.status == LSES_OK && strlen(second.id) == LSES_ID_SIZE - 1);
  OK(lses_manager_end(manager, second.id, LSES_NTS, NULL, NULL, NULL));
  until_told(&third);
  CHECK(third.status == LSES_OK && third.request != NULL);
  /* A login without a pool of its own trades what it has. */
  OK(lses_request_login_async(third.request, "ann", LSES_NTS, NULL, NULL, tell, &fourth));
  until_told(&fourth);
  CHECK(fourth.status == LSES_OK && strlen(fourth.token) == LSES_TOKEN_SIZE - 1);
  told taken = {0}, traded = {0}, last = {0};
  lses_feature_options feature = LSES_FEATURE_OPTIONS_INIT;
  feature.wait_ms = 600000;
  feature.count = 2;
  feature.ticket = options.ticket;
  OK(lses_request_take_feature_async(third.request, "users", LSES_NTS, &feature, NULL, tell, &taken));
  OK(lses_request_trade_async(third.request, NULL, NULL, tell, &traded));
  until_told(&traded);
  /* Cancelled: told by the call that cancels, or soon after. */
  if (__atomic_load_n(&taken.count, __ATOMIC_SEQ_CST) == 0) OK(lses_ticket_cancel(feature.ticket));
  until_told(&taken);
  lses_ticket_free(options.ticket);
  options.ticket = NULL;
  /* A manager that closes tells who waits. */
  OK(lses_manager_create_async(manager, &options, NULL, tell, &last));
  lses_request_free(third.request);
  OK(lses_manager_close(manager, 0, NULL));
  until_told(&last);
  CHECK(last.status == LSES_E_CLOSED || last.status == LSES_E_CLOSING);
  lses_manager_free(manager);
}

static void every_status_has_a_name_and_a_message(void) {
  for (int32_t status = -22; status <= 3; status++) {
    CHECK(strcmp(lses_status_name(status), "unknown") != 0 && lses_status_message(status)[0] != '\0');
  }
  uint32_t random = 1;
  for (int i = 0; i < 100000; i++) {
    random = random * 1664525 + 1013904223;
    CHECK(lses_status_name((int32_t)random) != NULL && lses_status_message((int32_t)random) != NULL);
    CHECK(lses_end_reason_name(random) != NULL && lses_event_kind_name(random) != NULL);
  }
  CHECK(strcmp(lses_status_name(INT32_MIN), "unknown") == 0);
  CHECK(strcmp(lses_status_name(-5), "lock_timeout") == 0 && strcmp(lses_event_kind_name(15), "on_pool_overdraft") == 0);
  CHECK(lses_status_retryable(LSES_E_CONFLICT) == 1 && lses_status_retryable(LSES_E_INVALID) == 0);
}

int main(void) {
  results_on_failure();
  user_data_is_dropped_once();
  freed_inside_of_a_callback();
  unregistering_waits();
  unregistering_itself_is_reentrant();
  overflow_becomes_dead_letters();
  poll_mode_has_a_descriptor();
  no_thread_mode_ticks();
  timeouts_are_exact();
  sizes_tell_versions();
  pools_have_policies();
  features_are_taken_and_returned();
  tickets_cancel_and_may_be_freed();
  who_waits_by_callback_has_no_thread();
  every_status_has_a_name_and_a_message();
  puts("contract: ok");
  return 0;
}
