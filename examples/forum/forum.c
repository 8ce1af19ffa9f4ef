/* 241 sessions, 33 units, callbacks that fail and callbacks that never return. Everybody leaves without a word.
 *
 * On the real clock: exits with 1 unless all units are free within one second of the deadline.
 *
 *   cc forum.c $(pkg-config --cflags --libs libsession) -lpthread && ./a.out
 */
#include <libsession.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSIONS = 241, UNITS = 33, IDLE_MS = 500 };

static void must(lses_status status) {
  if (status == LSES_OK) return;
  fprintf(stderr, "%s: %s\n", lses_status_name(status), lses_last_error_message());
  exit(1);
}

/* The mail server is down. */
static int32_t fail(void *user_data, const lses_event *event) {
  (void)user_data;
  must(lses_event_say(event, "the mail server is down", LSES_NTS));
  return LSES_FAILED;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t somebody = PTHREAD_COND_INITIALIZER;
static int came;

/* Waits for somebody who never comes. */
static int32_t hang(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  pthread_mutex_lock(&lock);
  while (!came) pthread_cond_wait(&somebody, &lock);
  pthread_mutex_unlock(&lock);
  return LSES_ALLOW;
}

/* Wants every session to live for another hour. */
static int32_t veto(void *user_data, const lses_event *event, int64_t *extend_ms) {
  (void)user_data;
  (void)event;
  *extend_ms = 3600 * 1000;
  return LSES_EXTEND;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static lses_usage usage_of(lses_manager *manager) {
  lses_usage usage = LSES_USAGE_INIT;
  must(lses_manager_usage(manager, "users", LSES_NTS, &usage, NULL));
  return usage;
}

int main(void) {
  lses_str classes[] = {lses_cstr("failer"), lses_cstr("hanger"), lses_cstr("vetoer")};
  lses_application forum = LSES_APPLICATION_INIT;
  forum.name = lses_cstr("forum");
  forum.idle_timeout_ms = IDLE_MS;
  forum.event_classes = classes;
  forum.event_class_count = 3;
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = UNITS;
  lses_config *config;
  must(lses_config_new(&config));
  must(lses_config_add_application(config, &forum));
  must(lses_config_add_pool(config, &users));
  must(lses_config_set_callback_deadline(config, 200));
  lses_manager *manager;
  must(lses_manager_new(config, &manager));
  lses_config_free(config);

  lses_event_class failer = LSES_EVENT_CLASS_INIT, hanger = LSES_EVENT_CLASS_INIT, vetoer = LSES_EVENT_CLASS_INIT;
  failer.on_end = fail;
  hanger.on_timeout = hang;
  vetoer.on_expiring = veto;
  must(lses_manager_register(manager, "failer", LSES_NTS, NULL, 0, &failer));
  must(lses_manager_register(manager, "hanger", LSES_NTS, NULL, 0, &hanger));
  must(lses_manager_register(manager, "vetoer", LSES_NTS, NULL, 0, &vetoer));

  /* 241 sessions of 33 users: a unit is for up to 25 sessions of one user. */
  for (int number = 0; number < SESSIONS; number++) {
    char user[16], token[LSES_TOKEN_SIZE];
    snprintf(user, sizeof user, "user%d", number < SESSIONS - 1 ? number % (UNITS - 1) : UNITS - 1);
    lses_request *request;
    must(lses_manager_begin_new(manager, NULL, NULL, &request));
    must(lses_request_login(request, user, LSES_NTS, token, NULL));
    must(lses_request_finish(request));
    lses_request_free(request);
  }
  int64_t left = now_ms(); /* The last of them was used just now. */
  uint64_t live;
  must(lses_manager_count(manager, &live));
  lses_usage usage = usage_of(manager);
  printf("%d sessions of %d users hold %d of %d units\n", (int)live, (int)usage.holders, (int)usage.in_use,
         (int)usage.capacity);
  char token[LSES_TOKEN_SIZE];
  if (lses_manager_create(manager, NULL, token, NULL) == LSES_E_LICENSE_DENIED)
    printf("one more is refused: %s\n", lses_deny_reason_name(lses_last_error_deny_reason()));

  while (usage_of(manager).in_use > 0 && now_ms() - left < 10000) nanosleep(&(struct timespec){0, 1000000}, NULL);
  int64_t took = now_ms() - left;
  usage = usage_of(manager);
  lses_stats stats = LSES_STATS_INIT;
  must(lses_manager_stats(manager, &stats, NULL));
  printf("%d of %d units are free %d ms after the last use, %d sessions left; %d timed out\n", (int)usage.available,
         UNITS, (int)took, (int)stats.live, (int)stats.ended_by_reason[LSES_REASON_IDLE_TIMEOUT]);
  printf("worst lateness %d ms, p99 %d ms\n", (int)stats.lateness_max_ms, (int)stats.lateness_p99_ms);
  int all_free = usage.available == UNITS && stats.live == 0 && took < IDLE_MS + 1000;
  while (stats.stuck_workers == 0 && now_ms() - left < 10000) {
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    must(lses_manager_stats(manager, &stats, NULL));
  }
  printf("meanwhile %d callback threads hang and %d callbacks failed: nobody noticed\n", (int)stats.stuck_workers,
         (int)stats.callbacks_failed);

  lses_buf audit, check;
  must(lses_manager_audit(manager, "users", LSES_NTS, &audit));
  must(lses_manager_check(manager, &check));
  printf("audit: %s, check: %s\n", audit.data, check.data);
  int equal = strstr(audit.data, "\"differences\":[]") != NULL && strcmp(check.data, "[]") == 0;
  lses_buf_free(&audit);
  lses_buf_free(&check);
  must(lses_manager_create(manager, NULL, token, NULL));
  printf("a new session is welcome\n");

  pthread_mutex_lock(&lock);
  came = 1;
  pthread_cond_broadcast(&somebody);
  pthread_mutex_unlock(&lock);
  must(lses_manager_close(manager, 1000, NULL));
  lses_manager_free(manager);
  printf(all_free && equal ? "the forum is free again\n" : "NOT as said\n");
  return all_free && equal ? 0 : 1;
}
