/* Texts and JSON of one script: all memory is given back when the script is over. */
#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Memory until forget_all(). Never NULL. Any thread. */
void *keep(size_t size);
void forget_all(void);
char *keep_text(const char *text, size_t len);
char *format(const char *how, ...) __attribute__((format(printf, 1, 2)));
/* Every `part` in `text` becomes `by`. */
char *replaced(const char *text, const char *part, const char *by);
/* Blanks become `_`. */
char *one_word(const char *text);

/* A list of texts. */
typedef struct texts {
  char **items;
  size_t count, room;
} texts;

void add(texts *list, char *text);
/* Items with a separator, or `none`. */
char *joined(const texts *list, const char *separator, const char *none);
texts split(const char *text, char separator);
void sort(texts *list);

/* A JSON value. */
typedef enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_FLOAT, JSON_TEXT, JSON_LIST, JSON_MAP } json_kind;

typedef struct json {
  json_kind kind;
  char *raw;         /* its own text */
  char *text;        /* JSON_TEXT: decoded, NUL-terminated */
  size_t text_len;
  int boolean;
  struct json **items; /* JSON_LIST, JSON_MAP: values */
  char **keys;         /* JSON_MAP */
  size_t count;
} json;

/* NULL if it is not JSON. */
json *parse_json(const char *text);
/* The value of a key; NULL if there is none. */
json *member(const json *map, const char *key);
/* A text member, or `otherwise` if it is null or missing. */
const char *text_member(const json *map, const char *key, const char *otherwise);
/* A number or boolean member in its own words, or `otherwise`. */
const char *raw_member(const json *map, const char *key, const char *otherwise);
/* Whether two values are the same; with `numeric`, 1 is 1.0 in lists that are paths. */
int same_json(const json *one, const json *other, int numeric);
/* The JSON text of a text. */
char *quoted(const char *text, size_t len);

#endif
