/* Speed of libsession through its C interface, beside a bare slab: bench [--json FILE] [--quick].
 *
 *   cargo build --release -p libsession-ffi
 *   cc -O2 -Iinclude core/benches/c/bench.c -o target/bench/c -Ltarget/release -lsession -lm
 *   LD_LIBRARY_PATH=target/release target/bench/c --json target/bench/c.json
 *
 * CPU nanoseconds of the calling thread, medians of interleaved rounds. */
#include <libsession.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 200000, MOST_ROUNDS = 9 };

static int rounds = MOST_ROUNDS;
static FILE *json;
static int rows;

static void must(lses_status status) {
  if (status == LSES_OK) return;
  fprintf(stderr, "%s: %s\n", lses_status_name(status), lses_last_error_message());
  exit(1);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory) return memory;
  fprintf(stderr, "no memory\n");
  exit(1);
}

static double cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values) {
  qsort(values, (size_t)rounds, sizeof *values, ascending);
  return values[rounds / 2];
}

/* One row of the report. `base` 0: no ratio. `most` 0: no target. */
static void tell(const char *group, const char *what, double ns, const char *other, double base, double most) {
  double measured = base > 0 ? ns / base : ns;
  const char *met = most > 0 ? (measured <= most ? "true" : "false") : "null";
  printf("%-16s %-50s %8.1f ns", group, what, ns);
  if (base > 0) printf("  %6.2f x %s (%.1f ns)", ns / base, other, base);
  if (most > 0) printf("  <= %g%s %s", most, base > 0 ? " x" : " ns", measured <= most ? "met" : "MISSED");
  printf("\n");
  if (!json) return;
  fprintf(json, "%s\n    {\"group\": \"%s\", \"what\": \"%s\", \"value\": %.4f, \"unit\": \"ns\", ", rows++ ? "," : "",
          group, what, ns);
  if (base > 0)
    fprintf(json, "\"ratio_to\": \"%s (%.1f ns)\", \"ratio\": %.4f, ", other, base, ns / base);
  else
    fprintf(json, "\"ratio_to\": null, \"ratio\": null, ");
  if (most > 0)
    fprintf(json, "\"target\": \"\xe2\x89\xa4 %g %s\", \"met\": %s}", most, base > 0 ? "\xc3\x97" : "ns", met);
  else
    fprintf(json, "\"target\": null, \"met\": null}");
}

static uint64_t state = 88172645463325252u;

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static size_t below(size_t bound) { return (size_t)(((unsigned __int128)next() * bound) >> 64); }

/* Which session is used at each step; Zipf has the exponent 0.99, its ranks spread at random. */
static uint32_t *order(size_t sessions, int zipf) {
  uint32_t *order = allocate(STEPS, sizeof *order);
  if (!zipf) {
    for (size_t i = 0; i < STEPS; i++) order[i] = (uint32_t)below(sessions);
    return order;
  }
  double *upto = allocate(sessions, sizeof *upto), sum = 0;
  uint32_t *place = allocate(sessions, sizeof *place);
  for (size_t i = 0; i < sessions; i++) {
    upto[i] = sum += pow((double)i + 1, -0.99);
    place[i] = (uint32_t)i;
  }
  for (size_t i = sessions - 1; i > 0; i--) {
    size_t j = below(i + 1);
    uint32_t kept = place[i];
    place[i] = place[j];
    place[j] = kept;
  }
  for (size_t i = 0; i < STEPS; i++) {
    double wanted = (double)(next() >> 11) / 9007199254740992.0 * sum;
    size_t low = 0, high = sessions - 1;
    while (low < high) {
      size_t middle = (low + high) / 2;
      if (upto[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    order[i] = place[low];
  }
  free(upto);
  free(place);
  return order;
}

typedef struct {
  lses_manager *manager;
  size_t count;
  char (*tokens)[LSES_TOKEN_SIZE];
  char (*ids)[LSES_ID_SIZE];
} Table;

static Table open_table(size_t sessions) {
  Table table = {NULL, sessions, allocate(sessions, LSES_TOKEN_SIZE), allocate(sessions, LSES_ID_SIZE)};
  lses_application shop = LSES_APPLICATION_INIT;
  shop.name = lses_cstr("shop");
  shop.idle_timeout_ms = 30 * 60 * 1000;
  shop.pool = lses_cstr("users");
  shop.lock = LSES_LOCK_SHARED;
  lses_pool users = LSES_POOL_INIT;
  users.name = lses_cstr("users");
  users.capacity = 4000000;
  lses_config *config;
  must(lses_config_new(&config));
  must(lses_config_set_max_sessions(config, 4000000));
  must(lses_config_add_application(config, &shop));
  must(lses_config_add_pool(config, &users));
  must(lses_manager_new(config, &table.manager));
  lses_config_free(config);
  for (size_t i = 0; i < sessions; i++)
    must(lses_manager_create(table.manager, NULL, table.tokens[i], table.ids[i]));
  return table;
}

static void close_table(Table *table) {
  must(lses_manager_close(table->manager, 0, NULL));
  lses_manager_free(table->manager);
  free(table->tokens);
  free(table->ids);
}

/* Touch of tokens in the order of their use beside a bare slab: generation compared, deadline stored. */
static void touch(Table *table, const char *size, int zipf, double most) {
  struct slot { uint64_t generation, deadline, rest[6]; } *slab = allocate(table->count, sizeof *slab);
  uint32_t *used = order(table->count, zipf);
  char (*tokens)[40] = allocate(STEPS, 40);
  double bare[MOST_ROUNDS], ours[MOST_ROUNDS];
  for (size_t i = 0; i < table->count; i++) slab[i] = (struct slot){.generation = i ^ 0x55, .deadline = 1000};
  for (size_t i = 0; i < STEPS; i++) memcpy(tokens[i], table->tokens[used[i]], 40);
  for (int round = 0; round < rounds; round++) {
    double begin = cpu_ns();
    for (size_t i = 0; i < STEPS; i++) {
      struct slot *slot = &slab[used[i]];
      if (slot->generation != (used[i] ^ 0x55) || slot->deadline <= 10) abort();
      *(volatile uint64_t *)&slot->deadline = 1000 + i;
    }
    bare[round] = (cpu_ns() - begin) / STEPS;
    begin = cpu_ns();
    for (size_t i = 0; i < STEPS; i++)
      if (lses_manager_touch(table->manager, tokens[i], 40, LSES_TOUCH_ACTIVITY, NULL, NULL) != LSES_OK) abort();
    ours[round] = (cpu_ns() - begin) / STEPS;
  }
  char what[80];
  snprintf(what, sizeof what, "touch by token text, %s %s", size, zipf ? "Zipf" : "uniform");
  tell("C: touch", what, median(ours), "floor", median(bare), most);
  free(slab);
  free(used);
  free(tokens);
}

static void requests(Table *table, const char *size, double most) {
  uint32_t *used = order(table->count, 0);
  double ours[MOST_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    double begin = cpu_ns();
    for (size_t i = 0; i < STEPS / 4; i++) {
      lses_request *request;
      if (lses_manager_begin(table->manager, table->tokens[used[i]], 40, NULL, &request, NULL) != LSES_OK) abort();
      if (lses_request_finish(request) != LSES_OK) abort();
      lses_request_free(request);
    }
    ours[round] = (cpu_ns() - begin) / (STEPS / 4);
  }
  char what[80];
  snprintf(what, sizeof what, "begin + finish + free, %s, shared lock", size);
  tell("C: requests", what, median(ours), NULL, 0, most);
  free(used);
}

static void create_end(Table *table) {
  double ours[MOST_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    double used = 0;
    for (size_t batch = 0; batch < 5; batch++) {
      enum { BATCH = 10000 };
      static char ids[BATCH][LSES_ID_SIZE], tokens[BATCH][LSES_TOKEN_SIZE];
      double begin = cpu_ns();
      for (size_t i = 0; i < BATCH; i++)
        if (lses_manager_create(table->manager, NULL, tokens[i], ids[i]) != LSES_OK) abort();
      used += cpu_ns() - begin;
      for (size_t i = 0; i < BATCH; i++) {
        size_t place = below(table->count);
        char id[LSES_ID_SIZE];
        memcpy(id, table->ids[place], LSES_ID_SIZE);
        memcpy(table->ids[place], ids[i], LSES_ID_SIZE);
        memcpy(table->tokens[place], tokens[i], LSES_TOKEN_SIZE);
        memcpy(ids[i], id, LSES_ID_SIZE);
      }
      begin = cpu_ns();
      for (size_t i = 0; i < BATCH; i++)
        if (lses_manager_end(table->manager, ids[i], LSES_ID_SIZE - 1, NULL, NULL, NULL) != LSES_OK) abort();
      used += cpu_ns() - begin;
    }
    ours[round] = used / 50000;
  }
  tell("C: create and end", "create with license + end, 1 M", median(ours), NULL, 0, 400);
}

static void border(void) {
  double ours[MOST_ROUNDS];
  uint32_t sum = 0;
  for (int round = 0; round < rounds; round++) {
    double begin = cpu_ns();
    for (size_t i = 0; i < STEPS; i++) sum += lses_version();
    ours[round] = (cpu_ns() - begin) / STEPS;
  }
  tell("C: border", sum ? "an empty call" : "", median(ours), NULL, 0, 3);
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    if (!strcmp(arguments[i], "--quick")) rounds = 3;
    else if (!strcmp(arguments[i], "--json") && i + 1 < count) json = fopen(arguments[++i], "w");
    else return fprintf(stderr, "usage: %s [--json FILE] [--quick]\n", arguments[0]), 2;
  }
  if (json) fprintf(json, "{\n  \"conditions\": \"CPU nanoseconds, medians of interleaved rounds\",\n  \"rows\": [");
  border();
  Table small = open_table(1000);
  touch(&small, "1k", 0, 0);
  requests(&small, "1k", 60);
  close_table(&small);
  Table large = open_table(1000000);
  touch(&large, "1 M", 0, 0);
  touch(&large, "1 M", 1, 4);
  requests(&large, "1 M", 150);
  create_end(&large);
  close_table(&large);
  if (json) fprintf(json, "\n  ]\n}\n");
  return json && fclose(json) ? 1 : 0;
}
