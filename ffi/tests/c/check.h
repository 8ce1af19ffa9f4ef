/* What the test programs share: assertions that say where, and short ways to open things. */
#ifndef CHECK_H
#define CHECK_H

#include <libsession.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: not so: %s (%s: %s)\n", __FILE__, __LINE__, #condition, \
              lses_status_name(lses_last_error_code()), lses_last_error_message());  \
      abort();                                                                       \
    }                                                                                \
  } while (0)

#define STATUS(wanted, call)                                                              \
  do {                                                                                    \
    lses_status status_ = (call);                                                         \
    if (status_ != (wanted)) {                                                            \
      fprintf(stderr, "%s:%d: %s is %d (%s: %s), not %s\n", __FILE__, __LINE__, #call,    \
              (int)status_, lses_status_name(status_), lses_last_error_message(), #wanted); \
      abort();                                                                            \
    }                                                                                     \
  } while (0)

#define OK(call) STATUS(LSES_OK, call)

/* A manager with one application `shop` (idle timeout as given, event class `watch`) and one pool `users`. */
typedef struct setup {
  lses_clock *clock;
  lses_manager *manager;
} setup;

typedef struct setup_options {
  int64_t idle_timeout_ms;
  uint64_t capacity; /* 0: no pool */
  int manual;        /* a manual clock */
  uint32_t dispatch;
  int no_threads;
  int debug;
  int64_t deadline_ms; /* of callbacks; 0: the default */
  size_t workers;      /* 0: the default */
  size_t queue;        /* 0: the default */
  int64_t max_extensions;
  const char *store; /* NULL: memory */
} setup_options;

static inline setup setup_with(setup_options options) {
  setup it = {NULL, NULL};
  lses_config *config = NULL;
  OK(lses_config_new(&config));
  lses_str watch = lses_cstr("watch");
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.event_classes = &watch;
  shop.event_class_count = 1;
  if (options.idle_timeout_ms != 0) shop.idle_timeout_ms = options.idle_timeout_ms;
  if (options.max_extensions != 0) shop.max_extensions = options.max_extensions;
  OK(lses_config_add_application(config, &shop));
  if (options.capacity != 0) {
    lses_pool users = LSES_POOL_INIT;
    users.name = lses_cstr("users");
    users.capacity = options.capacity;
    OK(lses_config_add_pool(config, &users));
  }
  if (options.manual) {
    OK(lses_clock_manual(&it.clock));
    OK(lses_config_set_clock(config, it.clock));
  }
  if (options.store != NULL) OK(lses_config_set_store(config, options.store, LSES_NTS));
  if (options.dispatch != 0) OK(lses_config_set_dispatch(config, options.dispatch));
  if (options.no_threads) OK(lses_config_set_threads(config, 0));
  if (options.debug) OK(lses_config_set_debug(config, 1));
  if (options.deadline_ms != 0) OK(lses_config_set_callback_deadline(config, options.deadline_ms));
  if (options.workers != 0) OK(lses_config_set_workers(config, options.workers, 2));
  if (options.queue != 0) OK(lses_config_set_queue(config, options.queue));
  OK(lses_manager_new(config, &it.manager));
  lses_config_free(config);
  return it;
}

static inline void teardown(setup it) {
  lses_buf violations = LSES_BUF_INIT;
  lses_status status = lses_manager_check(it.manager, &violations);
  CHECK(status == LSES_OK || status == LSES_E_CLOSED);
  if (status == LSES_OK) CHECK(strcmp(violations.data, "[]") == 0);
  lses_buf_free(&violations);
  OK(lses_manager_close(it.manager, 2000, NULL));
  lses_manager_free(it.manager);
  lses_clock_free(it.clock);
}

static inline uint64_t in_use(lses_manager *manager) {
  lses_usage usage = LSES_USAGE_INIT;
  OK(lses_manager_usage(manager, "users", LSES_NTS, &usage, NULL));
  return usage.in_use;
}

static inline int64_t real_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until a condition holds, at most 10 s. */
#define WAIT_FOR(condition)                                \
  do {                                                     \
    int64_t until_ = real_ms() + 10000;                    \
    while (!(condition)) {                                 \
      CHECK(real_ms() < until_ && "waiting: " #condition); \
      usleep(500);                                         \
    }                                                      \
  } while (0)

static inline int torture(void) {
  const char *value = getenv("LSES_TORTURE");
  return value != NULL && strcmp(value, "1") == 0;
}

/* 1 under valgrind, where everything is slower by far. */
static inline int slow(void) { return getenv("LSES_SLOW") != NULL; }

#endif
