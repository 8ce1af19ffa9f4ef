/* runner [--table memory|file] [--process N] [--log] [--loop] SCRIPT...
 *
 * Replays the scripts of tests/conformance through libsession.h; tests/README.md tells the format.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "world.h"

typedef struct line {
  texts words;
  char *expected; /* NULL: nothing is */
  char *message;  /* NULL: any */
} line;

/* Splits at blanks that are not inside of JSON; drops the comment. 0: JSON that does not end. */
static int split_words(const char *raw, texts *out) {
  size_t depth = 0;
  int quote = 0, escaped = 0;
  const char *begin = NULL;
  for (;; raw++) {
    char c = *raw;
    if (quote && c != '\0') {
      quote = escaped || c != '"';
      escaped = !escaped && c == '\\';
      continue;
    }
    if (c == '\0' || (depth == 0 && (c == ' ' || c == '\t' || c == '\r')) || (begin == NULL && c == '#')) {
      if (begin != NULL) add(out, keep_text(begin, (size_t)(raw - begin)));
      begin = NULL;
      if (c == '\0' || c == '#') return !quote && depth == 0;
      continue;
    }
    if (begin == NULL) begin = raw;
    if (c == '"') quote = 1;
    else if (c == '[' || c == '{') depth++;
    else if ((c == ']' || c == '}') && depth > 0) depth--;
  }
}

/* `@N`, also behind `=`, is a text of N times `x`. */
static char *expanded(char *word) {
  char *equals = strchr("\"[{", word[0]) == NULL ? strchr(word, '=') : NULL;
  char *after = equals == NULL ? word : equals + 1;
  if (after[0] != '@' || after[1] == '\0' || after[1 + strspn(after + 1, "0123456789")] != '\0') return word;
  size_t count = strtoull(after + 1, NULL, 10), before = (size_t)(after - word);
  char *text = keep(before + count + 3);
  memcpy(text, word, before);
  text[before] = '"';
  memset(text + before + 1, 'x', count);
  text[before + count + 1] = '"';
  return text;
}

static const char *parse_line(const char *raw, line *out) {
  texts words = {0};
  memset(out, 0, sizeof *out);
  if (!split_words(raw, &words)) return "JSON that does not end on its line";
  size_t arrow = 0;
  while (arrow < words.count && strcmp(words.items[arrow], "->") != 0) arrow++;
  for (size_t i = 0; i < arrow; i++) add(&out->words, expanded(words.items[i]));
  if (arrow < words.count) {
    texts expected = {0};
    size_t end = words.count;
    if (end >= arrow + 3 && strcmp(words.items[end - 2], ":") == 0 && words.items[end - 1][0] == '"') {
      out->message = (char *)text_of(words.items[end - 1]).data;
      end -= 2;
    }
    for (size_t i = arrow + 1; i < end; i++) add(&expected, words.items[i]);
    out->expected = joined(&expected, " ", "");
    if (arrow == 0) return "an expectation without a verb";
  }
  return NULL;
}

static int same_answer(const char *verb, const char *expected, const char *got) {
  size_t len = strlen(expected);
  if (strcmp(expected, "*") == 0 || strcmp(expected, got) == 0) return 1;
  if (len >= 3 && strcmp(expected + len - 3, "...") == 0) {
    len -= 3;
    while (len > 0 && expected[len - 1] == ' ') len--;
    return strncmp(expected, got, len) == 0;
  }
  if (strcmp(verb, "get") == 0 || strcmp(verb, "get_versioned") == 0 || strcmp(verb, "pop") == 0)
    return same_json(parse_json(expected), parse_json(got), 0);
  if (strcmp(verb, "entries") == 0 || strcmp(verb, "next") == 0)
    return same_json(parse_json(expected), parse_json(got), 1);
  return 0;
}

static int is_bad(const char *answer) {
  return strcmp(answer, "absent") == 0 || strncmp(answer, "error ", 6) == 0 || strncmp(answer, "gone ", 5) == 0;
}

static int check_line(const char *place, const char *raw) {
  line line;
  const char *why = parse_line(raw, &line);
  if (why != NULL) {
    fprintf(stderr, "%s: %s\n", place, why);
    return 0;
  }
  if (line.words.count == 0) return 1;
  answer got = do_words(line.words.items, line.words.count);
  settle();
  if (got.wrong) {
    fprintf(stderr, "%s: %s\n", place, got.text);
    return 0;
  }
  char *text = with_labels(got.text), *message = with_labels(got.message);
  if (line.expected == NULL) {
    if (!is_bad(text)) return 1;
    fprintf(stderr, "%s: expected no error, got %s (%s)\n", place, text, message);
    return 0;
  }
  if (!same_answer(line.words.items[0], line.expected, text)) {
    int say = message[0] != '\0';
    fprintf(stderr, "%s: expected %s, got %s%s%s%s\n", place, line.expected, text, say ? " (" : "", message, say ? ")" : "");
    return 0;
  }
  if (line.message != NULL && strstr(message, line.message) == NULL) {
    fprintf(stderr, "%s: expected a message with \"%s\", got %s\n", place, line.message, message);
    return 0;
  }
  return 1;
}

/* A line, or as many as `times` says. */
static int run_line(const char *place, const char *raw) {
  const char *begin = raw + strspn(raw, " \t");
  if (strncmp(begin, "times ", 6) != 0) return check_line(place, raw);
  char *rest;
  unsigned long long count = strtoull(begin + 6, &rest, 10);
  int good = 1;
  for (unsigned long long number = 1; number <= count; number++)
    good &= run_line(place, replaced(rest + strspn(rest, " "), "%", format("%llu", number)));
  return good;
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return NULL;
  size_t room = 1 << 16, len = 0, got;
  char *text = malloc(room);
  while (text != NULL && (got = fread(text + len, 1, room - len - 1, file)) > 0) {
    len += got;
    if (len + 1 == room) text = realloc(text, room *= 2);
  }
  fclose(file);
  if (text == NULL) abort();
  text[len] = '\0';
  return text;
}

static int forget_file(const char *path, const struct stat *what, int kind, struct FTW *place) {
  (void)what, (void)kind, (void)place;
  return remove(path);
}

/* The store of one script: `file` is a new directory, which goes with it. */
static const char *make_store(const char *table, char *directory, size_t room) {
  directory[0] = '\0';
  if (strcmp(table, "file") != 0) return table;
  const char *root = getenv("TMPDIR");
  snprintf(directory, room, "%s/libsession-script-XXXXXX", root == NULL || root[0] == '\0' ? "/tmp" : root);
  if (mkdtemp(directory) == NULL) {
    perror(directory);
    exit(2);
  }
  return format("file:%s/store", directory);
}

static int replay(const char *path, const char *table, int log) {
  char *text = read_file(path);
  if (text == NULL) {
    perror(path);
    return 0;
  }
  int good = 1;
  size_t number = 0;
  char directory[1000];
  world_begin(make_store(table, directory, sizeof directory));
  for (char *raw = text, *end; raw != NULL; raw = end) {
    end = strchr(raw, '\n');
    if (end != NULL) *end++ = '\0';
    good &= run_line(format("%s:%zu", path, ++number), raw);
  }
  if (the->started != NULL) {
    fprintf(stderr, "%s: never joined: %s\n", path, the->started->name);
    good = 0;
  }
  if (log) printf("# %s\n%s", path, world_log());
  world_end();
  forget_all();
  if (directory[0] != '\0' && nftw(directory, forget_file, 16, FTW_DEPTH | FTW_PHYS) != 0) perror(directory);
  free(text);
  return good;
}

static void find_scripts(const char *root, char ***paths, size_t *count) {
  struct stat what;
  size_t len = strlen(root);
  if (stat(root, &what) != 0) {
    perror(root);
    exit(2);
  }
  if (!S_ISDIR(what.st_mode)) {
    if (len < 4 || strcmp(root + len - 4, ".txt") != 0) return;
    *paths = realloc(*paths, (*count + 1) * sizeof **paths);
    if (*paths == NULL || ((*paths)[(*count)++] = strdup(root)) == NULL) abort();
    return;
  }
  DIR *dir = opendir(root);
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char *path = malloc(len + strlen(entry->d_name) + 2);
    if (path == NULL) abort();
    sprintf(path, "%s/%s", root, entry->d_name);
    find_scripts(path, paths, count);
    free(path);
  }
  if (dir != NULL) closedir(dir);
}

static int by_bytes(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

int main(int argc, char **argv) {
  const char *table = "memory";
  int log = 0, good = 1;
  char **paths = NULL;
  size_t count = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--log") == 0) {
      log = 1;
    } else if (strcmp(argv[i], "--loop") == 0) {
      with_loop = 1;
    } else if (strcmp(argv[i], "--table") == 0 && i + 1 < argc) {
      table = argv[++i];
    } else if (strcmp(argv[i], "--process") == 0 && i + 1 < argc) {
      i++;
    } else {
      size_t first = count;
      find_scripts(argv[i], &paths, &count);
      if (count > first) qsort(paths + first, count - first, sizeof *paths, by_bytes);
    }
  }
  if (count == 0) {
    fprintf(stderr, "usage: runner [--table memory|file] [--process N] [--log] [--loop] SCRIPT...\n");
    return 2;
  }
  for (size_t i = 0; i < count; i++) {
    good &= replay(paths[i], table, log);
    free(paths[i]);
  }
  free(paths);
  return good ? 0 : 1;
}
