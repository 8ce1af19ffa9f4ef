/* The words behind a verb. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

words sorted_words(char **items, size_t count) {
  words sorted = {0};
  for (size_t i = 0; i < count; i++) {
    size_t name = strspn(items[i], "abcdefghijklmnopqrstuvwxyz_");
    if (items[i][name] == '=') {
      add(&sorted.names, keep_text(items[i], name));
      add(&sorted.values, items[i] + name + 1);
    } else {
      add(&sorted.plain, items[i]);
    }
  }
  return sorted;
}

const char *at(const words *words, size_t index) {
  return index < words->plain.count ? words->plain.items[index] : NULL;
}

const char *named(const words *words, const char *name) {
  for (size_t i = 0; i < words->names.count; i++)
    if (strcmp(words->names.items[i], name) == 0) return words->values.items[i];
  return NULL;
}

int has_plain(const words *words, const char *word) {
  for (size_t i = 0; i < words->plain.count; i++)
    if (strcmp(words->plain.items[i], word) == 0) return 1;
  return 0;
}

lses_str text_of(const char *word) {
  lses_str text = LSES_STR_NONE;
  if (word == NULL) return text;
  if (word[0] != '"') {
    text.data = word;
    text.len = strlen(word);
    return text;
  }
  json *value = parse_json(word);
  if (value != NULL && value->kind == JSON_TEXT) {
    text.data = value->text;
    text.len = value->text_len;
  }
  return text;
}

lses_str named_text(const words *words, const char *name) { return text_of(named(words, name)); }

int number_of(const char *word, int64_t *out) {
  char *end;
  errno = 0;
  *out = strtoll(word, &end, 10);
  if (errno == ERANGE && word[0] != '-') {
    errno = 0;
    *out = (int64_t)strtoull(word, &end, 10);
  }
  return *word != '\0' && *end == '\0' && errno == 0;
}

uint32_t code_of(const char *word, const char *(*name)(uint32_t)) {
  for (uint32_t code = 1; code < 64; code++)
    if (strcmp(name(code), word) == 0) return code;
  return 0;
}
