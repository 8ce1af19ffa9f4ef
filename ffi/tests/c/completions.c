/* Calls that do not block, told in the host's own event loop: what their descriptor and their completions promise. */
#include "loop.h"

#include <fcntl.h>
#include <sys/wait.h>

static void the_descriptor_is_readable_while_something_is_ready(void) {
  lses_manager *manager = units(1, NULL);
  loop it = loop_new(0);
  int same = -1;
  OK(lses_completions_fd(it.completions, &same));
  CHECK(same == it.fd && fcntl(it.fd, F_GETFD) & FD_CLOEXEC && fcntl(it.fd, F_GETFL) & O_NONBLOCK);
  CHECK(!woken(&it, 0) && run(&it, SIZE_MAX) == 0);
  call first = {0}, second = {0}, none = {0};
  STATUS(LSES_E_INVALID, lses_manager_create_async(manager, NULL, it.completions, NULL, &none));
  lses_create_options wrong = LSES_CREATE_OPTIONS_INIT;
  wrong.size = 3;
  STATUS(LSES_E_INVALID, lses_manager_create_async(manager, &wrong, it.completions, tell, &none));
  CHECK(!woken(&it, 0));
  /* Never told in the call, even if all is there at once. */
  OK(lses_manager_create_async(manager, NULL, it.completions, tell, &first));
  OK(lses_manager_create_async(manager, NULL, it.completions, tell, &second));
  CHECK(first.count == 0 && second.count == 0 && woken(&it, 0) && woken(&it, 0));
  CHECK(run(&it, 0) == 0 && run(&it, 1) == 1);
  TOLD(first, LSES_OK);
  CHECK(strlen(first.id) == LSES_ID_SIZE - 1 && strlen(first.token) == LSES_TOKEN_SIZE - 1);
  CHECK(second.count == 0 && woken(&it, 0) && run(&it, SIZE_MAX) == 1 && !woken(&it, 0));
  TOLD(second, LSES_E_LICENSE_DENIED);
  CHECK(none.count == 0);
  loop_free(it);
  STATUS(LSES_E_STALE_HANDLE, lses_completions_run(it.completions, 1, NULL));
  STATUS(LSES_E_STALE_HANDLE, lses_completions_fd(it.completions, &same));
  STATUS(LSES_E_STALE_HANDLE, lses_manager_create_async(manager, NULL, it.completions, tell, &none));
  CHECK(none.count == 0 && fcntl(it.fd, F_GETFD) == -1 && errno == EBADF);
  lses_completions_free(it.completions);
  lses_completions_free(NULL);
  shut(manager);
}

static void who_watches_edges_misses_nothing(void) {
  lses_manager *manager = units(100, NULL);
  loop it = loop_new(EPOLLET);
  call calls[20] = {0};
  for (int i = 0; i < 10; i++) OK(lses_manager_create_async(manager, NULL, it.completions, tell, &calls[i]));
  /* One edge for each run that left something. */
  for (int i = 0; i < 10; i++) {
    CHECK(woken(&it, 0) && !woken(&it, 0) && run(&it, 1) == 1);
    TOLD(calls[i], LSES_OK);
  }
  CHECK(!woken(&it, 0));
  /* What a callback starts is for the next run, however soon it is ready. */
  for (int i = 10; i < 20; i++) {
    calls[i].completions = it.completions;
    calls[i].manager = manager;
    calls[i].next = i < 19 ? &calls[i + 1] : NULL;
  }
  OK(lses_manager_create_async(manager, NULL, it.completions, tell, &calls[10]));
  for (int i = 10; i < 20; i++) {
    CHECK(woken(&it, 0) && run(&it, SIZE_MAX) == 1);
    TOLD(calls[i], LSES_OK);
  }
  CHECK(!woken(&it, 0));
  loop_free(it);
  shut(manager);
}

static void units_and_locks_come_to_the_loop(void) {
  lses_manager *manager = units(1, NULL);
  loop it = loop_new(0);
  lses_create_options options = patient();
  lses_request *held;
  OK(lses_manager_begin_new(manager, NULL, NULL, &held));
  call seat = {0}, behind = {0};
  OK(lses_ticket_new(&options.ticket));
  OK(lses_manager_begin_new_async(manager, &options, NULL, it.completions, tell, &seat));
  lses_create_options second = patient();
  OK(lses_ticket_new(&second.ticket));
  OK(lses_manager_create_async(manager, &second, it.completions, tell, &behind));
  uint64_t position = 0;
  OK(lses_ticket_position(second.ticket, &position));
  CHECK(position == 2 && waiters(manager) == 2 && !woken(&it, 0));
  /* Cancelled: told by the next run. */
  OK(lses_ticket_cancel(second.ticket));
  lses_ticket_free(second.ticket);
  CHECK(behind.count == 0 && woken(&it, 60000) && run(&it, SIZE_MAX) == 1);
  TOLD(behind, LSES_E_CANCELLED);
  pthread_t thread;
  pthread_create(&thread, NULL, end_elsewhere, held);
  until(&it, &seat);
  TOLD(seat, LSES_OK);
  pthread_join(thread, NULL);
  lses_ticket_free(options.ticket);

  call login = {0}, trade = {0}, feature = {0};
  OK(lses_request_login_async(seat.request, "ann", LSES_NTS, NULL, it.completions, tell, &login));
  until(&it, &login);
  TOLD(login, LSES_OK);
  CHECK(strlen(login.token) == LSES_TOKEN_SIZE - 1 && login.trade == LSES_OK);
  OK(lses_request_trade_async(seat.request, NULL, it.completions, tell, &trade));
  lses_feature_options two = LSES_FEATURE_OPTIONS_INIT;
  two.count = 200;
  OK(lses_request_take_feature_async(seat.request, "users", LSES_NTS, &two, it.completions, tell, &feature));
  CHECK(woken(&it, 60000) && run(&it, SIZE_MAX) == 2 && trade.turn < feature.turn);
  TOLD(trade, LSES_OK);
  TOLD(feature, LSES_E_LICENSE_DENIED);

  /* Locks: who has it, who waits for it, who does not. */
  char id[LSES_ID_SIZE];
  OK(lses_request_id(seat.request, id));
  call next = {0}, hasty = {0}, again = {0}, absent = {0}, gone = {0};
  lses_begin_options at_once = LSES_BEGIN_OPTIONS_INIT;
  at_once.lock_timeout_ms = 0;
  OK(lses_manager_begin_async(manager, login.token, LSES_NTS, &at_once, it.completions, tell, &hasty));
  OK(lses_manager_begin_async(manager, login.token, LSES_NTS, NULL, it.completions, tell, &next));
  OK(lses_manager_begin_async(manager, "no token", LSES_NTS, NULL, it.completions, tell, &absent));
  CHECK(run(&it, SIZE_MAX) == 2);
  TOLD(hasty, LSES_E_LOCK_TIMEOUT);
  TOLD(absent, LSES_ABSENT);
  CHECK(hasty.request == NULL && next.count == 0 && !woken(&it, 0));
  OK(lses_request_unlock(seat.request, 1));
  until(&it, &next);
  TOLD(next, LSES_OK);
  OK(lses_request_lock_async(seat.request, LSES_LOCK_EXCLUSIVE, LSES_UNSET, NULL, it.completions, tell, &again));
  STATUS(LSES_E_INVALID, lses_request_lock_async(seat.request, 99, LSES_UNSET, NULL, it.completions, tell, &absent));
  CHECK(!woken(&it, 0));
  OK(lses_request_finish(next.request));
  lses_request_free(next.request);
  until(&it, &again);
  TOLD(again, LSES_OK);
  uint32_t lock = 0;
  OK(lses_request_lock_mode(seat.request, &lock));
  CHECK(lock == LSES_LOCK_EXCLUSIVE);
  lses_request_free(seat.request);
  end(manager, id);
  OK(lses_manager_begin_async(manager, login.token, LSES_NTS, NULL, it.completions, tell, &gone));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(gone, LSES_GONE);
  CHECK(gone.reason == LSES_REASON_ENDED && in_use(manager) == 0);

  /* A manager that closes tells who waits, and who has not fetched yet what ends with it. */
  call holder = {0}, last = {0};
  OK(lses_manager_create_async(manager, NULL, it.completions, tell, &holder));
  options.ticket = NULL;
  OK(lses_manager_create_async(manager, &options, it.completions, tell, &last));
  OK(lses_manager_close(manager, 0, NULL));
  until(&it, &last);
  TOLD(holder, LSES_E_CLOSED);
  CHECK(last.status == LSES_E_CLOSED || last.status == LSES_E_CLOSING);
  loop_free(it);
  lses_manager_free(manager);
}

typedef struct blocked {
  lses_manager *manager;
  const char *token;
  lses_ticket *ticket;
} blocked;

static void *begin_blocked(void *blocked_) {
  blocked *me = blocked_;
  lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
  options.lock_timeout_ms = 600000;
  options.ticket = me->ticket;
  lses_request *request = NULL;
  STATUS(LSES_E_CANCELLED, lses_manager_begin(me->manager, me->token, LSES_NTS, &options, &request, NULL));
  CHECK(request == NULL);
  return NULL;
}

static int is_waiting(const lses_ticket *ticket) {
  int32_t is = -1;
  OK(lses_ticket_waits((lses_ticket *)ticket, &is));
  return is;
}

static void a_wait_for_a_lock_is_cancelled(void) {
  lses_manager *manager = units(1, NULL);
  loop it = loop_new(0);
  lses_request *held, *second;
  OK(lses_manager_begin_new(manager, NULL, NULL, &held));
  char token[LSES_TOKEN_SIZE];
  OK(lses_request_token(held, token));
  lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
  options.lock_timeout_ms = 600000;

  /* By a loop: told by the next run. */
  call begun = {0}, anywhere = {0}, again = {0}, late = {0};
  OK(lses_ticket_new(&options.ticket));
  OK(lses_manager_begin_async(manager, token, LSES_NTS, &options, it.completions, tell, &begun));
  uint64_t position = 9;
  OK(lses_ticket_position(options.ticket, &position));
  CHECK(is_waiting(options.ticket) && position == 0 && lock_waiters(manager) == 1);
  OK(lses_ticket_cancel(options.ticket));
  CHECK(!is_waiting(options.ticket) && lock_waiters(manager) == 0 && begun.count == 0);
  CHECK(woken(&it, 0) && run(&it, SIZE_MAX) == 1);
  TOLD(begun, LSES_E_CANCELLED);
  CHECK(begun.request == NULL);
  /* One that was cancelled before it would wait. */
  OK(lses_manager_begin_async(manager, token, LSES_NTS, &options, it.completions, tell, &late));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(late, LSES_E_CANCELLED);
  lses_ticket_free(options.ticket);

  /* Without one: told in the call that cancels. */
  OK(lses_ticket_new(&options.ticket));
  OK(lses_manager_begin_async(manager, token, LSES_NTS, &options, NULL, tell, &anywhere));
  CHECK(anywhere.count == 0);
  OK(lses_ticket_cancel(options.ticket));
  TOLD(anywhere, LSES_E_CANCELLED);
  lses_ticket_free(options.ticket);

  /* A thread that blocks. */
  blocked it_blocks = {.manager = manager, .token = token};
  OK(lses_ticket_new(&it_blocks.ticket));
  pthread_t thread;
  pthread_create(&thread, NULL, begin_blocked, &it_blocks);
  while (!is_waiting(it_blocks.ticket)) usleep(1000);
  OK(lses_ticket_cancel(it_blocks.ticket));
  pthread_join(thread, NULL);
  lses_ticket_free(it_blocks.ticket);
  CHECK(lock_waiters(manager) == 0);

  /* The lock of a request that goes on without it. */
  OK(lses_request_unlock(held, 1));
  OK(lses_manager_begin(manager, token, LSES_NTS, NULL, &second, NULL));
  lses_ticket *ticket;
  OK(lses_ticket_new(&ticket));
  OK(lses_request_lock_async(held, LSES_LOCK_EXCLUSIVE, 600000, ticket, it.completions, tell, &again));
  CHECK(is_waiting(ticket) && run(&it, SIZE_MAX) == 0);
  OK(lses_ticket_cancel(ticket));
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(again, LSES_E_CANCELLED);
  lses_ticket_free(ticket);
  STATUS(LSES_E_STALE_HANDLE,
         lses_request_lock_async(held, LSES_LOCK_EXCLUSIVE, 0, ticket, it.completions, tell, &again));
  options.ticket = ticket;
  STATUS(LSES_E_STALE_HANDLE,
         lses_manager_begin_async(manager, token, LSES_NTS, &options, it.completions, tell, &begun));
  OK(lses_request_finish(second));
  lses_request_free(second);
  OK(lses_request_lock(held, LSES_LOCK_EXCLUSIVE, 0));
  OK(lses_request_end(held, NULL, NULL, NULL));
  lses_request_free(held);
  CHECK(in_use(manager) == 0 && run(&it, SIZE_MAX) == 0);
  loop_free(it);
  shut(manager);
}

/* --- who gives up, and who frees the lock --- */

static void *cancel_elsewhere(void *ticket) {
  OK(lses_ticket_cancel(ticket));
  return NULL;
}

static void no_lock_is_lost_to_a_cancel(void) {
  lses_manager *manager = units(1, NULL);
  loop it = loop_new(0);
  lses_request *held;
  OK(lses_manager_begin_new(manager, NULL, NULL, &held));
  char token[LSES_TOKEN_SIZE];
  OK(lses_request_token(held, token));
  int rounds = torture() ? 20000 : slow() ? 30 : 300;
  for (int i = 0; i < rounds; i++) {
    lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
    options.lock_timeout_ms = 600000;
    OK(lses_ticket_new(&options.ticket));
    call begun = {0};
    OK(lses_manager_begin_async(manager, token, LSES_NTS, &options, it.completions, tell, &begun));
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_elsewhere, options.ticket);
    OK(lses_request_unlock(held, 1));
    until(&it, &begun);
    pthread_join(thread, NULL);
    lses_ticket_free(options.ticket);
    if (begun.status == LSES_OK) {
      OK(lses_request_finish(begun.request));
      lses_request_free(begun.request);
    } else {
      TOLD(begun, LSES_E_CANCELLED);
    }
    CHECK(begun.count == 1 && run(&it, SIZE_MAX) == 0);
    OK(lses_request_lock(held, LSES_LOCK_EXCLUSIVE, 0));
  }
  CHECK(lock_waiters(manager) == 0);
  lses_request_free(held);
  loop_free(it);
  shut(manager);
}

static void what_nobody_fetched_is_released(void) {
  lses_manager *manager = units(3, NULL);
  loop it = loop_new(0);
  lses_create_options options = patient();
  call made = {0}, begun = {0}, other = {0}, waits = {0}, too = {0}, next = {0};
  lses_request *held;
  OK(lses_manager_begin_new(manager, NULL, NULL, &held));
  char token[LSES_TOKEN_SIZE];
  OK(lses_request_token(held, token));
  /* Ready: a session, a session with its request. */
  OK(lses_manager_create_async(manager, &options, it.completions, tell, &made));
  OK(lses_manager_begin_new_async(manager, &options, NULL, it.completions, tell, &begun));
  /* In flight: units with a ticket and without, a lock. */
  OK(lses_ticket_new(&options.ticket));
  OK(lses_manager_create_async(manager, &options, it.completions, tell, &waits));
  options.ticket = NULL;
  OK(lses_manager_begin_new_async(manager, &options, NULL, it.completions, tell, &too));
  OK(lses_manager_begin_async(manager, token, LSES_NTS, NULL, it.completions, tell, &next));
  CHECK(in_use(manager) == 3 && live(manager) == 3 && waiters(manager) == 2);
  /* What is of another one stays. */
  loop another = loop_new(0);
  OK(lses_manager_create_async(manager, &options, another.completions, tell, &other));
  loop_free(it);
  TOLD(made, LSES_E_CLOSED);
  TOLD(begun, LSES_E_CLOSED);
  TOLD(waits, LSES_E_CLOSED);
  TOLD(too, LSES_E_CLOSED);
  TOLD(next, LSES_E_CLOSED);
  CHECK(made.turn < begun.turn && begun.turn < waits.turn && begun.request == NULL && made.id[0] == '\0');
  until(&another, &other);
  TOLD(other, LSES_OK);
  CHECK(waiters(manager) == 0 && live(manager) == 2 && in_use(manager) == 2);
  /* The begin waits no more. */
  CHECK(lock_waiters(manager) == 0);
  OK(lses_request_finish(held));
  lses_request_free(held);
  CHECK(made.count == 1 && next.count == 1);
  end(manager, other.id);
  CHECK(in_use(manager) == 1);
  loop_free(another);
  shut(manager);
}

static void freed_by_its_own_callback(void) {
  lses_manager *manager = units(3, NULL);
  loop it = loop_new(0);
  call calls[3] = {0};
  for (int i = 0; i < 3; i++) {
    calls[i].completions = it.completions;
    OK(lses_manager_create_async(manager, NULL, it.completions, tell, &calls[i]));
  }
  calls[0].frees = 1;
  CHECK(run(&it, SIZE_MAX) == 1);
  TOLD(calls[0], LSES_OK);
  TOLD(calls[1], LSES_E_CLOSED);
  TOLD(calls[2], LSES_E_CLOSED);
  CHECK(live(manager) == 1);
  close(it.epoll);
  shut(manager);
}

static void tell_in_child(void *user_data, lses_status status, const lses_answer *answer) {
  CHECK(status == LSES_OK && answer->id.data != NULL);
  ++*(int *)user_data;
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    return;
  }
  int how;
  CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 7);
}

static void a_child_has_none(void) {
  lses_manager *manager = units(2, NULL);
  loop it = loop_new(0);
  call first = {0}, second = {0};
  lses_create_options options = patient();
  OK(lses_manager_create_async(manager, NULL, it.completions, tell, &first));
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    int fd;
    STATUS(LSES_E_FORKED, lses_completions_run(it.completions, 1, NULL));
    STATUS(LSES_E_FORKED, lses_completions_fd(it.completions, &fd));
    lses_completions_free(it.completions);
    /* Its own works. */
    lses_manager *own = units(1, NULL);
    loop mine = loop_new(0);
    STATUS(LSES_E_FORKED, lses_manager_create_async(own, NULL, it.completions, tell, &second));
    OK(lses_manager_create_async(own, NULL, mine.completions, tell, &second));
    CHECK(woken(&mine, 0) && run(&mine, 1) == 1);
    TOLD(second, LSES_OK);
    loop_free(mine);
    shut(own);
    _exit(first.count == 0 ? 0 : 1);
  }
  int how;
  CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
  CHECK(woken(&it, 0) && run(&it, SIZE_MAX) == 1 && !woken(&it, 0));
  TOLD(first, LSES_OK);
  /* A callback that forks: the child's run is over, the parent's goes on. */
  int told = 0;
  pid_t parent = getpid();
  OK(lses_manager_create_async(manager, NULL, it.completions, tell_in_child, &told));
  OK(lses_manager_create_async(manager, &options, it.completions, tell, &second));
  size_t count = run(&it, SIZE_MAX);
  if (getpid() != parent) {
    STATUS(LSES_E_FORKED, lses_completions_run(it.completions, 1, NULL));
    _exit(count == 1 && told == 1 && second.count == 0 ? 7 : 1);
  }
  CHECK(count == 1 && told == 1 && waiters(manager) == 1);
  loop_free(it);
  TOLD(second, LSES_E_CLOSED);
  shut(manager);
}

/* --- many loops, few units --- */

typedef struct worker {
  loop it;
  lses_manager *manager;
  pthread_t thread;
  int to_start, in_flight, seats, failed;
} worker;

static void start(worker *me);

static void on_seat(void *user_data, lses_status status, const lses_answer *answer) {
  worker *me = user_data;
  CHECK(pthread_equal(me->thread, pthread_self()));
  me->in_flight--;
  if (status == LSES_OK) {
    me->seats++;
    OK(lses_request_end(answer->request, NULL, NULL, NULL));
    lses_request_free(answer->request);
  } else {
    CHECK(status == LSES_E_CANCELLED);
    me->failed++;
  }
  start(me);
}

static void start(worker *me) {
  while (me->to_start > 0 && me->in_flight < 8) {
    me->to_start--;
    me->in_flight++;
    lses_create_options options = patient();
    if (me->to_start % 5 == 0) OK(lses_ticket_new(&options.ticket));
    OK(lses_manager_begin_new_async(me->manager, &options, NULL, me->it.completions, on_seat, me));
    if (options.ticket != NULL) OK(lses_ticket_cancel(options.ticket));
    lses_ticket_free(options.ticket);
  }
}

static void *work(void *worker_) {
  worker *me = worker_;
  me->thread = pthread_self();
  start(me);
  while (me->in_flight > 0) {
    CHECK(woken(&me->it, 120000));
    run(&me->it, 3);
  }
  CHECK(!woken(&me->it, 0) && me->to_start == 0);
  return NULL;
}

static void many_loops_share_few_units(const char *store) {
  enum { WORKERS = 4 };
  int calls = torture() ? 20000 : slow() || store != NULL ? 100 : 1000;
  lses_manager *manager = units(3, store);
  worker workers[WORKERS];
  pthread_t threads[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    workers[i] = (worker){.it = loop_new(i % 2 ? EPOLLET : 0), .manager = manager, .to_start = calls};
    pthread_create(&threads[i], NULL, work, &workers[i]);
  }
  for (int i = 0; i < WORKERS; i++) {
    pthread_join(threads[i], NULL);
    CHECK(workers[i].seats + workers[i].failed == calls && workers[i].seats > 0);
    loop_free(workers[i].it);
  }
  CHECK(in_use(manager) == 0 && live(manager) == 0 && waiters(manager) == 0);
  shut(manager);
}

int main(int argc, char **argv) {
  the_descriptor_is_readable_while_something_is_ready();
  who_watches_edges_misses_nothing();
  units_and_locks_come_to_the_loop();
  a_wait_for_a_lock_is_cancelled();
  no_lock_is_lost_to_a_cancel();
  what_nobody_fetched_is_released();
  freed_by_its_own_callback();
  /* What the child of a fork leaves alone is lost there, says valgrind. */
  if (!slow()) a_child_has_none();
  many_loops_share_few_units(argc > 1 ? argv[1] : NULL);
  puts("completions: ok");
  return 0;
}
