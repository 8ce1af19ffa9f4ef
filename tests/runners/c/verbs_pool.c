/* Verbs of pools while they run: their definitions, high-water marks of readers, accounts as lines. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

static answer change_pool(const words *words) {
  lses_str pool = text_of(at(words, 0)), actor = named_text(words, "by");
  OR_FAILED(lses_manager_change_pool(the->manager, LEN(pool), at(words, 1), LSES_NTS, LEN(actor), NULL));
  return says("ok");
}

static answer definition(const words *words) {
  lses_str pool = text_of(at(words, 0));
  lses_buf buf;
  OR_FAILED(lses_manager_pool(the->manager, LEN(pool), &buf));
  json *of = parse_json(buf.data);
  lses_buf_free(&buf);
  texts all = {0};
  for (size_t i = 1; i < words->plain.count; i++) {
    json *one = member(of, words->plain.items[i]);
    if (one == NULL) return wrong("a pool has no option '%s'", words->plain.items[i]);
    add(&all, format("%s", one->raw));
  }
  return says("%s", joined(&all, " ", ""));
}

static answer differences(void) {
  lses_buf buf;
  OR_FAILED(lses_manager_pool_differences(the->manager, &buf));
  json *list = parse_json(buf.data);
  lses_buf_free(&buf);
  texts all = {0};
  for (size_t i = 0; i < list->count; i++) {
    json *one = list->items[i];
    add(&all, format("%s.%s %s %s", text_member(one, "pool", "?"), text_member(one, "option", "?"), member(one, "named")->raw,
                     member(one, "in_force")->raw));
  }
  return says("%s", joined(&all, ", ", "none"));
}

static answer high_water(const words *words) {
  lses_str pool = text_of(at(words, 0)), reader = text_of(at(words, 1));
  uint64_t units = 0;
  OR_FAILED(lses_manager_high_water(the->manager, LEN(pool), LEN(reader), &units, NULL));
  return says("%llu", (unsigned long long)units);
}

static answer reset_high_water(const words *words) {
  lses_str pool = text_of(at(words, 0)), reader = text_of(at(words, 1));
  OR_FAILED(lses_manager_reset_high_water(the->manager, LEN(pool), LEN(reader)));
  return says("ok");
}

static answer forget_high_water(const words *words) {
  lses_str pool = text_of(at(words, 0)), reader = text_of(at(words, 1));
  lses_status status = lses_manager_forget_high_water(the->manager, LEN(pool), LEN(reader));
  if (status == LSES_ABSENT) return says("false");
  OR_FAILED(status);
  return says("true");
}

static answer accounts(const words *words) {
  lses_str pool = text_of(at(words, 0));
  int64_t after = 0, limit = 10000;
  if (named(words, "after") != NULL) number_of(named(words, "after"), &after);
  if (named(words, "limit") != NULL) number_of(named(words, "limit"), &limit);
  lses_buf buf;
  OR_FAILED(lses_manager_export_accounts(the->manager, LEN(pool), (uint64_t)after, (size_t)limit, &buf, NULL));
  texts lines = split(buf.data == NULL ? "" : buf.data, '\n'), all = {0};
  for (size_t i = 0; i < lines.count; i++)
    if (lines.items[i][0] != '\0') add(&all, with_labels(lines.items[i]));
  lses_buf_free(&buf);
  return says("%s", joined(&all, " ", "none"));
}

int pool_verb(const char *verb, const words *words, answer *out) {
  static const struct {
    const char *verb;
    size_t needs;
    answer (*does)(const struct words *words);
  } verbs[] = {
      {"change_pool", 2, change_pool}, {"definition", 1, definition},
      {"high_water", 2, high_water},   {"reset_high_water", 2, reset_high_water},
      {"accounts", 1, accounts},       {"forget_high_water", 2, forget_high_water},
  };
  if (strcmp(verb, "differences") == 0) {
    if (opened(out)) *out = differences();
    return 1;
  }
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    if (strcmp(verbs[i].verb, verb) != 0) continue;
    if (words->plain.count < verbs[i].needs) *out = wrong("word %d is missing", (int)verbs[i].needs);
    else if (opened(out)) *out = verbs[i].does(words);
    return 1;
  }
  return 0;
}
