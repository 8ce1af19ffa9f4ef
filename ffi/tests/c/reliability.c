/* Rows of the reliability scenarios that concern C: short by default, long with LSES_TORTURE=1. */
#include "check.h"

#include <stdatomic.h>

static atomic_int calls, drops, stop, gate;
static atomic_llong worst_in_use;
static lses_manager *manager;

static int scaled(int small, int large) { return torture() ? large : slow() ? small / 10 + 1 : small; }

static void run_threads(int count, void *(*body)(void *)) {
  pthread_t threads[64];
  for (int i = 0; i < count; i++) CHECK(pthread_create(&threads[i], NULL, body, (void *)(intptr_t)i) == 0);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static unsigned next_random(unsigned *state) { return *state = *state * 1664525u + 1013904223u; }

/* LIC-02: never more than the capacity, whatever 64 threads do. */
static void *storm(void *number) {
  unsigned random = (unsigned)(intptr_t)number + 1;
  for (int i = 0, many = scaled(300, 16000); i < many; i++) {
    char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
    lses_status status = lses_manager_create(manager, NULL, token, id);
    CHECK(status == LSES_OK || (status == LSES_E_LICENSE_DENIED &&
                                lses_last_error_deny_reason() == LSES_DENY_REASON_POOL_EXHAUSTED));
    if (status != LSES_OK) continue;
    if (next_random(&random) >> 30 != 0) {
      lses_request *request;
      OK(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, NULL));
      OK(lses_request_set_text(request, "k", 1, "v", 1));
      OK(lses_request_finish(request));
      lses_request_free(request);
    }
    OK(lses_manager_end(manager, id, 22, NULL, NULL, NULL));
  }
  return NULL;
}

static void *sample(void *unused) {
  while (!stop) {
    long long now = (long long)in_use(manager);
    if (now > worst_in_use) worst_in_use = now;
  }
  return unused;
}

static void lic_02(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000, .capacity = 20});
  manager = it.manager;
  stop = 0;
  pthread_t sampler;
  CHECK(pthread_create(&sampler, NULL, sample, NULL) == 0);
  run_threads(64, storm);
  stop = 1;
  pthread_join(sampler, NULL);
  CHECK(worst_in_use <= 20 && in_use(manager) == 0);
  teardown(it);
}

static int32_t deny(void *user_data, const lses_event *event) {
  (void)user_data;
  OK(lses_event_say(event, "no", 2));
  calls++;
  return calls % 2 == 0 ? LSES_DENY : LSES_FAILED;
}

static int32_t count_call(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  calls++;
  return LSES_ALLOW;
}

/* LIC-04: a failed create leaves nothing. */
static void lic_04(void) {
  setup it = setup_with((setup_options){.manual = 1, .capacity = 5});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  char token[LSES_TOKEN_SIZE];
  class.on_start = deny;
  class.on_end = count_call;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  int many = scaled(500, 10000);
  calls = 0;
  for (int i = 0; i < many; i++) STATUS(LSES_E_DENIED, lses_manager_create(it.manager, NULL, token, NULL));
  OK(lses_clock_advance(it.clock, 0, NULL));
  CHECK(calls == many); /* No on_end for a session whose on_start never succeeded. */
  OK(lses_manager_unregister(it.manager, "watch", 5, NULL, 0, NULL));
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  char *large = malloc(70020);
  int at = sprintf(large, "{\"a\":\"");
  memset(large + at, 'x', 70000);
  strcpy(large + at + 70000, "\"}");
  options.data = lses_cstr(large);
  for (int i = 0; i < scaled(100, 10000); i++) STATUS(LSES_E_QUOTA, lses_manager_create(it.manager, &options, token, NULL));
  free(large);
  uint64_t live;
  OK(lses_manager_count(it.manager, &live));
  CHECK(live == 0 && in_use(it.manager) == 0);
  teardown(it);
}

static int32_t fail(void *user_data, const lses_event *event) {
  (void)user_data;
  OK(lses_event_say(event, "the mail server is down", LSES_NTS));
  calls++;
  return -7;
}

/* CB-01: a notification that fails is retried, then kept; its cause succeeds. */
static void cb_01(void) {
  setup it = setup_with((setup_options){.manual = 1, .capacity = 5});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  lses_buf letters;
  class.on_end = fail;
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  OK(lses_manager_create(it.manager, NULL, token, id));
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  CHECK(in_use(it.manager) == 0);
  OK(lses_clock_advance(it.clock, 60000, NULL));
  CHECK(calls == 4);
  OK(lses_manager_dead_letters(it.manager, 0, 10, &letters));
  CHECK(strstr(letters.data, "the mail server is down") != NULL && strstr(letters.data, id) != NULL);
  CHECK(strstr(letters.data, token) == NULL);
  lses_buf_free(&letters);
  teardown(it);
}

static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;

static int32_t take_host_lock(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  pthread_mutex_lock(&host_lock);
  calls++;
  pthread_mutex_unlock(&host_lock);
  return LSES_ALLOW;
}

/* CB-05: end does not wait for a callback that wants the caller's lock. */
static void cb_05(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  class.on_end = take_host_lock;
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  OK(lses_manager_create(it.manager, NULL, token, id));
  pthread_mutex_lock(&host_lock);
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  CHECK(calls == 0);
  pthread_mutex_unlock(&host_lock);
  WAIT_FOR(calls == 1);
  teardown(it);
}

static int32_t dawdle(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  usleep(5000);
  calls++;
  return LSES_ALLOW;
}

/* CB-06: ends never wait for slow callbacks, and every delivery is accounted for. */
static void cb_06(void) {
  int many = scaled(2000, 100000);
  setup it = setup_with((setup_options){.idle_timeout_ms = 600000, .workers = 4, .queue = (size_t)many / 10});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  lses_stats stats = LSES_STATS_INIT;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  class.on_end = dawdle;
  calls = 0;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  int64_t began = real_ms();
  for (int i = 0; i < many; i++) {
    OK(lses_manager_create(it.manager, NULL, token, id));
    OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  }
  CHECK(slow() || real_ms() - began < many * 5 / 4);
  int32_t drained = 0;
  OK(lses_manager_drain(it.manager, 120000, &drained));
  OK(lses_manager_stats(it.manager, &stats, NULL));
  CHECK(drained && stats.callbacks_queued == 0 && stats.callbacks_delivered == (uint64_t)calls);
  CHECK(stats.callbacks_delivered + stats.dead_letters == (uint64_t)many);
  teardown(it);
}

static int32_t cling(void *user_data, const lses_event *event, int64_t *extend_ms) {
  (void)user_data;
  (void)event;
  *extend_ms = 3600000;
  calls++;
  return LSES_EXTEND;
}

static int32_t cling_after(void *user_data, const lses_event *event) {
  const char *token = user_data;
  uint32_t reason;
  lses_request *request;
  CHECK(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, &reason) == LSES_GONE);
  CHECK(lses_manager_touch(manager, token, LSES_NTS, LSES_TOUCH_ACTIVITY, NULL, NULL) == LSES_GONE);
  CHECK(lses_manager_set_idle_timeout(manager, event->session_id.data, event->session_id.len, 0) == LSES_ABSENT);
  OK(lses_event_set_end_session(event, 0));
  calls += 100;
  return LSES_ALLOW;
}

/* CB-07: whatever a callback tries, the session ends; with a budget of 2 there are 2 extensions, within the absolute. */
static void cb_07(void) {
  static char token[LSES_TOKEN_SIZE];
  for (int budget = 0; budget <= 2; budget += 2) {
    setup it = setup_with((setup_options){.idle_timeout_ms = 60000, .manual = 1, .capacity = 1, .max_extensions = budget});
    lses_event_class class = LSES_EVENT_CLASS_INIT;
    class.user_data = token;
    class.on_expiring = cling;
    class.on_timeout = class.on_end = cling_after;
    calls = 0;
    manager = it.manager;
    OK(lses_manager_register(manager, "watch", 5, NULL, 0, &class));
    OK(lses_manager_create(manager, NULL, token, NULL));
    /* The cap of one extension is 15 minutes. */
    OK(lses_clock_advance(it.clock, 60000 + budget * 900000 - 1, NULL));
    CHECK(in_use(manager) == 1);
    OK(lses_clock_advance(it.clock, 1, NULL));
    CHECK(in_use(manager) == 0 && calls >= 200 && calls % 100 >= 1 && calls % 100 <= budget + 1);
    teardown(it);
  }
}

static void count_drop(void *user_data) {
  free(user_data);
  drops++;
}

static int32_t read_data(void *user_data, const lses_event *event) {
  (void)event;
  CHECK(*(int *)user_data == 42);
  return LSES_ALLOW;
}

static void *end_sessions(void *unused) {
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  while (!stop) {
    OK(lses_manager_create(manager, NULL, token, id));
    OK(lses_manager_end(manager, id, 22, NULL, NULL, NULL));
  }
  return unused;
}

/* CB-09: register and unregister while events fire: dropped once each, never called afterwards. */
static void cb_09(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000});
  manager = it.manager;
  stop = drops = 0;
  pthread_t ender;
  CHECK(pthread_create(&ender, NULL, end_sessions, NULL) == 0);
  int many = scaled(2000, 100000);
  for (int i = 0; i < many; i++) {
    int *data = malloc(sizeof *data);
    *data = 42;
    lses_event_class class = LSES_EVENT_CLASS_INIT;
    class.user_data = data;
    class.drop_user_data = count_drop;
    class.on_end = read_data;
    OK(lses_manager_register(manager, "watch", 5, NULL, 0, &class));
    OK(lses_manager_unregister(manager, "watch", 5, NULL, 0, NULL));
    CHECK(drops == i + 1);
  }
  stop = 1;
  pthread_join(ender, NULL);
  teardown(it);
}

static atomic_llong slowest_us;
static char busy_token[LSES_TOKEN_SIZE];

static void *keep_working(void *unused) {
  while (!stop) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    OK(lses_manager_touch(manager, busy_token, 40, LSES_TOUCH_ACTIVITY, NULL, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long us = (after.tv_sec - before.tv_sec) * 1000000ll + (after.tv_nsec - before.tv_nsec) / 1000;
    if (us > slowest_us) slowest_us = us;
    usleep(100);
  }
  return unused;
}

/* EXP-02: many sessions with one deadline; the others go on meanwhile. */
static void exp_02(void) {
  int many = scaled(20000, 900000);
  setup it = setup_with((setup_options){.idle_timeout_ms = 1500, .capacity = 1000000});
  lses_create_options immortal = LSES_CREATE_OPTIONS_INIT;
  char token[LSES_TOKEN_SIZE];
  manager = it.manager;
  stop = 0;
  immortal.idle_timeout_ms = 0;
  OK(lses_manager_create(manager, &immortal, busy_token, NULL));
  for (int i = 0; i < many; i++) OK(lses_manager_create(manager, NULL, token, NULL));
  pthread_t worker;
  CHECK(pthread_create(&worker, NULL, keep_working, NULL) == 0);
  int64_t until = real_ms() + (slow() ? 60000 : 1500 + 5000);
  while (in_use(manager) > 1) {
    CHECK(real_ms() < until);
    usleep(5000);
  }
  stop = 1;
  pthread_join(worker, NULL);
  printf("EXP-02: %d sessions; the slowest other call took %lld us\n", many, (long long)slowest_us);
  teardown(it);
}

static atomic_int conflicts;

/* RACE-02: different keys never clobber each other, compare-and-set sums exactly. */
static void *add_up(void *number) {
  char key[16];
  snprintf(key, sizeof key, "own%d", (int)(intptr_t)number);
  lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
  options.lock = LSES_LOCK_NONE;
  lses_subscript sum = lses_key("sum"), own = lses_key(key);
  for (int i = 1, many = scaled(50, 2000); i <= many; i++) {
    lses_request *request;
    OK(lses_manager_begin(manager, busy_token, 40, &options, &request, NULL));
    lses_value mine = lses_value_int(i), now, more;
    OK(lses_request_set(request, &own, 1, &mine));
    for (;;) {
      lses_buf buf;
      OK(lses_request_get(request, &sum, 1, &now, &buf));
      more = lses_value_int(now.integer + 1);
      lses_status status = lses_request_compare_and_set(request, &sum, 1, &now, &more);
      if (status == LSES_OK) break;
      CHECK(status == LSES_E_CONFLICT);
      conflicts++;
    }
    OK(lses_request_finish(request));
    lses_request_free(request);
  }
  return NULL;
}

static void race_02(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 600000});
  manager = it.manager;
  OK(lses_manager_create(manager, NULL, busy_token, NULL));
  run_threads(16, add_up);
  int many = scaled(50, 2000);
  lses_request *request;
  lses_value value;
  lses_buf buf;
  lses_subscript sum = lses_key("sum");
  OK(lses_manager_begin(manager, busy_token, 40, NULL, &request, NULL));
  OK(lses_request_get(request, &sum, 1, &value, &buf));
  CHECK(value.integer == 16ll * many);
  for (int i = 0; i < 16; i++) {
    char key[16];
    snprintf(key, sizeof key, "own%d", i);
    lses_subscript own = lses_key(key);
    OK(lses_request_get(request, &own, 1, &value, &buf));
    CHECK(value.integer == many);
  }
  lses_request_free(request);
  teardown(it);
}

static char race_id[LSES_ID_SIZE];
static pthread_barrier_t begin_race, end_race;
static atomic_int winners;

static void *end_it(void *unused) {
  for (int i = 0, many = scaled(500, 100000); i < many; i++) {
    pthread_barrier_wait(&begin_race);
    lses_status status = lses_manager_end(manager, race_id, 22, NULL, NULL, NULL);
    CHECK(status == LSES_OK || status == LSES_GONE);
    winners += status == LSES_OK;
    pthread_barrier_wait(&end_race);
  }
  return unused;
}

/* RACE-05: of all that end one session, one wins; there is one on_end. */
static void race_05(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 600000, .capacity = 10});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  pthread_t threads[3];
  char token[LSES_TOKEN_SIZE];
  int many = scaled(500, 100000);
  manager = it.manager;
  class.on_end = count_call;
  calls = 0;
  OK(lses_manager_register(manager, "watch", 5, NULL, 0, &class));
  pthread_barrier_init(&begin_race, NULL, 4);
  pthread_barrier_init(&end_race, NULL, 4);
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, end_it, NULL);
  for (int i = 0; i < many; i++) {
    winners = 0;
    OK(lses_manager_create(manager, NULL, token, race_id));
    pthread_barrier_wait(&begin_race);
    pthread_barrier_wait(&end_race);
    CHECK(winners == 1 && in_use(manager) == 0);
  }
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  int32_t drained;
  OK(lses_manager_drain(manager, 60000, &drained));
  CHECK(drained && calls == many);
  teardown(it);
}

static int32_t hang_at_gate(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  calls++;
  while (!gate) usleep(1000);
  return LSES_ALLOW;
}

static void *load(void *unused) {
  char token[LSES_TOKEN_SIZE];
  for (;;) {
    lses_status status = lses_manager_create(manager, NULL, token, NULL);
    if (status == LSES_E_CLOSED || status == LSES_E_CLOSING) return unused;
    OK(status);
  }
}

static lses_close_report reports[2];

static void *close_it(void *number) {
  lses_close_report report = LSES_CLOSE_REPORT_INIT;
  int64_t began = real_ms();
  OK(lses_manager_close(manager, 300, &report));
  CHECK(slow() || real_ms() - began < 3000);
  reports[(intptr_t)number] = report;
  return NULL;
}

/* SHUT-03: close under load, twice at once, with hung callbacks. */
static void shut_03(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 600000});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  pthread_t threads[8];
  uint64_t count;
  manager = it.manager;
  gate = calls = 0;
  class.on_end = hang_at_gate;
  OK(lses_manager_register(manager, "watch", 5, NULL, 0, &class));
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, load, NULL);
  usleep(20000);
  run_threads(2, close_it);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  CHECK(reports[0].ended > 0 && reports[0].ended == reports[1].ended && reports[0].undelivered == reports[1].undelivered);
  CHECK(reports[0].delivered + reports[0].undelivered >= reports[0].ended);
  STATUS(LSES_E_CLOSED, lses_manager_count(manager, &count));
  gate = 1;
  lses_manager_free(manager);
}

/* OBS-01: a hung callback and a stalled reaper are seen within a second, and an end always ends. */
static void obs_01(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 600000, .capacity = 5, .debug = 1, .deadline_ms = 50});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  lses_stats stats = LSES_STATS_INIT;
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  gate = calls = 0;
  class.on_end = hang_at_gate;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  OK(lses_manager_create(it.manager, NULL, token, id));
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  int64_t began = real_ms();
  do OK(lses_manager_stats(it.manager, &stats, NULL));
  while ((stats.stuck_workers == 0 || stats.callbacks_overrun == 0) && real_ms() - began < 10000);
  CHECK(stats.stuck_workers == 1 && stats.callbacks_overrun == 1 && (slow() || real_ms() - began < 1000));
  lses_create_options soon = LSES_CREATE_OPTIONS_INIT;
  soon.idle_timeout_ms = 100;
  OK(lses_manager_stall_reaper(it.manager, 1));
  OK(lses_manager_create(it.manager, &soon, token, NULL)); /* Something that it misses. */
  OK(lses_manager_create(it.manager, NULL, token, id));
  began = real_ms();
  do OK(lses_manager_stats(it.manager, &stats, NULL));
  while (stats.reaper != LSES_REAPER_DEGRADED && stats.reaper_restarts == 0 && real_ms() - began < 10000);
  CHECK(stats.reaper == LSES_REAPER_DEGRADED || stats.reaper_restarts > 0);
  OK(lses_manager_damage(it.manager, id, 22));
  OK(lses_manager_end(it.manager, id, 22, NULL, NULL, NULL));
  OK(lses_manager_stall_reaper(it.manager, 0));
  WAIT_FOR(in_use(it.manager) == 0);
  gate = 1;
  teardown(it);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } rows[] = {{"LIC-02", lic_02}, {"LIC-04", lic_04}, {"CB-01", cb_01},     {"CB-05", cb_05},     {"CB-06", cb_06},
              {"CB-07", cb_07},   {"CB-09", cb_09},   {"EXP-02", exp_02},   {"RACE-02", race_02}, {"RACE-05", race_05},
              {"SHUT-03", shut_03}, {"OBS-01", obs_01}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (argc > 1 && strcmp(argv[1], rows[i].name) != 0) continue;
    int64_t began = real_ms();
    rows[i].run();
    printf("%s: ok, %lld ms\n", rows[i].name, (long long)(real_ms() - began));
    fflush(stdout);
  }
  return 0;
}
