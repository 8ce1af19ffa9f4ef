/* A prefork server on one directory: forks before and after the first use, with a request in flight, while others work,
   from a thread, inside a callback; children of children; workers that are killed. shared DIRECTORY (it is made). */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Seen by parent and children. */
typedef struct seen {
  atomic_int ends, children_ends;
} seen;

static seen *all;
static pid_t master;
static const char *store;
static lses_manager *manager;

static void create(char *token);
static pid_t forked(void);
static void reap(pid_t child, int signal_number);

/* What on_end does besides counting: forks a child that leaves inside of the callback, or one that returns from it. */
enum { NOTHING, LEAVES, RETURNS };
static int inside = NOTHING;

static int32_t on_end(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  pid_t child = inside == NOTHING ? -1 : forked();
  if (child == 0) {
    int returns = inside == RETURNS;
    inside = NOTHING;
    create(NULL);
    if (returns) return LSES_ALLOW;
    _exit(0);
  }
  if (child > 0) reap(child, 0);
  all->ends++;
  if (getpid() != master) all->children_ends++;
  return LSES_ALLOW;
}

static void watch(lses_manager *who, const char *name) {
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = on_end;
  OK(lses_manager_register(who, name, LSES_NTS, NULL, 0, &class));
}

static setup open_store(uint32_t dispatch) {
  return setup_with(
      (setup_options){.idle_timeout_ms = 600000, .capacity = 1000, .store = store, .dispatch = dispatch});
}

static pid_t forked(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  return child;
}

/* Waits for a child, which leaves with 0, or of the signal. */
static void reap(pid_t child, int signal_number) {
  int status;
  int64_t until = real_ms() + 30000;
  pid_t got;
  while ((got = waitpid(child, &status, WNOHANG)) == 0) {
    if (real_ms() > until) kill(child, SIGABRT);
    usleep(1000);
  }
  CHECK(got == child);
  if (signal_number != 0)
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal_number);
  else
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static lses_request *begin(const char *token) {
  lses_request *request;
  OK(lses_manager_begin(manager, token, LSES_NTS, NULL, &request, NULL));
  return request;
}

static void is_locked(const char *token) {
  lses_request *request;
  lses_begin_options options = LSES_BEGIN_OPTIONS_INIT;
  options.lock_timeout_ms = 30;
  STATUS(LSES_E_LOCK_TIMEOUT, lses_manager_begin(manager, token, LSES_NTS, &options, &request, NULL));
}

static int number(lses_request *request) {
  lses_buf text = LSES_BUF_INIT;
  OK(lses_request_get_text(request, "n", LSES_NTS, &text));
  int value = text.data != NULL ? atoi(text.data) : 0;
  lses_buf_free(&text);
  return value;
}

static void set(lses_request *request, int value) {
  char text[16];
  snprintf(text, sizeof text, "%d", value);
  OK(lses_request_set_text(request, "n", LSES_NTS, text, LSES_NTS));
}

static void finish(lses_request *request) {
  OK(lses_request_finish(request));
  lses_request_free(request);
}

static void add(const char *token) {
  lses_request *request = begin(token);
  set(request, number(request) + 1);
  finish(request);
}

static int value_of(const char *token) {
  lses_request *request = begin(token);
  int value = number(request);
  finish(request);
  return value;
}

static void create(char *token) {
  char own[LSES_TOKEN_SIZE];
  OK(lses_manager_create(manager, NULL, token != NULL ? token : own, NULL));
}

/* Returns when its callbacks are done. */
static void create_and_end(lses_manager *who) {
  char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
  lses_end_options options = LSES_END_OPTIONS_INIT;
  options.wait_ms = 20000;
  OK(lses_manager_create(who, NULL, token, id));
  OK(lses_manager_end(who, id, LSES_NTS, &options, NULL, NULL));
}

static uint64_t count(void) {
  uint64_t live;
  OK(lses_manager_count(manager, &live));
  return live;
}

static void exact(uint64_t sessions) {
  /* A worker that was killed is counted again when it is buried. */
  WAIT_FOR(count() == sessions);
  CHECK(in_use(manager) == sessions);
  lses_buf violations = LSES_BUF_INIT;
  OK(lses_manager_check(manager, &violations));
  if (strcmp(violations.data, "[]") != 0) fprintf(stderr, "%s\n", violations.data);
  CHECK(strcmp(violations.data, "[]") == 0);
  lses_buf_free(&violations);
}

/* As Apache does it: workers that are forked before the master used the manager, and after. They write side by side, and
   leave in all ways. */
static void workers(void) {
  enum { WORKERS = 4 };
  int times = slow() ? 5 : torture() ? 1000 : 20;
  uint64_t before = 0;
  pid_t children[2 * WORKERS];
  char token[LSES_TOKEN_SIZE];
  int ready[2];
  CHECK(pipe(ready) == 0);
  for (int i = 0; i < 2 * WORKERS; i++) {
    if (i == WORKERS) {
      before = count();
      create(token);
      for (int told = 0; told < WORKERS; told++)
        CHECK(write(ready[1], token, sizeof token) == (ssize_t)sizeof token);
    }
    children[i] = forked();
    if (children[i] == 0) {
      if (i < WORKERS) CHECK(read(ready[0], token, sizeof token) == (ssize_t)sizeof token);
      for (int n = 0; n < times; n++) {
        add(token);
        create_and_end(manager);
      }
      create(NULL);
      if (i % 3 == 0) OK(lses_manager_close(manager, 1000, NULL));
      if (i % 3 == 1) exit(0);
      _exit(0);
    }
  }
  for (int n = 0; n < times; n++) add(token);
  for (int i = 0; i < 2 * WORKERS; i++) reap(children[i], 0);
  CHECK(value_of(token) == (2 * WORKERS + 1) * times);
  exact(before + 1 + 2 * WORKERS);
  WAIT_FOR(all->ends == 2 * WORKERS * times);
  close(ready[0]);
  close(ready[1]);
}

/* What the master had begun is not the child's; its lock stays the master's. The child has the master's classes. */
static void in_flight(void) {
  char token[LSES_TOKEN_SIZE];
  lses_manager *copy;
  uint64_t before = count();
  create(token);
  lses_request *request = begin(token);
  set(request, 1);
  OK(lses_manager_clone(manager, &copy));
  all->children_ends = 0;
  pid_t child = forked();
  if (child == 0) {
    lses_buf text = LSES_BUF_INIT;
    int32_t existed;
    STATUS(LSES_E_FORKED, lses_request_get_text(request, "n", LSES_NTS, &text));
    STATUS(LSES_E_FORKED, lses_request_save(request));
    STATUS(LSES_E_FORKED, lses_request_finish(request));
    lses_request_free(request);
    is_locked(token);
    create_and_end(copy);
    CHECK(all->children_ends == 1);
    OK(lses_manager_unregister(copy, "watch", LSES_NTS, NULL, 0, &existed));
    CHECK(existed == 1);
    /* A child of the child goes on, too, and leaves its closing to the exit hook. */
    pid_t grandchild = forked();
    if (grandchild == 0) {
      is_locked(token);
      create(NULL);
      exit(0);
    }
    reap(grandchild, 0);
    lses_manager_free(copy);
    STATUS(LSES_E_STALE_HANDLE, lses_manager_clone(copy, &copy));
    lses_close_report report = LSES_CLOSE_REPORT_INIT;
    OK(lses_manager_close(manager, 1000, &report));
    CHECK(report.ended == 0 && report.in_flight == 0 && report.stuck == 0);
    STATUS(LSES_E_CLOSED, lses_manager_create(manager, NULL, token, NULL));
    lses_manager_free(manager);
    _exit(0);
  }
  reap(child, 0);
  CHECK(number(request) == 1);
  finish(request);
  CHECK(value_of(token) == 1);
  create_and_end(copy);
  lses_manager_free(copy);
  exact(before + 2);
}

/* A worker that is killed in the middle of a request: its lock is free within a second. */
static void killed(void) {
  char token[LSES_TOKEN_SIZE];
  int ready[2];
  CHECK(pipe(ready) == 0);
  create(token);
  add(token);
  int64_t best = INT64_MAX;
  for (int round = 0; round < 3; round++) {
    pid_t child = forked();
    if (child == 0) {
      set(begin(token), 99);
      CHECK(write(ready[1], "x", 1) == 1);
      for (;;) pause();
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    kill(child, SIGKILL);
    reap(child, SIGKILL);
    int64_t from = real_ms();
    CHECK(value_of(token) == 1);
    if (real_ms() - from < best) best = real_ms() - from;
  }
  CHECK(best <= 1000 || slow());
  close(ready[0]);
  close(ready[1]);
  exact(count());
}

/* The callback's child uses the manager; if it returns, its process ends. */
static void inside_a_callback(void) {
  uint64_t before = count();
  int ends = all->ends;
  for (inside = LEAVES; inside <= RETURNS; inside++) create_and_end(manager);
  inside = NOTHING;
  CHECK(all->ends == ends + 2);
  exact(before + 2);
}

static int rounds(void) { return slow() ? 2 : torture() ? 300 : 10; }

static void *forking(void *token) {
  for (int round = 0; round < rounds(); round++) {
    pid_t child = forked();
    if (child == 0) {
      add(token);
      /* No lock of the parent's is held here. */
      watch(manager, "other");
      if (round % 2 == 0) OK(lses_manager_close(manager, 1000, NULL));
      if (round % 3 == 0) lses_manager_free(manager);
      _exit(0);
    }
    reap(child, 0);
  }
  return NULL;
}

static atomic_int stop;

static void *busy(void *unused) {
  while (!stop) create_and_end(manager);
  return unused;
}

/* Threads that fork while others work. */
static void from_threads(void) {
  char token[LSES_TOKEN_SIZE];
  uint64_t before = count();
  create(token);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, i < 2 ? forking : busy, token) == 0);
  for (int n = 0; n < 50; n++) add(token);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  stop = 1;
  for (int i = 2; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(value_of(token) == 50 + 2 * rounds());
  exact(before + 1);
}

/* An administrator goes by what the store says itself, and serves nobody. */
static void administrator(uint64_t sessions) {
  lses_config *config;
  lses_manager *admin;
  char token[LSES_TOKEN_SIZE];
  uint64_t seen = 0;
  OK(lses_config_new(&config));
  OK(lses_config_set_adopt(config, 1));
  STATUS(LSES_E_INVALID, lses_manager_new(config, &admin));
  STATUS(LSES_E_INVALID, lses_config_set_adopt(config, 7));
  OK(lses_config_set_store(config, store, LSES_NTS));
  OK(lses_manager_new(config, &admin));
  OK(lses_manager_count(admin, &seen));
  CHECK(seen == sessions);
  STATUS(LSES_E_INVALID, lses_manager_create(admin, NULL, token, NULL));
  OK(lses_manager_close(admin, 0, NULL));
  lses_manager_free(admin);
  OK(lses_config_set_max_sessions(config, 7));
  STATUS(LSES_E_INVALID, lses_manager_new(config, &admin));
  lses_config_free(config);
  exact(sessions);
}

/* A child has a descriptor of its own. */
static void by_poll(void) {
  setup it = open_store(LSES_DISPATCH_POLL);
  int fd, own;
  watch(it.manager, "watch");
  OK(lses_manager_event_fd(it.manager, &fd));
  OK(lses_manager_dispatch(it.manager, 1, 0, NULL));
  pid_t child = forked();
  if (child == 0) {
    char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
    size_t delivered = 0;
    OK(lses_manager_event_fd(it.manager, &own));
    CHECK(own != fd);
    OK(lses_manager_dispatch(it.manager, 1, 0, NULL));
    OK(lses_manager_create(it.manager, NULL, token, id));
    OK(lses_manager_end(it.manager, id, LSES_NTS, NULL, NULL, NULL));
    struct pollfd ready = {.fd = own, .events = POLLIN};
    CHECK(poll(&ready, 1, 10000) == 1);
    OK(lses_manager_dispatch(it.manager, 10, 0, &delivered));
    CHECK(delivered == 1);
    _exit(0);
  }
  reap(child, 0);
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  CHECK(poll(&ready, 1, 0) == 0);
  teardown(it);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  char path[4096];
  snprintf(path, sizeof path, "file:%s", argv[1]);
  store = path;
  master = getpid();
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(all != MAP_FAILED);
  setup it = open_store(LSES_DISPATCH_THREAD);
  manager = it.manager;
  watch(manager, "watch");
  workers();
  in_flight();
  killed();
  inside_a_callback();
  from_threads();
  uint64_t sessions = count();
  administrator(sessions);
  teardown(it);
  /* They outlive the process; here another manager. */
  it = open_store(LSES_DISPATCH_THREAD);
  manager = it.manager;
  exact(sessions);
  teardown(it);
  by_poll();
  return 0;
}
