/* An event loop of the host, and what calls that do not block tell in it. */
#ifndef LOOP_H
#define LOOP_H

#include "check.h"

#include <errno.h>
#include <sys/epoll.h>

typedef struct call {
  lses_completions *completions; /* to start another one, or to free; or NULL */
  lses_manager *manager;
  struct call *next;
  pthread_t thread;
  int count, frees, turn;
  lses_status status, trade;
  uint32_t reason;
  char id[LSES_ID_SIZE], token[LSES_TOKEN_SIZE];
  lses_request *request;
  int receipts;
  lses_receipt receipt;
  char json[1024];
} call;

static int order;

static inline void tell(void *user_data, lses_status status, const lses_answer *answer) {
  call *it = user_data;
  it->thread = pthread_self();
  it->count++;
  it->status = status;
  it->trade = answer->trade;
  it->reason = answer->reason;
  it->request = answer->request;
  CHECK(answer->size == sizeof *answer && (status == LSES_OK || lses_last_error_code() == status));
  if (answer->id.data != NULL) strcpy(it->id, answer->id.data);
  if (answer->token.data != NULL) strcpy(it->token, answer->token.data);
  CHECK((answer->receipt == NULL) == (answer->json.data == NULL));
  if (answer->receipt != NULL) {
    it->receipts++;
    it->receipt = *answer->receipt;
    CHECK(answer->json.len < sizeof it->json && strlen(answer->json.data) == answer->json.len);
    strcpy(it->json, answer->json.data);
  }
  /* The last: who waits for it in another thread sees the rest. */
  __atomic_store_n(&it->turn, ++order, __ATOMIC_RELEASE);
  if (it->next != NULL) OK(lses_manager_create_async(it->manager, NULL, it->completions, tell, it->next));
  if (it->frees) lses_completions_free(it->completions);
}

#define TOLD(it, wanted) \
  CHECK((it).count == 1 && (it).status == (wanted) && pthread_equal((it).thread, pthread_self()))

typedef struct loop {
  lses_completions *completions;
  int fd, epoll;
} loop;

static inline loop loop_new(uint32_t how) {
  loop it;
  OK(lses_completions_new(&it.completions));
  OK(lses_completions_fd(it.completions, &it.fd));
  it.epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | how, .data = {.fd = it.fd}};
  CHECK(it.epoll >= 0 && epoll_ctl(it.epoll, EPOLL_CTL_ADD, it.fd, &event) == 0);
  return it;
}

static inline void loop_free(loop it) {
  close(it.epoll);
  lses_completions_free(it.completions);
}

/* Whether the loop would be woken, within so many milliseconds. */
static inline int woken(const loop *it, int timeout_ms) {
  struct epoll_event event;
  int found;
  do found = epoll_wait(it->epoll, &event, 1, timeout_ms);
  while (found < 0 && errno == EINTR);
  return found == 1 && event.data.fd == it->fd;
}

static inline size_t run(const loop *it, size_t max) {
  size_t count = 99;
  OK(lses_completions_run(it->completions, max, &count));
  return count;
}

static inline void until(const loop *it, const call *told) {
  while (told->count == 0) {
    CHECK(woken(it, 60000));
    run(it, SIZE_MAX);
  }
}

/* A pool of so many units with a queue. */
static inline lses_manager *units(uint64_t capacity, const char *store) {
  lses_config *config;
  OK(lses_config_new(&config));
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = capacity;
  users.queue = 1000;
  OK(lses_config_add_pool(config, &users));
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.pool = users.name;
  OK(lses_config_add_application(config, &shop));
  if (store != NULL) OK(lses_config_set_store(config, store, LSES_NTS));
  lses_manager *manager;
  OK(lses_manager_new(config, &manager));
  lses_config_free(config);
  return manager;
}

static inline lses_create_options patient(void) {
  lses_create_options options = LSES_CREATE_OPTIONS_INIT;
  options.wait_ms = 600000;
  return options;
}

static inline uint64_t waiters(lses_manager *manager) {
  lses_stats stats = LSES_STATS_INIT;
  OK(lses_manager_stats(manager, &stats, NULL));
  return stats.license_waiters;
}

static inline uint64_t lock_waiters(lses_manager *manager) {
  lses_stats stats = LSES_STATS_INIT;
  OK(lses_manager_stats(manager, &stats, NULL));
  return stats.lock_waiters;
}

static inline uint64_t live(lses_manager *manager) {
  uint64_t count;
  OK(lses_manager_count(manager, &count));
  return count;
}

static inline void end(lses_manager *manager, const char *id) { OK(lses_manager_end(manager, id, LSES_NTS, NULL, NULL, NULL)); }

static inline void *end_elsewhere(void *request) {
  OK(lses_request_end(request, NULL, NULL, NULL));
  lses_request_free(request);
  return NULL;
}

static inline void shut(lses_manager *manager) {
  lses_buf json = LSES_BUF_INIT;
  lses_status status = lses_manager_audit(manager, "users", LSES_NTS, &json);
  if (status == LSES_OK) CHECK(strstr(json.data, "\"differences\":[]") != NULL);
  lses_buf_free(&json);
  OK(lses_manager_close(manager, 2000, NULL));
  lses_manager_free(manager);
}

#endif
