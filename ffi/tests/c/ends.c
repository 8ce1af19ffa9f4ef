/* Ends and logouts that do not block: what they tell, and that each is told once, whoever goes first. */
#include "loop.h"

#include <semaphore.h>

static sem_t go_on;
static int begun, over;

/* Holds up the callbacks of an end until the test lets them go on. */
static int32_t on_end(void *user_data, const lses_event *event) {
  (void)user_data, (void)event;
  __atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
  while (sem_wait(&go_on) != 0) continue;
  __atomic_fetch_add(&over, 1, __ATOMIC_SEQ_CST);
  return 0;
}

static int32_t on_expiring(void *user_data, const lses_event *event, int64_t *extend_ms) {
  (void)user_data, (void)event;
  *extend_ms = 60000;
  return LSES_EXTEND;
}

static int32_t on_logout(void *user_data, const lses_event *event) {
  (void)user_data;
  OK(lses_event_say(event, "not yet", LSES_NTS));
  return LSES_DENY;
}

/* Like units(), with an event class on every session. */
static lses_manager *watched(uint64_t capacity, lses_event_class watch) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = capacity;
  OK(lses_config_add_pool(config, &users));
  lses_str name = lses_cstr("watch");
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.event_classes = &name;
  shop.event_class_count = 1;
  shop.max_extensions = 1;
  OK(lses_config_add_application(config, &shop));
  OK(lses_config_set_callback_deadline(config, 600000));
  lses_manager *manager;
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  OK(lses_manager_register(manager, "watch", LSES_NTS, NULL, 0, &watch));
  return manager;
}

static lses_event_class holds_up(void) {
  lses_event_class watch = LSES_EVENT_CLASS_INIT;
  watch.on_end = on_end;
  begun = over = 0;
  return watch;
}

static lses_end_options waits(int64_t wait_ms) {
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.wait_ms = wait_ms;
  return options;
}

static void made(lses_manager *manager, char *id) {
  char token[LSES_TOKEN_SIZE];
  OK(lses_manager_create(manager, NULL, token, id));
}

static int has(const call *it, const char *text) { return strstr(it->json, text) != NULL; }

static void an_end_answers_with_its_receipt(void) {
  lses_manager *manager = units(2, NULL);
  loop it = loop_new(0);
  char id[LSES_ID_SIZE];
  made(manager, id);
  call first = {0}, second = {0}, none = {0}, wrong = {0};
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.reason = LSES_REASON_REVOKED;
  options.actor = lses_cstr("ann");
  OK(lses_manager_end_async(manager, id, LSES_NTS, &options, it.completions, tell, &first));
  /* It has ended, and its unit is free, before anybody is told. */
  CHECK(first.count == 0 && live(manager) == 0 && in_use(manager) == 0);
  OK(lses_manager_end_async(manager, id, LSES_NTS, NULL, it.completions, tell, &second));
  OK(lses_manager_end_async(manager, "AAAAAAAAAAAAAAAAAAAAAA", LSES_NTS, NULL, it.completions, tell, &none));
  STATUS(LSES_E_INVALID, lses_manager_end_async(manager, "no id", LSES_NTS, NULL, it.completions, tell, &wrong));
  options.reason = LSES_REASON_SHUTDOWN;
  OK(lses_manager_end_async(manager, id, LSES_NTS, &options, NULL, tell, &wrong));
  TOLD(wrong, LSES_E_INVALID);
  CHECK(run(&it, SIZE_MAX) == 3);
  TOLD(first, LSES_OK);
  CHECK(first.receipts == 1 && first.receipt.size == sizeof first.receipt && first.reason == 0);
  CHECK(first.receipt.reason == LSES_REASON_REVOKED && first.receipt.level == LSES_LEVEL_FORCE);
  CHECK(first.receipt.license_free_at_ms == (int64_t)first.receipt.at_ms);
  CHECK(has(&first, "\"outcome\":\"ended\"") && has(&first, "\"actor\":\"ann\"") && has(&first, id));
  TOLD(second, LSES_GONE);
  CHECK(second.reason == LSES_REASON_REVOKED && second.receipt.event_id == first.receipt.event_id);
  CHECK(has(&second, "\"outcome\":\"gone\""));
  TOLD(none, LSES_ABSENT);
  CHECK(none.receipts == 0 && none.json[0] == '\0');
  loop_free(it);
  shut(manager);
}

static void a_request_ends_its_session(void) {
  lses_manager *manager = units(1, NULL);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  call ended = {0}, again = {0}, late = {0};
  /* Without completions: told in the call, as nobody is waited for. */
  OK(lses_request_end_async(request, NULL, NULL, tell, &ended));
  TOLD(ended, LSES_OK);
  CHECK(ended.receipts == 1 && has(&ended, "\"ended\"") && in_use(manager) == 0);
  OK(lses_request_end_async(request, NULL, NULL, tell, &again));
  TOLD(again, LSES_GONE);
  CHECK(again.reason == LSES_REASON_ENDED);
  lses_request_free(request);
  STATUS(LSES_E_STALE_HANDLE, lses_request_end_async(request, NULL, NULL, tell, &late));
  STATUS(LSES_E_STALE_HANDLE, lses_request_logout_async(request, 0, NULL, tell, &late));
  CHECK(late.count == 0);
  shut(manager);
}

static void who_asks_whether_it_may_end_is_told_that_it_is_extended(void) {
  lses_event_class watch = LSES_EVENT_CLASS_INIT;
  watch.on_expiring = on_expiring;
  lses_manager *manager = watched(1, watch);
  loop it = loop_new(0);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.level = LSES_LEVEL_REQUEST;
  call extended = {0}, ended = {0};
  OK(lses_request_end_async(request, &options, it.completions, tell, &extended));
  until(&it, &extended);
  TOLD(extended, LSES_EXTENDED);
  CHECK(extended.receipt.extended_by_ms == 60000 && extended.receipt.reason == 0 && live(manager) == 1);
  CHECK(has(&extended, "\"class\":\"watch\""));
  /* As the call that blocks says. */
  OK(lses_request_end(request, NULL, NULL, NULL));
  lses_request_free(request);
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  STATUS(LSES_EXTENDED, lses_request_end(request, &options, NULL, NULL));
  CHECK(lses_last_error_code() == LSES_EXTENDED);
  /* The budget is one. */
  OK(lses_request_end_async(request, &options, it.completions, tell, &ended));
  until(&it, &ended);
  TOLD(ended, LSES_OK);
  lses_request_free(request);
  loop_free(it);
  shut(manager);
}

static void a_wait_for_the_callbacks_blocks_nobody(void) {
  lses_manager *manager = watched(3, holds_up());
  loop it = loop_new(0);
  char id[3][LSES_ID_SIZE];
  for (int i = 0; i < 3; i++) made(manager, id[i]);
  call ended = {0}, hasty = {0}, anywhere = {0};
  lses_end_options patient = waits(600000), at_once = waits(1);
  OK(lses_manager_end_async(manager, id[0], LSES_NTS, &patient, it.completions, tell, &ended));
  CHECK(in_use(manager) == 2);
  WAIT_FOR(__atomic_load_n(&begun, __ATOMIC_SEQ_CST) == 1);
  CHECK(ended.count == 0 && !woken(&it, 0));
  /* Its time is over: told with what is known by then. */
  OK(lses_manager_end_async(manager, id[1], LSES_NTS, &at_once, it.completions, tell, &hasty));
  until(&it, &hasty);
  TOLD(hasty, LSES_OK);
  CHECK(has(&hasty, "\"callbacks\":[]") && ended.count == 0);
  sem_post(&go_on);
  sem_post(&go_on);
  until(&it, &ended);
  TOLD(ended, LSES_OK);
  CHECK(has(&ended, "\"kind\":\"on_end\"") && has(&ended, "\"class\":\"watch\""));
  /* Without completions, in a thread of the library. */
  OK(lses_manager_end_async(manager, id[2], LSES_NTS, &patient, NULL, tell, &anywhere));
  sem_post(&go_on);
  WAIT_FOR(__atomic_load_n(&anywhere.turn, __ATOMIC_ACQUIRE) != 0);
  CHECK(anywhere.count == 1 && anywhere.status == LSES_OK && has(&anywhere, "on_end"));
  CHECK(!pthread_equal(anywhere.thread, pthread_self()));
  WAIT_FOR(__atomic_load_n(&over, __ATOMIC_SEQ_CST) == 3);
  loop_free(it);
  shut(manager);
}

static void whoever_goes_first_each_is_told_once(void) {
  for (int how = 0; how < 4; how++) {
    lses_manager *manager = watched(2, holds_up());
    loop it = loop_new(0);
    char id[2][LSES_ID_SIZE];
    for (int i = 0; i < 2; i++) made(manager, id[i]);
    call ended = {0}, anywhere = {0};
    lses_end_options patient = waits(600000);
    OK(lses_manager_end_async(manager, id[0], LSES_NTS, &patient, it.completions, tell, &ended));
    OK(lses_manager_end_async(manager, id[1], LSES_NTS, &patient, NULL, tell, &anywhere));
    WAIT_FOR(__atomic_load_n(&begun, __ATOMIC_SEQ_CST) == 2);
    CHECK(ended.count == 0 && anywhere.count == 0);
    switch (how) {
      case 0: /* the callbacks are through */
        sem_post(&go_on), sem_post(&go_on);
        break;
      case 1: /* the completions are freed: the end stays */
        loop_free(it);
        TOLD(ended, LSES_E_CLOSED);
        CHECK(live(manager) == 0);
        sem_post(&go_on), sem_post(&go_on);
        break;
      case 2: /* the manager is closed: what still runs is given up */
        OK(lses_manager_close(manager, 0, NULL));
        break;
      case 3: /* and freed */
        lses_manager_free(manager);
        break;
    }
    if (how != 1) {
      until(&it, &ended);
      TOLD(ended, LSES_OK);
      CHECK(ended.receipt.reason == LSES_REASON_ENDED);
      CHECK(has(&ended, how == 0 ? "\"outcome\":\"delivered\"" : "\"outcome\":\"shutdown\""));
      loop_free(it);
    }
    WAIT_FOR(__atomic_load_n(&anywhere.turn, __ATOMIC_ACQUIRE) != 0);
    CHECK(anywhere.count == 1 && anywhere.status == LSES_OK);
    if (how >= 2) sem_post(&go_on), sem_post(&go_on);
    /* Those that were given up, too: what is posted next is for others. */
    WAIT_FOR(__atomic_load_n(&over, __ATOMIC_SEQ_CST) == 2);
    if (how != 3) shut(manager);
  }
}

static void a_logout_answers_with_the_new_token(void) {
  lses_manager *manager = units(1, NULL);
  loop it = loop_new(0);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  char token[LSES_TOKEN_SIZE], now[LSES_TOKEN_SIZE];
  OK(lses_request_login(request, "ann", LSES_NTS, token, NULL));
  call out = {0}, wrong = {0}, gone = {0}, closed = {0};
  OK(lses_request_logout_async(request, 0, it.completions, tell, &out));
  STATUS(LSES_E_INVALID, lses_request_logout_async(request, 7, it.completions, tell, &wrong));
  STATUS(LSES_E_INVALID, lses_request_logout_async(request, 0, it.completions, NULL, &wrong));
  CHECK(out.count == 0 && run(&it, SIZE_MAX) == 1);
  TOLD(out, LSES_OK);
  OK(lses_request_token(request, now));
  CHECK(strcmp(out.token, now) == 0 && strcmp(out.token, token) != 0 && out.receipts == 0);
  OK(lses_request_end(request, NULL, NULL, NULL));
  OK(lses_request_logout_async(request, 0, it.completions, tell, &gone));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(gone, LSES_GONE);
  CHECK(gone.reason == LSES_REASON_ENDED && gone.receipts == 0 && gone.token[0] == '\0' && wrong.count == 0);
  lses_request_free(request);
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  OK(lses_request_finish(request));
  OK(lses_request_logout_async(request, 0, it.completions, tell, &closed));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(closed, LSES_E_CLOSED);
  lses_request_free(request);
  loop_free(it);
  shut(manager);
}

static void a_logout_without_a_unit_answers_with_the_receipt(void) {
  lses_manager *manager = units(1, NULL);
  lses_request *one, *two;
  OK(lses_manager_begin_new(manager, NULL, NULL, &one));
  char token[LSES_TOKEN_SIZE];
  OK(lses_request_login(one, "ann", LSES_NTS, token, NULL));
  /* The user's second session shares the unit; as its own holder it would need another. */
  lses_create_options free_of_charge = LSES_CREATE_OPTIONS_INIT;
  free_of_charge.license_class = LSES_LICENSE_CLASS_LAZY;
  OK(lses_manager_begin_new(manager, &free_of_charge, NULL, &two));
  OK(lses_request_login(two, "ann", LSES_NTS, token, NULL));
  CHECK(in_use(manager) == 1);
  call out = {0};
  OK(lses_request_logout_async(two, 0, NULL, tell, &out));
  TOLD(out, LSES_GONE);
  CHECK(out.reason == LSES_REASON_LICENSE_DENIED && out.receipts == 1 && out.token[0] == '\0');
  CHECK(out.receipt.reason == LSES_REASON_LICENSE_DENIED && has(&out, "\"license_denied\""));
  CHECK(live(manager) == 1 && in_use(manager) == 1);
  lses_request_free(two);
  lses_request_free(one);
  shut(manager);
}

static void a_logout_that_is_refused_changes_nothing(void) {
  lses_event_class watch = LSES_EVENT_CLASS_INIT;
  watch.on_logout = on_logout;
  lses_manager *manager = watched(1, watch);
  loop it = loop_new(0);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  char token[LSES_TOKEN_SIZE], now[LSES_TOKEN_SIZE];
  OK(lses_request_login(request, "ann", LSES_NTS, token, NULL));
  call refused = {0}, forced = {0}, left = {0};
  OK(lses_request_logout_async(request, 0, it.completions, tell, &refused));
  until(&it, &refused);
  TOLD(refused, LSES_E_DENIED);
  OK(lses_request_token(request, now));
  CHECK(strcmp(now, token) == 0);
  OK(lses_request_logout_async(request, 1, it.completions, tell, &forced));
  until(&it, &forced);
  TOLD(forced, LSES_OK);
  /* Nobody fetches it: the logout stays. */
  OK(lses_request_login(request, "ann", LSES_NTS, token, NULL));
  OK(lses_request_logout_async(request, 1, it.completions, tell, &left));
  WAIT_FOR(woken(&it, 0));
  loop_free(it);
  TOLD(left, LSES_E_CLOSED);
  lses_buf user = LSES_BUF_INIT;
  OK(lses_request_user(request, &user));
  CHECK(user.data == NULL);
  lses_request_free(request);
  shut(manager);
}

/* What can't be begun is an error of the call; what the manager answers is told, here that it is closed. */
static void a_manager_that_was_closed_tells_every_call(void) {
  lses_manager *manager = units(1, NULL), *stale = units(1, NULL);
  loop it = loop_new(0);
  lses_request *request;
  OK(lses_manager_begin_new(manager, NULL, NULL, &request));
  char id[LSES_ID_SIZE];
  OK(lses_request_id(request, id));
  lses_create_options unknown = LSES_CREATE_OPTIONS_INIT;
  unknown.application = lses_cstr("nowhere");
  call invalid = {0};
  OK(lses_manager_create_async(manager, &unknown, it.completions, tell, &invalid));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(invalid, LSES_E_INVALID);
  OK(lses_manager_close(manager, 0, NULL));
  lses_manager_free(stale);
  for (int loops = 0; loops < 2; loops++) {
    lses_completions *at = loops ? it.completions : NULL;
    call calls[10] = {{0}};
    int n = 0;
    OK(lses_manager_create_async(manager, NULL, at, tell, &calls[n++]));
    OK(lses_manager_begin_new_async(manager, NULL, NULL, at, tell, &calls[n++]));
    OK(lses_manager_begin_async(manager, "token", LSES_NTS, NULL, at, tell, &calls[n++]));
    OK(lses_manager_end_async(manager, id, LSES_NTS, NULL, at, tell, &calls[n++]));
    OK(lses_request_end_async(request, NULL, at, tell, &calls[n++]));
    OK(lses_request_lock_async(request, LSES_LOCK_SHARED, 0, NULL, at, tell, &calls[n++]));
    OK(lses_request_login_async(request, "ann", LSES_NTS, NULL, at, tell, &calls[n++]));
    OK(lses_request_trade_async(request, NULL, at, tell, &calls[n++]));
    OK(lses_request_take_feature_async(request, "users", LSES_NTS, NULL, at, tell, &calls[n++]));
    OK(lses_request_logout_async(request, 0, at, tell, &calls[n++]));
    if (loops) CHECK(calls[0].count == 0 && run(&it, SIZE_MAX) == 10);
    for (int i = 0; i < n; i++) {
      CHECK(calls[i].count == 1);
      CHECK(calls[i].status == LSES_E_CLOSED || (i >= 4 && calls[i].status == LSES_GONE));
      CHECK(calls[i].status != LSES_GONE || calls[i].reason == LSES_REASON_SHUTDOWN);
    }
    call none = {0};
    STATUS(LSES_E_STALE_HANDLE, lses_manager_create_async(stale, NULL, at, tell, &none));
    STATUS(LSES_E_STALE_HANDLE, lses_manager_begin_new_async(stale, NULL, NULL, at, tell, &none));
    STATUS(LSES_E_STALE_HANDLE, lses_manager_begin_async(stale, "token", LSES_NTS, NULL, at, tell, &none));
    STATUS(LSES_E_STALE_HANDLE, lses_manager_end_async(stale, id, LSES_NTS, NULL, at, tell, &none));
    STATUS(LSES_E_INVALID, lses_manager_end_async(NULL, id, LSES_NTS, NULL, at, tell, &none));
    CHECK(none.count == 0);
  }
  lses_request_free(request);
  loop_free(it);
  lses_manager_free(manager);
}

int main(void) {
  sem_init(&go_on, 0, 0);
  an_end_answers_with_its_receipt();
  a_request_ends_its_session();
  who_asks_whether_it_may_end_is_told_that_it_is_extended();
  a_wait_for_the_callbacks_blocks_nobody();
  whoever_goes_first_each_is_told_once();
  a_logout_answers_with_the_new_token();
  a_logout_without_a_unit_answers_with_the_receipt();
  a_logout_that_is_refused_changes_nothing();
  a_manager_that_was_closed_tells_every_call();
  puts("ends: ok");
  return 0;
}
