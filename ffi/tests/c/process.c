/* Fork, signals, threads and their names, exit. process WHICH [WORD] plays one of them; without a word, those that return. */
#include "check.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static lses_manager *manager;
static atomic_int calls, stop;

static int32_t count_call(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  calls++;
  return LSES_ALLOW;
}

static void create(lses_manager *in) {
  char token[LSES_TOKEN_SIZE];
  OK(lses_manager_create(in, NULL, token, NULL));
}

static void child_ends_well(pid_t child) {
  int status;
  int64_t until = real_ms() + (slow() ? 60000 : 5000);
  pid_t got;
  while ((got = waitpid(child, &status, WNOHANG)) == 0) {
    if (real_ms() > until) kill(child, SIGKILL);
    usleep(1000);
  }
  CHECK(got == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *busy(void *unused) {
  while (!stop) {
    char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
    OK(lses_manager_create(manager, NULL, token, id));
    OK(lses_manager_end(manager, id, 22, NULL, NULL, NULL));
  }
  return unused;
}

static void in_child(const setup *it, lses_request *request, int depth) {
  uint64_t count;
  int64_t ms;
  lses_buf buf;
  STATUS(LSES_E_FORKED, lses_manager_count(it->manager, &count));
  STATUS(LSES_E_FORKED, lses_manager_close(it->manager, 100, NULL));
  STATUS(LSES_E_FORKED, lses_manager_touch(it->manager, "x", 1, 0, &ms, NULL));
  STATUS(LSES_E_FORKED, lses_request_finish(request));
  STATUS(LSES_E_FORKED, lses_request_info(request, &buf));
  lses_request_free(request);
  lses_manager_free(it->manager);
  lses_manager_free(it->manager);
  /* The child can have its own. */
  setup own = setup_with((setup_options){.idle_timeout_ms = 20});
  create(own.manager);
  WAIT_FOR((lses_manager_count(own.manager, &count), count == 0));
  if (depth > 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      STATUS(LSES_E_FORKED, lses_manager_count(own.manager, &count));
      in_child(it, request, 0);
      exit(0);
    }
    child_ends_well(grandchild);
  }
  teardown(own);
}

static void forks(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000});
  manager = it.manager;
  lses_request *request;
  OK(lses_manager_begin_new(it.manager, NULL, NULL, &request));
  pid_t child = fork();
  if (child == 0) {
    in_child(&it, request, 1);
    exit(0);
  }
  child_ends_well(child);
  /* While other threads hold whatever locks there are. */
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, busy, NULL);
  for (int round = 0; round < (slow() ? 2 : 20); round++) {
    child = fork();
    if (child == 0) {
      in_child(&it, request, 0);
      _exit(0);
    }
    child_ends_well(child);
  }
  stop = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  OK(lses_request_finish(request));
  lses_request_free(request);
  teardown(it);
}

static pthread_t main_thread;
static atomic_int handled_elsewhere, handled;

static void on_signal(int number) {
  (void)number;
  handled++;
  if (!pthread_equal(pthread_self(), main_thread)) handled_elsewhere++;
}

static int threads_with(const char *prefix) {
  DIR *dir = opendir("/proc/self/task");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    char path[300], name[32] = "";
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    FILE *file = fopen(path, "r");
    if (file == NULL) continue;
    if (fgets(name, sizeof name, file) != NULL && strncmp(name, prefix, strlen(prefix)) == 0) count++;
    fclose(file);
  }
  closedir(dir);
  return count;
}

static void signals(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 20});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = count_call;
  calls = 0;
  CHECK(threads_with("lses") == 0); /* None before the first session. */
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  create(it.manager);
  WAIT_FOR(calls == 1);
  int own = threads_with("lses");
  CHECK(own >= 2 && threads_with("") == own + 1);
  main_thread = pthread_self();
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, NULL);
  for (int i = 0; i < 50; i++) {
    kill(getpid(), SIGTERM);
    usleep(200);
  }
  CHECK(handled == 0);
  pthread_sigmask(SIG_UNBLOCK, &term, NULL);
  WAIT_FOR(handled > 0);
  CHECK(handled_elsewhere == 0);
  teardown(it);
  WAIT_FOR(threads_with("lses") == 0);
  it = setup_with((setup_options){.idle_timeout_ms = 20, .no_threads = 1});
  create(it.manager);
  int64_t next;
  OK(lses_manager_tick(it.manager, &next));
  CHECK(threads_with("lses") == 0 && threads_with("") == 1);
  teardown(it);
}

static int32_t slow_end(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  usleep(30000);
  printf("on_end\n");
  fflush(stdout);
  return LSES_ALLOW;
}

static int32_t exit_inside(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  printf("exit\n");
  exit(0);
}

/* Ends the process with a manager open. */
static void ends(const char *how) {
  setup it = setup_with((setup_options){.idle_timeout_ms = strcmp(how, "inside") == 0 ? 20 : 60000});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = strcmp(how, "inside") == 0 ? exit_inside : slow_end;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  for (int i = 0; i < (strcmp(how, "inside") == 0 ? 1 : 3); i++) create(it.manager);
  if (strcmp(how, "exit") == 0) exit(0);
  if (strcmp(how, "quick") == 0) quick_exit(0);
  if (strcmp(how, "inside") == 0)
    for (;;) pause();
}

static jmp_buf back;
static pthread_t jumper;
static volatile int left, met;

/* Jumps in the thread that made the way back only: what that thread caused may also be told by a dispatcher thread. */
static int32_t jump(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  if (!pthread_equal(pthread_self(), jumper)) {
    __atomic_add_fetch(&met, 1, __ATOMIC_SEQ_CST);
    return LSES_ALLOW;
  }
  left++;
  longjmp(back, 1);
}

/* A longjmp out of an inline callback leaves a manager that works, and a thread that is in no callback. */
static void jumps(void) {
  enum { TIMES = 100 };
  setup it = setup_with((setup_options){.idle_timeout_ms = 60000, .capacity = 5, .dispatch = LSES_DISPATCH_INLINE});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = jump;
  jumper = pthread_self();
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  for (volatile int i = 0; i < TIMES; i++) {
    char token[LSES_TOKEN_SIZE], id[LSES_ID_SIZE];
    OK(lses_manager_create(it.manager, NULL, token, id));
    if (setjmp(back) == 0) (void)lses_manager_end(it.manager, id, 22, NULL, NULL, NULL);
    CHECK(in_use(it.manager) == 0);
  }
  /* Nearly all run in the thread that caused them, however many were left there. */
  WAIT_FOR(left + __atomic_load_n(&met, __ATOMIC_SEQ_CST) == TIMES);
  CHECK(left > TIMES / 2);
  lses_buf check;
  OK(lses_manager_check(it.manager, &check));
  CHECK(strcmp(check.data, "[]") == 0);
  lses_buf_free(&check);
  /* Closing is not put off as inside of a callback. */
  lses_close_report report = LSES_CLOSE_REPORT_INIT;
  OK(lses_manager_close(it.manager, 100, &report));
  CHECK(report.deferred == 0 && report.undelivered == (uint64_t)left);
  puts("jumps: ok");
  fflush(stdout);
  _exit(0);
}

static int32_t end_thread(void *user_data, const lses_event *event) {
  (void)user_data;
  (void)event;
  pthread_exit(NULL);
}

/* Aborts, with a message. */
static void ends_a_thread(void) {
  setup it = setup_with((setup_options){.idle_timeout_ms = 20});
  lses_event_class class = LSES_EVENT_CLASS_INIT;
  class.on_end = end_thread;
  OK(lses_manager_register(it.manager, "watch", 5, NULL, 0, &class));
  create(it.manager);
  sleep(5);
}

int main(int argc, char **argv) {
  const char *which = argc > 1 ? argv[1] : "";
  alarm(slow() ? 200 : 60);
  if (strcmp(which, "ends") == 0) {
    ends(argv[2]);
  } else if (strcmp(which, "jumps") == 0) {
    jumps();
  } else if (strcmp(which, "thread") == 0) {
    ends_a_thread();
  } else {
    signals();
    forks();
    puts("process: ok");
  }
  return 0;
}
