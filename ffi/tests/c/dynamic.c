/* dynamic LIBRARY...: loads, uses and unloads each in turn, 100 times, and at last all of them at once. */
#include <dirent.h>
#include <dlfcn.h>
#include <libsession.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                              \
    }                                                                       \
  } while (0)

typedef struct api {
  void *library;
  lses_status (*manager_new)(const lses_config *, lses_manager **);
  lses_status (*create)(lses_manager *, const lses_create_options *, char *, char *);
  lses_status (*count)(lses_manager *, uint64_t *);
  lses_status (*close)(lses_manager *, int64_t, lses_close_report *);
  void (*manager_free)(lses_manager *);
  lses_manager *manager;
} api;

static void load(api *it, const char *path) {
  it->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (it->library == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(it->library != NULL);
  *(void **)&it->manager_new = dlsym(it->library, "lses_manager_new");
  *(void **)&it->create = dlsym(it->library, "lses_manager_create");
  *(void **)&it->count = dlsym(it->library, "lses_manager_count");
  *(void **)&it->close = dlsym(it->library, "lses_manager_close");
  *(void **)&it->manager_free = dlsym(it->library, "lses_manager_free");
  CHECK(it->manager_new(NULL, &it->manager) == LSES_OK);
}

static void use(api *it, uint64_t expected) {
  char token[LSES_TOKEN_SIZE];
  uint64_t count;
  CHECK(it->create(it->manager, NULL, token, NULL) == LSES_OK);
  CHECK(it->count(it->manager, &count) == LSES_OK && count == expected);
}

static void *use_in_thread(void *it) {
  use(it, 2);
  dlclose(((api *)it)->library); /* And the thread goes on to its end. */
  return NULL;
}

static int threads(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/task");
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count - 2;
}

static long memory_kb(void) {
  char line[200];
  long kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, "VmRSS:", 6) == 0) kb = atol(line + 6);
  fclose(file);
  return kb;
}

int main(int argc, char **argv) {
  alarm(120);
  long before = 0;
  for (int round = 0; round < 100; round++) {
    api it;
    pthread_t thread;
    load(&it, argv[1]);
    use(&it, 1);
    CHECK(pthread_create(&thread, NULL, use_in_thread, &it) == 0);
    pthread_join(thread, NULL);
    CHECK(it.close(it.manager, 1000, NULL) == LSES_OK);
    it.manager_free(it.manager);
    if (round == 20) before = memory_kb();
  }
  for (int tries = 0; tries < 1000 && threads() > 1; tries++) usleep(1000);
  CHECK(threads() == 1);
  CHECK(memory_kb() - before < 8192);
  /* Copies in one process know nothing of each other. */
  api all[8];
  for (int i = 1; i < argc; i++) load(&all[i], argv[i]);
  for (int i = 1; i < argc; i++) use(&all[i], 1);
  for (int i = 2; i < argc; i++) {
    uint64_t count = 7;
    CHECK(all[i].count != all[1].count && all[i].count(all[1].manager, &count) == LSES_E_STALE_HANDLE);
  }
  puts("dynamic: ok");
  return 0; /* With managers open. */
}
