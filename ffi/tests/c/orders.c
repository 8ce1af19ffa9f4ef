/* Managers and completions are closed and freed in any order: whoever was not told is told once, and nothing is lost. */
#include "loop.h"

/* Calls of one manager in every state but told. */
typedef struct calls {
  call made, begun, denied, waits, too, lock, anywhere, elsewhere;
  lses_request *held;
} calls;

static void begin_all(calls *it, lses_manager *manager, const loop *where) {
  lses_create_options options = patient();
  OK(lses_manager_begin_new(manager, NULL, NULL, &it->held));
  char token[LSES_TOKEN_SIZE];
  OK(lses_request_token(it->held, token));
  lses_begin_options begin = LSES_BEGIN_OPTIONS_INIT;
  begin.lock_timeout_ms = 600000;
  OK(lses_manager_create_async(manager, &options, where->completions, tell, &it->made));
  OK(lses_manager_begin_new_async(manager, &options, NULL, where->completions, tell, &it->begun));
  OK(lses_manager_create_async(manager, NULL, where->completions, tell, &it->denied));
  OK(lses_manager_create_async(manager, &options, where->completions, tell, &it->waits));
  OK(lses_manager_begin_new_async(manager, &options, NULL, where->completions, tell, &it->too));
  OK(lses_manager_begin_async(manager, token, LSES_NTS, &begin, where->completions, tell, &it->lock));
  OK(lses_manager_create_async(manager, &options, NULL, tell, &it->anywhere));
  OK(lses_manager_begin_async(manager, token, LSES_NTS, &begin, NULL, tell, &it->elsewhere));
  CHECK(in_use(manager) == 3 && waiters(manager) == 3 && lock_waiters(manager) == 2);
}

/* Usually told already, by who gave it up; else by who is at it in another thread. */
static lses_status soon_told(const call *it) {
  while (__atomic_load_n(&it->turn, __ATOMIC_ACQUIRE) == 0) usleep(1000);
  CHECK(it->count == 1);
  return it->status;
}

static void all_are_told(const calls *it, lses_status denied) {
  TOLD(it->made, LSES_E_CLOSED);
  TOLD(it->begun, LSES_E_CLOSED);
  TOLD(it->denied, denied);
  TOLD(it->waits, LSES_E_CLOSED);
  TOLD(it->too, LSES_E_CLOSED);
  TOLD(it->lock, LSES_E_CLOSED);
  CHECK(it->begun.request == NULL && it->too.request == NULL && it->lock.request == NULL);
  CHECK(it->made.id[0] == '\0' && it->waits.id[0] == '\0');
}

/* On a store that outlives the manager nothing is left but the session that the host made itself, and those it was told of. */
static void nothing_is_left(const char *store, uint64_t known) {
  if (store == NULL) return;
  lses_manager *manager = units(3, store);
  CHECK(live(manager) == known);
  CHECK(in_use(manager) == known);
  CHECK(waiters(manager) == 0);
  lses_progress all = LSES_PROGRESS_INIT;
  OK(lses_manager_end_where(manager, NULL, NULL, 0, 100, &all));
  CHECK(in_use(manager) == 0);
  shut(manager);
}

static void freed_before_the_completions(const char *store, int runs) {
  lses_manager *manager = units(3, store), *same, *other = units(1, NULL);
  loop it = loop_new(0);
  calls all = {0};
  call others = {0};
  begin_all(&all, manager, &it);
  OK(lses_manager_create_async(other, NULL, it.completions, tell, &others));
  OK(lses_manager_clone(manager, &same));
  lses_manager_free(manager);
  CHECK(all.anywhere.count == 0 && in_use(same) == 3);
  lses_manager_free(same);
  /* Those without completions are told by who frees the last handle. */
  CHECK(soon_told(&all.anywhere) == LSES_E_CLOSED && soon_told(&all.elsewhere) == LSES_E_CLOSED);
  CHECK(all.made.count == 0 && all.waits.count == 0 && all.lock.count == 0);
  if (runs) {
    CHECK(woken(&it, 0) && run(&it, SIZE_MAX) == 7 && !woken(&it, 0));
    all_are_told(&all, LSES_E_LICENSE_DENIED);
    TOLD(others, LSES_OK);
    CHECK(live(other) == 1);
  }
  loop_free(it);
  all_are_told(&all, runs ? LSES_E_LICENSE_DENIED : LSES_E_CLOSED);
  CHECK(others.count == 1 && live(other) == (runs ? 1u : 0u));
  lses_request_free(all.held);
  nothing_is_left(store, 1);
  shut(other);
}

static void closed_before_the_completions_are_freed(const char *store) {
  uint64_t kept = 1;
  lses_manager *manager = units(3, store);
  loop it = loop_new(0);
  calls all = {0};
  begin_all(&all, manager, &it);
  OK(lses_manager_close(manager, 0, NULL));
  loop_free(it);
  all_are_told(&all, LSES_E_CLOSED);
  lses_manager_free(manager);
  lses_request_free(all.held);
  if (soon_told(&all.anywhere) == LSES_OK) kept++;
  CHECK(soon_told(&all.elsewhere) != LSES_OK);
  nothing_is_left(store, kept);
}

static void after_the_completions(const char *store) {
  lses_manager *manager = units(3, store);
  loop it = loop_new(0);
  calls all = {0};
  begin_all(&all, manager, &it);
  loop_free(it);
  all_are_told(&all, LSES_E_CLOSED);
  lses_manager_free(manager);
  CHECK(soon_told(&all.anywhere) == LSES_OK && soon_told(&all.elsewhere) == LSES_E_CLOSED);
  lses_request_free(all.held);
}

/* --- all at once --- */

typedef struct story {
  loop it;
  lses_manager *manager;
  pthread_barrier_t start;
} story;

static void *run_along(void *story_) {
  story *me = story_;
  pthread_barrier_wait(&me->start);
  size_t count;
  while (lses_completions_run(me->it.completions, 1, &count) == LSES_OK) sched_yield();
  return NULL;
}

static void *free_manager(void *story_) {
  story *me = story_;
  pthread_barrier_wait(&me->start);
  lses_manager_free(me->manager);
  return NULL;
}

static void *free_completions(void *story_) {
  story *me = story_;
  pthread_barrier_wait(&me->start);
  lses_completions_free(me->it.completions);
  return NULL;
}

typedef struct once {
  int count;
  lses_status status;
  lses_request *request;
} once;

static void tell_once(void *user_data, lses_status status, const lses_answer *answer) {
  once *it = user_data;
  it->status = status;
  it->request = answer->request;
  __atomic_fetch_add(&it->count, 1, __ATOMIC_SEQ_CST);
}

static void whoever_is_first(void) {
  int rounds = torture() ? 5000 : slow() ? 10 : 200;
  for (int i = 0; i < rounds; i++) {
    enum { CALLS = 12 };
    story me = {.it = loop_new(0), .manager = units(4, NULL)};
    once told[CALLS] = {{0}};
    lses_create_options options = patient();
    for (int j = 0; j < CALLS; j++)
      OK(lses_manager_begin_new_async(me.manager, &options, NULL, me.it.completions, tell_once, &told[j]));
    pthread_barrier_init(&me.start, NULL, 3);
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, run_along, &me);
    pthread_create(&threads[1], NULL, free_manager, &me);
    pthread_create(&threads[2], NULL, free_completions, &me);
    for (int j = 0; j < 3; j++) pthread_join(threads[j], NULL);
    pthread_barrier_destroy(&me.start);
    close(me.it.epoll);
    for (int j = 0; j < CALLS; j++) {
      CHECK(told[j].count == 1 && (told[j].status == LSES_OK || told[j].status == LSES_E_CLOSED));
      CHECK((told[j].status == LSES_OK) == (told[j].request != NULL));
      lses_request_free(told[j].request);
    }
  }
}

int main(int argc, char **argv) {
  const char *store = argc > 1 ? argv[1] : NULL;
  for (int runs = 0; runs < 2; runs++) freed_before_the_completions(store, runs);
  closed_before_the_completions_are_freed(store);
  if (store == NULL) {
    after_the_completions(NULL);
    whoever_is_first();
  }
  puts("orders: ok");
  return 0;
}
